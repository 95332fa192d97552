//! Temperatures, power and memory errors that the hardware reports through sysfs.

use super::read::SourceError;
use super::{Desc, Round};

/// `/sys/class/thermal`: temperatures and what is done about them.
pub(super) fn thermal_zone(round: &mut Round<'_>) -> Result<(), SourceError> {
    const TEMPERATURE: Desc<'_> = Desc::gauge("node_thermal_zone_temp", "Temperature in Celsius.");
    const STATE: Desc<'_> = Desc::gauge(
        "node_cooling_device_cur_state",
        "How hard the device cools now.",
    );
    const STATE_MAX: Desc<'_> = Desc::gauge(
        "node_cooling_device_max_state",
        "How hard the device can cool.",
    );
    for entry in round.files.list_sys("class/thermal")? {
        let kind = |round: &mut Round<'_>| {
            let kind = round
                .files
                .attribute(format_args!("class/thermal/{entry}/type"));
            kind.unwrap_or_default().to_owned()
        };
        if let Some(zone) = entry.strip_prefix("thermal_zone") {
            let kind = kind(round);
            let milli = round
                .files
                .number(format_args!("class/thermal/{entry}/temp"));
            let labels = [("type", kind.as_str()), ("zone", zone)];
            round
                .out
                .push_some(&TEMPERATURE, &labels, milli.map(|milli| milli / 1e3));
        } else if let Some(name) = entry.strip_prefix("cooling_device") {
            let kind = kind(round);
            let labels = [("name", name), ("type", kind.as_str())];
            for (desc, file) in [(&STATE, "cur_state"), (&STATE_MAX, "max_state")] {
                let state = round
                    .files
                    .number(format_args!("class/thermal/{entry}/{file}"));
                round.out.push_some(desc, &labels, state);
            }
        }
    }
    Ok(())
}

/// `/sys/class/powercap`: energy used by each zone of the CPUs. Most kernels let only root read it.
pub(super) fn rapl(round: &mut Round<'_>) -> Result<(), SourceError> {
    const HELP: &str = "Energy used by the RAPL zone.";
    let base = round.config.sys.join("class/powercap");
    let mut unnumbered: Vec<String> = Vec::new();
    for entry in round.files.list_sys("class/powercap")? {
        if !entry.contains(':') {
            continue;
        }
        let Some(name) = round
            .files
            .attribute(format_args!("class/powercap/{entry}/name"))
        else {
            continue;
        };
        // `package-1` has its number in its name; zones such as `dram` are counted.
        let (name, index) = match name.rsplit_once('-') {
            Some((name, digits)) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                (name.to_owned(), digits.to_owned())
            }
            _ => {
                let name = name.to_owned();
                let at = unnumbered.iter().filter(|other| **other == name).count();
                unnumbered.push(name.clone());
                (name, at.to_string())
            }
        };
        let Some(micro) = round
            .files
            .number(format_args!("class/powercap/{entry}/energy_uj"))
        else {
            continue;
        };
        let plain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let metric = format!("node_rapl_{plain}_joules_total");
        let path = base.join(&entry).to_string_lossy().into_owned();
        let labels = [("index", index.as_str()), ("path", &path)];
        round
            .out
            .push(&Desc::counter(&metric, HELP), &labels, micro / 1e6);
    }
    Ok(())
}

/// `/sys/devices/system/edac/mc`: errors of the memory, by controller, row and channel.
pub(super) fn edac(round: &mut Round<'_>) -> Result<(), SourceError> {
    #[rustfmt::skip]
    const CONTROLLER: [(&str, Desc<'_>); 2] = [
        ("ce", Desc::counter("node_edac_correctable_errors_total", "Correctable memory errors.")),
        ("ue", Desc::counter("node_edac_uncorrectable_errors_total", "Uncorrectable memory errors.")),
    ];
    #[rustfmt::skip]
    const ROW: [(&str, Desc<'_>); 2] = [
        ("ce", Desc::counter("node_edac_csrow_correctable_errors_total", "Correctable memory errors of the row.")),
        ("ue", Desc::counter("node_edac_csrow_uncorrectable_errors_total", "Uncorrectable memory errors of the row.")),
    ];
    const BASE: &str = "devices/system/edac/mc";
    // A host without such hardware has nothing to say, which is no failure.
    let controllers = round.files.list_sys(BASE).unwrap_or_default();
    for entry in controllers {
        let Some(controller) = entry.strip_prefix("mc").filter(|rest| is_number(rest)) else {
            continue;
        };
        for (kind, desc) in &CONTROLLER {
            let count = round
                .files
                .number(format_args!("{BASE}/{entry}/{kind}_count"));
            round
                .out
                .push_some(desc, &[("controller", controller)], count);
        }
        let rows = round.files.list_sys(format_args!("{BASE}/{entry}"))?;
        for (kind, desc) in &ROW {
            let count = round
                .files
                .number(format_args!("{BASE}/{entry}/{kind}_noinfo_count"));
            let labels = [("controller", controller), ("csrow", "unknown")];
            round.out.push_some(desc, &labels, count);
            for (folder, row) in rows.iter().filter_map(|name| row_number(name)) {
                let path = format_args!("{BASE}/{entry}/{folder}/{kind}_count");
                let count = round.files.number(path);
                let labels = [("controller", controller), ("csrow", row)];
                round.out.push_some(desc, &labels, count);
            }
        }
        for (folder, row) in rows.iter().filter_map(|name| row_number(name)) {
            edac_channels(round, controller, row, &format!("{BASE}/{entry}/{folder}"))?;
        }
    }
    Ok(())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn row_number(folder: &str) -> Option<(&str, &str)> {
    let row = folder
        .strip_prefix("csrow")
        .filter(|rest| is_number(rest))?;
    Some((folder, row))
}

fn edac_channels(
    round: &mut Round<'_>,
    controller: &str,
    row: &str,
    folder: &str,
) -> Result<(), SourceError> {
    #[rustfmt::skip]
    const CHANNEL: [(&str, Desc<'_>); 2] = [
        ("_ce_count", Desc::counter("node_edac_channel_correctable_errors_total", "Correctable memory errors of the channel.")),
        ("_ue_count", Desc::counter("node_edac_channel_uncorrectable_errors_total", "Uncorrectable memory errors of the channel.")),
    ];
    for file in round.files.list_sys(folder)? {
        for (suffix, desc) in &CHANNEL {
            let channel = file
                .strip_prefix("ch")
                .and_then(|rest| rest.strip_suffix(suffix));
            let Some(channel) = channel.filter(|rest| is_number(rest)) else {
                continue;
            };
            let label = round
                .files
                .attribute(format_args!("{folder}/ch{channel}_dimm_label"));
            let label = label.unwrap_or_default().to_owned();
            let count = round.files.number(format_args!("{folder}/{file}"));
            let labels = [
                ("channel", channel),
                ("controller", controller),
                ("csrow", row),
                ("dimm_label", &label),
            ];
            round.out.push_some(desc, &labels, count);
        }
    }
    Ok(())
}

/// `/sys/class/power_supply`: batteries and mains.
pub(super) fn power_supply(round: &mut Round<'_>) -> Result<(), SourceError> {
    const HELP: &str = "Property of /sys/class/power_supply.";
    const INFO: Desc<'_> = Desc::gauge("node_power_supply_info", "What the power supply is.");
    let mut metric = String::new();
    for device in round.files.list_sys("class/power_supply")? {
        for (file, name, divisor) in POWER_SUPPLY {
            let value = round
                .files
                .number(format_args!("class/power_supply/{device}/{file}"));
            let Some(value) = value else { continue };
            metric.clear();
            metric.push_str("node_power_supply_");
            metric.push_str(name);
            let labels = [("power_supply", device.as_str())];
            round
                .out
                .push(&Desc::gauge(&metric, HELP), &labels, value / divisor);
        }
        let mut own = |file: &str| {
            let text = round
                .files
                .attribute(format_args!("class/power_supply/{device}/{file}"));
            text.unwrap_or_default().to_owned()
        };
        let texts = POWER_SUPPLY_INFO.map(|label| match label {
            "power_supply" => device.clone(),
            file => own(file),
        });
        let labels: Vec<(&str, &str)> = POWER_SUPPLY_INFO
            .iter()
            .zip(&texts)
            .map(|(label, text)| (*label, text.as_str()))
            .collect();
        round.out.push(&INFO, &labels, 1.0);
    }
    Ok(())
}

/// The labels of the info metric, which are the names of the files that fill them.
const POWER_SUPPLY_INFO: [&str; 12] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "power_supply",
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
];

/// File, metric, and what the file's number is divided by: sysfs has millionths of volts, amperes
/// and watts and tenths of degrees.
const POWER_SUPPLY: [(&str, &str, f64); 49] = [
    ("authentic", "authentic", 1.0),
    ("calibrate", "calibrate", 1.0),
    ("capacity", "capacity", 1.0),
    ("capacity_alert_max", "capacity_alert_max", 1.0),
    ("capacity_alert_min", "capacity_alert_min", 1.0),
    ("cycle_count", "cyclecount", 1.0),
    ("online", "online", 1.0),
    ("present", "present", 1.0),
    ("time_to_empty_now", "time_to_empty_seconds", 1.0),
    ("time_to_full_now", "time_to_full_seconds", 1.0),
    ("charge_control_limit", "charge_control_limit", 1e6),
    ("charge_control_limit_max", "charge_control_limit_max", 1e6),
    ("charge_counter", "charge_counter", 1e6),
    ("charge_empty", "charge_empty", 1e6),
    ("charge_empty_design", "charge_empty_design", 1e6),
    ("charge_full", "charge_full", 1e6),
    ("charge_full_design", "charge_full_design", 1e6),
    ("charge_now", "charge_ampere", 1e6),
    ("charge_term_current", "charge_term_current", 1e6),
    ("constant_charge_current", "constant_charge_current", 1e6),
    (
        "constant_charge_current_max",
        "constant_charge_current_max",
        1e6,
    ),
    ("constant_charge_voltage", "constant_charge_voltage", 1e6),
    (
        "constant_charge_voltage_max",
        "constant_charge_voltage_max",
        1e6,
    ),
    ("current_boot", "current_boot", 1e6),
    ("current_max", "current_max", 1e6),
    ("current_now", "current_ampere", 1e6),
    ("energy_empty", "energy_empty", 1e6),
    ("energy_empty_design", "energy_empty_design", 1e6),
    ("energy_full", "energy_full", 1e6),
    ("energy_full_design", "energy_full_design", 1e6),
    ("energy_now", "energy_watthour", 1e6),
    ("input_current_limit", "input_current_limit", 1e6),
    ("power_now", "power_watt", 1e6),
    ("precharge_current", "precharge_current", 1e6),
    ("voltage_boot", "voltage_boot", 1e6),
    ("voltage_max", "voltage_max", 1e6),
    ("voltage_max_design", "voltage_max_design", 1e6),
    ("voltage_min", "voltage_min", 1e6),
    ("voltage_min_design", "voltage_min_design", 1e6),
    ("voltage_now", "voltage_volt", 1e6),
    ("voltage_ocv", "voltage_ocv", 1e6),
    ("temp", "temp_celsius", 10.0),
    ("temp_alert_max", "temp_alert_max_celsius", 10.0),
    ("temp_alert_min", "temp_alert_min_celsius", 10.0),
    ("temp_ambient", "temp_ambient_celsius", 10.0),
    ("temp_ambient_alert_max", "temp_ambient_max_celsius", 10.0),
    ("temp_ambient_alert_min", "temp_ambient_min_celsius", 10.0),
    ("temp_max", "temp_max_celsius", 10.0),
    ("temp_min", "temp_min_celsius", 10.0),
];
