//! Properties of a unit: what a scope for a container has, what its annotations say, and what its group
//! has been limited to.

use std::collections::BTreeMap;

use linux::cgroup::Group;
use zbus::{Array, Signature, Variant};

use crate::Error;

/// Name and value.
pub(super) type Property = (String, Variant<'static>);

/// What comes before the name of a property in an annotation, as runc and crun have it.
const PREFIX: &str = "org.systemd.property.";

/// What a container's scope has of us, and nobody else's to say.
const OURS: [&str; 4] = ["Slice", "PIDs", "Delegate", "DefaultDependencies"];

/// What every container's scope has.
pub(super) fn of_scope(slice: &str, pid: u32) -> Vec<Property> {
    let property = |name: &str, value: Variant<'static>| (name.to_owned(), value);
    vec![
        property("Description", Variant::from("a container of brig")),
        property("Slice", Variant::from(slice.to_owned())),
        // The container, or who is in it, may make groups below its own.
        property("Delegate", Variant::from(true)),
        property("DefaultDependencies", Variant::from(false)),
        // One that has failed is forgotten, too, even if nobody is left to say that it was seen.
        property("CollectMode", Variant::from("inactive-or-failed")),
        property("PIDs", Variant::from(vec![pid])),
        property("MemoryAccounting", Variant::from(true)),
        property("CPUAccounting", Variant::from(true)),
        property("TasksAccounting", Variant::from(true)),
        property("IOAccounting", Variant::from(true)),
    ]
}

/// The annotations that are properties.
pub(super) fn of_annotations(
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<Property>, Error> {
    let of = |(key, text): (&String, &String)| {
        let name = key.strip_prefix(PREFIX)?;
        Some(read(name, text).ok_or_else(|| {
            let member = format!("annotations.{key}");
            Error::invalid(member, format!("{text:?} is not a property's value"))
        }))
    };
    annotations.iter().filter_map(of).collect()
}

/// `NameSec` is what people write and `NameUSec` what systemd knows (systemd.time(7)).
fn read(name: &str, text: &str) -> Option<Property> {
    if OURS.contains(&name) {
        return None;
    }
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let value = value(text.trim())?;
    match name.strip_suffix("Sec").filter(|base| !base.ends_with('U')) {
        None => Some((name.to_owned(), value)),
        Some(base) => {
            let seconds = match value {
                Variant::I32(seconds) => u64::try_from(seconds).ok()?,
                Variant::U64(seconds) => seconds,
                Variant::U32(seconds) => u64::from(seconds),
                _ => return None,
            };
            Some((format!("{base}USec"), Variant::from(seconds.checked_mul(1_000_000)?)))
        }
    }
}

/// A value in the text format of `GVariant`, as far as properties have them: texts, numbers with and
/// without a type, truth, and lists of texts.
fn value(text: &str) -> Option<Variant<'static>> {
    if let Some(list) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let mut array = Array::new(&Signature::Str);
        for item in list.split(',').filter(|item| !item.trim().is_empty()) {
            array.append(Variant::from(quoted(item.trim())?)).ok()?;
        }
        return Some(Variant::from(array));
    }
    if let Some(text) = quoted(text) {
        return Some(Variant::from(text));
    }
    match text.split_once(' ') {
        None => match text {
            "true" => Some(Variant::from(true)),
            "false" => Some(Variant::from(false)),
            _ => text.parse::<i32>().ok().map(Variant::from),
        },
        Some(("byte", number)) => number.trim().parse::<u8>().ok().map(Variant::from),
        Some(("int32", number)) => number.trim().parse::<i32>().ok().map(Variant::from),
        Some(("uint32", number)) => number.trim().parse::<u32>().ok().map(Variant::from),
        Some(("int64", number)) => number.trim().parse::<i64>().ok().map(Variant::from),
        Some(("uint64", number)) => number.trim().parse::<u64>().ok().map(Variant::from),
        Some(_) => None,
    }
}

/// Without what could end it.
fn quoted(text: &str) -> Option<String> {
    let inside = ['\'', '"'].into_iter().find_map(|quote| {
        let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inside.contains(quote)).then_some(inside)
    })?;
    (!inside.contains('\\')).then(|| inside.to_owned())
}

/// What a group's files say, in systemd's words (systemd.resource-control(5)).
pub(super) fn of_limits(group: &Group) -> Result<Vec<Property>, Error> {
    const AMOUNTS: [(&str, &str); 6] = [
        ("memory.max", "MemoryMax"),
        ("memory.high", "MemoryHigh"),
        ("memory.low", "MemoryLow"),
        ("memory.min", "MemoryMin"),
        ("memory.swap.max", "MemorySwapMax"),
        ("pids.max", "TasksMax"),
    ];
    const SETS: [(&str, &str); 2] =
        [("cpuset.cpus", "AllowedCPUs"), ("cpuset.mems", "AllowedMemoryNodes")];
    let mut properties = Vec::new();
    let mut add = |name: &str, value: Option<Variant<'static>>| {
        properties.extend(value.map(|value| (name.to_owned(), value)));
    };
    for (file, name) in AMOUNTS {
        add(name, group.text(file)?.and_then(|text| amount(&text)).map(Variant::from));
    }
    for (file, name) in SETS {
        add(name, group.text(file)?.and_then(|text| bits(&text)).map(Variant::from));
    }
    let is_idle = group.text("cpu.idle")?.is_some_and(|text| text.trim() == "1");
    let weight = group.text("cpu.weight")?.and_then(|text| amount(&text));
    add("CPUWeight", if is_idle { Some(Variant::from(0_u64)) } else { weight.map(Variant::from) });
    if let Some((per_second, period)) = group.text("cpu.max")?.and_then(|text| quota(&text)) {
        add("CPUQuotaPerSecUSec", Some(Variant::from(per_second)));
        add("CPUQuotaPeriodUSec", Some(Variant::from(period)));
    }
    add("IOWeight", io_weight(group)?.map(Variant::from));
    Ok(properties)
}

/// `max` is what systemd calls infinity.
fn amount(text: &str) -> Option<u64> {
    match text.trim() {
        "max" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Microseconds of each second, in whole hundredths of a processor as systemd has them, and the
/// period.
fn quota(text: &str) -> Option<(u64, u64)> {
    const HUNDREDTH: u64 = 10_000;
    let (quota, period) = text.trim().split_once(' ')?;
    let period = period.parse::<u64>().ok().filter(|period| *period > 0)?;
    let per_second = match quota {
        "max" => u64::MAX,
        number => {
            let exact = number.parse::<u64>().ok()?.checked_mul(1_000_000)?.div_ceil(period);
            exact.div_ceil(HUNDREDTH).checked_mul(HUNDREDTH)?
        }
    };
    Some((per_second, period))
}

/// `0-2,5` as bits, from the lowest byte on.
fn bits(text: &str) -> Option<Vec<u8>> {
    const MOST: usize = 8192;
    let mut bytes = Vec::new();
    for range in text.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        if last >= MOST {
            return None;
        }
        for number in first..=last {
            if bytes.len() <= number / 8 {
                bytes.resize(number / 8 + 1, 0);
            }
            *bytes.get_mut(number / 8)? |= 1 << (number % 8);
        }
    }
    Some(bytes)
}

/// BFQ's own weights go from 1 to 1000, and systemd's `BFQ_WEIGHT` makes them of its own.
fn io_weight(group: &Group) -> Result<Option<u64>, Error> {
    let default = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("default "))?;
        line.trim().parse::<u64>().ok()
    };
    if let Some(text) = group.text("io.bfq.weight")? {
        let of_systemd = |bfq: u64| if bfq <= 100 { bfq } else { 100 + (bfq - 100) * 11 };
        return Ok(default(text).map(of_systemd));
    }
    Ok(group.text("io.weight")?.and_then(default))
}

#[cfg(test)]
mod tests {
    use super::{bits, of_annotations, quota};
    use zbus::Variant;

    #[test]
    fn annotations_have_types() {
        let read = |name: &str, text: &str| {
            let key = format!("org.systemd.property.{name}");
            of_annotations(&[(key, text.to_owned())].into()).ok().map(|mut found| found.remove(0))
        };
        let is = |name: &str, value: Variant<'static>| Some((name.to_owned(), value));
        assert_eq!(read("A", "'x y'"), is("A", Variant::from("x y")));
        assert_eq!(read("A", "true"), is("A", Variant::from(true)));
        assert_eq!(read("A", "5"), is("A", Variant::from(5_i32)));
        assert_eq!(read("A", "uint64 5"), is("A", Variant::from(5_u64)));
        assert_eq!(read("A", "['x', \"y\"]"), is("A", Variant::from(vec!["x", "y"])));
        assert_eq!(
            read("TimeoutStopSec", "5"),
            is("TimeoutStopUSec", Variant::from(5_000_000_u64))
        );
        assert_eq!(
            read("TimeoutStopUSec", "uint64 7"),
            is("TimeoutStopUSec", Variant::from(7_u64))
        );
        for (name, text) in [
            ("A", "x"),
            ("A", "'x"),
            ("A", "'x'y'"),
            ("A", "uint64 -1"),
            ("A", "5 6"),
            ("A", "[x]"),
            ("ASec", "'5'"),
            ("ASec", "-5"),
            ("A b", "5"),
            ("", "5"),
            ("A", "'a\\'b'"),
            ("Slice", "'other.slice'"),
        ] {
            assert_eq!(read(name, text), None, "{name} {text}");
        }
        assert!(of_annotations(&[("other".to_owned(), "x".to_owned())].into()).unwrap().is_empty());
    }

    #[test]
    fn processors_are_bits() {
        assert_eq!(bits("0-2,9"), Some(vec![0b111, 0b10]));
        assert_eq!(bits("\n"), Some(Vec::new()));
        assert_eq!(bits("99999"), None);
    }

    #[test]
    fn quotas_are_hundredths() {
        assert_eq!(quota("50000 100000\n"), Some((500_000, 100_000)));
        assert_eq!(quota("33333 100000"), Some((340_000, 100_000)));
        assert_eq!(quota("max 100000"), Some((u64::MAX, 100_000)));
        assert_eq!(quota("1 0"), None);
    }
}
