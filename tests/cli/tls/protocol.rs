//! Versions, suites, groups and order, of real servers and of scripted ones.
