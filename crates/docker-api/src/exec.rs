//! `POST /containers/{id}/exec`, `/exec/{id}/…`.

use crate::lenient::{is_zero, null_if_empty, wire};

wire! {
    /// A process to be run in a container.
    pub struct CreateRequest {
        /// User, `name|uid[:group|gid]`.
        pub user: String,
        /// All capabilities, no profiles.
        pub privileged: bool,
        /// With a terminal.
        pub tty: bool,
        /// Height and width of the terminal.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub console_size: Option<[u32; 2]>,
        /// Standard input is connected.
        pub attach_stdin: bool,
        /// Standard error is connected.
        pub attach_stderr: bool,
        /// Standard output is connected.
        pub attach_stdout: bool,
        /// Unused by Docker today.
        pub detach: bool,
        /// Keys that detach, `ctrl-p,ctrl-q` when empty.
        pub detach_keys: String,
        /// Variables, `NAME=value`.
        #[serde(serialize_with = "null_if_empty")]
        pub env: Vec<String>,
        /// Directory to start in, the container's own when empty.
        pub working_dir: String,
        /// The command line.
        pub cmd: Vec<String>,
    }

    /// `{"Id":"…"}`.
    pub struct CreateResponse {
        /// Id of the exec, 64 hexadecimal digits.
        pub id: String,
    }

    /// How an exec is started.
    pub struct StartRequest {
        /// Answer at once and let it run.
        pub detach: bool,
        /// With a terminal; must agree with the creation.
        pub tty: bool,
        /// Height and width of the terminal.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub console_size: Option<[u32; 2]>,
    }

    /// `GET /exec/{id}/json`.
    pub struct Inspect {
        /// Id of the exec.
        #[serde(rename = "ID")]
        pub id: String,
        /// Whether it runs now.
        pub running: bool,
        /// Its status once it has ended.
        pub exit_code: Option<i64>,
        /// What is run.
        pub process_config: ProcessConfig,
        /// Standard input is connected.
        pub open_stdin: bool,
        /// Standard error is connected.
        pub open_stderr: bool,
        /// Standard output is connected.
        pub open_stdout: bool,
        /// Whether it can be removed.
        pub can_remove: bool,
        /// Id of the container.
        #[serde(rename = "ContainerID")]
        pub container_id: String,
        /// Keys that detach.
        pub detach_keys: String,
        /// The process, in the host's pid namespace; 0 when it does not run.
        pub pid: i64,
    }

    /// What an exec runs.
    pub struct ProcessConfig {
        /// With a terminal.
        #[serde(rename = "tty")]
        pub tty: bool,
        /// The program.
        #[serde(rename = "entrypoint")]
        pub entrypoint: String,
        /// Its arguments.
        #[serde(rename = "arguments")]
        pub arguments: Vec<String>,
        /// All capabilities, no profiles.
        #[serde(rename = "privileged", skip_serializing_if = "Option::is_none")]
        pub privileged: Option<bool>,
        /// User.
        #[serde(rename = "user", skip_serializing_if = "is_zero")]
        pub user: String,
    }
}
