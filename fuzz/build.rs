//! Sets the variables that `--version` of the program shows, see `build.rs` of sok: the parser of its
//! command line has that text.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["FEATURES", "LIBC", "RESOLVER", "TARGET", "RUSTC", "COMMIT"] {
        println!("cargo::rustc-env=SOK_{name}=unknown");
    }
}
