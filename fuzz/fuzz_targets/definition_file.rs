#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| windrow_fuzz::definition_file(data));
