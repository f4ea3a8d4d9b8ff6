//! Links the unwinder into the program, as no other library of it is wanted.
//!
//! The standard library uses the unwinder to print where a panic came from. The linker takes it
//! from `libgcc_s.so.1` by default: to find, map and relocate that one file is about a tenth of
//! the time of a whole `sok call`. The same code is in `libgcc_eh.a`, which comes with every gcc
//! for glibc; where it is missing the default holds.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |name| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" && has_static_unwinder() {
        println!("cargo::rustc-link-lib=gcc_eh");
    }
}

/// Whether the linker finds the unwinder: it then prints the path, else the bare name.
fn has_static_unwinder() -> bool {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let asked = Command::new(linker)
        .arg("-print-file-name=libgcc_eh.a")
        .output();
    asked.is_ok_and(|said| {
        let path = String::from_utf8_lossy(&said.stdout);
        let path = Path::new(path.trim());
        path.is_absolute() && path.is_file()
    })
}
