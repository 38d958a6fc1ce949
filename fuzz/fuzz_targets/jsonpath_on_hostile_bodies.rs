#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| windrow_fuzz::jsonpath_on_hostile_bodies(data));
