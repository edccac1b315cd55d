//! The binary: everything happens in the library, so that tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    hardy::run()
}
