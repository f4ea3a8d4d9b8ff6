//! Links the program so that it starts fast, and collects what `sok --version` prints ([`facts`]).
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

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOK_PIE");
    let is_static = target("FEATURE").split(',').any(|it| it == "crt-static");
    if env::var_os("CARGO_FEATURE_CLI").is_some() {
        facts(is_static);
    }
    if target("OS") != "linux" || target("ENV") != "gnu" {
        return;
    }
    // A static program (`-C target-feature=+crt-static`) would get the dynamic loader by that option.
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

fn target(fact: &str) -> String {
    env::var(format!("CARGO_CFG_TARGET_{fact}")).unwrap_or_default()
}

/// Sets the variables that the program's `--version` shows.
///
/// The commit is that in `SOK_COMMIT`, which `scripts/package` sets, or that which cargo has noted in a
/// published package. It is not read from the repository: each commit would then compile the program
/// again, and an archive of the same source would give another program.
fn facts(is_static: bool) {
    println!("cargo::rerun-if-env-changed=SOK_COMMIT");
    let features: Vec<String> = ["cli", "serde"]
        .into_iter()
        .filter(|name| env::var_os(format!("CARGO_FEATURE_{}", name.to_uppercase())).is_some())
        .map(str::to_owned)
        .collect();
    let libc = [target("ENV"), gnu_version().unwrap_or_default()].join(" ");
    let linked = if is_static { "static" } else { "dynamic" };
    let resolver = match is_static && target("ENV") == "gnu" {
        true => "hickory-dns",
        false => "getaddrinfo",
    };
    let rustc = env::var_os("RUSTC").and_then(|rustc| said(Command::new(rustc).arg("--version")));
    let rustc = rustc.as_deref().and_then(|said| said.split(' ').nth(1));
    let commit = env::var("SOK_COMMIT").ok().filter(|it| !it.is_empty());
    for (name, value) in [
        ("FEATURES", features.join(" ")),
        ("LIBC", format!("{}, {linked}", libc.trim())),
        ("RESOLVER", resolver.to_owned()),
        ("TARGET", env::var("TARGET").unwrap_or_default()),
        ("RUSTC", rustc.unwrap_or("unknown").to_owned()),
        (
            "COMMIT",
            commit
                .or_else(published_commit)
                .unwrap_or_else(|| "unknown".to_owned()),
        ),
    ] {
        println!("cargo::rustc-env=SOK_{name}={value}");
    }
}

/// The commit of a package that `cargo publish` made.
fn published_commit() -> Option<String> {
    let noted = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = noted.split_once("\"sha1\": \"")?;
    let commit = rest.split('"').next()?;
    (commit.len() == 40).then(|| commit.to_owned())
}

/// The version of the GNU C library that the program is linked with, by its headers.
fn gnu_version() -> Option<String> {
    if target("ENV") != "gnu" {
        return None;
    }
    let mut compiler = Command::new(linker());
    compiler.args(["-E", "-P", "-x", "c", "-"]);
    let mut compiler = compiler
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let source = "#include <features.h>\n__GLIBC__ __GLIBC_MINOR__\n";
    // Closed at the end of the statement, which ends the input.
    compiler.stdin.take()?.write_all(source.as_bytes()).ok()?;
    let done = compiler.wait_with_output().ok()?;
    let said = String::from_utf8(done.stdout).ok()?;
    let numbers: Vec<&str> = said.split_whitespace().collect();
    let is_number = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
    (numbers.len() == 2 && numbers.iter().all(is_number)).then(|| numbers.join("."))
}

fn linker() -> std::ffi::OsString {
    env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into())
}

fn said(command: &mut Command) -> Option<String> {
    let done = command.output().ok()?;
    let said = String::from_utf8(done.stdout).ok()?;
    done.status.success().then(|| said.trim().to_owned())
}

/// The archive of the unwinder: a linker that has none prints the bare name.
fn static_unwinder() -> Option<PathBuf> {
    let path = PathBuf::from(said(
        Command::new(linker()).arg("-print-file-name=libgcc_eh.a"),
    )?);
    (path.is_absolute() && path.is_file()).then_some(path)
}
