//! ICMP: through the kernel's own socket, through a raw one, and not at all.

use std::process::Command;

use super::{assert_up, of};
use crate::support::hardy;

/// In a network of its own, as somebody without any right, whose group is let in or not.
fn as_nobody(range: &str, url: &str) -> (Option<i32>, serde_json::Value) {
    let script = format!(
        "ip link set lo up && echo '{range}' >/proc/sys/net/ipv4/ping_group_range && \
         exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all \
         \"$0\" probe {url} --json --timeout 20s"
    );
    let binary = tempfile::tempdir().unwrap();
    // Where nobody may look it up, too.
    let program = binary.path().join("hardy");
    std::fs::copy(env!("CARGO_BIN_EXE_hardy"), &program).unwrap();
    std::fs::set_permissions(binary.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", &script]).arg(&program).env("HARDY_CONFIG", "none");
    of(command.output().unwrap().into())
}

#[test]
fn this_host_answers() {
    assert_up("icmp://127.0.0.1", &[], "");
    assert_up("icmp://localhost", &["-4"], "");
    assert_up("icmp://[::1]", &[], "");
    let found =
        hardy().args(["probe", "icmp://127.0.0.1", "--count", "20", "--interval", "1ms"]).output().unwrap();
    assert!(found.status.success());
}

#[test]
fn without_rights_it_is_the_kernel_that_decides() {
    let (code, last) = as_nobody("0 2147483647", "icmp://127.0.0.1");
    assert_eq!(code, Some(0), "{last}");
    let (code, last) = as_nobody("1 0", "icmp://127.0.0.1");
    assert_eq!((code, last["reason"].as_str()), (Some(3), Some("local.permission")), "{last}");
    assert!(last["detail"].as_str().unwrap().contains("net.ipv4.ping_group_range"), "{last}");
}

#[test]
fn who_does_not_answer_is_down() {
    let script = "ip link set lo up && echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all && \
                  exec \"$0\" probe icmp://127.0.0.1 --json --timeout 700ms";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script]).arg(env!("CARGO_BIN_EXE_hardy")).env("HARDY_CONFIG", "none");
    let (code, last) = of(command.output().unwrap().into());
    assert_eq!((code, last["reason"].as_str()), (Some(1), Some("timeout")), "{last}");
}
