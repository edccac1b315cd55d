//! The development authority, its certificates, and days left in probes and metrics.
