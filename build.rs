//! Links the program so that it starts fast.
//!
//! It is not position-independent: relocating it at each start would touch 17 pages and take a twelfth
//! of the time of a whole `sok call`. The stack, the heap and the C library still have random
//! addresses, and our code has no unsafe parts. With `SOK_PIE=1` in the environment of the build, the
//! program gets a random address too, as some distributions require.
//!
//! The unwinder is linked statically.
//! The standard library uses the unwinder to print the location of a panic. By default, the linker
//! takes it from `libgcc_s.so.1`: finding, mapping and relocating that file takes about a tenth of the
//! time of a whole `sok call`. The same code is in `libgcc_eh.a`, which comes with every gcc for
//! glibc; if it is missing, the default applies.
//!
//! This applies only to the program: users of the library choose how to link. So, for the program, the
//! linker finds our `libgcc_s.so` before the system's: a script that names the archive.

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
    // A static program (`-C target-feature=+crt-static`) would get the dynamic loader by that option.
    let is_static = target("FEATURE").split(',').any(|it| it == "crt-static");
    if !is_static && env::var("SOK_PIE").as_deref() != Ok("1") {
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
