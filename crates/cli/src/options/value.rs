//! Single values: sizes, decimals, durations, limits, devices.

use docker_api::container::{
    DeviceMapping, DeviceRequest, RestartPolicy, ThrottleDevice, Ulimit, WeightDevice,
};

/// One of the three standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard input.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullPolicy {
    /// Before every creation.
    Always,
    /// When it is not there.
    Missing,
    /// Not at all.
    Never,
}

pub(super) fn stream(text: &str) -> Result<Stream, String> {
    match text.to_ascii_lowercase().as_str() {
        "stdin" => Ok(Stream::Stdin),
        "stdout" => Ok(Stream::Stdout),
        "stderr" => Ok(Stream::Stderr),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

pub(super) fn pull_policy(text: &str) -> Result<PullPolicy, String> {
    match text {
        "always" => Ok(PullPolicy::Always),
        "missing" | "" => Ok(PullPolicy::Missing),
        "never" => Ok(PullPolicy::Never),
        _ => Err(format!(
            "invalid pull option: '{text}': must be one of \"always\", \"missing\" or \"never\""
        )),
    }
}

/// Bytes: `512m`.
pub(crate) fn size(text: &str) -> Result<i64, String> {
    stdx::units::parse_bytes(text)
        .and_then(|bytes| i64::try_from(bytes).ok())
        .ok_or_else(|| format!("invalid size: '{text}'"))
}

/// Bytes, or -1 for no limit.
pub(super) fn swap(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { size(text) }
}

/// A decimal number of processors, as thousand-millionths of one.
pub(super) fn cpus(text: &str) -> Result<i64, String> {
    let wrong = || format!("failed to parse {text} as a rational number");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err("value is too precise".to_owned());
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    let nano: i64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    whole.checked_mul(1_000_000_000).and_then(|nanos| nanos.checked_add(nano)).ok_or_else(wrong)
}

/// A span as Go writes it (`1m30s`, `500ms`), in nanoseconds.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .ok_or_else(|| format!("time: missing unit in duration {text:?}"))?;
        let (digits, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let nanoseconds: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        total += scaled(digits, nanoseconds).ok_or_else(wrong)?;
        rest = after;
    }
    i64::try_from(total * sign).map_err(|_| wrong())
}

/// `digits` (with an optional fraction) times `unit`.
fn scaled(digits: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 18 {
        return None;
    }
    let mut total = if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()? * unit };
    let fraction = fraction.get(..fraction.len().min(18))?;
    if !fraction.is_empty() {
        let power = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        total += fraction.parse::<i128>().ok()? * unit / power;
    }
    Some(total)
}

pub(super) fn blkio_weight(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(weight @ (0 | 10..=1000)) => Ok(weight),
        _ => Err("range of blkio weight is from 10 to 1000".to_owned()),
    }
}

pub(super) fn weight_device(text: &str) -> Result<WeightDevice, String> {
    let (path, weight) = device_and(text)?;
    let weight = blkio_weight(weight).map_err(|_| format!("invalid weight for device: {text}"))?;
    Ok(WeightDevice { path: path.to_owned(), weight })
}

pub(super) fn throttle_bytes(text: &str) -> Result<ThrottleDevice, String> {
    let (path, rate) = device_and(text)?;
    let rate = stdx::units::parse_bytes(rate).ok_or_else(|| {
        format!("invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb")
    })?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

pub(super) fn throttle_operations(text: &str) -> Result<ThrottleDevice, String> {
    let (path, rate) = device_and(text)?;
    let rate = rate.parse().map_err(|_| {
        format!("invalid rate for device: {text}. The correct format is <device-path>:<number>. Number must be a positive integer")
    })?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

fn device_and(text: &str) -> Result<(&str, &str), String> {
    match text.rsplit_once(':') {
        Some((path, value)) if path.starts_with("/dev/") => Ok((path, value)),
        Some((path, _)) if !path.is_empty() => Err(format!("bad format for device path: {text}")),
        _ => Err(format!("bad format: {text}")),
    }
}

/// `name=soft[:hard]`.
pub(super) fn ulimit(text: &str) -> Result<Ulimit, String> {
    let (name, values) =
        text.split_once('=').ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
    let number = |digits: &str| match digits {
        "unlimited" => Ok(-1),
        _ => digits.parse::<i64>().map_err(|_| format!("invalid ulimit value: {digits}")),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        ));
    }
    const KNOWN: &[&str] = &[
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    if !KNOWN.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}

/// `source[:target[:rwm]]`, or a CDI name (`vendor.com/class=name`), which has no target.
pub(super) fn device(text: &str) -> Result<DeviceMapping, String> {
    let is_mode = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| b"rwm".contains(&byte)) && part.len() <= 3
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, mode] if is_mode(mode) => (*source, *source, *mode),
        [source, target] => (*source, *target, "rwm"),
        [source, target, mode] if is_mode(mode) => (*source, *target, *mode),
        _ => return Err(format!("invalid device specification: {text}")),
    };
    if source.is_empty() {
        return Err(format!("invalid device specification: {text}"));
    }
    Ok(DeviceMapping {
        path_on_host: source.to_owned(),
        path_in_container: target.to_owned(),
        cgroup_permissions: mode.to_owned(),
    })
}

/// Whether a device is named as the Container Device Interface does.
pub(super) fn is_cdi(device: &DeviceMapping) -> bool {
    !device.path_on_host.starts_with('/')
        && device.path_on_host.split_once('=').is_some_and(|(kind, _)| kind.contains('/'))
}

/// `c 1:3 rwm`.
pub(super) fn device_rule(text: &str) -> Result<String, String> {
    let number = |part: &str| part == "*" || part.parse::<u32>().is_ok();
    let parts: Vec<&str> = text.split(' ').collect();
    let fits = match parts.as_slice() {
        ["a" | "b" | "c", device, access] => {
            let numbers = device.split_once(':');
            numbers.is_some_and(|(major, minor)| number(major) && number(minor))
                && (1..=3).contains(&access.len())
                && access.bytes().all(|byte| b"rwm".contains(&byte))
        }
        _ => false,
    };
    if fits { Ok(text.to_owned()) } else { Err(format!("invalid device cgroup format '{text}'")) }
}

pub(super) fn mac_address(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let fits = parts.len() == 6
        && parts.iter().all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok());
    if fits { Ok(text.to_owned()) } else { Err(format!("{text} is not a valid mac address")) }
}

/// `no`, `always`, `unless-stopped`, `on-failure[:retries]`.
pub(super) fn restart_policy(text: &str) -> Result<RestartPolicy, String> {
    let (name, retries) = match text.split_once(':') {
        Some(("", _)) => {
            return Err("invalid restart policy format: no policy provided before colon".to_owned());
        }
        Some((name, retries)) => (name, Some(retries)),
        None => (text, None),
    };
    let maximum_retry_count = match retries {
        None => 0,
        Some(digits) => digits.parse().map_err(|_| {
            "invalid restart policy format: maximum retry count must be an integer".to_owned()
        })?,
    };
    if !matches!(name, "" | "no" | "always" | "unless-stopped" | "on-failure") {
        return Err(format!(
            "invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        ));
    }
    if retries.is_some() && name != "on-failure" {
        return Err(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
                .to_owned(),
        );
    }
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

/// `all`, a number, or `device=0,capabilities=…`.
pub(super) fn gpus(text: &str) -> Result<DeviceRequest, String> {
    let mut request = DeviceRequest { capabilities: Vec::new(), ..DeviceRequest::default() };
    let mut capabilities = vec!["gpu".to_owned()];
    for (position, field) in super::csv(text).into_iter().enumerate() {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        match key {
            "count" if position == 0 || field.contains('=') => {
                request.count = if value == "all" {
                    -1
                } else {
                    value.parse().map_err(|_| {
                        format!(
                            "invalid count ({value}): value must be either \"all\" or an integer"
                        )
                    })?
                };
            }
            "device" => request.device_ids = value.split(',').map(str::to_owned).collect(),
            "driver" => request.driver = value.to_owned(),
            "capabilities" => capabilities.extend(value.split(',').map(str::to_owned)),
            "options" => {}
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if request.count == 0 && request.device_ids.is_empty() {
        request.count = 1;
    }
    request.capabilities.push(capabilities);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_decimals() {
        for (text, nanos) in [
            ("1", 1_000_000_000),
            ("0.5", 500_000_000),
            (".25", 250_000_000),
            ("2.0000000000", 2_000_000_000),
        ] {
            assert_eq!(cpus(text), Ok(nanos), "{text}");
        }
        assert_eq!(cpus("0.0000000001"), Err("value is too precise".to_owned()));
        for text in ["", ".", "x", "-1", "1e3", "9999999999999"] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_go_s() {
        for (text, nanos) in [
            ("0", 0),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("500ms", 500_000_000),
            ("1.5s", 1_500_000_000),
            ("-2us", -2_000),
            ("7ns", 7),
        ] {
            assert_eq!(duration(text), Ok(nanos), "{text}");
        }
        for text in ["", "5", "s", "1x", "1.2.3s", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits() {
        let limit = ulimit("nofile=1024:2048").unwrap();
        assert_eq!((limit.soft, limit.hard), (1024, 2048));
        assert_eq!(ulimit("core=-1").map(|limit| limit.hard), Ok(-1));
        for text in ["nofile", "nofile=x", "nofile=2:1", "nonsense=1"] {
            assert!(ulimit(text).is_err(), "{text}");
        }
        assert_eq!(swap("-1"), Ok(-1));
        assert_eq!(size("1g"), Ok(1 << 30));
        assert!(size("-1").is_err());
        assert!(blkio_weight("5").is_err());
        assert_eq!(throttle_bytes("/dev/sda:1mb").map(|device| device.rate), Ok(1 << 20));
        assert!(throttle_bytes("sda:1mb").is_err());
        assert!(throttle_operations("/dev/sda:-1").is_err());
    }

    #[test]
    fn devices() {
        let mapped = |text: &str| {
            device(text).map(|d| (d.path_on_host, d.path_in_container, d.cgroup_permissions))
        };
        let of = |a: &str, b: &str, c: &str| Ok((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(mapped("/dev/fuse"), of("/dev/fuse", "/dev/fuse", "rwm"));
        assert_eq!(mapped("/dev/a:r"), of("/dev/a", "/dev/a", "r"));
        assert_eq!(mapped("/dev/a:/dev/b"), of("/dev/a", "/dev/b", "rwm"));
        assert_eq!(mapped("/dev/a:/dev/b:rw"), of("/dev/a", "/dev/b", "rw"));
        assert!(mapped("/dev/a:/dev/b:x").is_err());
        assert!(is_cdi(&device("vendor.com/gpu=all").unwrap()));
        assert!(device_rule("c 1:* rmw").is_ok());
        assert!(device_rule("x 1:3 rwm").is_err());
    }

    #[test]
    fn policies() {
        let policy = restart_policy("on-failure:3").unwrap();
        assert_eq!((policy.name.as_str(), policy.maximum_retry_count), ("on-failure", 3));
        for text in ["sometimes", "always:1", ":3", "on-failure:x"] {
            assert!(restart_policy(text).is_err(), "{text}");
        }
        assert_eq!(gpus("all").map(|request| request.count), Ok(-1));
        assert_eq!(gpus("device=0").map(|request| request.device_ids), Ok(vec!["0".to_owned()]));
    }
}
