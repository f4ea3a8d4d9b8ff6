//! What `scripts/fuzz` feeds of the program, as `sok::fuzzing` is what it feeds of the library. Each
//! function takes any bytes, and panics where what it promises does not hold.

/// A command line, its words ended by NUL as in `/proc/pid/cmdline`.
pub(crate) fn usage(line: &[u8]) {
    crate::args::fuzz_usage(line);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::Path;

    #[test]
    fn the_kept_inputs_break_no_promise() {
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
