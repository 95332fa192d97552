//! What the host is: its kernel, distribution and hardware, and what time it has.

use std::ffi::CStr;

use jiff::civil::Date;

use super::read::{SourceError, number};
use super::{Desc, Round};

/// The kernel and the host's name.
pub(super) fn uname(round: &mut Round<'_>) -> Result<(), SourceError> {
    const INFO: Desc<'_> = Desc::gauge("node_uname_info", "What the kernel says by uname(2).");
    let uname = rustix::system::uname();
    let [domain, machine, node, release, system, version] = [
        uname.domainname(),
        uname.machine(),
        uname.nodename(),
        uname.release(),
        uname.sysname(),
        uname.version(),
    ]
    .map(CStr::to_string_lossy);
    let labels = [
        ("domainname", &*domain),
        ("machine", &*machine),
        ("nodename", &*node),
        ("release", &*release),
        ("sysname", &*system),
        ("version", &*version),
    ];
    round.out.push(&INFO, &labels, 1.0);
    Ok(())
}

/// The distribution, from `os-release`(5).
pub(super) fn os(round: &mut Round<'_>) -> Result<(), SourceError> {
    const INFO: Desc<'_> = Desc::gauge("node_os_info", "What distribution the host runs.");
    const VERSION: Desc<'_> = Desc::gauge(
        "node_os_version",
        "The first two parts of the distribution's version as a number.",
    );
    const SUPPORT_END: Desc<'_> = Desc::gauge(
        "node_os_support_end_timestamp_seconds",
        "When the distribution's support ends, in Unix time.",
    );
    const LABELS: [&str; 12] = [
        "build_id",
        "id",
        "id_like",
        "image_id",
        "image_version",
        "name",
        "pretty_name",
        "variant",
        "variant_id",
        "version",
        "version_codename",
        "version_id",
    ];
    let text = match round.files.root("etc/os-release") {
        Ok(text) => text.to_owned(),
        Err(_absent) => round.files.root("usr/lib/os-release")?.to_owned(),
    };
    let labels = LABELS.map(|label| (label, os_release_field(&text, label)));
    let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (*n, v.as_str())).collect();
    round.out.push(&INFO, &labels, 1.0);
    let get = |name: &str| {
        labels
            .iter()
            .find(|(n, _)| *n == name)
            .map_or("", |(_, v)| v)
    };
    let of = [
        ("id", get("id")),
        ("id_like", get("id_like")),
        ("name", get("name")),
    ];
    round
        .out
        .push_some(&VERSION, &of, leading_number(get("version_id")));
    let end: Option<Date> = os_release_field(&text, "support_end").parse().ok();
    let end = end.and_then(|end| end.to_zoned(jiff::tz::TimeZone::UTC).ok());
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds of any date are below 2^53"
    )]
    let end = end.map(|end| end.timestamp().as_second() as f64);
    round.out.push_some(&SUPPORT_END, &[], end);
    Ok(())
}

/// A field of os-release by its name in lower case, without its quotes and escapes.
fn os_release_field(text: &str, name: &str) -> String {
    let value = text
        .lines()
        .filter_map(|line| line.trim().split_once('='))
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value.trim());
    let quoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let mut plain = String::new();
    let mut chars = quoted.unwrap_or(value).chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// The number at the start, of at most two parts: `22.04.1` is 22.04.
fn leading_number(text: &str) -> Option<f64> {
    let mut dots = 0;
    let end = text
        .find(|c: char| {
            dots += u32::from(c == '.');
            !(c.is_ascii_digit() || c == '.' && dots == 1)
        })
        .unwrap_or(text.len());
    number(text.get(..end)?.trim_end_matches('.'))
}

/// The time, its zone and the hardware that keeps it.
pub(super) fn time(round: &mut Round<'_>) -> Result<(), SourceError> {
    const SECONDS: Desc<'_> = Desc::gauge("node_time_seconds", "The host's time, in Unix time.");
    const OFFSET: Desc<'_> = Desc::gauge(
        "node_time_zone_offset_seconds",
        "How far the time zone is ahead of UTC.",
    );
    const AVAILABLE: Desc<'_> = Desc::gauge(
        "node_time_clocksource_available_info",
        "Clocks that the kernel can use.",
    );
    const CURRENT: Desc<'_> = Desc::gauge(
        "node_time_clocksource_current_info",
        "The clock that the kernel uses.",
    );
    const BASE: &str = "devices/system/clocksource";
    round.out.push(&SECONDS, &[], round.now.as_secs_f64());
    let at = jiff::Timestamp::from_millisecond(round.now.as_millis());
    if let (Some(zone), Ok(at)) = (&round.config.time_zone, at) {
        let info = zone.to_offset_info(at);
        let offset = f64::from(info.offset().seconds());
        round
            .out
            .push(&OFFSET, &[("time_zone", info.abbreviation())], offset);
    }
    for entry in round.files.list_sys(BASE).unwrap_or_default() {
        let Some(device) = entry.strip_prefix("clocksource") else {
            continue;
        };
        for (desc, file) in [(&AVAILABLE, "available"), (&CURRENT, "current")] {
            let path = format_args!("{BASE}/{entry}/{file}_clocksource");
            let names = round.files.attribute(path).unwrap_or_default();
            for name in names.split_whitespace() {
                let labels = [("clocksource", name), ("device", device)];
                round.out.push(desc, &labels, 1.0);
            }
        }
    }
    Ok(())
}

/// The labels of `node_dmi_info`, which but for the last are names of files.
pub(super) const DMI_LABELS: [&str; 20] = [
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_asset_tag",
    "board_name",
    "board_serial",
    "board_vendor",
    "board_version",
    "chassis_asset_tag",
    "chassis_serial",
    "chassis_vendor",
    "chassis_version",
    "product_family",
    "product_name",
    "product_serial",
    "product_sku",
    "product_uuid",
    "product_version",
    "system_vendor",
];

/// `/sys/class/dmi/id`: what the firmware says of the machine. Only root may read serial numbers.
pub(super) fn dmi(round: &mut Round<'_>) -> Result<(), SourceError> {
    const INFO: Desc<'_> = Desc::gauge("node_dmi_info", "What the firmware says of the machine.");
    if round.state.dmi.is_none() {
        round.files.list_sys("class/dmi/id")?;
        round.state.dmi = Some(DMI_LABELS.map(|label| {
            let file = if label == "system_vendor" {
                "sys_vendor"
            } else {
                label
            };
            let text = round.files.attribute(format_args!("class/dmi/id/{file}"));
            text.unwrap_or_default().to_owned()
        }));
    }
    let texts = round.state.dmi.iter().flatten();
    let labels: Vec<(&str, &str)> = DMI_LABELS
        .into_iter()
        .zip(texts.map(String::as_str))
        .collect();
    round.out.push(&INFO, &labels, 1.0);
    Ok(())
}

/// `/sys/fs/selinux`: whether `SELinux` is on, and whether it enforces or only warns.
pub(super) fn selinux(round: &mut Round<'_>) -> Result<(), SourceError> {
    const ENABLED: Desc<'_> = Desc::gauge("node_selinux_enabled", "Whether SELinux is on.");
    const CURRENT: Desc<'_> = Desc::gauge(
        "node_selinux_current_mode",
        "Whether SELinux enforces now, or only warns.",
    );
    const CONFIG: Desc<'_> = Desc::gauge(
        "node_selinux_config_mode",
        "What SELinux is set to do after a boot: 1 enforce, 0 warn, -1 nothing.",
    );
    let enforce = round.files.number("fs/selinux/enforce");
    round
        .out
        .push(&ENABLED, &[], f64::from(u8::from(enforce.is_some())));
    if enforce.is_none() {
        return Ok(());
    }
    let config = round.files.root("etc/selinux/config").unwrap_or_default();
    let mode = match config
        .lines()
        .find_map(|line| line.trim().strip_prefix("SELINUX="))
    {
        Some("enforcing") => Some(1.0),
        Some("permissive") => Some(0.0),
        Some("disabled") => Some(-1.0),
        Some(_) | None => None,
    };
    round.out.push_some(&CONFIG, &[], mode);
    round.out.push_some(&CURRENT, &[], enforce);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_values_lose_their_quotes_and_escapes() {
        let text = "# a comment\nNAME=\"A \\\"B\\\"\"\nID=x\nVERSION_ID='22.04'\nTORN";
        assert_eq!(os_release_field(text, "name"), "A \"B\"");
        assert_eq!(os_release_field(text, "id"), "x");
        assert_eq!(os_release_field(text, "version_id"), "22.04");
        assert_eq!(os_release_field(text, "torn"), "");
    }

    #[test]
    fn a_version_has_at_most_two_parts() {
        assert_eq!(leading_number("22.04.1"), Some(22.04));
        assert_eq!(leading_number("12"), Some(12.0));
        assert_eq!(leading_number("7."), Some(7.0));
        assert_eq!(leading_number("39-beta"), Some(39.0));
        assert_eq!(leading_number("rolling"), None);
        assert_eq!(leading_number(""), None);
    }
}
