//! `hardy lock`, in every store.

mod article;
mod contract;
mod etcd_engine;
mod etcd_faults;
mod store;
