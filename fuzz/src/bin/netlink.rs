//! Attributes of netlink messages, nested as the kernel nests them.
#![no_main]

use linux::netlink::{Attributes, text, u16_of, u32_of};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert!(count(bytes, 0) <= 16 * bytes.len());
});

/// How many attributes there are, in whatever depth.
fn count(bytes: &[u8], depth: usize) -> usize {
    let mut found = 0;
    for (kind, value) in Attributes::of(bytes) {
        assert!(Attributes::of(bytes).find(kind).is_some() && value.len() <= bytes.len());
        let _ = (text(value), u16_of(value), u32_of(value));
        found += 1;
        if depth < 8 {
            found += count(value, depth + 1);
        }
    }
    found
}
