//! Every knob once: its flag, its key in a profile, its environment variable and its meaning.
//! A knob is an `Option` without a default of its own, so that a file can never beat a flag;
//! its default stands in default.toml, from where the help takes it too.

mod breaker;
mod load;
mod lock;
mod probe;
mod serve;
mod store;
mod tls;

pub use breaker::BreakerKnobs;
pub use load::LoadKnobs;
pub use lock::LockKnobs;
pub use probe::{FailOn, ProbeKnobs};
pub use serve::ServeKnobs;
pub use store::StoreKnobs;
pub use tls::{FailFrom, TlsKnobs};

/// One layer of a section over a lower one.
pub trait Layer {
    /// What is set here, else what is set below.
    #[must_use]
    fn or(self, lower: Self) -> Self;
}

/// Implements [`Layer`]; a knob that is forgotten here does not compile. `hiding`: what a choice in the upper
/// layer takes away from the lower one first.
macro_rules! layer {
    ($section:ident { $($knob:ident),* $(,)? }) => {
        $crate::config::knobs::layer!($section hiding $crate::config::knobs::nothing { $($knob),* });
    };
    ($section:ident hiding $hide:path { $($knob:ident),* $(,)? }) => {
        impl $crate::config::Layer for $section {
            fn or(self, lower: Self) -> Self {
                let lower = $hide(&self, lower);
                let Self { $($knob),* } = self;
                Self { $($knob: $knob.or(lower.$knob)),* }
            }
        }
    };
}
use layer;

/// What most sections hide.
fn nothing<T>(_: &T, lower: T) -> T {
    lower
}
