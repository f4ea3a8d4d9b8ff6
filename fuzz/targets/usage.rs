//! The parts of the program stand at the root here, as in `src/bin/sok/main.rs`.
#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../src/bin/sok/args/mod.rs"]
mod args;
#[path = "../../src/bin/sok/bench/mod.rs"]
mod bench;
#[path = "../../src/bin/sok/completions/mod.rs"]
mod completions;
#[path = "../../src/bin/sok/exit.rs"]
mod exit;
#[path = "../../src/bin/sok/full_receiver.rs"]
mod full_receiver;
#[path = "../../src/bin/sok/tour/mod.rs"]
mod tour;

libfuzzer_sys::fuzz_target!(|input: &[u8]| args::fuzz_usage(input));
