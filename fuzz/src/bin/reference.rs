//! Image references: whatever is accepted prints as something that parses to the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(reference) = oci::Reference::parse(text) {
        let printed = reference.to_string();
        assert_eq!(oci::Reference::parse(&printed).ok(), Some(reference), "{printed}");
    }
});
