//! A conversation with systemd over its own socket (D-Bus Specification, "Message Protocol"): calls, and
//! the signals that tell how jobs have ended. Blocking, with one deadline for all of it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{Endian, LE, to_bytes};
use zbus::{DynamicType, OwnedObjectPath, OwnedVariant, Signature, Type};

use super::property::Property;
use crate::Error;

/// Where systemd itself listens for root: no bus has to run for it.
pub(super) const SOCKET: &str = "/run/systemd/private";

/// A unit of this name is there already.
pub(super) const EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// There is no such unit.
pub(super) const UNKNOWN: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// How long all of a conversation may take: a busy systemd starts a unit in a second or two.
const PATIENCE: Duration = Duration::from_secs(30);

/// Far more than any answer or signal of systemd's has.
const LONGEST: usize = 1 << 20;

const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const DESTINATION: &str = "org.freedesktop.systemd1";

/// What a message is.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Fields of a message's header.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const TO: u8 = 6;
const BODY: u8 = 8;

/// Byte order, kind, flags, version, length of the body, serial, fields.
type Header<V> = (u8, u8, u8, u8, u32, u32, Vec<(u8, V)>);

/// What a field of a header that is sent has: a variant.
enum Field {
    Path(&'static str),
    Text(String),
    /// The kinds of the body's values, one after the other: not a struct of them, as which
    /// [`Signature`] would write them.
    Kinds(String),
    #[cfg(test)]
    Number(u32),
}

impl Type for Field {
    const SIGNATURE: &'static Signature = &Signature::Variant;
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, value) = match self {
            Self::Path(text) => (Signature::ObjectPath, *text),
            Self::Text(text) => (Signature::Str, text.as_str()),
            Self::Kinds(text) => (Signature::Signature, text.as_str()),
            #[cfg(test)]
            Self::Number(number) => return zbus::Variant::from(*number).serialize(serializer),
        };
        let mut variant = serializer.serialize_struct("Variant", 2)?;
        variant.serialize_field("signature", &kind)?;
        variant.serialize_field("value", value)?;
        variant.end()
    }
}

/// Why something did not come to pass.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refusal {
    /// The name of systemd's error, if it is one.
    name: String,
    message: String,
}

impl Refusal {
    fn new(message: impl Into<String>) -> Self {
        Self { name: String::new(), message: message.into() }
    }

    fn garbled() -> Self {
        Self::new("its answer is not understood")
    }

    /// Whether it is systemd's error of this name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// As an error of what was to be done to a unit.
    pub(super) fn about(self, operation: &str, unit: &str) -> Error {
        let message = format!("systemd did not {operation} the unit {unit}: {self}");
        Error::Systemd { message }
    }
}

impl From<zbus::Error> for Refusal {
    fn from(_: zbus::Error) -> Self {
        Self::garbled()
    }
}

/// A message that was received.
#[derive(Debug)]
struct Message {
    kind: u8,
    fields: Vec<(u8, OwnedVariant)>,
    order: Endian,
    body: Vec<u8>,
}

impl Message {
    fn field<T: TryFrom<OwnedVariant>>(&self, number: u8) -> Option<T> {
        let (_, value) = self.fields.iter().find(|(found, _)| *found == number)?;
        T::try_from(value.try_clone().ok()?).ok()
    }

    fn read<T: DeserializeOwned + Type>(&self) -> Result<T, Refusal> {
        let data = Data::new(&*self.body, Context::new(self.order, 0));
        Ok(data.deserialize::<T>()?.0)
    }

    fn is_answer_to(&self, serial: u32) -> bool {
        matches!(self.kind, RETURN | ERROR) && self.field(REPLY_SERIAL) == Some(serial)
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    socket: UnixStream,
    deadline: Instant,
    serial: u32,
    /// Jobs that have ended, and how.
    ended: Vec<(OwnedObjectPath, String)>,
}

impl Bus {
    /// Connects to the systemd of this machine.
    pub(super) fn connect() -> Result<Self, Error> {
        let deadline = Instant::now() + PATIENCE;
        let fail = |why: &dyn std::fmt::Display| Error::Systemd {
            message: format!(
                "cannot speak to systemd at {SOCKET}: {why} (--systemd-cgroup wants a systemd that \
                 runs as the first process, and a caller who is root)"
            ),
        };
        let socket = UnixStream::connect(SOCKET).map_err(|error| fail(&error))?;
        let mut bus = Self { socket, deadline, serial: 0, ended: Vec::new() };
        bus.authenticate().map_err(|refusal| fail(&refusal))?;
        Ok(bus)
    }

    /// Has a unit begin: the job that does it. From then on the unit is there, whatever comes of it.
    pub(super) fn start_transient(
        &mut self,
        name: &str,
        properties: &[Property],
    ) -> Result<OwnedObjectPath, Refusal> {
        let auxiliary: Vec<(String, Vec<Property>)> = Vec::new();
        self.call("StartTransientUnit", &(name, "fail", properties, auxiliary))
    }

    /// Changes properties of a unit, until it ends.
    pub(super) fn set_properties(
        &mut self,
        name: &str,
        properties: &[Property],
    ) -> Result<(), Refusal> {
        self.call("SetUnitProperties", &(name, true, properties))
    }

    /// Ends a unit; returns when it has ended.
    pub(super) fn stop(&mut self, name: &str) -> Result<(), Refusal> {
        let job: OwnedObjectPath = self.call("StopUnit", &(name, "replace"))?;
        self.await_job(&job)
    }

    /// Forgets that a unit has failed.
    pub(super) fn reset_failed(&mut self, name: &str) -> Result<(), Refusal> {
        self.call("ResetFailedUnit", &(name,))
    }

    /// "Authentication Protocol": the kernel tells systemd who this is. All is said at once, and no call
    /// follows before the answer: one that systemd happened to read together with `BEGIN` would lie
    /// unseen in its buffer.
    fn authenticate(&mut self) -> Result<(), Refusal> {
        let user = rustix::process::geteuid().as_raw().to_string();
        let hexadecimal = stdx::hex::encode(user.as_bytes());
        self.send(format!("\0AUTH EXTERNAL {hexadecimal}\r\nBEGIN\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.receive(&mut byte)?;
            line.extend(byte);
            if line.len() > 512 {
                return Err(Refusal::garbled());
            }
        }
        if !line.starts_with(b"OK ") {
            return Err(Refusal::new("it does not accept this user"));
        }
        Ok(())
    }

    fn call<B, R>(&mut self, member: &str, body: &B) -> Result<R, Refusal>
    where
        B: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        self.serial += 1;
        let serial = self.serial;
        self.send(&encode(member, body, serial)?)?;
        loop {
            let message = self.next()?;
            if message.is_answer_to(serial) {
                return answer(&message);
            }
            self.remember(&message);
        }
    }

    /// Waits until a job has ended well.
    pub(super) fn await_job(&mut self, job: &OwnedObjectPath) -> Result<(), Refusal> {
        loop {
            if let Some((_, result)) = self.ended.iter().find(|(ended, _)| ended == job) {
                return match result.as_str() {
                    "done" => Ok(()),
                    other => Err(Refusal::new(format!("its job ended as {other:?}"))),
                };
            }
            let message = self.next()?;
            self.remember(&message);
        }
    }

    /// Keeps what a signal says of a job; all others are nobody's concern.
    fn remember(&mut self, message: &Message) {
        let is_removed = message.field::<String>(MEMBER).as_deref() == Some("JobRemoved");
        if message.kind == SIGNAL
            && is_removed
            && let Ok((_, job, _, result)) =
                message.read::<(u32, OwnedObjectPath, String, String)>()
        {
            self.ended.push((job, result));
        }
    }

    /// The next message, whole.
    fn next(&mut self) -> Result<Message, Refusal> {
        const FIXED: usize = 16;
        let mut bytes = vec![0; FIXED];
        self.receive(&mut bytes)?;
        let order = match bytes.first() {
            Some(b'l') => Endian::Little,
            Some(b'B') => Endian::Big,
            _ => return Err(Refusal::garbled()),
        };
        let fixed = Data::new(&*bytes, Context::new(order, 0));
        let ((_, kind, _, _, body, _, fields), _) =
            fixed.deserialize::<(u8, u8, u8, u8, u32, u32, u32)>()?;
        let [body, fields] =
            [body, fields].map(|length| usize::try_from(length).unwrap_or(LONGEST));
        if body >= LONGEST || fields >= LONGEST {
            return Err(Refusal::new("its answer is too long"));
        }
        bytes.resize(FIXED + fields.next_multiple_of(8), 0);
        self.receive(bytes.get_mut(FIXED..).unwrap_or_default())?;
        let mut content = vec![0; body];
        self.receive(&mut content)?;
        let header = Data::new(&*bytes, Context::new(order, 0));
        let ((.., fields), _) = header.deserialize::<Header<OwnedVariant>>()?;
        Ok(Message { kind, fields, order, body: content })
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<(), Refusal> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let left = Some(remaining(self.deadline)?);
            self.socket.set_read_timeout(left).map_err(|error| told(&error))?;
            match self.socket.read(rest) {
                Ok(0) => return Err(Refusal::new("it has closed the connection")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(told(&error)),
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let left = Some(remaining(self.deadline)?);
        self.socket.set_write_timeout(left).map_err(|error| told(&error))?;
        self.socket.write_all(bytes).map_err(|error| told(&error))
    }
}

fn remaining(deadline: Instant) -> Result<Duration, Refusal> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(late()) } else { Ok(left) }
}

fn told(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(),
        _ => Refusal::new(error.to_string()),
    }
}

fn late() -> Refusal {
    Refusal::new(format!("it did not answer within {} s", PATIENCE.as_secs()))
}

fn answer<R: DeserializeOwned + Type>(message: &Message) -> Result<R, Refusal> {
    if message.kind == RETURN {
        return message.read();
    }
    let name: String = message.field(ERROR_NAME).unwrap_or_default();
    let told = message.read::<String>().unwrap_or_else(|_| name.clone());
    Err(Refusal { name, message: told })
}

/// A method call, as it is on the wire.
fn encode<B>(member: &str, body: &B, serial: u32) -> Result<Vec<u8>, Refusal>
where
    B: Serialize + DynamicType,
{
    let context = Context::new(LE, 0);
    let content = to_bytes(context, body)?;
    let length = u32::try_from(content.bytes().len()).map_err(|_| Refusal::garbled())?;
    let fields = vec![
        (PATH, Field::Path(OBJECT)),
        (INTERFACE, Field::Text(MANAGER.to_owned())),
        (MEMBER, Field::Text(member.to_owned())),
        (TO, Field::Text(DESTINATION.to_owned())),
        (BODY, Field::Kinds(body.signature().to_string_no_parens())),
    ];
    let header: Header<Field> = (b'l', CALL, 0, 1, length, serial, fields);
    let mut bytes = to_bytes(context, &header)?.bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(content.bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use zbus::wire::serialized::Context;
    use zbus::wire::{LE, to_bytes};

    use super::{Bus, Field, Header, encode};

    /// A conversation with somebody who says this at once, and then hangs up or not.
    fn conversation(said: &[u8], hangs_up: bool) -> (Bus, UnixStream) {
        let (socket, mut other) = UnixStream::pair().unwrap();
        other.write_all(said).unwrap();
        if hangs_up {
            other.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let deadline = Instant::now() + Duration::from_millis(200);
        let bus = Bus { socket, deadline, serial: 0, ended: Vec::new() };
        (bus, other)
    }

    /// What comes of a call when this is all that is said.
    fn ended(said: &[u8]) -> Result<(), super::Refusal> {
        let (mut bus, _other) = conversation(said, true);
        bus.stop("x.scope")
    }

    /// A message of systemd's: its kind, its fields, and the body of these bytes.
    fn message(kind: u8, fields: Vec<(u8, Field)>, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        let header: Header<Field> = (b'l', kind, 0, 1, length, 7, fields);
        let mut bytes = to_bytes(Context::new(LE, 0), &header).unwrap().bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        [&bytes, body].concat()
    }

    fn body<B: serde::Serialize + zbus::DynamicType>(values: &B) -> Vec<u8> {
        to_bytes(Context::new(LE, 0), values).unwrap().bytes().to_vec()
    }

    fn answer(body: &[u8]) -> Vec<u8> {
        message(super::RETURN, vec![(super::REPLY_SERIAL, Field::Number(1))], body)
    }

    fn removed(job: &str, result: &str) -> Vec<u8> {
        let path = zbus::ObjectPath::try_from(job).unwrap();
        let member = (super::MEMBER, Field::Text("JobRemoved".to_owned()));
        message(super::SIGNAL, vec![member], &body(&(5_u32, path, "x.scope", result)))
    }

    #[test]
    fn a_call_is_as_the_specification_has_it() {
        let bytes = encode("ResetFailedUnit", &("x.scope",), 1).unwrap();
        assert_eq!(bytes[..16], [b'l', 1, 0, 1, 12, 0, 0, 0, 1, 0, 0, 0, 159, 0, 0, 0]);
        assert_eq!(bytes[bytes.len() - 12..], *b"\x07\0\0\0x.scope\0");
        assert!(bytes.windows(8).any(|part| part == b"\x08\x01g\0\x01s\0\0"), "{bytes:?}");
        assert_eq!(bytes.len() % 8, 4);
    }

    /// Whether its signal comes before the answer or behind it, among others or not.
    #[test]
    fn a_job_is_waited_for() {
        let job = "/org/freedesktop/systemd1/job/5";
        let path = body(&(zbus::ObjectPath::try_from(job).unwrap(),));
        let other = removed("/org/freedesktop/systemd1/job/4", "failed");
        for said in [
            [answer(&path), other.clone(), removed(job, "done")],
            [removed(job, "done"), answer(&path), other.clone()],
        ] {
            let (mut bus, _other) = conversation(&said.concat(), false);
            assert!(bus.stop("x.scope").is_ok());
        }
        let (mut bus, _other) =
            conversation(&[answer(&path), removed(job, "timeout")].concat(), false);
        let error = bus.stop("x.scope").unwrap_err().to_string();
        assert!(error.contains("ended as \"timeout\""), "{error}");
    }

    #[test]
    fn an_error_is_told_in_its_words() {
        let fields = vec![
            (super::REPLY_SERIAL, Field::Number(1)),
            (super::ERROR_NAME, Field::Text(super::UNKNOWN.to_owned())),
        ];
        let said = message(super::ERROR, fields, &body(&("Unit x.scope not loaded.",)));
        let error = ended(&said).unwrap_err();
        assert!(error.is(super::UNKNOWN));
        assert_eq!(error.to_string(), "Unit x.scope not loaded.");
    }

    #[test]
    fn who_is_hostile_or_silent_is_not_waited_for_nor_believed() {
        let whole = answer(&body(&("/a",)));
        for length in 0..whole.len() {
            assert!(ended(&whole[..length]).is_err(), "{length}");
        }
        for (position, value) in [(0, b'?'), (6, 0xff), (7, 0xff), (14, 0xff), (15, 0xff), (12, 3)]
        {
            let mut wrong = whole.clone();
            wrong[position] = value;
            assert!(ended(&wrong).is_err(), "{position}");
        }
        let (mut bus, _other) = conversation(&whole[..20], false);
        let error = bus.stop("x").unwrap_err().to_string();
        assert!(error.contains("did not answer within"), "{error}");
        let mut state = 1_u64;
        for _ in 0..2000 {
            let mut wrong = whole.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(state >> 33).unwrap() % wrong.len();
                wrong[at] = state.to_le_bytes()[7];
            }
            // No panic, and never a job that has ended well.
            assert!(ended(&wrong).is_err());
        }
    }

    #[test]
    fn only_who_is_accepted_goes_on() {
        for (said, is_right) in [
            (&b"OK 0123456789abcdef0123456789abcdef\r\n"[..], true),
            (b"REJECTED EXTERNAL\r\n", false),
            (&[b'x'; 600], false),
        ] {
            let (mut bus, mut other) = conversation(said, false);
            assert_eq!(bus.authenticate().is_ok(), is_right);
            let mut heard = [0; 5];
            other.read_exact(&mut heard).unwrap();
            assert_eq!(heard, *b"\0AUTH");
        }
    }
}
