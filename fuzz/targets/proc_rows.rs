//! The library's reading of the kernel's tables, and the program's: its part stands at the root here,
//! as in `src/bin/sok/main.rs`.
#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../src/bin/sok/check/mod.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    sok::fuzzing::proc_rows(input);
    if let Ok(table) = std::str::from_utf8(input) {
        check::fuzz_proc_rows(table);
    }
});
