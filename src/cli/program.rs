//! Whether a program that was named can be run.

use std::ffi::OsStr;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use crate::error::{Error, Kind, Result};

/// Fails now, not when its time has come, if the program cannot be run.
///
/// # Errors
/// That it is not there, or may not be run.
pub(super) fn check_program(program: &OsStr) -> Result<()> {
    let runs = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    let search = std::env::var_os("PATH").unwrap_or_default();
    let path = Path::new(program);
    let found = match path.components().count() > 1 || path.is_absolute() {
        true => runs(path),
        false => std::env::split_paths(&search).any(|folder| runs(&folder.join(path))),
    };
    match found {
        true => Ok(()),
        false => {
            let cause = "there is no such program, or it may not be run";
            Err(Error::because("exec", path.display(), Kind::Other, cause)
                .with_hint("give the path of an executable file, or a name in PATH"))
        }
    }
}
