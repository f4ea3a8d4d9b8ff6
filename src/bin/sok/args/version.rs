//! What `--version` prints; `build.rs` has collected it.

/// The version and how the program was built, as a bug report needs it.
pub(super) const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\n\nfeatures: ",
    env!("SOK_FEATURES"),
    "\nlibc:     ",
    env!("SOK_LIBC"),
    "\nresolver: ",
    env!("SOK_RESOLVER"),
    "\ntarget:   ",
    env!("SOK_TARGET"),
    "\nrustc:    ",
    env!("SOK_RUSTC"),
    "\ncommit:   ",
    env!("SOK_COMMIT"),
);
