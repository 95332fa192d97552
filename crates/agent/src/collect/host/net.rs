//! Network interfaces: traffic, properties and bonds.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use super::read::{Files, SourceError, integer, number, open_attribute};
use super::sink::Sink;
use super::{Desc, HostConfig, Round};

/// The columns of `/proc/net/dev`.
#[rustfmt::skip]
const COLUMNS: [Desc<'_>; 16] = [
    Desc::counter("node_network_receive_bytes_total", "Bytes received."),
    Desc::counter("node_network_receive_packets_total", "Packets received."),
    Desc::counter("node_network_receive_errs_total", "Packets received with errors."),
    Desc::counter("node_network_receive_drop_total", "Packets dropped on receipt."),
    Desc::counter("node_network_receive_fifo_total", "Packets lost to a full receive queue."),
    Desc::counter("node_network_receive_frame_total", "Packets received with a broken frame."),
    Desc::counter("node_network_receive_compressed_total", "Compressed packets received."),
    Desc::counter("node_network_receive_multicast_total", "Multicast packets received."),
    Desc::counter("node_network_transmit_bytes_total", "Bytes sent."),
    Desc::counter("node_network_transmit_packets_total", "Packets sent."),
    Desc::counter("node_network_transmit_errs_total", "Packets not sent for errors."),
    Desc::counter("node_network_transmit_drop_total", "Packets dropped before sending."),
    Desc::counter("node_network_transmit_fifo_total", "Packets lost to a full send queue."),
    Desc::counter("node_network_transmit_colls_total", "Collisions."),
    Desc::counter("node_network_transmit_carrier_total", "Packets lost for lack of a carrier."),
    Desc::counter("node_network_transmit_compressed_total", "Compressed packets sent."),
];
const NO_HANDLER: Desc<'_> = Desc::counter(
    "node_network_receive_nohandler_total",
    "Packets received that nobody wanted.",
);

const NO_HANDLER_FILE: &str = "statistics/rx_nohandler";

/// The numbers in `/sys/class/net/*`.
#[rustfmt::skip]
const ATTRIBUTES: [(&str, Desc<'_>); 16] = [
    ("addr_assign_type", Desc::gauge("node_network_address_assign_type", "How the address was chosen.")),
    ("carrier", Desc::gauge("node_network_carrier", "Whether there is a carrier.")),
    ("carrier_changes", Desc::counter("node_network_carrier_changes_total", "Changes of the carrier.")),
    ("carrier_up_count", Desc::counter("node_network_carrier_up_changes_total", "Times the carrier came up.")),
    ("carrier_down_count", Desc::counter("node_network_carrier_down_changes_total", "Times the carrier was lost.")),
    ("dev_id", Desc::gauge("node_network_device_id", "Device id.")),
    ("dormant", Desc::gauge("node_network_dormant", "Whether the interface waits for something outside.")),
    ("flags", Desc::gauge("node_network_flags", "Flags of the interface.")),
    ("ifindex", Desc::gauge("node_network_iface_id", "Number of the interface.")),
    ("iflink", Desc::gauge("node_network_iface_link", "Number of the interface that it is linked to.")),
    ("link_mode", Desc::gauge("node_network_iface_link_mode", "Link mode.")),
    ("mtu", Desc::gauge("node_network_mtu_bytes", "Largest packet that can be sent.")),
    ("name_assign_type", Desc::gauge("node_network_name_assign_type", "How the name was chosen.")),
    ("netdev_group", Desc::gauge("node_network_net_dev_group", "Group of the interface.")),
    ("tx_queue_len", Desc::gauge("node_network_transmit_queue_length", "Length of the send queue.")),
    ("type", Desc::gauge("node_network_protocol_type", "Protocol of the interface.")),
];
const SPEED: Desc<'_> = Desc::gauge(
    "node_network_speed_bytes",
    "Speed of the link in bytes per second, negative when the driver does not know it.",
);
const UP: Desc<'_> = Desc::gauge("node_network_up", "Whether operstate is up.");
const INFO: Desc<'_> = Desc::gauge("node_network_info", "What the interface is.");

/// The attributes that are text.
const TEXTS: [&str; 5] = ["address", "broadcast", "duplex", "ifalias", "operstate"];

/// Interfaces whose attributes are kept open, which makes reading them three times as fast. Each
/// takes 24 files of the 1024 that a service may usually have open.
const KEPT_MAX: usize = 8;

/// The folder of an interface and its attributes, as far as they are kept open.
pub(super) struct Interface {
    identity: u64,
    folder: OwnedFd,
    kept: HashMap<&'static str, OwnedFd>,
}

impl Interface {
    fn open(files: &mut Files, device: &str, identity: u64) -> Option<Self> {
        let folder = files.enter_sys(format_args!("class/net/{device}"))?;
        Some(Self {
            identity,
            folder,
            kept: HashMap::new(),
        })
    }

    /// Opens the attributes, for all rounds to come.
    fn keep(mut self) -> Self {
        let names = ATTRIBUTES
            .iter()
            .map(|(file, _)| *file)
            .chain(TEXTS)
            .chain(["speed", NO_HANDLER_FILE]);
        let folder = &self.folder;
        self.kept = names
            .filter_map(|file| Some((file, open_attribute(folder, file)?)))
            .collect();
        self
    }

    fn text<'f>(&self, files: &'f mut Files, file: &str) -> Option<&'f str> {
        match self.kept.get(file) {
            Some(kept) => files.attribute_of(kept),
            None => files.attribute_in(&self.folder, file),
        }
    }

    fn number(&self, files: &mut Files, file: &str) -> Option<f64> {
        self.text(files, file).and_then(integer)
    }
}

/// Whether the configuration leaves the interface out.
fn is_left_out(config: &HostConfig, device: &str) -> bool {
    let exclude = config.interfaces_exclude.as_ref();
    exclude.is_some_and(|exclude| exclude.is_match(device))
}

/// `/proc/net/dev`. The device's name may hold anything but white space and slashes, colons too.
pub(super) fn netdev(round: &mut Round<'_>) -> Result<(), SourceError> {
    let mut devices = Vec::new();
    let text = round.files.proc("net/dev")?;
    // The first two lines are the heads of the table.
    for line in text.lines().skip(2) {
        let Some((device, values)) = line.rsplit_once(':') else {
            round.out.malformed();
            continue;
        };
        let device = device.trim();
        if is_left_out(round.config, device) {
            continue;
        }
        let values: Option<Vec<f64>> = values.split_whitespace().map(number).collect();
        let Some(values) = values.filter(|values| values.len() >= COLUMNS.len()) else {
            round.out.malformed();
            continue;
        };
        for (desc, value) in COLUMNS.iter().zip(values) {
            round.out.push(desc, &[("device", device)], value);
        }
        devices.push(device.to_owned());
    }
    for device in devices {
        // Earlier in the round `netclass` has seen to it that these folders are the right ones.
        let value = match round.state.interfaces.get(&device) {
            Some(interface) => interface.number(round.files, NO_HANDLER_FILE),
            None => round
                .files
                .number(format_args!("class/net/{device}/{NO_HANDLER_FILE}")),
        };
        round
            .out
            .push_some(&NO_HANDLER, &[("device", &device)], value);
    }
    Ok(())
}

/// `/sys/class/net`. An attribute that the interface cannot tell now, such as the carrier of one
/// that is down, is left out.
pub(super) fn netclass(round: &mut Round<'_>) -> Result<(), SourceError> {
    let devices = round.files.list_sys("class/net")?;
    let known = &mut round.state.interfaces;
    known.retain(|device, _| devices.contains(device));
    for device in devices {
        if is_left_out(round.config, &device) {
            continue;
        }
        // What is no folder is no interface, such as the file `bonding_masters`.
        let Some(identity) = round.files.sys_identity(format_args!("class/net/{device}")) else {
            continue;
        };
        if let Some(interface) = known
            .get(&device)
            .filter(|known| known.identity == identity)
        {
            netclass_interface(round.files, round.out, &device, interface);
        } else if let Some(interface) = Interface::open(round.files, &device, identity) {
            netclass_interface(round.files, round.out, &device, &interface);
            // Another may have had the name, and the number of open files is bounded.
            known.remove(&device);
            if known.len() < KEPT_MAX {
                known.insert(device, interface.keep());
            }
        }
    }
    Ok(())
}

fn netclass_interface(files: &mut Files, out: &mut Sink, device: &str, at: &Interface) {
    let [address, broadcast, duplex, alias, operstate] =
        TEXTS.map(|file| at.text(files, file).unwrap_or_default().to_owned());
    let labels = [("device", device)];
    out.push(&UP, &labels, f64::from(u8::from(operstate == "up")));
    let mut flags = None;
    for (file, desc) in &ATTRIBUTES {
        let value = at.number(files, file);
        out.push_some(desc, &labels, value);
        if *file == "flags" {
            flags = value;
        }
    }
    let megabits = at.number(files, "speed");
    out.push_some(&SPEED, &labels, megabits.map(|speed| speed * 1e6 / 8.0));
    // The lowest flag is IFF_UP: whether the administrator wants it up.
    let admin = match flags {
        None => "unknown",
        Some(flags) if flags % 2.0 > 0.0 => "up",
        Some(_) => "down",
    };
    let labels = [
        ("address", address.as_str()),
        ("adminstate", admin),
        ("broadcast", &broadcast),
        ("device", device),
        ("duplex", &duplex),
        ("ifalias", &alias),
        ("operstate", &operstate),
    ];
    out.push(&INFO, &labels, 1.0);
}

/// `/sys/class/net/*/bonding`: how many interfaces a bond has, and how many of them work.
pub(super) fn bonding(round: &mut Round<'_>) -> Result<(), SourceError> {
    const SLAVES: Desc<'_> = Desc::gauge("node_bonding_slaves", "Interfaces of the bond.");
    const ACTIVE: Desc<'_> =
        Desc::gauge("node_bonding_active", "Interfaces of the bond that are up.");
    let masters = round.files.sys("class/net/bonding_masters")?.to_owned();
    for master in masters.split_whitespace() {
        let slaves = round
            .files
            .sys(format_args!("class/net/{master}/bonding/slaves"));
        let slaves = match slaves {
            Ok(slaves) => slaves.to_owned(),
            // The bond went away in between.
            Err(_gone) => continue,
        };
        let (mut count, mut active) = (0_u32, 0_u32);
        for slave in slaves.split_whitespace() {
            count += 1;
            let mut status = |link: &str| {
                let path =
                    format_args!("class/net/{master}/{link}_{slave}/bonding_slave/mii_status");
                round.files.attribute(path).map(|status| status == "up")
            };
            // The link's name was `slave_` before Linux 3.13.
            let up = status("lower").or_else(|| status("slave"));
            active += u32::from(up == Some(true));
        }
        round
            .out
            .push(&SLAVES, &[("master", master)], f64::from(count));
        round
            .out
            .push(&ACTIVE, &[("master", master)], f64::from(active));
    }
    Ok(())
}
