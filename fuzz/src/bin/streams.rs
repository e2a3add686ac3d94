//! Byte streams in any split: frames of the monitor's protocol, frames of attached output.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((split, bytes)) = bytes.split_first() else { return };
    let step = usize::from(*split).max(1);
    let mut frames = stdx::frame::Decoder::new();
    let mut output = docker_api::frame::Decoder::default();
    let (mut whole, mut total) = (0, 0);
    for piece in bytes.chunks(step) {
        frames.push(piece);
        while let Ok(Some(frame)) = frames.next_frame() {
            whole += frame.len();
            drop(serde_json::from_slice::<monitor::protocol::Command>(&frame));
        }
        output.feed(piece, |_, payload| total += payload.len());
    }
    assert!(whole <= bytes.len() && total <= bytes.len());
});
