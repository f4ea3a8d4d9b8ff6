//! The fuzz targets of the program; those of the library are in `sok::fuzzing`. Each function takes
//! any bytes, and panics if an assertion fails.

/// A command line whose words end with NUL, as in `/proc/pid/cmdline`.
pub(crate) fn usage(line: &[u8]) {
    crate::args::fuzz_usage(line);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::Path;

    #[test]
    fn the_kept_inputs_break_no_assertion() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/usage");
        let mut count = 0;
        for input in fs::read_dir(corpus).unwrap() {
            let path = input.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let held = catch_unwind(|| super::usage(&bytes)).is_ok();
            assert!(held, "{}", path.display());
            count += 1;
        }
        assert!(count > 0, "there are no inputs");
    }
}
