//! Whether this host is well enough for another job.

use std::fs;
use std::time::Duration;

/// Between two looks, while it is not.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What must not be exceeded when a job is started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Highest load average of the last minute.
    pub load: Option<f64>,
    /// Fewest bytes of memory that are available.
    pub memory: Option<u64>,
}

impl Limits {
    /// Why nothing should be started now. What the kernel does not tell is not exceeded.
    pub fn exceeded(&self) -> Option<String> {
        let load = self.load.and_then(|most| {
            let now = load_average(&fs::read_to_string("/proc/loadavg").ok()?)?;
            (now > most).then(|| format!("the load average is {now}, above {most}"))
        });
        load.or_else(|| {
            let least = self.memory?;
            let now = available(&fs::read_to_string("/proc/meminfo").ok()?)?;
            let mib = |bytes: u64| bytes >> 20;
            (now < least).then(|| format!("{} MiB of memory are available, below {}", mib(now), mib(least)))
        })
    }
}

fn load_average(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_understood() {
        assert_eq!(load_average("0.65 0.68 0.85 2/105 27106\n"), Some(0.65));
        assert_eq!(available("MemFree: 1 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!((load_average(""), available("MemFree: 1 kB")), (None, None));
    }

    #[test]
    fn limits_hold_on_this_host() {
        assert_eq!(Limits::default().exceeded(), None);
        let memory = |memory| Limits { load: None, memory: Some(memory) }.exceeded();
        assert!(memory(u64::MAX).unwrap().contains("MiB of memory are available"));
        assert_eq!(memory(0), None);
        assert!(Limits { load: Some(-1.0), memory: None }.exceeded().unwrap().contains("load average"));
    }
}
