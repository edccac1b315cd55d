//! Chains that are wrong, one reason at a time and several at once.
