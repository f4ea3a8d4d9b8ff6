//! Checks that a program can be run.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use sok::error::{Error, ErrorKind, Result};

/// Fails now, not when the program is needed, if it cannot be run.
///
/// The crate `which` is not used: it finds executable files, and does not distinguish a file that
/// is not executable (exit code 126) from a missing one (127).
///
/// # Errors
/// [`ErrorKind::NoProgram`] or [`ErrorKind::CannotRun`].
pub(crate) fn check_program(program: &OsStr) -> Result<()> {
    let path = Path::new(program);
    let places: Vec<PathBuf> = match path.components().count() > 1 || path.is_absolute() {
        true => vec![path.to_owned()],
        false => {
            let search = std::env::var_os("PATH").unwrap_or_default();
            let folders = std::env::split_paths(&search);
            folders.map(|folder| folder.join(path)).collect()
        }
    };
    let runs = |path: &PathBuf| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    if places.iter().any(runs) {
        return Ok(());
    }
    let (kind, cause) = match places.iter().any(|path| path.exists()) {
        true => (ErrorKind::CannotRun, "not an executable file"),
        false => (ErrorKind::NoProgram, "no such program"),
    };
    Err(Error::because("exec", path.display(), kind, cause)
        .with_hint("give the path of an executable file, or a name in PATH"))
}

/// The failure to run an existing program.
pub(crate) fn not_run(program: &OsStr, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NoProgram,
        _ => ErrorKind::CannotRun,
    };
    Error::new("exec", Path::new(program).display(), error).with_kind(kind)
}
