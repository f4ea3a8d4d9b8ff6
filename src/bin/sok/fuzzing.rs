//! The fuzz targets of the program; those of the library are in `sok::fuzzing`. Each function takes
//! any bytes, and panics if an assertion fails.

/// A command line whose words end with NUL, as in `/proc/pid/cmdline`.
pub(crate) fn usage(line: &[u8]) {
    crate::args::fuzz_usage(line);
}

/// The first bytes of a connection to the status.
pub(crate) fn request(bytes: &[u8]) {
    crate::status::fuzz(bytes);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::Path;

    use super::{request, usage};

    #[test]
    fn the_kept_inputs_break_no_assertion() {
        for name in ["usage", "request"] {
            let target = if name == "usage" { usage } else { request };
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
            let mut count = 0;
            for input in fs::read_dir(corpus.join(name)).unwrap() {
                let path = input.unwrap().path();
                let bytes = fs::read(&path).unwrap();
                let held = catch_unwind(|| target(&bytes)).is_ok();
                assert!(held, "{}", path.display());
                count += 1;
            }
            assert!(count > 0, "there are no inputs of {name}");
        }
    }
}
