//! `hardy load`.

mod jobs;
mod jobs_ends;
