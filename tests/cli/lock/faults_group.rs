//! A lock lasts until the last process of its command has ended.

use std::time::Duration;

use super::history::Resource;
use super::store::Store;
use crate::support::Process;

#[test]
fn a_child_that_is_left_behind_is_dead_before_the_next_one_comes() {
    Store::each(|store| {
        let resource = Resource::open(1);
        let contend = |_| {
            let mut run = store.hardy();
            run.args(["lock", "run", "x", "--grace", "300ms", "--"]).args(resource.parent());
            Process::start(run.env("RESOURCE", resource.place()))
        };
        let contenders: Vec<_> = (0..3).map(contend).collect();
        for _ in 0..3 {
            assert!(resource.next().gone_within(Duration::from_secs(10)), "a child lives on");
        }
        for contender in contenders {
            assert_eq!(contender.finish().code, Some(0));
        }
        resource.check();
        assert!(store.is_clean());
    });
}
