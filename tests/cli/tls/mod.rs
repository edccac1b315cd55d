//! `hardy tls` against real servers, bad ones, and files.

mod authority;
mod bulk;
mod certificates;
mod files;
mod issued;
mod limits;
mod output;
mod peers;
mod protocol;
mod servers;
mod sessions;
mod starttls;
