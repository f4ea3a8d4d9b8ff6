//! Addresses and files that are given twice.

use std::path::{Path, PathBuf};

use sok::address::{Address, Target};
use sok::error::{Error, ErrorKind, Result};

/// Refuses an address that is given twice, as nothing can be bound twice: the second socket would find a
/// live server, this one.
///
/// # Errors
/// [`ErrorKind::Usage`] for the second one.
pub(crate) fn refuse_twice<'a>(
    operation: &'static str,
    targets: impl IntoIterator<Item = &'a Target>,
) -> Result<()> {
    let targets: Vec<&Target> = targets.into_iter().collect();
    for (place, target) in targets.iter().enumerate() {
        if targets[..place].iter().any(|other| is_same(other, target)) {
            let cause = "this address is given twice";
            let error = Error::because(operation, target, ErrorKind::Usage, cause);
            return Err(error.with_hint("give each socket an address of its own"));
        }
    }
    Ok(())
}

fn is_same(one: &Target, other: &Target) -> bool {
    match (file(one), file(other)) {
        (Some(one), Some(other)) => is_same_file(one, other),
        // Port 0 is another port for each socket.
        _ => one == other && one.require_specified().is_ok(),
    }
}

/// The file of a socket.
pub(crate) fn file(target: &Target) -> Option<&Path> {
    target.as_address().and_then(Address::as_path)
}

/// Whether two paths are of one file, which need not exist yet.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| -> Option<PathBuf> {
        let directory = path.parent()?;
        let directory = match directory.as_os_str().is_empty() {
            true => Path::new("."),
            false => directory,
        };
        Some(directory.canonicalize().ok()?.join(path.file_name()?))
    };
    one == other || whole(one).is_some_and(|one| whole(other) == Some(one))
}
