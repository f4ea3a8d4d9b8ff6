//! The default memory limits of a server.

use std::fs::read_to_string;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::sysinfo::sysinfo;
use sok::loops::{Limits, MemoryLimit, MessageFormat};

/// Each default stays below this fraction of the memory: the rest of the process, and of the
/// machine, needs some too.
const SHARE: u64 = 4;
/// The memory of an idle connection, in the process and in the kernel.
const CONNECTION: u64 = 16 * 1024;

/// The default of `--max-memory`: at least two of the largest message, if there is enough memory.
pub(crate) fn max_memory(format: MessageFormat) -> usize {
    let wanted = MemoryLimit::DEFAULT.max(format.max_message.saturating_mul(2));
    wanted.min(at_most(available() / SHARE))
}

/// The default of `--max-connections`.
pub(crate) fn max_connections() -> usize {
    let affordable = at_most(available() / SHARE / CONNECTION).max(1);
    Limits::default().max_connections.min(affordable)
}

/// The memory that this process may use: that of the machine, or less by its limits or its control
/// groups.
fn available() -> u64 {
    let limits = [Resource::RLIMIT_AS, Resource::RLIMIT_DATA];
    let limits = limits.into_iter().filter_map(|limit| getrlimit(limit).ok());
    let machine = sysinfo().map_or(u64::MAX, |system| system.ram_total());
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let group = group.map_or(u64::MAX, |group| {
        group_limit(Path::new("/sys/fs/cgroup"), group)
    });
    let least = limits.map(|(soft, _)| soft).min().unwrap_or(u64::MAX);
    least.min(machine).min(group)
}

/// The lowest limit of a control group and its ancestors, see `cgroups(7)`.
fn group_limit(root: &Path, group: &str) -> u64 {
    let own = root.join(group.trim_start_matches('/'));
    let around = own
        .ancestors()
        .take_while(|folder| folder.starts_with(root));
    let limits = around.filter_map(|folder| {
        let limit = read_to_string(folder.join("memory.max")).ok()?;
        // The value is max if there is no limit.
        limit.trim().parse().ok()
    });
    limits.min().unwrap_or(u64::MAX)
}

fn at_most(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_of_the_groups_applies() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let limit = |group: &str| group_limit(folder.path(), group);
        let own = folder.path().join("a/b");
        std::fs::create_dir_all(&own)?;
        assert_eq!(limit("/a/b"), u64::MAX);
        std::fs::write(own.join("memory.max"), "max\n")?;
        assert_eq!(limit("/a/b"), u64::MAX);
        std::fs::write(folder.path().join("a/memory.max"), "1048576\n")?;
        assert_eq!(limit("/a/b"), 1 << 20);
        std::fs::write(own.join("memory.max"), "4096\n")?;
        assert_eq!((limit("/a/b"), limit("/a")), (4096, 1 << 20));
        assert_eq!(limit("/"), u64::MAX);
        Ok(())
    }
}
