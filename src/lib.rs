//! hardy: high-availability operations from one command line.
//!
//! The way through: `Args` (what was typed) -> `Settings` (what it means) ->
//! `Report` (what was found) -> `Verdict` (the exit code).
