#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    aquifer::internals::decoders::hot_list(bytes);
});
