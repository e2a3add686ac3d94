//! Output of the processes: to the log, then to the clients.

use std::convert::Infallible;
use std::os::fd::AsFd;

use linux::event::Interest;
use observe::log::{Stream, Writer};
use rustix::io::Errno;

use super::client::HEADER;
use super::key::Key;
use super::{MAIN, PIECE, Supervisor};

/// What one read has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Took {
    /// Some bytes.
    Some,
    /// Nothing now.
    Nothing,
    /// The stream has ended.
    End,
}

impl Supervisor {
    /// Something can be read.
    pub(super) fn on_output(&mut self, number: u32, stream: usize) {
        if self.take_output(number, stream) == Took::Some && self.is_held_up(number) {
            self.pause(number);
        }
    }

    /// Reads once and passes it on. A stream that has ended is closed.
    pub(super) fn take_output(&mut self, number: u32, stream: usize) -> Took {
        let Some(process) = self.processes.get(&number) else { return Took::Nothing };
        let Some(output) = &process.outputs[stream] else { return Took::End };
        let buffer = &mut self.scratch[HEADER..HEADER + PIECE];
        match rustix::io::read(output, &mut *buffer) {
            Ok(count) if count > 0 => {
                if let (MAIN, Some(log)) = (number, &mut self.log) {
                    log.write(name_of(stream), &buffer[..count]);
                }
                if number == MAIN {
                    self.start_compression();
                }
                self.broadcast(number, stream, count);
                Took::Some
            }
            Err(Errno::AGAIN | Errno::INTR) => Took::Nothing,
            // A terminal ends with EIO when the last process has closed it.
            _ => {
                self.close_output(number, stream);
                Took::End
            }
        }
    }

    pub(super) fn close_output(&mut self, number: u32, stream: usize) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        if let Some(output) = process.outputs[stream].take() {
            self.epoll.remove(output.as_fd());
            if let (MAIN, Some(log)) = (number, &mut self.log) {
                log.end(name_of(stream));
            }
        }
    }

    /// Reads no more from a process until its clients have caught up. Taken out of epoll altogether:
    /// a hang-up would be told again and again.
    fn pause(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        if !process.is_paused {
            process.is_paused = true;
            for output in process.outputs.iter().flatten() {
                self.epoll.remove(output.as_fd());
            }
        }
    }

    /// Reads again, if nobody is behind any more.
    pub(super) fn resume(&mut self, number: u32) {
        if self.is_held_up(number) {
            return;
        }
        let Some(process) = self.processes.get_mut(&number) else { return };
        if !std::mem::take(&mut process.is_paused) {
            return;
        }
        for (stream, output) in process.outputs.iter().enumerate() {
            if let Some(output) = output {
                let key = Key::Output(number, stream).encode();
                // It was registered before, so that only memory could be lacking.
                drop(self.epoll.add(output.as_fd(), key, Interest::IN));
            }
        }
    }

    /// Compresses the next full log file in a child, so that the container's output does not wait.
    pub(super) fn start_compression(&mut self) {
        if self.compression.is_some() {
            return;
        }
        let Some(compression) = self.log.as_mut().and_then(Writer::take_compression) else {
            return;
        };
        let token = &self.token;
        let child = linux::process::spawn(token, || -> Infallible {
            // Whatever the child holds would seem open to clients after we have closed it.
            let closed = linux::inherit::close_all_but(token, &[compression.as_fd()]);
            let result = closed.is_ok() && compression.run().is_ok();
            linux::process::exit(i32::from(!result))
        });
        match child {
            Ok(child) if self.wait_for(child.as_fd(), Key::Compression, Interest::IN) => {
                self.compression = Some((compression, child));
            }
            _ => self.finish_compression(&compression, false),
        }
    }

    /// The child that compresses has ended.
    pub(super) fn on_compression(&mut self) {
        let Some((compression, child)) = self.compression.take() else { return };
        self.epoll.remove(child.as_fd());
        let succeeded = child.wait().is_ok_and(|status| status.code() == 0);
        self.finish_compression(&compression, succeeded);
        self.start_compression();
    }

    fn finish_compression(&mut self, compression: &observe::log::Compression, succeeded: bool) {
        if let Some(log) = &mut self.log {
            log.finish_compression(compression, succeeded);
        }
    }
}

fn name_of(stream: usize) -> Stream {
    if stream == 0 { Stream::Stdout } else { Stream::Stderr }
}
