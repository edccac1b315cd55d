//! What is printed, for people and for machines, and the exit codes.
