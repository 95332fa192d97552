//! Block devices: their work and what they are.

use std::collections::HashMap;

use super::read::{SourceError, number};
use super::{Desc, Round};

/// The bytes of a sector in `/proc/diskstats`, whatever the device calls a sector.
const SECTOR_BYTES: f64 = 512.0;
const MILLISECOND: f64 = 1e-3;

/// The columns of `/proc/diskstats` after the name: the first 11 since Linux 2.6, the discards
/// since 4.18, the flushes since 5.5.
#[rustfmt::skip]
const COLUMNS: [(Desc<'_>, f64); 17] = [
    (Desc::counter("node_disk_reads_completed_total", "Reads completed."), 1.0),
    (Desc::counter("node_disk_reads_merged_total", "Reads merged with others."), 1.0),
    (Desc::counter("node_disk_read_bytes_total", "Bytes read."), SECTOR_BYTES),
    (Desc::counter("node_disk_read_time_seconds_total", "Seconds spent by all reads."), MILLISECOND),
    (Desc::counter("node_disk_writes_completed_total", "Writes completed."), 1.0),
    (Desc::counter("node_disk_writes_merged_total", "Writes merged with others."), 1.0),
    (Desc::counter("node_disk_written_bytes_total", "Bytes written."), SECTOR_BYTES),
    (Desc::counter("node_disk_write_time_seconds_total", "Seconds spent by all writes."), MILLISECOND),
    (Desc::gauge("node_disk_io_now", "Requests in progress."), 1.0),
    (Desc::counter("node_disk_io_time_seconds_total", "Seconds with a request in progress."), MILLISECOND),
    (Desc::counter("node_disk_io_time_weighted_seconds_total", "Seconds spent by all requests."), MILLISECOND),
    (Desc::counter("node_disk_discards_completed_total", "Discards completed."), 1.0),
    (Desc::counter("node_disk_discards_merged_total", "Discards merged with others."), 1.0),
    (Desc::counter("node_disk_discarded_sectors_total", "Sectors discarded."), 1.0),
    (Desc::counter("node_disk_discard_time_seconds_total", "Seconds spent by all discards."), MILLISECOND),
    (Desc::counter("node_disk_flush_requests_total", "Flushes completed."), 1.0),
    (Desc::counter("node_disk_flush_requests_time_seconds_total", "Seconds spent by all flushes."), MILLISECOND),
];
/// The columns that every line has.
const COLUMNS_MIN: usize = 11;

const INFO: Desc<'_> = Desc::gauge("node_disk_info", "What the block device is.");
const FILESYSTEM_INFO: Desc<'_> = Desc::gauge(
    "node_disk_filesystem_info",
    "What filesystem the block device holds.",
);
const MAPPER_INFO: Desc<'_> = Desc::gauge(
    "node_disk_device_mapper_info",
    "What the device mapper made it of.",
);
const ATA: [(&str, Desc<'_>); 3] = [
    (
        "ID_ATA_WRITE_CACHE",
        Desc::gauge("node_disk_ata_write_cache", "The disk has a write cache."),
    ),
    (
        "ID_ATA_WRITE_CACHE_ENABLED",
        Desc::gauge(
            "node_disk_ata_write_cache_enabled",
            "The disk's write cache is on.",
        ),
    ),
    (
        "ID_ATA_ROTATION_RATE_RPM",
        Desc::gauge(
            "node_disk_ata_rotation_rate_rpm",
            "Turns per minute, 0 for solid state.",
        ),
    ),
];

struct Device {
    major: u32,
    minor: u32,
    name: String,
}

/// `/proc/diskstats`, with what udev and sysfs know of each device.
pub(super) fn diskstats(round: &mut Round<'_>) -> Result<(), SourceError> {
    let mut devices = Vec::new();
    let text = round.files.proc("diskstats")?;
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let head = (|| {
            Some((
                fields.next()?.parse().ok()?,
                fields.next()?.parse().ok()?,
                fields.next()?,
            ))
        })();
        let Some((major, minor, name)) = head else {
            round.out.malformed();
            continue;
        };
        if round.config.disks_exclude.is_match(name) {
            continue;
        }
        let values: Option<Vec<f64>> = fields.take(COLUMNS.len()).map(number).collect();
        let Some(values) = values.filter(|values| values.len() >= COLUMNS_MIN) else {
            round.out.malformed();
            continue;
        };
        for ((desc, unit), value) in COLUMNS.iter().zip(values) {
            round
                .out
                .push(desc, &[("device", name)], scale(value, *unit));
        }
        devices.push(Device {
            major,
            minor,
            name: name.to_owned(),
        });
    }
    for device in devices {
        info(round, &device);
    }
    Ok(())
}

/// Milliseconds are divided, because 1e-3 has no exact double and 1e3 has.
fn scale(value: f64, unit: f64) -> f64 {
    if unit < 1.0 {
        value / 1e3
    } else {
        value * unit
    }
}

fn info(round: &mut Round<'_>, device: &Device) {
    let properties = round
        .files
        .udev(format_args!("b{}:{}", device.major, device.minor))
        .map(udev_properties)
        // Containers and small systems have no udev; then only the kernel's own facts are told.
        .unwrap_or_default();
    let get = |name: &str| properties.get(name).map_or("", String::as_str);
    // The serial number on the label, if udev knows it; virtio disks only have the last.
    let serial = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"]
        .into_iter()
        .map(get)
        .find(|serial| !serial.is_empty());
    // A slash in a device's name is an exclamation mark in sysfs.
    let folder = device.name.replace('/', "!");
    let rotational = round
        .files
        .attribute(format_args!("block/{folder}/queue/rotational"))
        .unwrap_or_default();
    let name = device.name.as_str();
    let labels = [
        ("device", name),
        ("major", &device.major.to_string()),
        ("minor", &device.minor.to_string()),
        ("model", get("ID_MODEL")),
        ("path", get("ID_PATH")),
        ("revision", get("ID_REVISION")),
        ("rotational", rotational),
        ("serial", serial.unwrap_or_default()),
        ("wwn", get("ID_WWN")),
    ];
    round.out.push(&INFO, &labels, 1.0);
    if !get("ID_FS_TYPE").is_empty() {
        let labels = [
            ("device", name),
            ("type", get("ID_FS_TYPE")),
            ("usage", get("ID_FS_USAGE")),
            ("uuid", get("ID_FS_UUID")),
            ("version", get("ID_FS_VERSION")),
        ];
        round.out.push(&FILESYSTEM_INFO, &labels, 1.0);
    }
    if !get("DM_NAME").is_empty() {
        let labels = [
            ("device", name),
            ("lv_layer", get("DM_LV_LAYER")),
            ("lv_name", get("DM_LV_NAME")),
            ("name", get("DM_NAME")),
            ("uuid", get("DM_UUID")),
            ("vg_name", get("DM_VG_NAME")),
        ];
        round.out.push(&MAPPER_INFO, &labels, 1.0);
    }
    if !get("ID_ATA").is_empty() {
        for (property, desc) in &ATA {
            round
                .out
                .push_some(desc, &[("device", name)], number(get(property)));
        }
    }
}

/// The lines `E:NAME=value` of udev's database.
fn udev_properties(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// `/sys/class/nvme`: what NVMe controllers there are.
pub(super) fn nvme(round: &mut Round<'_>) -> Result<(), SourceError> {
    const NVME: Desc<'_> = Desc::gauge("node_nvme_info", "What the NVMe controller is.");
    for device in round.files.list_sys("class/nvme")? {
        let mut own = |file: &str| {
            let text = round
                .files
                .attribute(format_args!("class/nvme/{device}/{file}"));
            text.unwrap_or_default().to_owned()
        };
        let [cntlid, firmware, model, serial, state] =
            ["cntlid", "firmware_rev", "model", "serial", "state"].map(&mut own);
        let labels = [
            ("cntlid", cntlid.as_str()),
            ("device", &device),
            ("firmware_revision", &firmware),
            ("model", &model),
            ("serial", &serial),
            ("state", &state),
        ];
        round.out.push(&NVME, &labels, 1.0);
    }
    Ok(())
}
