//! `/sys/class/hwmon`: the sensors of the main board, the CPUs, disks and cards.
//!
//! A file such as `temp2_max` is a property (`max`) of a sensor (`temp2`) of a kind (`temp`); see
//! `Documentation/hwmon/sysfs-interface.rst` of the kernel.

use std::collections::BTreeMap;
use std::path::Path;

use super::read::{Files, SourceError, number};
use super::sink::Sink;
use super::{Desc, Round};

const CHIP_NAMES: Desc<'_> = Desc::gauge("node_hwmon_chip_names", "What the chip calls itself.");
const SENSOR_LABEL: Desc<'_> = Desc::gauge(
    "node_hwmon_sensor_label",
    "What the driver calls the sensor.",
);
const HELP: &str = "Property of a sensor of /sys/class/hwmon.";

const KINDS: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

/// The properties of each sensor, by the sensor's kind and number.
type Sensors = BTreeMap<(&'static str, u32), BTreeMap<String, String>>;

/// All chips.
pub(super) fn hwmon(round: &mut Round<'_>) -> Result<(), SourceError> {
    for entry in round.files.list_sys("class/hwmon")? {
        let folder = format!("class/hwmon/{entry}");
        let chip = chip(round.files, &entry);
        if let Some(name) = round.files.attribute(format_args!("{folder}/name")) {
            let name = clean(name);
            let labels = [("chip", chip.as_str()), ("chip_name", &name)];
            round.out.push(&CHIP_NAMES, &labels, 1.0);
        }
        let mut sensors = Sensors::new();
        read_sensors(round.files, &folder, &mut sensors)?;
        // Drivers of before Linux 3.13 keep the files with the device.
        let device = format!("{folder}/device");
        if round.files.list_sys(&device).is_ok() {
            read_sensors(round.files, &device, &mut sensors)?;
        }
        for ((kind, index), properties) in &sensors {
            push_sensor(round.out, &chip, kind, *index, properties);
        }
    }
    Ok(())
}

fn read_sensors(files: &mut Files, folder: &str, into: &mut Sensors) -> Result<(), SourceError> {
    for file in files.list_sys(folder)? {
        let Some((kind, index, property)) = split_name(&file) else {
            continue;
        };
        // A sensor may be switched off or broken, and then refuses to be read.
        if let Ok(text) = files.sys(format_args!("{folder}/{file}")) {
            let text = text.trim_matches('\n').to_owned();
            into.entry((kind, index))
                .or_default()
                .insert(property.to_owned(), text);
        }
    }
    Ok(())
}

/// The kind, number and property of a file; none when it is not a sensor's.
fn split_name(file: &str) -> Option<(&'static str, u32, &str)> {
    let kind = KINDS
        .into_iter()
        .filter(|kind| file.starts_with(kind))
        .max_by_key(|k| k.len())?;
    let rest = file.strip_prefix(kind)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = rest.split_at_checked(digits)?;
    let property = if rest.is_empty() {
        ""
    } else {
        rest.strip_prefix('_')?
    };
    let index = if number.is_empty() {
        0
    } else {
        number.parse().ok()?
    };
    Some((kind, index, property))
}

/// A name for the chip that stays the same over reboots: that of the device it belongs to and of
/// the device's bus, else what it calls itself, else its number.
fn chip(files: &mut Files, entry: &str) -> String {
    let device = files.resolve_sys(format_args!("class/hwmon/{entry}/device"));
    let part = |path: Option<&Path>| {
        let name = path.and_then(Path::file_name);
        name.map(|name| clean(&name.to_string_lossy()))
            .unwrap_or_default()
    };
    let name = part(device.as_deref());
    let bus = part(device.as_deref().and_then(Path::parent));
    match (bus.is_empty(), name.is_empty()) {
        (false, false) => return format!("{bus}_{name}"),
        (true, false) => return name,
        (_, true) => {}
    }
    let own = files
        .attribute(format_args!("class/hwmon/{entry}/name"))
        .map(clean);
    own.filter(|own| !own.is_empty())
        .unwrap_or_else(|| clean(entry))
}

/// Lower case, other characters than letters, digits, colons and underscores replaced.
fn clean(name: &str) -> String {
    let replaced: String = name
        .to_lowercase()
        .chars()
        .map(|c| {
            if matches!(c, 'a'..='z' | '0'..='9' | ':' | '_') {
                c
            } else {
                '_'
            }
        })
        .collect();
    replaced.trim_matches('_').to_owned()
}

fn push_sensor(
    out: &mut Sink,
    chip: &str,
    kind: &str,
    index: u32,
    properties: &BTreeMap<String, String>,
) {
    let sensor = format!("{kind}{index}");
    let labels = [("chip", chip), ("sensor", sensor.as_str())];
    let gauge = |out: &mut Sink, name: &str, value: Option<f64>| {
        out.push_some(&Desc::gauge(name, HELP), &labels, value);
    };
    let whole = properties.get("").map(|text| text.trim());
    let label = properties
        .get("label")
        .map(String::as_str)
        .unwrap_or_default();
    if !label.is_empty() {
        let labels = [("chip", chip), ("label", label), ("sensor", &sensor)];
        out.push(&SENSOR_LABEL, &labels, 1.0);
    }
    match kind {
        "beep_enable" => {
            let on = f64::from(u8::from(whole == Some("1")));
            return gauge(out, "node_hwmon_beep_enabled", Some(on));
        }
        "vrm" => {
            let version = whole.and_then(number);
            return gauge(out, "node_hwmon_voltage_regulator_version", version);
        }
        "update_interval" => {
            let seconds = whole.and_then(number).map(|millis| millis / 1e3);
            return gauge(out, "node_hwmon_update_interval_seconds", seconds);
        }
        _ => {}
    }
    for (property, text) in properties {
        let Some(value) = number(text.trim()).filter(|_| property != "label") else {
            continue;
        };
        let mut name = format!("node_hwmon_{kind}");
        // `input` is the value itself, unless the sensor has a file without a property.
        if !property.is_empty() && (property != "input" || whole.is_some()) {
            name.push('_');
            name.push_str(&clean(property));
        }
        let (suffix, divisor) = unit(kind, property);
        name.push_str(suffix);
        let value = value / divisor;
        if kind == "energy" {
            out.push(&Desc::counter(&name, HELP), &labels, value);
        } else if kind == "freq" && property == "input" && !label.is_empty() {
            let labels = [("chip", chip), ("sensor", &clean(label))];
            out.push(&Desc::gauge(&name, HELP), &labels, value);
        } else {
            gauge(out, &name, Some(value));
        }
    }
}

/// The unit at the end of the metric's name, and what the file's number is divided by.
fn unit(kind: &str, property: &str) -> (&'static str, f64) {
    match (kind, property) {
        (_, "fault" | "alarm") => ("", 1.0),
        (_, "beep") => ("_enabled", 1.0),
        ("in" | "cpu", _) => ("_volts", 1e3),
        ("temp", "type") => ("", 1.0),
        ("temp", _) => ("_celsius", 1e3),
        ("curr", _) => ("_amps", 1e3),
        ("energy", _) => ("_joule_total", 1e6),
        ("power", "accuracy") => ("", 1e6),
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
            ("_seconds", 1e3)
        }
        ("power", _) => ("_watt", 1e6),
        ("humidity", _) => ("", 1e6),
        ("fan", "input" | "min" | "max" | "target") => ("_rpm", 1.0),
        ("freq", "input") => ("_freq_mhz", 1e6),
        _ => ("", 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_split_into_kind_number_and_property() {
        assert_eq!(
            split_name("temp12_crit_alarm"),
            Some(("temp", 12, "crit_alarm"))
        );
        assert_eq!(split_name("in0_input"), Some(("in", 0, "input")));
        assert_eq!(
            split_name("intrusion0_alarm"),
            Some(("intrusion", 0, "alarm"))
        );
        assert_eq!(split_name("pwm1"), Some(("pwm", 1, "")));
        assert_eq!(
            split_name("update_interval"),
            Some(("update_interval", 0, ""))
        );
        assert_eq!(split_name("temp99999999999_input"), None);
        assert_eq!(split_name("name"), None);
        assert_eq!(split_name("temperature"), None);
    }
}
