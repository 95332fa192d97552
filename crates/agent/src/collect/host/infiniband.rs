//! `/sys/class/infiniband`: the ports by which GPU nodes talk to each other and to storage.

use super::read::{SourceError, number};
use super::{Desc, Round};

const STATE: Desc<'_> = Desc::gauge(
    "node_infiniband_state_id",
    "State of the port: 1 down, 2 init, 3 armed, 4 active, 5 active deferred.",
);
const PHYSICAL_STATE: Desc<'_> = Desc::gauge(
    "node_infiniband_physical_state_id",
    "State of the link: 1 sleep, 2 polling, 3 disabled, 4 shift, 5 up, 6 recovering, 7 test.",
);
const RATE: Desc<'_> = Desc::gauge(
    "node_infiniband_rate_bytes_per_second",
    "Fastest rate of the link.",
);
const INFO: Desc<'_> = Desc::gauge("node_infiniband_info", "What the device is.");
const HELP: &str = "Counter of a port of /sys/class/infiniband.";

/// Bytes of the counters of data, which count words of four bytes.
const WORD: f64 = 4.0;

/// Counters by file: what follows `node_infiniband_`, and by what the file's number is multiplied.
#[rustfmt::skip]
const COUNTERS: [(&str, &str, f64); 59] = [
    ("counters_ext/port_multicast_rcv_packets", "legacy_multicast_packets_received_total", 1.0),
    ("counters_ext/port_multicast_xmit_packets", "legacy_multicast_packets_transmitted_total", 1.0),
    ("counters_ext/port_rcv_data_64", "legacy_data_received_bytes_total", WORD),
    ("counters_ext/port_rcv_packets_64", "legacy_packets_received_total", 1.0),
    ("counters_ext/port_unicast_rcv_packets", "legacy_unicast_packets_received_total", 1.0),
    ("counters_ext/port_unicast_xmit_packets", "legacy_unicast_packets_transmitted_total", 1.0),
    ("counters_ext/port_xmit_data_64", "legacy_data_transmitted_bytes_total", WORD),
    ("counters_ext/port_xmit_packets_64", "legacy_packets_transmitted_total", 1.0),
    ("counters/excessive_buffer_overrun_errors", "excessive_buffer_overrun_errors_total", 1.0),
    ("counters/link_downed", "link_downed_total", 1.0),
    ("counters/link_error_recovery", "link_error_recovery_total", 1.0),
    ("counters/local_link_integrity_errors", "local_link_integrity_errors_total", 1.0),
    ("counters/multicast_rcv_packets", "multicast_packets_received_total", 1.0),
    ("counters/multicast_xmit_packets", "multicast_packets_transmitted_total", 1.0),
    ("counters/port_rcv_constraint_errors", "port_constraint_errors_received_total", 1.0),
    ("counters/port_rcv_data", "port_data_received_bytes_total", WORD),
    ("counters/port_rcv_discards", "port_discards_received_total", 1.0),
    ("counters/port_rcv_errors", "port_errors_received_total", 1.0),
    ("counters/port_rcv_packets", "port_packets_received_total", 1.0),
    ("counters/port_rcv_remote_physical_errors", "port_receive_remote_physical_errors_total", 1.0),
    ("counters/port_rcv_switch_relay_errors", "port_receive_switch_relay_errors_total", 1.0),
    ("counters/port_xmit_constraint_errors", "port_constraint_errors_transmitted_total", 1.0),
    ("counters/port_xmit_data", "port_data_transmitted_bytes_total", WORD),
    ("counters/port_xmit_discards", "port_discards_transmitted_total", 1.0),
    ("counters/port_xmit_packets", "port_packets_transmitted_total", 1.0),
    ("counters/port_xmit_wait", "port_transmit_wait_total", 1.0),
    ("counters/symbol_error", "symbol_error_total", 1.0),
    ("counters/unicast_rcv_packets", "unicast_packets_received_total", 1.0),
    ("counters/unicast_xmit_packets", "unicast_packets_transmitted_total", 1.0),
    ("counters/VL15_dropped", "vl15_dropped_total", 1.0),
    ("hw_counters/duplicate_request", "duplicate_requests_packets_total", 1.0),
    ("hw_counters/implied_nak_seq_err", "implied_nak_seq_errors_total", 1.0),
    ("hw_counters/local_ack_timeout_err", "local_ack_timeout_errors_total", 1.0),
    ("hw_counters/np_cnp_sent", "np_cnp_packets_sent_total", 1.0),
    ("hw_counters/np_ecn_marked_roce_packets", "np_ecn_marked_roce_packets_received_total", 1.0),
    ("hw_counters/out_of_buffer", "out_of_buffer_drops_total", 1.0),
    ("hw_counters/out_of_sequence", "out_of_sequence_packets_received_total", 1.0),
    ("hw_counters/packet_seq_err", "packet_sequence_errors_total", 1.0),
    ("hw_counters/req_cqe_error", "req_cqes_errors_total", 1.0),
    ("hw_counters/req_cqe_flush_error", "req_cqes_flush_errors_total", 1.0),
    ("hw_counters/req_remote_access_errors", "req_remote_access_errors_total", 1.0),
    ("hw_counters/req_remote_invalid_request", "req_remote_invalid_request_errors_total", 1.0),
    ("hw_counters/resp_cqe_error", "resp_cqes_errors_total", 1.0),
    ("hw_counters/resp_cqe_flush_error", "resp_cqes_flush_errors_total", 1.0),
    ("hw_counters/resp_local_length_error", "resp_local_length_errors_total", 1.0),
    ("hw_counters/resp_remote_access_errors", "resp_remote_access_errors_total", 1.0),
    ("hw_counters/rnr_nak_retry_err", "rnr_nak_retry_packets_received_total", 1.0),
    ("hw_counters/roce_adp_retrans", "roce_adp_retransmits_total", 1.0),
    ("hw_counters/roce_adp_retrans_to", "roce_adp_retransmits_timeout_total", 1.0),
    ("hw_counters/roce_slow_restart", "roce_slow_restart_used_total", 1.0),
    ("hw_counters/roce_slow_restart_cnps", "roce_slow_restart_cnps_total", 1.0),
    ("hw_counters/roce_slow_restart_trans", "roce_slow_restart_total", 1.0),
    ("hw_counters/rp_cnp_handled", "rp_cnp_packets_handled_total", 1.0),
    ("hw_counters/rp_cnp_ignored", "rp_cnp_ignored_packets_received_total", 1.0),
    ("hw_counters/rx_atomic_requests", "rx_atomic_requests_total", 1.0),
    ("hw_counters/rx_dct_connect", "rx_dct_connect_requests_total", 1.0),
    ("hw_counters/rx_icrc_encapsulated", "rx_icrc_encapsulated_errors_total", 1.0),
    ("hw_counters/rx_read_requests", "rx_read_requests_total", 1.0),
    ("hw_counters/rx_write_requests", "rx_write_requests_total", 1.0),
];

/// All ports of all devices.
pub(super) fn infiniband(round: &mut Round<'_>) -> Result<(), SourceError> {
    let mut metric = String::new();
    for device in round.files.list_sys("class/infiniband")? {
        let folder = format!("class/infiniband/{device}");
        let mut own = |file: &str| {
            let text = round.files.attribute(format_args!("{folder}/{file}"));
            text.unwrap_or_default().to_owned()
        };
        let [board, firmware, hca] = ["board_id", "fw_ver", "hca_type"].map(&mut own);
        let labels = [
            ("board_id", board.as_str()),
            ("device", &device),
            ("firmware_version", &firmware),
            ("hca_type", &hca),
        ];
        round.out.push(&INFO, &labels, 1.0);
        for port in round
            .files
            .list_sys(format_args!("{folder}/ports"))
            .unwrap_or_default()
        {
            let labels = [("device", device.as_str()), ("port", &port)];
            let Some(at) = round.files.enter_sys(format_args!("{folder}/ports/{port}")) else {
                continue;
            };
            for (desc, file) in [(&STATE, "state"), (&PHYSICAL_STATE, "phys_state")] {
                // Such as «4: ACTIVE».
                let state = round.files.attribute_in(&at, file);
                let state = state.and_then(|text| number(text.split(':').next()?.trim()));
                round.out.push_some(desc, &labels, state);
            }
            // Such as «100 Gb/sec (4X EDR)».
            let rate = round.files.attribute_in(&at, "rate");
            let gigabits = rate.and_then(|text| number(text.split(' ').next()?));
            round
                .out
                .push_some(&RATE, &labels, gigabits.map(|rate| rate * 1e9 / 8.0));
            for (file, name, factor) in COUNTERS {
                let Some(value) = round.files.number_in(&at, file) else {
                    continue;
                };
                metric.clear();
                metric.push_str("node_infiniband_");
                metric.push_str(name);
                round
                    .out
                    .push(&Desc::counter(&metric, HELP), &labels, value * factor);
            }
        }
    }
    Ok(())
}
