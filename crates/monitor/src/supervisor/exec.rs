//! More processes in the running container.

use std::os::fd::OwnedFd;

use super::control::failure;
use super::process::{Ends, Process};
use super::{MAIN, Supervisor};
use crate::Error;
use crate::birth::{do_not_spare, with_first_limit};
use crate::protocol::{Event, Exec};
use crate::record::Record;

impl Supervisor {
    /// Starts an exec, or tells why it could not be started.
    pub(super) fn exec(&mut self, exec: &Exec, attach: Option<OwnedFd>) {
        let event = match self.try_exec(exec, attach) {
            Ok(pid) => Event::ExecStarted { id: exec.id.clone(), pid },
            Err(error) => Event::ExecFailed { id: exec.id.clone(), failure: failure(&error) },
        };
        self.tell(&event);
    }

    fn try_exec(&mut self, exec: &Exec, attach: Option<OwnedFd>) -> Result<u32, Error> {
        let Some(main) = self.processes.get(&MAIN).filter(|main| main.ended.is_none()) else {
            return Err(Error::Impossible("the container has ended"));
        };
        let seccomp = Record::read(&self.record.run_directory)?.seccomp;
        let prepare = |errno| linux::Error::new("prepare", "the streams of an exec", errno);
        let mut process = exec.process.clone();
        do_not_spare(&mut process);
        let user = &process.user;
        let (mut ends, stdio) = match process.terminal {
            true => (None, runtime::Stdio::Terminal),
            false => {
                let (ends, stdio) =
                    Ends::pipes(exec.stdin, (user.uid, user.gid)).map_err(prepare)?;
                (Some(ends), stdio)
            }
        };
        let request = runtime::ExecRequest {
            target: &main.pidfd,
            process: &process,
            seccomp: seccomp.as_ref(),
            stdio,
            cgroup: self.group.as_ref(),
            preserve_descriptors: 0,
        };
        let mut created = with_first_limit(|| runtime::exec(&self.token, request))?;
        if let Some(master) = created.terminal.take() {
            ends = Some(Ends::terminal(master, exec.stdin, exec.size)?);
        }
        let number = self.next_number();
        let started = created.start();
        if let Err(error) = started {
            // It has ended, or ends now that its gate is closed.
            let process = created.process;
            drop(process.wait());
            return Err(error.into());
        }
        let pid = created.process.pid().as_raw_nonzero().get().cast_unsigned();
        let process =
            Process::new(Some(exec.id.clone()), created.process, ends.unwrap_or_default());
        self.watch(number, process)?;
        if let (Some(socket), Some(streams)) = (attach, exec.attach) {
            self.attach(number, socket, streams);
        }
        Ok(pid)
    }
}
