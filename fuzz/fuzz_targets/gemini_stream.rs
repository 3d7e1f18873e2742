#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| steelyard_fuzz::gemini_stream(bytes));
