#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sok::fuzzing::proxy_header(input));
