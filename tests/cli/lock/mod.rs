//! `hardy lock`, in every store.

mod contract;
mod store;
