#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| windrow_fuzz::next_page_token(data));
