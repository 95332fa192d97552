//! Each reader against small trees of files, with what is torn, missing, old or huge in them.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use daemon::clock::{Clock, SystemClock};
use expect_test::{Expect, expect};
use series::MetricKind;
use tempfile::TempDir;

use super::*;

/// A host made of files. A path ending in a slash is a folder; contents starting with `->` a link.
fn tree(files: &[(&str, &str)]) -> (TempDir, HostConfig) {
    let folder = tempfile::tempdir().unwrap();
    for (path, contents) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match contents.strip_prefix("->") {
            Some(target) => symlink(target, &path).unwrap(),
            None if path.to_string_lossy().ends_with('/') => fs::create_dir_all(&path).unwrap(),
            None => fs::write(&path, contents).unwrap(),
        }
    }
    let config = HostConfig {
        proc: folder.path().join("proc"),
        sys: folder.path().join("sys"),
        root: folder.path().join("root"),
        udev_data: folder.path().join("udev"),
        time_zone: Some(TimeZone::UTC),
        ..HostConfig::default()
    };
    (folder, config)
}

fn clock() -> Arc<dyn Clock> {
    SystemClock::shared()
}

/// What the sub-collector `name` says of a tree, one line a sample with its type before it.
fn collect(name: &str, files: &[(&str, &str)]) -> String {
    let (folder, config) = tree(files);
    let mut host = Host::new(config, clock());
    let snapshot = host.collect(Timestamp::from_millis(1_700_000_000_500));
    let snapshot = match snapshot {
        Ok(snapshot) => snapshot,
        Err(error) => return format!("{error}\n"),
    };
    let section = SUBS.iter().position(|(sub, _)| *sub == name).unwrap();
    let mut said = String::new();
    for sample in &snapshot.samples {
        if !host.sink.is_from(section, &sample.labels) {
            continue;
        }
        let metric = sample.labels.metric_name();
        let family = snapshot
            .families
            .iter()
            .find(|family| family.name == metric)
            .unwrap();
        let kind = match family.kind {
            MetricKind::Counter => "c",
            MetricKind::Gauge => "g",
            _ => "?",
        };
        let labels = sample
            .labels
            .to_string()
            .replace(&*folder.path().to_string_lossy(), "");
        said.push_str(&format!("{kind} {labels} {}\n", sample.value));
    }
    for sample in &snapshot.samples {
        let metric = sample.labels.metric_name();
        if metric == SUCCESS.name && sample.labels.get("collector") == name {
            said.push_str(&format!("success {}", sample.value));
        }
        if metric == MALFORMED.name {
            said.push_str(&format!(", malformed {}\n", sample.value));
        }
    }
    said
}

/// The same with `/proc/loadavg`, so that the host as a whole can be read.
fn check(name: &str, files: &[(&str, &str)], expected: &Expect) {
    let mut files = files.to_vec();
    files.push(("proc/loadavg", "0.01 0.02 0.03 1/2 3\n"));
    expected.assert_eq(&collect(name, &files));
}

#[test]
fn a_host_without_any_source_is_an_error() {
    let (_folder, config) = tree(&[]);
    let error = Host::new(config, clock())
        .collect(Timestamp::default())
        .unwrap_err();
    assert!(!error.is_retryable(), "{error:?}");
}

#[test]
fn every_default_filter_is_a_regular_expression_of_node_exporter() {
    let config = HostConfig::default();
    for (device, excluded) in [
        ("vda", false),
        ("vda1", true),
        ("nvme0n1", false),
        ("nvme0n1p2", true),
        ("zram0", true),
    ] {
        assert_eq!(config.disks_exclude.is_match(device), excluded, "{device}");
    }
    for (point, excluded) in [
        ("/", false),
        ("/proc/x", true),
        ("/processes", false),
        ("/mnt", false),
    ] {
        assert_eq!(config.mounts_exclude.is_match(point), excluded, "{point}");
    }
    assert!(config.filesystems_exclude.is_match("overlay"));
    assert!(!config.filesystems_exclude.is_match("tmpfs"));
}

#[test]
fn a_missing_source_costs_only_its_sub_collector() {
    let (_folder, config) = tree(&[("proc/loadavg", "1 2 3 4/5 6\n")]);
    let snapshot = Host::new(config, clock())
        .collect(Timestamp::default())
        .unwrap();
    let success = |name: &str| {
        let found = snapshot.samples.iter().find(|sample| {
            sample.labels.metric_name() == SUCCESS.name && sample.labels.get("collector") == name
        });
        found.map(|sample| sample.value > 0.0)
    };
    assert_eq!(success("loadavg"), Some(true));
    assert_eq!(success("meminfo"), Some(false));
    assert_eq!(snapshot.refused, 0);
    let kinds = snapshot
        .samples
        .iter()
        .filter(|s| s.labels.metric_name() == SUCCESS.name);
    assert_eq!(kinds.count(), SUBS.len());
}

#[test]
fn processes_can_be_left_out() {
    let files = [
        ("proc/loadavg", "1 2 3 4/5 6\n"),
        ("proc/1/stat", "1 (init) S 0\n"),
    ];
    let (_folder, mut config) = tree(&files);
    config.processes = false;
    let snapshot = Host::new(config, clock())
        .collect(Timestamp::default())
        .unwrap();
    let says = |metric: &str| {
        snapshot
            .samples
            .iter()
            .any(|s| s.labels.metric_name() == metric)
    };
    assert!(says("node_load1") && !says("node_processes_pids"));
}

#[test]
fn cpu_times_are_seconds_and_old_kernels_have_fewer_columns() {
    let stat = "cpu  9 9 9 9\ncpu0 100 1 2 300 4 5 6 7 8 9\ncpu1 1 2 3 4\ncpu2 1 torn\nintr 5 1 1\nctxt 18446744073709551615\nbtime 1700000000\nprocesses x\n";
    check(
        "cpu",
        &[
            ("proc/stat", stat),
            ("sys/devices/system/cpu/isolated", "1,3-4\n"),
        ],
        &expect![[r#"
        c node_cpu_seconds_total{cpu="0",mode="user"} 1
        c node_cpu_seconds_total{cpu="0",mode="nice"} 0.01
        c node_cpu_seconds_total{cpu="0",mode="system"} 0.02
        c node_cpu_seconds_total{cpu="0",mode="idle"} 3
        c node_cpu_seconds_total{cpu="0",mode="iowait"} 0.04
        c node_cpu_seconds_total{cpu="0",mode="irq"} 0.05
        c node_cpu_seconds_total{cpu="0",mode="softirq"} 0.06
        c node_cpu_seconds_total{cpu="0",mode="steal"} 0.07
        c node_cpu_guest_seconds_total{cpu="0",mode="user"} 0.08
        c node_cpu_guest_seconds_total{cpu="0",mode="nice"} 0.09
        c node_cpu_seconds_total{cpu="1",mode="user"} 0.01
        c node_cpu_seconds_total{cpu="1",mode="nice"} 0.02
        c node_cpu_seconds_total{cpu="1",mode="system"} 0.03
        c node_cpu_seconds_total{cpu="1",mode="idle"} 0.04
        g node_cpu_isolated{cpu="1"} 1
        g node_cpu_isolated{cpu="3"} 1
        g node_cpu_isolated{cpu="4"} 1
        success 1, malformed 2
    "#]],
    );
    check(
        "stat",
        &[("proc/stat", stat)],
        &expect![[r#"
        c node_intr_total 5
        c node_context_switches_total 18446744073709552000
        g node_boot_time_seconds 1700000000
        success 1, malformed 2
    "#]],
    );
}

#[test]
fn throttling_is_told_once_for_each_core_and_package() {
    let cpu = |n: u32, core: u32| {
        let base = format!("sys/devices/system/cpu/cpu{n}");
        [
            (
                format!("{base}/topology/physical_package_id"),
                "0\n".to_owned(),
            ),
            (format!("{base}/topology/core_id"), format!("{core}\n")),
            (
                format!("{base}/thermal_throttle/core_throttle_count"),
                format!("{}\n", n + 5),
            ),
            (
                format!("{base}/thermal_throttle/package_throttle_count"),
                "30\n".to_owned(),
            ),
        ]
    };
    let mut files = [cpu(0, 0), cpu(1, 0), cpu(2, 1)].concat();
    files.push((
        "proc/stat".into(),
        "cpu0 0 0 0 0\ncpu1 0 0 0 0\ncpu2 0 0 0 0\n".into(),
    ));
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let said = collect("cpu", &files);
    let throttles: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("throttles"))
        .collect();
    expect![[r#"
        c node_cpu_core_throttles_total{core="0",package="0"} 5
        c node_cpu_package_throttles_total{package="0"} 30
        c node_cpu_core_throttles_total{core="1",package="0"} 7"#]]
    .assert_eq(&throttles.join("\n"));
}

#[test]
fn frequencies_are_hertz_and_one_governor_is_chosen() {
    let base = "sys/devices/system/cpu/cpu1/cpufreq";
    let files = [
        (format!("{base}/scaling_governor"), "powersave\n"),
        (
            format!("{base}/scaling_available_governors"),
            "performance powersave\n",
        ),
        (format!("{base}/scaling_cur_freq"), "1699981\n"),
        (format!("{base}/cpuinfo_max_freq"), "<unknown>\n"),
        ("sys/devices/system/cpu/cpufreq/x".to_owned(), ""),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), *b)).collect();
    check(
        "cpufreq",
        &files,
        &expect![[r#"
        g node_cpu_scaling_frequency_hertz{cpu="1"} 1699981000
        g node_cpu_scaling_governor{cpu="1",governor="performance"} 0
        g node_cpu_scaling_governor{cpu="1",governor="powersave"} 1
        success 1, malformed 0
    "#]],
    );
}

#[test]
fn memory_is_in_bytes_unless_it_is_a_count() {
    let text = "MemTotal:       24682416 kB\nActive(anon):       1608 kB\nHugePages_Total:       0\nTorn\nOdd: 5 MB\nBad: x kB\nDirectMap1G";
    check(
        "meminfo",
        &[("proc/meminfo", text)],
        &expect![[r#"
        g node_memory_MemTotal_bytes 25274793984
        g node_memory_Active_anon_bytes 1646592
        g node_memory_HugePages_Total 0
        success 1, malformed 4
    "#]],
    );
}

#[test]
fn vmstat_keeps_its_default_fields() {
    let text = "nr_free_pages 5\npgpgin 7\npgmajfault 8\npgfault\npswpout nine\noom_kill 0\n";
    check(
        "vmstat",
        &[("proc/vmstat", text)],
        &expect![[r#"
        ? node_vmstat_pgpgin 7
        ? node_vmstat_pgmajfault 8
        ? node_vmstat_oom_kill 0
        success 1, malformed 2
    "#]],
    );
}

#[test]
fn pressure_is_seconds() {
    let files = [
        (
            "proc/pressure/cpu",
            "some avg10=22.67 avg60=9.78 avg300=6.25 total=41563690\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        ),
        (
            "proc/pressure/io",
            "some avg10=1.44 avg60=0.34 avg300=0.15 total=4883119\nfull avg10=0.00 tot",
        ),
        (
            "proc/pressure/irq",
            "full avg10=0.00 avg60=0.00 avg300=0.00 total=8494\n",
        ),
    ];
    check(
        "pressure",
        &files,
        &expect![[r#"
        c node_pressure_cpu_waiting_seconds_total 41.56369
        c node_pressure_io_waiting_seconds_total 4.883119
        c node_pressure_irq_stalled_seconds_total 0.008494
        success 1, malformed 1
    "#]],
    );
}

#[test]
fn small_files_of_proc() {
    let files = [
        ("proc/sys/fs/file-nr", "1024\t0\t1631329\n"),
        ("proc/sys/kernel/random/entropy_avail", "1337\n"),
        ("proc/sys/kernel/random/poolsize", "torn\n"),
        (
            "proc/schedstat",
            "version 15\ntimestamp 1\ncpu0 498494191 0 3533438552 2553969831 3853684107 2465731542 2045936778163039 343796328169361 4767485306\ncpu1 1 2\ndomain0 0f 1\n",
        ),
    ];
    check(
        "filefd",
        &files,
        &expect![[r#"
        g node_filefd_allocated 1024
        g node_filefd_maximum 1631329
        success 1, malformed 1
    "#]],
    );
    check(
        "entropy",
        &files,
        &expect![[r#"
        g node_entropy_available_bits 1337
        success 0, malformed 1
    "#]],
    );
    check(
        "schedstat",
        &files,
        &expect![[r#"
        c node_schedstat_running_seconds_total{cpu="0"} 2045936.778163039
        c node_schedstat_waiting_seconds_total{cpu="0"} 343796.328169361
        c node_schedstat_timeslices_total{cpu="0"} 4767485306
        success 1, malformed 1
    "#]],
    );
    check(
        "loadavg",
        &[],
        &expect![[r#"
        g node_load1 0.01
        g node_load5 0.02
        g node_load15 0.03
        success 1, malformed 0
    "#]],
    );
}

#[test]
fn processes_are_counted_by_state() {
    let rest = "1 7 7 0 -1 4194560 0 0 0 0 1 2 3 4 20 0";
    let (init, odd) = (
        format!("1 (init) S {rest} 1 0 99 0\n"),
        format!("22 (a) R b) R {rest} 5 0 99 0\n"),
    );
    let files = [
        ("proc/1/stat", init.as_str()),
        ("proc/22/stat", &odd),
        ("proc/23/stat", "23 (torn"),
        ("proc/24/", ""),
        ("proc/self/stat", &init),
        ("proc/sys/kernel/threads-max", "7801\n"),
        ("proc/sys/kernel/pid_max", "4194304\n"),
    ];
    check(
        "processes",
        &files,
        &expect![[r#"
        g node_processes_threads 6
        g node_processes_pids 2
        g node_processes_max_threads 7801
        g node_processes_max_processes 4194304
        g node_processes_state{state="R"} 1
        g node_processes_state{state="S"} 1
        success 1, malformed 1
    "#]],
    );
}

#[test]
fn disks_of_old_and_new_kernels() {
    let text = "   8       0 sda 25354637 34367663 1003346126126 18492372 28444756 11134226 505697032 18444440 0 9653880 37021276\n   8       1 sda1 1 2 3 4 5 6 7 8 9 10 11\n 259       0 nvme0n1 1 0 2 3 4 0 5 6 0 7 8 68851 0 1925173784 11130 99 100 1 2 3\n 104       0 cciss/c0d0 1 0 2 3 4 0 5 6 0 7 8 1 2 3 4\n   8      16 sdb 1 2 3 4\n   8      32 sdc 1 2 x 4 5 6 7 8 9 10 11\ntorn\n";
    let files = [
        ("proc/diskstats", text),
        ("sys/block/cciss!c0d0/queue/rotational", "1\n"),
        (
            "udev/b8:0",
            "S:disk/by-id/x\nE:ID_ATA=1\nE:ID_ATA_WRITE_CACHE=1\nE:ID_ATA_ROTATION_RATE_RPM=7200\nE:ID_MODEL=TOSHIBA\nE:ID_SERIAL=long\nE:ID_SERIAL_SHORT=2160A0D5FVGG\nE:ID_FS_TYPE=ext4\nE:ID_FS_USAGE=filesystem\nE:DM_NAME=system-root\nE:DM_VG_NAME=system\nG:torn",
        ),
    ];
    check(
        "diskstats",
        &files,
        &expect![[r#"
        c node_disk_reads_completed_total{device="sda"} 25354637
        c node_disk_reads_merged_total{device="sda"} 34367663
        c node_disk_read_bytes_total{device="sda"} 513713216576512
        c node_disk_read_time_seconds_total{device="sda"} 18492.372
        c node_disk_writes_completed_total{device="sda"} 28444756
        c node_disk_writes_merged_total{device="sda"} 11134226
        c node_disk_written_bytes_total{device="sda"} 258916880384
        c node_disk_write_time_seconds_total{device="sda"} 18444.44
        g node_disk_io_now{device="sda"} 0
        c node_disk_io_time_seconds_total{device="sda"} 9653.88
        c node_disk_io_time_weighted_seconds_total{device="sda"} 37021.276
        c node_disk_reads_completed_total{device="nvme0n1"} 1
        c node_disk_reads_merged_total{device="nvme0n1"} 0
        c node_disk_read_bytes_total{device="nvme0n1"} 1024
        c node_disk_read_time_seconds_total{device="nvme0n1"} 0.003
        c node_disk_writes_completed_total{device="nvme0n1"} 4
        c node_disk_writes_merged_total{device="nvme0n1"} 0
        c node_disk_written_bytes_total{device="nvme0n1"} 2560
        c node_disk_write_time_seconds_total{device="nvme0n1"} 0.006
        g node_disk_io_now{device="nvme0n1"} 0
        c node_disk_io_time_seconds_total{device="nvme0n1"} 0.007
        c node_disk_io_time_weighted_seconds_total{device="nvme0n1"} 0.008
        c node_disk_discards_completed_total{device="nvme0n1"} 68851
        c node_disk_discards_merged_total{device="nvme0n1"} 0
        c node_disk_discarded_sectors_total{device="nvme0n1"} 1925173784
        c node_disk_discard_time_seconds_total{device="nvme0n1"} 11.13
        c node_disk_flush_requests_total{device="nvme0n1"} 99
        c node_disk_flush_requests_time_seconds_total{device="nvme0n1"} 0.1
        c node_disk_reads_completed_total{device="cciss/c0d0"} 1
        c node_disk_reads_merged_total{device="cciss/c0d0"} 0
        c node_disk_read_bytes_total{device="cciss/c0d0"} 1024
        c node_disk_read_time_seconds_total{device="cciss/c0d0"} 0.003
        c node_disk_writes_completed_total{device="cciss/c0d0"} 4
        c node_disk_writes_merged_total{device="cciss/c0d0"} 0
        c node_disk_written_bytes_total{device="cciss/c0d0"} 2560
        c node_disk_write_time_seconds_total{device="cciss/c0d0"} 0.006
        g node_disk_io_now{device="cciss/c0d0"} 0
        c node_disk_io_time_seconds_total{device="cciss/c0d0"} 0.007
        c node_disk_io_time_weighted_seconds_total{device="cciss/c0d0"} 0.008
        c node_disk_discards_completed_total{device="cciss/c0d0"} 1
        c node_disk_discards_merged_total{device="cciss/c0d0"} 2
        c node_disk_discarded_sectors_total{device="cciss/c0d0"} 3
        c node_disk_discard_time_seconds_total{device="cciss/c0d0"} 0.004
        g node_disk_info{device="sda",major="8",minor="0",model="TOSHIBA",serial="2160A0D5FVGG"} 1
        g node_disk_filesystem_info{device="sda",type="ext4",usage="filesystem"} 1
        g node_disk_device_mapper_info{device="sda",name="system-root",vg_name="system"} 1
        g node_disk_ata_write_cache{device="sda"} 1
        g node_disk_ata_rotation_rate_rpm{device="sda"} 7200
        g node_disk_info{device="nvme0n1",major="259",minor="0"} 1
        g node_disk_info{device="cciss/c0d0",major="104",minor="0",rotational="1"} 1
        success 1, malformed 3
    "#]],
    );
}

#[test]
fn filesystems_are_told_once_and_under_the_host_root() {
    let mounts = "/dev/vda / ext4 rw,relatime 0 0\n/dev/vda / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\nnas:/x /mnt/gone\\040away nfs4 ro,hard 0 0\ntorn /x\n";
    let said = collect("filesystem", &[("proc/mounts", mounts), ("root/etc/x", "")]);
    let stable: Vec<&str> = said
        .lines()
        .filter(|line| {
            line.contains("device_error") || line.contains("readonly") || line.starts_with('s')
        })
        .collect();
    expect![[r#"
        g node_filesystem_device_error{device="/dev/vda",fstype="ext4",mountpoint="/"} 0
        g node_filesystem_readonly{device="/dev/vda",fstype="ext4",mountpoint="/"} 0
        g node_filesystem_device_error{device="nas:/x",device_error="No such file or directory (os error 2)",fstype="nfs4",mountpoint="/mnt/gone away"} 1
        g node_filesystem_readonly{device="nas:/x",device_error="No such file or directory (os error 2)",fstype="nfs4",mountpoint="/mnt/gone away"} 1
        success 1, malformed 1"#]].assert_eq(&stable.join("\n"));
    assert_eq!(said.matches("node_filesystem_size_bytes").count(), 1);
}

#[test]
fn network_devices_may_have_odd_names_and_torn_lines() {
    let text = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n  eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 18446744073709551615\n    lo: 1 2 3\n torn\n";
    let files = [
        ("proc/net/dev", text),
        ("sys/class/net/eth0:1/statistics/rx_nohandler", "17\n"),
    ];
    check(
        "netdev",
        &files,
        &expect![[r#"
        c node_network_receive_bytes_total{device="eth0:1"} 1
        c node_network_receive_packets_total{device="eth0:1"} 2
        c node_network_receive_errs_total{device="eth0:1"} 3
        c node_network_receive_drop_total{device="eth0:1"} 4
        c node_network_receive_fifo_total{device="eth0:1"} 5
        c node_network_receive_frame_total{device="eth0:1"} 6
        c node_network_receive_compressed_total{device="eth0:1"} 7
        c node_network_receive_multicast_total{device="eth0:1"} 8
        c node_network_transmit_bytes_total{device="eth0:1"} 9
        c node_network_transmit_packets_total{device="eth0:1"} 10
        c node_network_transmit_errs_total{device="eth0:1"} 11
        c node_network_transmit_drop_total{device="eth0:1"} 12
        c node_network_transmit_fifo_total{device="eth0:1"} 13
        c node_network_transmit_colls_total{device="eth0:1"} 14
        c node_network_transmit_carrier_total{device="eth0:1"} 15
        c node_network_transmit_compressed_total{device="eth0:1"} 18446744073709552000
        c node_network_receive_nohandler_total{device="eth0:1"} 17
        success 1, malformed 2
    "#]],
    );
}

#[test]
fn an_interface_tells_what_it_can() {
    let files = [
        ("sys/class/net/bond0/operstate", "up\n"),
        ("sys/class/net/bond0/address", "01:01:01:01:01:01\n"),
        ("sys/class/net/bond0/flags", "0x1303\n"),
        ("sys/class/net/bond0/dev_id", "0x20\n"),
        ("sys/class/net/bond0/mtu", "1500\n"),
        ("sys/class/net/bond0/speed", "-1\n"),
        ("sys/class/net/bond0/carrier", "torn\n"),
        ("sys/class/net/bond0/bonding/slaves", "eth0 eth1\n"),
        (
            "sys/class/net/bond0/lower_eth0/bonding_slave/mii_status",
            "up\n",
        ),
        (
            "sys/class/net/bond0/slave_eth1/bonding_slave/mii_status",
            "down\n",
        ),
        ("sys/class/net/bonding_masters", "bond0 gone0\n"),
    ];
    check(
        "netclass",
        &files,
        &expect![[r#"
        g node_network_up{device="bond0"} 1
        g node_network_device_id{device="bond0"} 32
        g node_network_flags{device="bond0"} 4867
        g node_network_mtu_bytes{device="bond0"} 1500
        g node_network_speed_bytes{device="bond0"} -125000
        g node_network_info{address="01:01:01:01:01:01",adminstate="up",device="bond0",operstate="up"} 1
        success 1, malformed 0
    "#]],
    );
    check(
        "bonding",
        &files,
        &expect![[r#"
        g node_bonding_slaves{master="bond0"} 2
        g node_bonding_active{master="bond0"} 1
        success 1, malformed 0
    "#]],
    );
}

#[test]
fn protocol_counters_pair_names_with_values() {
    let files = [
        (
            "proc/net/netstat",
            "TcpExt: SyncookiesSent EmbryonicRsts ListenDrops TCPTimeouts\nTcpExt: 1 2 3 x\nIpExt: InOctets\n",
        ),
        (
            "proc/net/snmp",
            "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: RtoMin CurrEstab\nUdp: 1 2\nUdpLite: InErrors\nUdpLite: 5\n",
        ),
        (
            "proc/net/snmp6",
            "Ip6InOctets                     \t460\nIcmp6InErrors \t1\nIcmp6InMsgs torn\nNoSix 4\n",
        ),
    ];
    check(
        "netstat",
        &files,
        &expect![[r#"
        ? node_netstat_TcpExt_SyncookiesSent 1
        ? node_netstat_TcpExt_ListenDrops 3
        ? node_netstat_Ip_Forwarding 1
        ? node_netstat_UdpLite_InErrors 5
        ? node_netstat_Ip6_InOctets 460
        ? node_netstat_Icmp6_InErrors 1
        success 1, malformed 4
    "#]],
    );
}

#[test]
fn socket_memory_is_in_pages_and_told_in_bytes_too() {
    let auxv: Vec<u8> = [6_usize, 4096, 0, 0]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    let auxv = String::from_utf8(auxv).unwrap();
    let files = [
        ("proc/self/auxv", auxv.as_str()),
        (
            "proc/net/sockstat",
            "sockets: used 229\nTCP: inuse 4 orphan 0 tw 4 alloc 17 mem 3\nFRAG: inuse 0 memory 0\ntorn\nRAW: inuse\n",
        ),
    ];
    check(
        "sockstat",
        &files,
        &expect![[r#"
            g node_sockstat_sockets_used 229
            g node_sockstat_TCP_inuse 4
            g node_sockstat_TCP_orphan 0
            g node_sockstat_TCP_tw 4
            g node_sockstat_TCP_alloc 17
            g node_sockstat_TCP_mem 3
            g node_sockstat_TCP_mem_bytes 12288
            g node_sockstat_FRAG_inuse 0
            g node_sockstat_FRAG_memory 0
            success 1, malformed 2
        "#]],
    );
}

#[test]
fn queues_and_neighbours() {
    let files = [
        (
            "proc/net/softnet_stat",
            "0000002d 00000001 00000000\n000017f0 0 2 0 0 0 0 0 3 4 5 6 00000007 0 0\nzz\n",
        ),
        (
            "proc/net/arp",
            "IP address HW type Flags HW address Mask Device\n192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth1\n192.0.2.2 0x1 0x2 02:fc:00:00:00:05 * eth0\n192.0.2.3 0x1 0x0 00:00:00:00:00:00 * eth1\ntorn\n",
        ),
        (
            "proc/net/udp",
            "  sl  local_address rem_address   st tx_queue rx_queue\n 1: 00000000:0016 00000000:0000 0A 00000015:00000000 00:0\n 2: 00000000:0016 00000000:0000 0A 00000001:0000001F 00:0\n 3: torn\n",
        ),
    ];
    check(
        "softnet",
        &files,
        &expect![[r#"
            c node_softnet_processed_total{cpu="0"} 45
            c node_softnet_dropped_total{cpu="0"} 1
            c node_softnet_times_squeezed_total{cpu="0"} 0
            c node_softnet_processed_total{cpu="7"} 6128
            c node_softnet_dropped_total{cpu="7"} 0
            c node_softnet_times_squeezed_total{cpu="7"} 2
            c node_softnet_cpu_collision_total{cpu="7"} 3
            c node_softnet_received_rps_total{cpu="7"} 4
            c node_softnet_flow_limit_count_total{cpu="7"} 5
            g node_softnet_backlog_len{cpu="7"} 6
            success 1, malformed 3
        "#]],
    );
    check(
        "arp",
        &files,
        &expect![[r#"
            g node_arp_entries{device="eth0"} 1
            g node_arp_entries{device="eth1"} 2
            success 1, malformed 3
        "#]],
    );
    check(
        "udp_queues",
        &files,
        &expect![[r#"
            g node_udp_queues{ip="v4",queue="tx"} 22
            g node_udp_queues{ip="v4",queue="rx"} 31
            success 1, malformed 3
        "#]],
    );
}

#[test]
fn connection_tracking_sums_over_cpus_by_column_name() {
    let files = [
        ("proc/sys/net/netfilter/nf_conntrack_count", "123\n"),
        ("proc/sys/net/netfilter/nf_conntrack_max", "65536\n"),
        (
            "proc/net/stat/nf_conntrack",
            "entries  clashres found drop search_restart\n00000021 00000000 0000000a 00000001 00000002\n00000021 00000000 00000001 00000001\nzz\n",
        ),
    ];
    check(
        "conntrack",
        &files,
        &expect![[r#"
        g node_nf_conntrack_entries 123
        g node_nf_conntrack_entries_limit 65536
        g node_nf_conntrack_stat_found 11
        g node_nf_conntrack_stat_drop 2
        g node_nf_conntrack_stat_search_restart 2
        success 1, malformed 1
    "#]],
    );
}

#[test]
fn sensors_have_units_and_stable_names() {
    let coretemp = [
        ("name", "coretemp\n"),
        ("device", "->../.."),
        ("temp1_input", "55500\n"),
        ("temp1_label", "Core 0\n"),
        ("temp1_crit_alarm", "0\n"),
        ("in0_input", "792\n"),
        ("in0_alarm", "1\n"),
        ("fan2_input", "1098\n"),
        ("fan2_beep", "0\n"),
        ("power1_average", "1500000\n"),
        ("energy1_input", "2500000\n"),
        ("freq1_input", "300000000\n"),
        ("freq1_label", "mclk\n"),
        ("pwm1", "torn\n"),
        ("update_interval", "1000\n"),
    ]
    .map(|(file, text)| {
        (
            format!("sys/devices/platform/coretemp.0/hwmon/hwmon0/{file}"),
            text,
        )
    });
    let mut files: Vec<(&str, &str)> = coretemp
        .iter()
        .map(|(file, text)| (file.as_str(), *text))
        .collect();
    files.extend([
        (
            "sys/class/hwmon/hwmon0",
            "->../../devices/platform/coretemp.0/hwmon/hwmon0",
        ),
        ("sys/class/hwmon/hwmon1/name", "nct6779\n"),
    ]);
    check(
        "hwmon",
        &files,
        &expect![[r#"
        g node_hwmon_chip_names{chip="platform_coretemp_0",chip_name="coretemp"} 1
        c node_hwmon_energy_joule_total{chip="platform_coretemp_0",sensor="energy1"} 2.5
        g node_hwmon_fan_beep_enabled{chip="platform_coretemp_0",sensor="fan2"} 0
        g node_hwmon_fan_rpm{chip="platform_coretemp_0",sensor="fan2"} 1098
        g node_hwmon_sensor_label{chip="platform_coretemp_0",label="mclk",sensor="freq1"} 1
        g node_hwmon_freq_freq_mhz{chip="platform_coretemp_0",sensor="mclk"} 300
        g node_hwmon_in_alarm{chip="platform_coretemp_0",sensor="in0"} 1
        g node_hwmon_in_volts{chip="platform_coretemp_0",sensor="in0"} 0.792
        g node_hwmon_power_average_watt{chip="platform_coretemp_0",sensor="power1"} 1.5
        g node_hwmon_sensor_label{chip="platform_coretemp_0",label="Core 0",sensor="temp1"} 1
        g node_hwmon_temp_crit_alarm_celsius{chip="platform_coretemp_0",sensor="temp1"} 0
        g node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp1"} 55.5
        g node_hwmon_update_interval_seconds{chip="platform_coretemp_0",sensor="update_interval0"} 1
        g node_hwmon_chip_names{chip="nct6779",chip_name="nct6779"} 1
        success 1, malformed 0
    "#]],
    );
}

#[test]
fn a_zone_that_cannot_be_read_has_no_temperature() {
    let files = [
        ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
        ("sys/class/thermal/thermal_zone0/temp", "12376\n"),
        ("sys/class/thermal/thermal_zone1/type", "broken\n"),
        ("sys/class/thermal/cooling_device0/type", "Processor\n"),
        ("sys/class/thermal/cooling_device0/cur_state", "0\n"),
        ("sys/class/thermal/cooling_device0/max_state", "3\n"),
    ];
    check(
        "thermal_zone",
        &files,
        &expect![[r#"
        g node_cooling_device_cur_state{name="0",type="Processor"} 0
        g node_cooling_device_max_state{name="0",type="Processor"} 3
        g node_thermal_zone_temp{type="cpu-thermal",zone="0"} 12.376
        success 1, malformed 0
    "#]],
    );
}

#[test]
fn power_and_memory_errors() {
    let files = [
        ("sys/class/powercap/intel-rapl/name", "x\n"),
        ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
        (
            "sys/class/powercap/intel-rapl:0/energy_uj",
            "240422366267\n",
        ),
        ("sys/class/powercap/intel-rapl:0:0/name", "dram\n"),
        ("sys/class/powercap/intel-rapl:0:0/energy_uj", "1000000\n"),
        ("sys/class/powercap/intel-rapl:1:0/name", "dram\n"),
        ("sys/class/powercap/intel-rapl:1:0/energy_uj", "2000000\n"),
        ("sys/devices/system/edac/mc/mc0/ce_count", "1\n"),
        ("sys/devices/system/edac/mc/mc0/ue_noinfo_count", "6\n"),
        ("sys/devices/system/edac/mc/mc0/csrow1/ue_count", "5\n"),
        ("sys/devices/system/edac/mc/mc0/csrow1/ch0_ce_count", "2\n"),
        (
            "sys/devices/system/edac/mc/mc0/csrow1/ch0_dimm_label",
            "DIMM_A1\n",
        ),
        ("sys/class/power_supply/BAT0/type", "Battery\n"),
        ("sys/class/power_supply/BAT0/voltage_now", "11660000\n"),
        ("sys/class/power_supply/BAT0/temp", "305\n"),
        ("sys/class/power_supply/BAT0/capacity", "81\n"),
    ];
    check(
        "rapl",
        &files,
        &expect![[r#"
        c node_rapl_package_joules_total{index="0",path="/sys/class/powercap/intel-rapl:0"} 240422.366267
        c node_rapl_dram_joules_total{index="0",path="/sys/class/powercap/intel-rapl:0:0"} 1
        c node_rapl_dram_joules_total{index="1",path="/sys/class/powercap/intel-rapl:1:0"} 2
        success 1, malformed 0
    "#]],
    );
    check(
        "edac",
        &files,
        &expect![[r#"
        c node_edac_correctable_errors_total{controller="0"} 1
        c node_edac_csrow_uncorrectable_errors_total{controller="0",csrow="unknown"} 6
        c node_edac_csrow_uncorrectable_errors_total{controller="0",csrow="1"} 5
        c node_edac_channel_correctable_errors_total{channel="0",controller="0",csrow="1",dimm_label="DIMM_A1"} 2
        success 1, malformed 0
    "#]],
    );
    check(
        "powersupplyclass",
        &files,
        &expect![[r#"
        g node_power_supply_capacity{power_supply="BAT0"} 81
        g node_power_supply_voltage_volt{power_supply="BAT0"} 11.66
        g node_power_supply_temp_celsius{power_supply="BAT0"} 30.5
        g node_power_supply_info{power_supply="BAT0",type="Battery"} 1
        success 1, malformed 0
    "#]],
    );
}

#[test]
fn infiniband_ports_count_bytes() {
    let files = [
        ("sys/class/infiniband/mlx5_0/fw_ver", "20.31\n"),
        ("sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n"),
        (
            "sys/class/infiniband/mlx5_0/ports/1/phys_state",
            "5: LinkUp\n",
        ),
        (
            "sys/class/infiniband/mlx5_0/ports/1/rate",
            "2.5 Gb/sec (1X SDR)\n",
        ),
        (
            "sys/class/infiniband/mlx5_0/ports/1/counters/port_rcv_data",
            "4631917\n",
        ),
        (
            "sys/class/infiniband/mlx5_0/ports/1/counters/link_downed",
            "N/A (no PMA)\n",
        ),
        (
            "sys/class/infiniband/mlx5_0/ports/1/hw_counters/out_of_buffer",
            "3\n",
        ),
    ];
    check(
        "infiniband",
        &files,
        &expect![[r#"
        g node_infiniband_info{device="mlx5_0",firmware_version="20.31"} 1
        g node_infiniband_state_id{device="mlx5_0",port="1"} 4
        g node_infiniband_physical_state_id{device="mlx5_0",port="1"} 5
        g node_infiniband_rate_bytes_per_second{device="mlx5_0",port="1"} 312500000
        c node_infiniband_port_data_received_bytes_total{device="mlx5_0",port="1"} 18527668
        c node_infiniband_out_of_buffer_drops_total{device="mlx5_0",port="1"} 3
        success 1, malformed 0
    "#]],
    );
}

#[test]
fn raid_arrays_and_nvme_controllers() {
    let files = [
        (
            "proc/mdstat",
            "Personalities : [raid1]\nmd0 : active raid1 a[1](F) b[0]\n      100 blocks [2/1] [U_]\n\nmd1 : active raid1\n",
        ),
        ("sys/block/md0/md/degraded", "1\n"),
        (
            "sys/class/nvme/nvme0/model",
            "Samsung SSD 970 PRO 512GB               \n",
        ),
        ("sys/class/nvme/nvme0/state", "live\n"),
    ];
    check(
        "mdadm",
        &files,
        &expect![[r#"
        g node_md_disks{device="md0",state="active"} 1
        g node_md_disks{device="md0",state="failed"} 1
        g node_md_disks{device="md0",state="spare"} 0
        g node_md_state{device="md0",state="active"} 1
        g node_md_state{device="md0",state="check"} 0
        g node_md_state{device="md0",state="inactive"} 0
        g node_md_state{device="md0",state="recovering"} 0
        g node_md_state{device="md0",state="resync"} 0
        g node_md_disks_required{device="md0"} 2
        g node_md_blocks{device="md0"} 100
        g node_md_blocks_synced{device="md0"} 100
        g node_md_degraded{device="md0"} 1
        success 1, malformed 1
    "#]],
    );
    check(
        "nvme",
        &files,
        &expect![[r#"
        g node_nvme_info{device="nvme0",model="Samsung SSD 970 PRO 512GB",state="live"} 1
        success 1, malformed 1
    "#]],
    );
}

#[test]
fn time_distribution_firmware_and_selinux() {
    let base = "sys/devices/system/clocksource/clocksource0";
    let files = [
        (format!("{base}/available_clocksource"), "tsc kvm-clock \n"),
        (format!("{base}/current_clocksource"), "tsc\n"),
        (
            "root/usr/lib/os-release".to_owned(),
            "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nSUPPORT_END=2028-06-30\n",
        ),
        ("sys/class/dmi/id/sys_vendor".to_owned(), "Dell Inc.\n"),
        ("sys/fs/selinux/enforce".to_owned(), "1"),
        (
            "root/etc/selinux/config".to_owned(),
            "# SELINUX= can be\nSELINUX=permissive\n",
        ),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), *b)).collect();
    check(
        "time",
        &files,
        &expect![[r#"
        g node_time_seconds 1700000000.5
        g node_time_zone_offset_seconds{time_zone="UTC"} 0
        g node_time_clocksource_available_info{clocksource="tsc",device="0"} 1
        g node_time_clocksource_available_info{clocksource="kvm-clock",device="0"} 1
        g node_time_clocksource_current_info{clocksource="tsc",device="0"} 1
        success 1, malformed 0
    "#]],
    );
    check(
        "os",
        &files,
        &expect![[r#"
        g node_os_info{id="debian",name="Debian GNU/Linux",version_id="12"} 1
        g node_os_version{id="debian",name="Debian GNU/Linux"} 12
        g node_os_support_end_timestamp_seconds 1845936000
        success 1, malformed 0
    "#]],
    );
    check(
        "dmi",
        &files,
        &expect![[r#"
        g node_dmi_info{system_vendor="Dell Inc."} 1
        success 1, malformed 0
    "#]],
    );
    check(
        "selinux",
        &files,
        &expect![[r#"
        g node_selinux_enabled 1
        g node_selinux_config_mode 0
        g node_selinux_current_mode 1
        success 1, malformed 0
    "#]],
    );
    check(
        "selinux",
        &[],
        &expect![[r#"
        g node_selinux_enabled 0
        success 1, malformed 0
    "#]],
    );
}

#[test]
fn no_file_makes_a_reader_fail_but_by_its_own_error() {
    // Every source holds the same nonsense; what is said must still be within the rules.
    let paths = [
        "stat",
        "meminfo",
        "vmstat",
        "loadavg",
        "diskstats",
        "mounts",
        "mdstat",
        "schedstat",
        "net/dev",
        "net/arp",
        "net/netstat",
        "net/snmp",
        "net/snmp6",
        "net/sockstat",
        "net/udp",
        "net/softnet_stat",
        "net/stat/nf_conntrack",
        "pressure/cpu",
        "sys/fs/file-nr",
        "sys/net/netfilter/nf_conntrack_count",
        "sys/net/netfilter/nf_conntrack_max",
        "self/auxv",
    ];
    for nonsense in [
        "",
        "\n",
        ":",
        " : \n : ",
        "\u{0}\u{0}",
        "cpu\ncpu0\ncpu0 \n",
        "a b c d e f g\nh",
        "\\",
        "1 2",
        "é\\éé x ( ) [ ] /",
        "-\n-:-\n-:-",
    ] {
        let paths = paths.map(|path| format!("proc/{path}"));
        let mut files: Vec<(&str, &str)> =
            paths.iter().map(|path| (path.as_str(), nonsense)).collect();
        files.push(("proc/sys/kernel/random/entropy_avail", "1\n"));
        files.push(("proc/sys/kernel/random/poolsize", "1\n"));
        let (_folder, config) = tree(&files);
        let snapshot = Host::new(config, clock())
            .collect(Timestamp::default())
            .unwrap();
        assert!(snapshot.samples.iter().all(|sample| !sample.value.is_nan()));
    }
}

#[test]
fn text_that_is_not_utf8_is_replaced() {
    let (folder, config) = tree(&[
        ("proc/loadavg", "1 2 3\n"),
        ("sys/class/nvme/nvme0/state", "live\n"),
    ]);
    fs::write(
        folder.path().join("sys/class/nvme/nvme0/model"),
        b"LNV-45N1\xff\xff\n",
    )
    .unwrap();
    let snapshot = Host::new(config, clock())
        .collect(Timestamp::default())
        .unwrap();
    let nvme = snapshot
        .samples
        .iter()
        .find(|s| s.labels.metric_name() == "node_nvme_info");
    assert_eq!(
        nvme.unwrap().labels.get("model"),
        "LNV-45N1\u{fffd}\u{fffd}"
    );
}

#[test]
fn files_that_stay_open_are_read_anew_and_a_renamed_interface_is_not_mistaken() {
    let (folder, config) = tree(&[
        ("proc/loadavg", "1 2 3\n"),
        ("sys/class/net/eth0/mtu", "1500\n"),
        ("sys/class/net/eth0/operstate", "up\n"),
    ]);
    let mut host = Host::new(config, clock());
    let mut say = || {
        let snapshot = host.collect(Timestamp::default()).unwrap();
        let said = snapshot.samples.iter().filter(|sample| {
            ["node_load1", "node_network_mtu_bytes", "node_network_up"]
                .contains(&sample.labels.metric_name())
        });
        let lines: Vec<String> = said.map(|s| format!("{} {}", s.labels, s.value)).collect();
        lines.join("\n")
    };
    let path = |path: &str| folder.path().join(path);
    say();
    fs::write(path("proc/loadavg"), "12345678.25 2 3\n").unwrap();
    fs::write(path("sys/class/net/eth0/mtu"), "9000\n").unwrap();
    expect![[r#"
        node_load1 12345678.25
        node_network_up{device="eth0"} 1
        node_network_mtu_bytes{device="eth0"} 9000"#]]
    .assert_eq(&say());
    fs::rename(path("sys/class/net/eth0"), path("sys/class/net/eth1")).unwrap();
    fs::create_dir(path("sys/class/net/eth0")).unwrap();
    fs::write(path("sys/class/net/eth0/mtu"), "68\n").unwrap();
    expect![[r#"
        node_load1 12345678.25
        node_network_up{device="eth0"} 0
        node_network_mtu_bytes{device="eth0"} 68
        node_network_up{device="eth1"} 1
        node_network_mtu_bytes{device="eth1"} 9000"#]]
    .assert_eq(&say());
}
