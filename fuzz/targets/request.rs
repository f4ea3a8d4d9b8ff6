//! The part of the program stands at the root here, as in `src/bin/sok/main.rs`.
#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../src/bin/sok/status/mod.rs"]
mod status;

libfuzzer_sys::fuzz_target!(|input: &[u8]| status::fuzz(input));
