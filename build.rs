//! How the program is linked, so that its start is short.
//!
//! It is not position-independent: to relocate it at each start would touch 17 pages and take a
//! twelfth of the time of a whole `sok call`. The stack, the heap and the C library have random
//! addresses all the same, and no code of ours is unsafe. With `SOK_PIE=1` in the environment of the
//! build the program itself gets one too, as some distributions require.
//!
//! The unwinder is linked in, as no other library of it is wanted.
//! The standard library uses the unwinder to print where a panic came from. The linker takes it
//! from `libgcc_s.so.1` by default: to find, map and relocate that one file is about a tenth of
//! the time of a whole `sok call`. The same code is in `libgcc_eh.a`, which comes with every gcc
//! for glibc; where it is missing the default holds.
//!
//! It is for the program alone: whoever uses the library chooses how to link. So the linker finds,
//! for the program, a `libgcc_s.so` of ours before the system's, a script that names the archive.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOK_PIE");
    let target = |name| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") != "linux" || target("ENV") != "gnu" {
        return;
    }
    if env::var("SOK_PIE").as_deref() != Ok("1") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
    let (Some(archive), Some(folder)) = (static_unwinder(), env::var_os("OUT_DIR")) else {
        return;
    };
    let script = format!("INPUT({})\n", archive.display());
    if fs::write(Path::new(&folder).join("libgcc_s.so"), script).is_ok() {
        println!(
            "cargo::rustc-link-arg-bins=-L{}",
            Path::new(&folder).display()
        );
    }
}

/// The archive of the unwinder: a linker that has none prints the bare name.
fn static_unwinder() -> Option<PathBuf> {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let asked = Command::new(linker)
        .arg("-print-file-name=libgcc_eh.a")
        .output();
    let said = asked.ok()?.stdout;
    let path = PathBuf::from(String::from_utf8_lossy(&said).trim());
    (path.is_absolute() && path.is_file()).then_some(path)
}
