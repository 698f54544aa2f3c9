//! File systems on which SQLite cannot be used by several processes.

use std::path::Path;

/// What network file system `path` lies on, or will lie on, if it is one. A file system that cannot be asked counts as local.
#[cfg(target_os = "linux")]
pub(super) fn network(path: &Path) -> Option<&'static str> {
    kind(magic(path)?)
}

/// The type of the file system that holds a path, or its nearest folder that is there.
#[cfg(target_os = "linux")]
fn magic(path: &Path) -> Option<u32> {
    let absolute = std::path::absolute(path).ok()?;
    let there = absolute.ancestors().find(|path| path.exists())?;
    // A number of 32 bits, which some platforms sign and others widen.
    Some(rustix::fs::statfs(there).ok()?.f_type as u32)
}

/// Elsewhere nothing is known of file systems.
#[cfg(not(target_os = "linux"))]
pub(super) fn network(_: &Path) -> Option<&'static str> {
    None
}

/// Whether no page is left on the file system of a file.
#[cfg(unix)]
pub(super) fn is_full(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) < PAGE)
}

/// What SQLite lets a file grow by, at most.
#[cfg(unix)]
const PAGE: u64 = 65_536;

#[cfg(not(unix))]
pub(super) fn is_full(_: &Path) -> bool {
    false
}

/// A file system's name by its magic number (statfs(2)), if it is shared by machines or has no locks to rely on. Those of FUSE are not told
/// apart, and pass.
#[cfg(target_os = "linux")]
fn kind(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0xFF53_4D42 => "CIFS",
        0xFE53_4D42 => "SMB",
        0x517B => "the old SMB",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x00C3_6400 => "CephFS",
        0x1983_0326 => "BeeGFS",
        0x2003_0528 => "OrangeFS",
        0xAAD7_AAEA => "PanFS",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        0x5346_414F => "AFS",
        0x7375_7245 => "Coda",
        0x0102_1997 => "9P (a folder of the host)",
        0x786F_4256 => "a shared folder of VirtualBox",
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn known_magic_numbers() {
        // From the kernel's linux/magic.h and the file systems' own sources.
        let shared = [0x6969, 0xFF53_4D42, 0xFE53_4D42, 0x517B, 0x0BD0_0BD0, 0x4750_4653];
        assert!(shared.iter().all(|magic| kind(*magic).is_some()));
        let (ext4, xfs, btrfs, tmpfs, overlay, zfs) =
            (0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x2FC1_2FC1);
        for local in [ext4, xfs, btrfs, tmpfs, overlay, zfs] {
            assert_eq!(kind(local), None, "{local:x}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_yet_lies_where_its_folder_does() {
        // No other file system has the number of /proc.
        assert_eq!(magic(Path::new("/proc/nowhere/queue.db")), Some(0x9FA0));
    }
}
