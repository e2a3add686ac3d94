//! What an event of the loop is about, as a number for epoll.

/// One registered descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// The launcher's connection.
    Launcher,
    /// The control socket.
    Listener,
    /// Memory ran out.
    OutOfMemory,
    /// A terminal did not end in time.
    Deadline,
    /// The child that compresses a log file.
    Compression,
    /// A process ended.
    Exit(u32),
    /// Output of a process; 0 is standard output.
    Output(u32, usize),
    /// The input of a process takes more.
    Input(u32),
    /// An attached client.
    Client(u32),
    /// A control connection.
    Control(u32),
    /// A listener whose connections are spliced.
    SpliceListener(u32),
    /// A spliced connection.
    Splice(u32),
    /// An exec on its way.
    Entering(u32),
    /// An exec is not set up in time.
    Late(u32),
    /// A child that nobody waits for ended.
    Reap(u32),
}

impl Key {
    /// The kind in the highest byte, the number, a stream in the lowest byte.
    pub(super) fn encode(self) -> u64 {
        let (kind, number, stream) = match self {
            Self::Launcher => (0, 0, 0),
            Self::Listener => (1, 0, 0),
            Self::OutOfMemory => (2, 0, 0),
            Self::Deadline => (3, 0, 0),
            Self::Compression => (4, 0, 0),
            Self::Exit(number) => (5, number, 0),
            Self::Output(number, stream) => (6, number, stream),
            Self::Input(number) => (7, number, 0),
            Self::Client(number) => (8, number, 0),
            Self::Control(number) => (9, number, 0),
            Self::SpliceListener(number) => (10, number, 0),
            Self::Splice(number) => (11, number, 0),
            Self::Entering(number) => (12, number, 0),
            Self::Late(number) => (13, number, 0),
            Self::Reap(number) => (14, number, 0),
        };
        kind << 56 | u64::from(number) << 8 | stream as u64
    }

    pub(super) fn decode(key: u64) -> Option<Self> {
        let number = u32::try_from(key >> 8 & 0xffff_ffff).ok()?;
        Some(match key >> 56 {
            0 => Self::Launcher,
            1 => Self::Listener,
            2 => Self::OutOfMemory,
            3 => Self::Deadline,
            4 => Self::Compression,
            5 => Self::Exit(number),
            6 => Self::Output(number, usize::from(key & 0xff != 0)),
            7 => Self::Input(number),
            8 => Self::Client(number),
            9 => Self::Control(number),
            10 => Self::SpliceListener(number),
            11 => Self::Splice(number),
            12 => Self::Entering(number),
            13 => Self::Late(number),
            14 => Self::Reap(number),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn comes_back() {
        let keys =
            [Key::Launcher, Key::Output(7, 1), Key::Exit(u32::MAX), Key::Splice(3), Key::Reap(4)];
        for key in keys {
            assert_eq!(Key::decode(key.encode()), Some(key));
        }
        assert_eq!(Key::decode(u64::MAX), None);
    }
}
