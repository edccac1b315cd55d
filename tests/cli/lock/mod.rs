//! `hardy lock`, in every store.

mod contract;
mod etcd_engine;
mod store;
