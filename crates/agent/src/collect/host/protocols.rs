//! Network protocols: their counters, sockets and queues in the kernel.

use super::read::{SourceError, hex, number};
use super::{Desc, Round};

/// `/proc/net/arp`: neighbours by interface.
pub(super) fn arp(round: &mut Round<'_>) -> Result<(), SourceError> {
    const ENTRIES: Desc<'_> = Desc::gauge("node_arp_entries", "ARP entries by interface.");
    let text = round.files.proc("net/arp")?;
    let mut counts: Vec<(&str, u32)> = Vec::new();
    for line in text.lines().skip(1) {
        let Some(device) = line.split_whitespace().nth(5) else {
            round.out.malformed();
            continue;
        };
        match counts.iter_mut().find(|(name, _)| *name == device) {
            Some((_, count)) => *count += 1,
            None => counts.push((device, 1)),
        }
    }
    counts.sort_unstable();
    for (device, count) in counts {
        round
            .out
            .push(&ENTRIES, &[("device", device)], f64::from(count));
    }
    Ok(())
}

/// Connection tracking: entries, their limit, and what became of packets on all CPUs together.
pub(super) fn conntrack(round: &mut Round<'_>) -> Result<(), SourceError> {
    const ENTRIES: Desc<'_> = Desc::gauge("node_nf_conntrack_entries", "Connections tracked.");
    const LIMIT: Desc<'_> = Desc::gauge(
        "node_nf_conntrack_entries_limit",
        "Connections that can be tracked.",
    );
    #[rustfmt::skip]
    const STATS: [(&str, Desc<'_>); 8] = [
        ("found", Desc::gauge("node_nf_conntrack_stat_found", "Entries that were found.")),
        ("invalid", Desc::gauge("node_nf_conntrack_stat_invalid", "Packets that cannot be tracked.")),
        ("ignore", Desc::gauge("node_nf_conntrack_stat_ignore", "Packets of connections known already.")),
        ("insert", Desc::gauge("node_nf_conntrack_stat_insert", "Entries inserted.")),
        ("insert_failed", Desc::gauge("node_nf_conntrack_stat_insert_failed", "Entries that could not be inserted.")),
        ("drop", Desc::gauge("node_nf_conntrack_stat_drop", "Packets dropped because tracking failed.")),
        ("early_drop", Desc::gauge("node_nf_conntrack_stat_early_drop", "Entries dropped to make room.")),
        ("search_restart", Desc::gauge("node_nf_conntrack_stat_search_restart", "Searches begun anew.")),
    ];
    for (desc, file) in [(&ENTRIES, "count"), (&LIMIT, "max")] {
        let path = format_args!("sys/net/netfilter/nf_conntrack_{file}");
        let value = round.files.proc_number(path)?;
        round.out.push(desc, &[], value);
    }
    let text = round.files.proc("net/stat/nf_conntrack")?;
    let mut lines = text.lines();
    let heads: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let mut sums = [None; STATS.len()];
    for line in lines {
        let row: Option<Vec<f64>> = line.split_whitespace().map(hex).collect();
        let Some(row) = row else {
            round.out.malformed();
            continue;
        };
        for ((name, _), sum) in STATS.iter().zip(&mut sums) {
            let column = heads.iter().position(|head| head == name);
            if let Some(value) = column.and_then(|column| row.get(column)) {
                *sum = Some(sum.unwrap_or(0.0) + value);
            }
        }
    }
    for ((_, desc), sum) in STATS.iter().zip(sums) {
        round.out.push_some(desc, &[], sum);
    }
    Ok(())
}

/// `/proc/net/netstat`, `snmp` and `snmp6`: the counters that are kept by default.
pub(super) fn netstat(round: &mut Round<'_>) -> Result<(), SourceError> {
    const HELP: &str = "Statistic of /proc/net/netstat, snmp or snmp6.";
    let mut metric = String::new();
    let mut name_metric = |protocol: &str, field: &str| {
        metric.clear();
        for part in ["node_netstat_", protocol, "_", field] {
            metric.push_str(part);
        }
        metric.clone()
    };
    for file in ["net/netstat", "net/snmp"] {
        let text = round.files.proc(file)?;
        let mut lines = text.lines();
        // The names stand in one line and their values in the next.
        while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
            let pair = names.split_once(':').zip(values.split_once(':'));
            let Some(((protocol, names), (_, values))) = pair.filter(|(a, b)| a.0 == b.0) else {
                round.out.malformed();
                continue;
            };
            for (field, value) in names.split_whitespace().zip(values.split_whitespace()) {
                if !is_kept(protocol, field) {
                    continue;
                }
                match number(value) {
                    Some(value) => {
                        let name = name_metric(protocol, field);
                        round.out.push(&Desc::untyped(&name, HELP), &[], value);
                    }
                    None => round.out.malformed(),
                }
            }
        }
    }
    // A host without IPv6 does not have this one.
    let Ok(text) = round.files.proc("net/snmp6") else {
        return Ok(());
    };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let parsed = (|| {
            let (name, value) = (words.next()?, words.next()?);
            let (protocol, field) = name.split_at_checked(name.find('6')? + 1)?;
            Some((protocol, field, number(value)?))
        })();
        match parsed {
            Some((protocol, field, value)) if is_kept(protocol, field) => {
                let name = name_metric(protocol, field);
                round.out.push(&Desc::untyped(&name, HELP), &[], value);
            }
            Some(_) => {}
            None => round.out.malformed(),
        }
    }
    Ok(())
}

/// The default filter of `node_exporter`, as `--collector.netstat.fields` writes it:
/// `(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|
/// TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|
/// Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|
/// Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))`.
fn is_kept(protocol: &str, field: &str) -> bool {
    if matches!(field, "InErrors" | "InErrs") {
        return true;
    }
    match protocol {
        "Ip" => field == "Forwarding",
        "Ip6" | "IpExt" => matches!(field, "InOctets" | "OutOctets"),
        "Icmp" | "Icmp6" => matches!(field, "InMsgs" | "OutMsgs"),
        "TcpExt" => {
            field.starts_with("Listen")
                || field.starts_with("Syncookies")
                || matches!(
                    field,
                    "TCPSynRetrans" | "TCPTimeouts" | "TCPOFOQueue" | "TCPRcvQDrop"
                )
        }
        "Tcp" => matches!(
            field,
            "ActiveOpens"
                | "InSegs"
                | "OutSegs"
                | "OutRsts"
                | "PassiveOpens"
                | "RetransSegs"
                | "CurrEstab"
        ),
        "Udp" | "Udp6" => matches!(
            field,
            "InDatagrams" | "OutDatagrams" | "NoPorts" | "RcvbufErrors" | "SndbufErrors"
        ),
        _ => false,
    }
}

/// `/proc/net/sockstat` and `sockstat6`: sockets by protocol, and their memory.
pub(super) fn sockstat(round: &mut Round<'_>) -> Result<(), SourceError> {
    const HELP: &str = "Field of /proc/net/sockstat or sockstat6.";
    let page_size = page_size(round);
    let mut first_error = None;
    let mut metric = String::new();
    for file in ["net/sockstat", "net/sockstat6"] {
        let text = match round.files.proc(file) {
            Ok(text) => text,
            Err(error) => {
                // A host may lack either internet protocol, not both.
                first_error = first_error.or(Some(error));
                continue;
            }
        };
        for line in text.lines() {
            let Some((protocol, fields)) = line.split_once(':') else {
                round.out.malformed();
                continue;
            };
            let mut words = fields.split_whitespace();
            while let Some(field) = words.next() {
                let Some(value) = words.next().and_then(number) else {
                    round.out.malformed();
                    continue;
                };
                metric.clear();
                for part in ["node_sockstat_", protocol, "_", field] {
                    metric.push_str(part);
                }
                round.out.push(&Desc::gauge(&metric, HELP), &[], value);
                // The kernel counts this memory in pages.
                if let (Some(page_size), "mem") = (page_size, field) {
                    metric.push_str("_bytes");
                    round
                        .out
                        .push(&Desc::gauge(&metric, HELP), &[], value * page_size);
                }
            }
        }
    }
    match first_error {
        Some(error) if metric.is_empty() => Err(error),
        _ => Ok(()),
    }
}

/// The bytes of a page, from what the kernel told this process at its start; it never changes.
fn page_size(round: &mut Round<'_>) -> Option<f64> {
    /// The tag of the page size in the auxiliary vector, see getauxval(3).
    const AT_PAGESZ: usize = 6;
    if round.state.page_size.is_none() {
        let bytes = round.files.proc_bytes("self/auxv").ok()?;
        let (words, _) = bytes.as_chunks::<{ size_of::<usize>() }>();
        let words: Vec<usize> = words
            .iter()
            .map(|word| usize::from_ne_bytes(*word))
            .collect();
        let (pairs, _) = words.as_chunks::<2>();
        let found = pairs.iter().find(|[tag, _]| *tag == AT_PAGESZ)?;
        round.state.page_size = u32::try_from(found[1]).ok().map(f64::from);
    }
    round.state.page_size
}

/// `/proc/net/softnet_stat`: how each CPU gets on with received packets. Columns in hexadecimal,
/// more of them with each generation of kernels.
pub(super) fn softnet(round: &mut Round<'_>) -> Result<(), SourceError> {
    #[rustfmt::skip]
    const COLUMNS: [(usize, Desc<'_>); 7] = [
        (0, Desc::counter("node_softnet_processed_total", "Packets processed.")),
        (1, Desc::counter("node_softnet_dropped_total", "Packets dropped.")),
        (2, Desc::counter("node_softnet_times_squeezed_total", "Times that work was left when the time was up.")),
        (8, Desc::counter("node_softnet_cpu_collision_total", "Collisions on sending.")),
        (9, Desc::counter("node_softnet_received_rps_total", "Times woken up to process packets.")),
        (10, Desc::counter("node_softnet_flow_limit_count_total", "Times that the flow limit was reached.")),
        (11, Desc::gauge("node_softnet_backlog_len", "Packets in the backlog.")),
    ];
    /// The column that holds the CPU's number, since Linux 5.10.
    const CPU: usize = 12;
    let text = round.files.proc("net/softnet_stat")?;
    for (index, line) in text.lines().enumerate() {
        let row: Option<Vec<f64>> = line.split_whitespace().map(hex).collect();
        let Some(row) = row.filter(|row| row.len() > 2) else {
            round.out.malformed();
            continue;
        };
        // Offline CPUs have no row, so that the row's number is a guess on old kernels.
        let cpu = row
            .get(CPU)
            .map_or_else(|| index.to_string(), f64::to_string);
        for (column, desc) in &COLUMNS {
            round
                .out
                .push_some(desc, &[("cpu", &cpu)], row.get(*column).copied());
        }
    }
    Ok(())
}

/// `/proc/net/udp` and `udp6`: bytes that wait in the queues of all sockets together.
pub(super) fn udp_queues(round: &mut Round<'_>) -> Result<(), SourceError> {
    const QUEUES: Desc<'_> = Desc::gauge("node_udp_queues", "Bytes in the queues of UDP sockets.");
    let mut first_error = None;
    let mut found = false;
    for (ip, file) in [("v4", "net/udp"), ("v6", "net/udp6")] {
        let text = match round.files.proc(file) {
            Ok(text) => text,
            Err(error) => {
                first_error = first_error.or(Some(error));
                continue;
            }
        };
        let (mut sending, mut received) = (0.0, 0.0);
        for line in text.lines().skip(1) {
            let queues = line
                .split_whitespace()
                .nth(4)
                .and_then(|queues| queues.split_once(':'))
                .and_then(|(tx, rx)| hex(tx).zip(hex(rx)));
            let Some((tx, rx)) = queues else {
                round.out.malformed();
                continue;
            };
            sending += tx;
            received += rx;
        }
        round
            .out
            .push(&QUEUES, &[("ip", ip), ("queue", "tx")], sending);
        round
            .out
            .push(&QUEUES, &[("ip", ip), ("queue", "rx")], received);
        found = true;
    }
    match first_error {
        Some(error) if !found => Err(error),
        _ => Ok(()),
    }
}
