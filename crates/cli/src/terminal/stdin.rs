//! Standard input, read by a thread: reading a terminal or a file cannot be waited for otherwise
//! without changing how everybody else sees it.

use std::io::Read;

use tokio::sync::mpsc;

/// Bytes read at once.
const PIECE: usize = 32 << 10;

/// Starts reading; the end of the channel is the end of input. The thread is left behind when the
/// process ends: it may be waiting for a key that nobody will press.
pub(super) fn open() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    let _detached = std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut piece = vec![0; PIECE];
        loop {
            match stdin.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => {
                    let bytes = piece.get(..count).unwrap_or_default().to_vec();
                    if sender.blocking_send(bytes).is_err() {
                        break;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    });
    receiver
}
