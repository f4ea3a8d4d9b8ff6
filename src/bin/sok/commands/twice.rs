//! Addresses and files that are given twice.

use std::path::{Path, PathBuf};

use sok::address::{Address, Purpose, Target};
use sok::error::{Error, ErrorKind, Result};
use sok::net::reaches;

/// Refuses an address that is given twice, however it is written, as nothing can be bound twice: the
/// second socket would find a live server, this one. With `v6only` an IPv6 socket does not take the same
/// port of IPv4. A name of a host is not looked up: bind(2) finds the address that it shares with another.
///
/// # Errors
/// [`ErrorKind::Usage`] for the second one.
pub(crate) fn refuse_twice<'a>(
    operation: &'static str,
    targets: impl IntoIterator<Item = &'a Target>,
    v6only: bool,
) -> Result<()> {
    let mut before: Vec<(&Target, Vec<Address>)> = Vec::new();
    for target in targets {
        // An address that cannot be resolved is refused where it is bound.
        let own = match target.is_name() {
            true => Vec::new(),
            false => target.resolve(Purpose::Listen).unwrap_or_default(),
        };
        let is_taken = |by: &Address| {
            let mut own = own.iter();
            own.any(|one| reaches(by, one, v6only) || reaches(one, by, v6only))
        };
        // Port 0 is another port for each socket.
        let is_same = |other: &Target| target == other && target.require_specified().is_ok();
        let mut others = before.iter();
        let other = others.find(|(other, by)| is_same(other) || by.iter().any(is_taken));
        if let Some((other, _)) = other {
            let cause = match *other == target {
                true => "this address is given twice".to_owned(),
                false => format!("it is the same address as {other}"),
            };
            let error = Error::because(operation, target, ErrorKind::Usage, cause);
            return Err(error.with_hint("give each socket an address of its own"));
        }
        before.push((target, own));
    }
    Ok(())
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
