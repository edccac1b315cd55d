//! What the kernel says about this host: which start of it this is, and on what file system a directory lies.

use std::fs;
use std::path::Path;

use rustix::fs::statfs;
use rustix::io::Errno;

use super::{Error, failed};

/// File systems whose file locks another host may not see, or that lose them (`f_type` of statfs(2)). One behind
/// FUSE cannot be told; most of those are local.
const NETWORK: &[(u32, &str)] = &[
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x0000_564c, "NCP"),
    (0x4750_4653, "GPFS"),
    (0xaad7_aaea, "PanFS"),
    (0x786f_4256, "vboxsf"),
    (0x1983_0326, "BeeGFS"),
];

/// # Errors
/// The directory, or the nearest one above it that exists, lies on a network file system.
pub(super) fn refuse_network(directory: &Path) -> Result<(), Error> {
    for path in directory.ancestors() {
        // A relative path ends in nothing, which means here.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match statfs(path) {
            Ok(found) => return refuse(directory, network(found.f_type as u64)),
            Err(Errno::NOENT) => {}
            Err(other) => return Err(failed("use", directory, other.into())),
        }
    }
    Ok(())
}

fn network(kind: u64) -> Option<&'static str> {
    // Some kernels extend the sign of the 32 bits.
    NETWORK.iter().find(|(magic, _)| u64::from(*magic) == kind & 0xffff_ffff).map(|(_, name)| *name)
}

fn refuse(directory: &Path, network: Option<&str>) -> Result<(), Error> {
    let Some(kind) = network else { return Ok(()) };
    let what = format!(
        "{} is on a network file system ({kind}), where locks of other hosts may not be seen",
        directory.display()
    );
    Err(Error::new(what).hint(
        "use a directory of this host, or etcd for several; if only this host uses it, \
         `[store] allow_network = true` or HARDY_STORE_ALLOW_NETWORK=true",
    ))
}

/// Which start of this host this is: what was true of another one (a lease) is so no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootId(pub u128);

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl BootId {
    pub(super) fn read() -> Result<BootId, Error> {
        let path = Path::new(BOOT_ID);
        let text = fs::read_to_string(path).map_err(|e| failed("read", path, e))?;
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        u128::from_str_radix(&digits, 16)
            .map(BootId)
            .map_err(|e| failed("read", path, std::io::Error::other(e)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_by_name() {
        assert_eq!(network(0x6969), Some("NFS"));
        assert_eq!(network(0xffff_ffff_ff53_4d42), Some("CIFS"));
        for local in [0xef53_u64, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x6573_5546] {
            assert_eq!(network(local), None, "{local:x}");
        }
        let (what, _, hint) = refuse(Path::new("/net/x"), Some("NFS")).unwrap_err().into_parts();
        assert!(what.contains("/net/x") && what.contains("NFS"), "{what}");
        assert!(hint.unwrap().contains("HARDY_STORE_ALLOW_NETWORK=true"));
        refuse_network(Path::new("not/there/yet")).unwrap();
    }

    #[test]
    fn one_start_of_the_host_has_one_id() {
        assert_eq!(BootId::read().unwrap(), BootId::read().unwrap());
        assert_ne!(BootId::read().unwrap(), BootId(0));
    }
}
