//! `hardy lock`, in every store.

mod article;
mod contract;
mod crew;
mod etcd_engine;
mod etcd_faults;
mod faults_clock;
mod faults_cluster;
mod faults_group;
mod history;
pub mod network;
mod partition;
mod refusals;
mod run_case;
mod run_command;
mod run_signals;
mod run_terminal;
mod run_watchdog;
mod soak;
pub mod store;
