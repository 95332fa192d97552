//! The GPU collector against a stand-in for the driver's library that tells stories.
//!
//! `nvml/nvml_stand_in.c` has the C interface of the real library and is built here; `nvml/*.story`
//! say what the node is like and what happens to it. A loaded library and the environment belong to
//! the process, so each test runs itself again as a child that plays one story.

#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "helpers fail the test by panicking; the values are given, not computed"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agent::collect::gpu::{Gpu, GpuConfig, GpuEvent, GpuEvents};
use agent::collect::{Collector, Error};
use daemon::clock::{Clock, SystemClock};
use expect_test::{Expect, expect};
use series::{Labels, Snapshot, Timestamp};

const STORY: &str = "VEDETTE_NVML_STORY";
const LIBRARY: &str = "VEDETTE_NVML_LIBRARY";

/// Declares a test that plays one story.
macro_rules! stories {
    ($($(#[$meta:meta])* $name:ident($file:literal, $stage:ident) $body:block)*) => {
        $($(#[$meta])* #[test]
        fn $name() {
            play(stringify!($name), $file, |$stage| $body);
        })*
    };
}

/// In the parent: builds the library and starts the child. In the child: plays.
fn play(test: &str, file: &str, body: impl FnOnce(Stage)) {
    if let Some(library) = std::env::var_os(LIBRARY) {
        let story = PathBuf::from(std::env::var_os(STORY).unwrap());
        return body(Stage {
            library: library.into(),
            folder: story.parent().unwrap().to_owned(),
            hands: Arc::new(Hands::default()),
        });
    }
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(sources()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "story")
        {
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(LIBRARY, library())
        .env(STORY, folder.path().join(file))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let cried = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{cried}");
    assert!(said.contains("1 passed"), "{test} did not play: {said}");
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nvml")
}

/// The stand-in, built once for all tests of this process.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Built under a name of its own and then moved: another run may be building it too.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nvml");
        std::fs::create_dir_all(&folder).unwrap();
        let library = folder.join("libnvidia-ml.so.1");
        let fresh = folder.join(format!("libnvidia-ml.so.{}", std::process::id()));
        let output = Command::new("cc")
            .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1"])
            // It stays when it is closed, so that a story goes on when the library is opened anew.
            .args(["-shared", "-fPIC", "-pthread", "-Wl,-z,nodelete", "-o"])
            .arg(&fresh)
            .arg(sources().join("nvml_stand_in.c"))
            .output()
            .expect("a C compiler is needed to build the stand-in library");
        let cried = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{cried}");
        std::fs::rename(&fresh, &library).unwrap();
        library
    })
}

/// A clock whose hands the test turns.
#[derive(Default)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn wall_millis(&self) -> i64 {
        1_700_000_000_000 + i64::try_from(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// What a story is played on.
struct Stage {
    library: PathBuf,
    folder: PathBuf,
    hands: Arc<Hands>,
}

impl Stage {
    /// Events are looked for in rounds only, so that a story has one outcome.
    fn config(&self) -> GpuConfig {
        GpuConfig {
            library: Some(self.library.clone()),
            hostname: Some("node-7".to_owned()),
            deadline: Duration::from_secs(60),
            event_poll: Duration::from_secs(3600),
            ..GpuConfig::default()
        }
    }

    fn gpu_with(&self, config: GpuConfig) -> Gpu {
        let hands = Arc::clone(&self.hands);
        Gpu::new(config, hands)
    }

    fn gpu(&self) -> Gpu {
        self.gpu_with(self.config())
    }

    fn turn(&self, millis: u64) {
        self.hands.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// One round, ten seconds after the last.
    fn try_round(&self, gpu: &mut Gpu) -> Result<Snapshot, Error> {
        self.turn(10_000);
        gpu.collect(Timestamp::from_millis(self.hands.wall_millis()))
    }

    fn round(&self, gpu: &mut Gpu) -> Snapshot {
        let snapshot = self.try_round(gpu).unwrap();
        assert_eq!(snapshot.first_refusal, None);
        let declared: Vec<_> = snapshot
            .families
            .iter()
            .map(|family| &family.name)
            .collect();
        for sample in &snapshot.samples {
            let name = sample.labels.metric_name();
            assert!(declared.iter().any(|declared| *declared == name), "{name}");
        }
        for (at, name) in declared.iter().enumerate() {
            assert!(!declared[..at].contains(name), "{name} is declared twice");
        }
        snapshot
    }

    /// Lets a call return that hangs until the file `release` is there.
    fn release(&self) {
        std::fs::write(self.folder.join("release"), "").unwrap();
    }
}

/// Labels that say the same on every series of a GPU; one test looks at them.
const CONSTANT: [&str; 6] = [
    "UUID",
    "pci_bus_id",
    "device",
    "modelName",
    "Hostname",
    "DCGM_FI_DRIVER_VERSION",
];

fn short(labels: &Labels) -> String {
    let mut text = labels.metric_name().to_owned();
    for (name, value) in labels.iter() {
        if name != "__name__" && !CONSTANT.contains(&name) {
            write!(text, " {name}={value}").unwrap();
        }
    }
    text
}

fn series(snapshot: &Snapshot) -> BTreeMap<String, f64> {
    let all: BTreeMap<_, _> = snapshot
        .samples
        .iter()
        .map(|sample| (short(&sample.labels), sample.value))
        .collect();
    assert_eq!(all.len(), snapshot.samples.len(), "a series comes twice");
    all
}

fn table(series: impl IntoIterator<Item = (String, f64)>) -> String {
    series
        .into_iter()
        .fold(String::new(), |text, (name, value)| {
            text + &format!("{name} {value}\n")
        })
}

/// The series of one GPU.
fn of_gpu(snapshot: &Snapshot, gpu: u32) -> String {
    let label = gpu.to_string();
    table(series(&Snapshot {
        samples: snapshot
            .samples
            .iter()
            .filter(|sample| sample.labels.get("gpu") == label)
            .cloned()
            .collect(),
        ..Snapshot::default()
    }))
}

/// What changed from one round to the next: `-` gone, `+` new, `=` another value.
fn changes(before: &Snapshot, after: &Snapshot) -> String {
    let (before, after) = (series(before), series(after));
    let mut lines = String::new();
    for (name, value) in &before {
        match after.get(name) {
            None => writeln!(lines, "- {name} {value}").unwrap(),
            Some(new) if new.to_bits() != value.to_bits() => {
                writeln!(lines, "= {name} {value} -> {new}").unwrap();
            }
            Some(_) => {}
        }
    }
    for (name, value) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
        writeln!(lines, "+ {name} {value}").unwrap();
    }
    lines
}

fn check(actual: &str, expected: &Expect) {
    expected.assert_eq(actual);
}

fn numbers(events: &GpuEvents) -> Vec<(u32, u32)> {
    let drained = events.drain();
    drained.iter().map(|event| (event.gpu, event.xid)).collect()
}

stories! {
    a_healthy_gpu_has_the_series_of_dcgm_exporter_and_more("h100.story", stage) {
        let mut gpu = stage.gpu();
        let first = stage.round(&mut gpu);
        let second = stage.round(&mut gpu);
        check(&of_gpu(&second, 4), &expect![[r#"
            DCGM_FI_DEV_BAR1_FREE gpu=4 131047
            DCGM_FI_DEV_BAR1_TOTAL gpu=4 131072
            DCGM_FI_DEV_BAR1_USED gpu=4 25
            DCGM_FI_DEV_BOARD_LIMIT_VIOLATION gpu=4 0
            DCGM_FI_DEV_CLOCKS_EVENT_REASONS gpu=4 0
            DCGM_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN_NS gpu=4 0
            DCGM_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN_NS gpu=4 0
            DCGM_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP_NS gpu=4 120000000
            DCGM_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN_NS gpu=4 0
            DCGM_FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST_NS gpu=4 0
            DCGM_FI_DEV_CLOCK_THROTTLE_REASONS gpu=4 0
            DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS gpu=4 0
            DCGM_FI_DEV_DEC_UTIL gpu=4 0
            DCGM_FI_DEV_ECC_CURRENT gpu=4 1
            DCGM_FI_DEV_ECC_DBE_AGG_TOTAL gpu=4 0
            DCGM_FI_DEV_ECC_DBE_VOL_TOTAL gpu=4 0
            DCGM_FI_DEV_ECC_SBE_AGG_TOTAL gpu=4 7
            DCGM_FI_DEV_ECC_SBE_VOL_TOTAL gpu=4 2
            DCGM_FI_DEV_ENC_UTIL gpu=4 0
            DCGM_FI_DEV_ENFORCED_POWER_LIMIT gpu=4 700
            DCGM_FI_DEV_FB_FREE gpu=4 12288
            DCGM_FI_DEV_FB_RESERVED gpu=4 498
            DCGM_FI_DEV_FB_TOTAL gpu=4 81559
            DCGM_FI_DEV_FB_USED gpu=4 68773
            DCGM_FI_DEV_FB_USED_PERCENT gpu=4 0.848410456323016
            DCGM_FI_DEV_GET_GPU_RECOVERY_ACTION gpu=4 0
            DCGM_FI_DEV_GPU_TEMP gpu=4 54
            DCGM_FI_DEV_GPU_UTIL gpu=4 87
            DCGM_FI_DEV_LOW_UTIL_VIOLATION gpu=4 0
            DCGM_FI_DEV_MAX_MEM_CLOCK gpu=4 2619
            DCGM_FI_DEV_MAX_SM_CLOCK gpu=4 1980
            DCGM_FI_DEV_MEMORY_TEMP gpu=4 63
            DCGM_FI_DEV_MEM_CLOCK gpu=4 2619
            DCGM_FI_DEV_MEM_COPY_UTIL gpu=4 41
            DCGM_FI_DEV_MIG_MODE gpu=4 0
            DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL gpu=4 0
            DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL gpu=4 0
            DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL gpu=4 0
            DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL gpu=4 0
            DCGM_FI_DEV_PCIE_LINK_GEN gpu=4 5
            DCGM_FI_DEV_PCIE_LINK_WIDTH gpu=4 16
            DCGM_FI_DEV_PCIE_MAX_LINK_GEN gpu=4 5
            DCGM_FI_DEV_PCIE_MAX_LINK_WIDTH gpu=4 16
            DCGM_FI_DEV_PCIE_REPLAY_COUNTER gpu=4 0
            DCGM_FI_DEV_PCIE_RX_THROUGHPUT gpu=4 23000
            DCGM_FI_DEV_PCIE_TX_THROUGHPUT gpu=4 18000
            DCGM_FI_DEV_POWER_MGMT_LIMIT gpu=4 700
            DCGM_FI_DEV_POWER_MGMT_LIMIT_DEF gpu=4 700
            DCGM_FI_DEV_POWER_MGMT_LIMIT_MAX gpu=4 700
            DCGM_FI_DEV_POWER_MGMT_LIMIT_MIN gpu=4 200
            DCGM_FI_DEV_POWER_USAGE gpu=4 612.345
            DCGM_FI_DEV_POWER_VIOLATION gpu=4 120000000
            DCGM_FI_DEV_PSTATE gpu=4 0
            DCGM_FI_DEV_RELIABILITY_VIOLATION gpu=4 0
            DCGM_FI_DEV_ROW_REMAP_FAILURE gpu=4 0
            DCGM_FI_DEV_ROW_REMAP_PENDING gpu=4 0
            DCGM_FI_DEV_SHUTDOWN_TEMP gpu=4 92
            DCGM_FI_DEV_SLOWDOWN_TEMP gpu=4 89
            DCGM_FI_DEV_SM_CLOCK gpu=4 1980
            DCGM_FI_DEV_SYNC_BOOST_VIOLATION gpu=4 0
            DCGM_FI_DEV_THERMAL_VIOLATION gpu=4 0
            DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION gpu=4 512345678901
            DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS gpu=4 0
            DCGM_FI_DEV_XID_ERRORS gpu=4 0
            DCGM_FI_PROF_DRAM_ACTIVE gpu=4 0.44
            DCGM_FI_PROF_GR_ENGINE_ACTIVE gpu=4 0.865
            DCGM_FI_PROF_NVLINK_RX_BYTES gpu=4 2147483648
            DCGM_FI_PROF_NVLINK_TX_BYTES gpu=4 1073741824
            DCGM_FI_PROF_PCIE_RX_BYTES gpu=4 33554432
            DCGM_FI_PROF_PCIE_TX_BYTES gpu=4 67108864
            DCGM_FI_PROF_PIPE_FP16_ACTIVE gpu=4 0.015
            DCGM_FI_PROF_PIPE_FP32_ACTIVE gpu=4 0.03
            DCGM_FI_PROF_PIPE_FP64_ACTIVE gpu=4 0
            DCGM_FI_PROF_PIPE_TENSOR_ACTIVE gpu=4 0.385
            DCGM_FI_PROF_SM_ACTIVE gpu=4 0.7125
            DCGM_FI_PROF_SM_OCCUPANCY gpu=4 0.24
            vedette_gpu_compute_processes gpu=4 1
            vedette_gpu_lost gpu=4 0
            vedette_gpu_nvlink_up gpu=4 link=0 1
            vedette_gpu_nvlink_up gpu=4 link=1 1
            vedette_gpu_nvlink_up gpu=4 link=2 1
            vedette_gpu_nvlink_up gpu=4 link=3 1
            vedette_gpu_pcie_receive_bytes_total gpu=4 123456789000
            vedette_gpu_pcie_transmit_bytes_total gpu=4 987654321000
            vedette_gpu_xid_class_errors_total class=application gpu=4 0
            vedette_gpu_xid_class_errors_total class=reboot_node gpu=4 0
            vedette_gpu_xid_class_errors_total class=replace gpu=4 0
            vedette_gpu_xid_class_errors_total class=reset_gpu gpu=4 0
            vedette_gpu_xid_class_errors_total class=unknown gpu=4 0
            vedette_gpu_xid_class_errors_total class=watch gpu=4 0
        "#]]);
        let others = (0..8).map(|gpu| of_gpu(&second, gpu).lines().count());
        assert!(others.clone().all(|count| Some(count) == others.clone().next()));
        let own: Vec<_> = series(&second).into_iter().filter(|(name, _)| !name.contains(' ')).collect();
        check(&table(own), &expect![[r#"
            vedette_agent_gpu_driver_hangs_total 0
            vedette_agent_gpu_driver_unresponsive_seconds 0
            vedette_agent_gpu_events_dropped_total 0
            vedette_gpu_devices 8
        "#]]);
        // Profiling counters lie between two rounds.
        assert!(series(&first).keys().all(|name| !name.starts_with("DCGM_FI_PROF")));
    }

    series_carry_the_labels_of_dcgm_exporter("h100.story", stage) {
        let snapshot = stage.round(&mut stage.gpu());
        let power = snapshot.samples.iter().find(|sample| {
            sample.labels.metric_name() == "DCGM_FI_DEV_POWER_USAGE"
                && sample.labels.get("gpu") == "7"
        });
        check(&power.unwrap().labels.to_string(), &expect![[r#"DCGM_FI_DEV_POWER_USAGE{DCGM_FI_DRIVER_VERSION="570.124.06",Hostname="node-7",UUID="GPU-70000000-1111-2222-3333-444444444447",device="nvidia7",gpu="7",modelName="NVIDIA H100 80GB HBM3",pci_bus_id="00000000:DF:00.0"}"#]]);
    }

    a_throttled_gpu_says_why_and_for_how_long("throttled.story", stage) {
        let mut gpu = stage.gpu();
        stage.round(&mut gpu);
        let rounds = [(); 3].map(|()| stage.round(&mut gpu));
        check(&changes(&rounds[0], &rounds[1]), &expect![[r#"
            = DCGM_FI_DEV_CLOCKS_EVENT_REASONS gpu=1 0 -> 4
            = DCGM_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP_NS gpu=1 120000000 -> 4120000000
            = DCGM_FI_DEV_CLOCK_THROTTLE_REASONS gpu=1 0 -> 4
            = DCGM_FI_DEV_POWER_USAGE gpu=1 612.345 -> 700.012
            = DCGM_FI_DEV_POWER_VIOLATION gpu=1 120000000 -> 4120000000
            = DCGM_FI_DEV_SM_CLOCK gpu=1 1980 -> 1410
        "#]]);
        check(&changes(&rounds[1], &rounds[2]), &expect![[r#"
            = DCGM_FI_DEV_CLOCKS_EVENT_REASONS gpu=2 0 -> 104
            = DCGM_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN_NS gpu=2 0 -> 400000000
            = DCGM_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN_NS gpu=2 0 -> 900000000
            = DCGM_FI_DEV_CLOCK_THROTTLE_REASONS gpu=2 0 -> 104
            = DCGM_FI_DEV_GPU_TEMP gpu=2 54 -> 91
            = DCGM_FI_DEV_MEMORY_TEMP gpu=2 63 -> 104
            = DCGM_FI_DEV_SM_CLOCK gpu=2 1980 -> 705
            = DCGM_FI_DEV_THERMAL_VIOLATION gpu=2 0 -> 900000000
        "#]]);
    }

    an_ecc_storm_shows_in_counters_remapped_rows_and_events("ecc_storm.story", stage) {
        let mut gpu = stage.gpu();
        let events = gpu.events();
        stage.round(&mut gpu);
        let mut before = stage.round(&mut gpu);
        let mut told = String::new();
        for _ in 0..4 {
            let after = stage.round(&mut gpu);
            told += &changes(&before, &after);
            told += &format!("events {:?}\n", numbers(&events));
            before = after;
        }
        check(&told, &expect![[r#"
            = DCGM_FI_DEV_ECC_SBE_AGG_TOTAL gpu=5 7 -> 5125
            = DCGM_FI_DEV_ECC_SBE_VOL_TOTAL gpu=5 2 -> 5120
            events []
            = DCGM_FI_DEV_ECC_DBE_AGG_TOTAL gpu=5 0 -> 2
            = DCGM_FI_DEV_ECC_DBE_VOL_TOTAL gpu=5 0 -> 2
            = DCGM_FI_DEV_GET_GPU_RECOVERY_ACTION gpu=5 0 -> 1
            = DCGM_FI_DEV_ROW_REMAP_PENDING gpu=5 0 -> 1
            = DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS gpu=5 0 -> 1
            = DCGM_FI_DEV_XID_ERRORS gpu=5 0 -> 92
            = vedette_gpu_xid_class_errors_total class=watch gpu=5 0 -> 1
            + vedette_gpu_xid_errors_total gpu=5 xid=92 1
            events [(5, 92)]
            = DCGM_FI_DEV_ROW_REMAP_FAILURE gpu=5 0 -> 1
            = DCGM_FI_DEV_XID_ERRORS gpu=5 92 -> 94
            = vedette_gpu_xid_class_errors_total class=application gpu=5 0 -> 2
            = vedette_gpu_xid_class_errors_total class=reset_gpu gpu=5 0 -> 2
            + vedette_gpu_xid_errors_total gpu=5 xid=48 1
            + vedette_gpu_xid_errors_total gpu=5 xid=63 1
            + vedette_gpu_xid_errors_total gpu=5 xid=94 2
            events [(5, 48), (5, 63), (5, 94), (5, 94)]
            = DCGM_FI_DEV_XID_ERRORS gpu=5 94 -> 4711
            = vedette_gpu_xid_class_errors_total class=replace gpu=5 0 -> 1
            = vedette_gpu_xid_class_errors_total class=reset_gpu gpu=5 2 -> 3
            = vedette_gpu_xid_class_errors_total class=unknown gpu=5 0 -> 2
            + vedette_gpu_xid_errors_total gpu=5 xid=4711 1
            + vedette_gpu_xid_errors_total gpu=5 xid=64 1
            + vedette_gpu_xid_errors_total gpu=5 xid=95 1
            + vedette_gpu_xid_errors_total gpu=5 xid=999 1
            events [(5, 95), (5, 64), (5, 999), (5, 4711)]
        "#]]);
    }

    an_event_says_when_and_where_it_happened("ecc_storm.story", stage) {
        let mut gpu = stage.gpu();
        let events = gpu.events();
        for _ in 0..4 {
            stage.round(&mut gpu);
        }
        assert_eq!(
            events.drain(),
            [GpuEvent {
                at: Timestamp::from_millis(1_700_000_040_000),
                gpu: 5,
                uuid: "GPU-50000000-1111-2222-3333-444444444445".to_owned(),
                pci_bus_id: "00000000:C3:00.0".to_owned(),
                xid: 92,
            }]
        );
        assert_eq!(events.drain(), []);
    }

    an_event_is_seen_between_rounds("ecc_storm.story", stage) {
        let mut gpu = stage.gpu_with(GpuConfig {
            event_poll: Duration::from_millis(1),
            ..stage.config()
        });
        let events = gpu.events();
        for _ in 0..3 {
            stage.round(&mut gpu);
        }
        let clock = SystemClock::new();
        let mut seen = numbers(&events);
        while seen.is_empty() && clock.monotonic() < Duration::from_secs(30) {
            std::thread::yield_now();
            seen = numbers(&events);
        }
        assert_eq!(seen, [(5, 92)]);
    }

    a_gpu_that_falls_off_the_bus_is_lost_and_the_others_go_on("fallen.story", stage) {
        let mut gpu = stage.gpu_with(GpuConfig {
            ask_again_rounds: 4,
            ..stage.config()
        });
        let events = gpu.events();
        stage.round(&mut gpu);
        let before = stage.round(&mut gpu);
        let after = stage.round(&mut gpu);
        check(&of_gpu(&before, 3), &expect![[r#"
            DCGM_FI_DEV_XID_ERRORS gpu=3 0
            vedette_gpu_lost gpu=3 1
            vedette_gpu_xid_class_errors_total class=application gpu=3 0
            vedette_gpu_xid_class_errors_total class=reboot_node gpu=3 0
            vedette_gpu_xid_class_errors_total class=replace gpu=3 0
            vedette_gpu_xid_class_errors_total class=reset_gpu gpu=3 0
            vedette_gpu_xid_class_errors_total class=unknown gpu=3 0
            vedette_gpu_xid_class_errors_total class=watch gpu=3 0
        "#]]);
        check(&changes(&before, &after), &expect![[r#"
            = DCGM_FI_DEV_XID_ERRORS gpu=3 0 -> 79
            = vedette_gpu_xid_class_errors_total class=reboot_node gpu=3 0 -> 1
            + vedette_gpu_xid_errors_total gpu=3 xid=79 1
        "#]]);
        assert_eq!(numbers(&events), [(3, 79)]);
        for gpu in [0, 1, 2, 4, 5, 6, 7] {
            assert_eq!(series(&after)[&format!("DCGM_FI_DEV_GPU_UTIL gpu={gpu}")], 87.0);
        }
        // It is back from round 5 on, and asked again four rounds after it was lost.
        let lost = "vedette_gpu_lost gpu=3";
        assert_eq!(series(&stage.round(&mut gpu))[lost], 1.0);
        assert_eq!(series(&stage.round(&mut gpu))[lost], 1.0);
        let back = series(&stage.round(&mut gpu));
        assert_eq!(back[lost], 0.0);
        assert_eq!(back["DCGM_FI_DEV_GPU_UTIL gpu=3"], 87.0);
        assert_eq!(back["vedette_gpu_xid_errors_total gpu=3 xid=79"], 1.0);
    }

    a_gpu_whose_every_call_fails_is_lost_until_one_succeeds("mute.story", stage) {
        let mut gpu = stage.gpu();
        let rounds: Vec<_> = (0..4)
            .map(|_| {
                let round = series(&stage.round(&mut gpu));
                (
                    round["vedette_gpu_lost gpu=6"],
                    round.contains_key("DCGM_FI_DEV_GPU_TEMP gpu=6"),
                    round["vedette_gpu_lost gpu=5"],
                )
            })
            .collect();
        let (here, gone) = ((0.0, true, 0.0), (1.0, false, 0.0));
        assert_eq!(rounds, [here, gone, gone, here]);
    }

    a_gpu_that_the_driver_no_longer_counts_stays_known_as_lost("last_gone.story", stage) {
        let mut gpu = stage.gpu();
        let counted: Vec<_> = (0..6)
            .map(|_| {
                let round = series(&stage.round(&mut gpu));
                (
                    round["vedette_gpu_devices"],
                    round["vedette_gpu_lost gpu=7"],
                    round.contains_key("DCGM_FI_DEV_GPU_TEMP gpu=7"),
                    round.contains_key("DCGM_FI_DEV_GPU_TEMP gpu=6"),
                )
            })
            .collect();
        check(&format!("{counted:?}"), &expect!["[(8.0, 0.0, true, true), (8.0, 1.0, false, true), (7.0, 1.0, false, true), (7.0, 1.0, false, true), (8.0, 0.0, true, true), (8.0, 0.0, true, true)]"]);
    }

    a_gpu_that_was_lost_before_the_agent_came_has_no_name_until_it_is_back("lost_from_the_start.story", stage) {
        let mut gpu = stage.gpu_with(GpuConfig {
            ask_again_rounds: 3,
            ..stage.config()
        });
        let lost = |snapshot: &Snapshot| {
            let lost: Vec<_> = snapshot
                .samples
                .iter()
                .filter(|sample| sample.labels.metric_name() == "vedette_gpu_lost" && sample.value > 0.0)
                .map(|sample| sample.labels.to_string())
                .collect();
            lost
        };
        let nameless = r#"vedette_gpu_lost{Hostname="node-7",device="nvidia2",gpu="2"}"#;
        for _ in 0..2 {
            let snapshot = stage.round(&mut gpu);
            assert_eq!(lost(&snapshot), [nameless]);
            assert!(series(&snapshot).contains_key("DCGM_FI_DEV_GPU_TEMP gpu=7"));
        }
        let back = stage.round(&mut gpu);
        assert!(lost(&back).is_empty());
        assert!(series(&back).contains_key("DCGM_FI_DEV_GPU_TEMP gpu=2"));
    }

    a_driver_that_hangs_costs_one_deadline_and_is_named_until_it_comes_back("hang.story", stage) {
        let mut gpu = stage.gpu_with(GpuConfig {
            deadline: Duration::from_millis(200),
            ..stage.config()
        });
        let before = stage.round(&mut gpu);
        let clock = SystemClock::new();
        let hung = stage.round(&mut gpu);
        assert!(clock.monotonic() >= Duration::from_millis(200));
        check(&table(series(&hung)), &expect![[r#"
            vedette_agent_gpu_driver_hangs_total 1
            vedette_agent_gpu_driver_unresponsive_call call=nvmlDeviceGetPowerUsage gpu=2 1
            vedette_agent_gpu_driver_unresponsive_seconds 0.2
        "#]]);
        // Later rounds do not wait for it again.
        let later = stage.round(&mut gpu);
        check(&changes(&hung, &later), &expect![[r#"
            = vedette_agent_gpu_driver_unresponsive_seconds 0.2 -> 10
        "#]]);
        assert!(clock.monotonic() < Duration::from_secs(5));
        stage.release();
        let mut rounds = 0;
        let after = loop {
            rounds += 1;
            let round = stage.round(&mut gpu);
            if series(&round).contains_key("vedette_gpu_devices") {
                break round;
            }
            assert!(clock.monotonic() < Duration::from_secs(30), "{rounds} rounds");
        };
        check(
            &changes(&before, &after)
                .lines()
                .filter(|line| !line.contains("PROF"))
                .collect::<Vec<_>>()
                .join("\n"),
            &expect!["= vedette_agent_gpu_driver_hangs_total 0 -> 1"],
        );
    }

    a_driver_that_hangs_when_it_is_opened_is_named_too("hang_at_init.story", stage) {
        let mut gpu = stage.gpu_with(GpuConfig {
            deadline: Duration::from_millis(50),
            ..stage.config()
        });
        check(&table(series(&stage.round(&mut gpu))), &expect![[r#"
            vedette_agent_gpu_driver_hangs_total 1
            vedette_agent_gpu_driver_unresponsive_call call=nvmlInit_v2 1
            vedette_agent_gpu_driver_unresponsive_seconds 0.05
        "#]]);
    }

    dropping_the_collector_does_not_wait_for_a_driver_that_hangs("hang_at_init.story", stage) {
        let mut gpu = stage.gpu_with(GpuConfig {
            deadline: Duration::from_millis(50),
            ..stage.config()
        });
        stage.round(&mut gpu);
        let events = gpu.events();
        // Nobody ever releases the call: this test ends only because dropping does.
        drop(gpu);
        assert_eq!(events.drain(), []);
    }

    the_framebuffer_of_a_gpu_with_instances_is_that_of_its_instances("mig.story", stage) {
        let mut gpu = stage.gpu();
        stage.round(&mut gpu);
        let snapshot = stage.round(&mut gpu);
        let memory = |gpu| {
            let lines = of_gpu(&snapshot, gpu);
            let wanted = |line: &&str| line.contains("_FB_") || line.to_lowercase().contains("mig");
            lines.lines().filter(wanted).collect::<Vec<_>>().join("\n")
        };
        check(&memory(0), &expect![[r#"
            DCGM_FI_DEV_FB_FREE GPU_I_PROFILE=1g.10gb GPU_I_UUID=MIG-0a000000-5bbb-9e0c-0a5a-6a1f2c2f0000 gpu=0 8076
            DCGM_FI_DEV_FB_FREE GPU_I_PROFILE=3g.40gb GPU_I_UUID=MIG-0b000000-5bbb-9e0c-0a5a-6a1f2c2f0002 gpu=0 40127
            DCGM_FI_DEV_FB_RESERVED GPU_I_PROFILE=1g.10gb GPU_I_UUID=MIG-0a000000-5bbb-9e0c-0a5a-6a1f2c2f0000 gpu=0 0
            DCGM_FI_DEV_FB_RESERVED GPU_I_PROFILE=3g.40gb GPU_I_UUID=MIG-0b000000-5bbb-9e0c-0a5a-6a1f2c2f0002 gpu=0 0
            DCGM_FI_DEV_FB_TOTAL GPU_I_PROFILE=1g.10gb GPU_I_UUID=MIG-0a000000-5bbb-9e0c-0a5a-6a1f2c2f0000 gpu=0 9984
            DCGM_FI_DEV_FB_TOTAL GPU_I_PROFILE=3g.40gb GPU_I_UUID=MIG-0b000000-5bbb-9e0c-0a5a-6a1f2c2f0002 gpu=0 40192
            DCGM_FI_DEV_FB_USED GPU_I_PROFILE=1g.10gb GPU_I_UUID=MIG-0a000000-5bbb-9e0c-0a5a-6a1f2c2f0000 gpu=0 1908
            DCGM_FI_DEV_FB_USED GPU_I_PROFILE=3g.40gb GPU_I_UUID=MIG-0b000000-5bbb-9e0c-0a5a-6a1f2c2f0002 gpu=0 65
            DCGM_FI_DEV_FB_USED_PERCENT GPU_I_PROFILE=1g.10gb GPU_I_UUID=MIG-0a000000-5bbb-9e0c-0a5a-6a1f2c2f0000 gpu=0 0.19110576923076922
            DCGM_FI_DEV_FB_USED_PERCENT GPU_I_PROFILE=3g.40gb GPU_I_UUID=MIG-0b000000-5bbb-9e0c-0a5a-6a1f2c2f0002 gpu=0 0.0016172372611464969
            DCGM_FI_DEV_MIG_MODE gpu=0 1
            vedette_gpu_mig_parent_memory_total_bytes gpu=0 85520809984
            vedette_gpu_mig_parent_memory_used_bytes gpu=0 72113717248"#]]);
        check(&memory(1), &expect![[r#"
            DCGM_FI_DEV_FB_FREE gpu=1 12288
            DCGM_FI_DEV_FB_RESERVED gpu=1 498
            DCGM_FI_DEV_FB_TOTAL gpu=1 81559
            DCGM_FI_DEV_FB_USED gpu=1 68773
            DCGM_FI_DEV_FB_USED_PERCENT gpu=1 0.848410456323016
            DCGM_FI_DEV_MIG_MODE gpu=1 1"#]]);
        assert!(!of_gpu(&snapshot, 0).contains("DCGM_FI_PROF"));
        assert!(of_gpu(&snapshot, 1).contains("DCGM_FI_PROF"));
    }

    what_a_gpu_does_not_support_is_absent_and_asked_again_only_later("modest.story", stage) {
        let mut gpu = stage.gpu_with(GpuConfig {
            ask_again_rounds: 3,
            ..stage.config()
        });
        let first = stage.round(&mut gpu);
        check(&table(series(&first)), &expect![[r#"
            DCGM_FI_DEV_GPU_TEMP gpu=0 38
            DCGM_FI_DEV_GPU_UTIL gpu=0 3
            DCGM_FI_DEV_MEM_COPY_UTIL gpu=0 1
            DCGM_FI_DEV_PCIE_REPLAY_COUNTER gpu=0 4
            vedette_agent_gpu_driver_hangs_total 0
            vedette_agent_gpu_driver_unresponsive_seconds 0
            vedette_agent_gpu_events_dropped_total 0
            vedette_agent_gpu_read_errors_total reason=unknown 1
            vedette_gpu_devices 1
            vedette_gpu_lost gpu=0 0
        "#]]);
        // The fan answers the second question: were it asked each round, round 2 would show it.
        let fan = "DCGM_FI_DEV_FAN_SPEED gpu=0";
        let shown: Vec<_> = (2..=4)
            .map(|_| series(&stage.round(&mut gpu)).get(fan).copied())
            .collect();
        assert_eq!(shown, [None, None, Some(31.0)]);
        // A call that fails is no such thing: it is counted, and made again each round.
        let failures = "vedette_agent_gpu_read_errors_total reason=unknown";
        assert_eq!(series(&stage.round(&mut gpu))[failures], 5.0);
    }

    a_blank_is_never_a_value("blank.story", stage) {
        check(&of_gpu(&stage.round(&mut stage.gpu()), 0), &expect![[r#"
            DCGM_FI_DEV_ECC_DBE_AGG_TOTAL gpu=0 3
            DCGM_FI_DEV_FB_USED gpu=0 1
            DCGM_FI_DEV_MEM_COPY_UTIL gpu=0 7
            DCGM_FI_DEV_ROW_REMAP_PENDING gpu=0 1
            vedette_gpu_lost gpu=0 0
        "#]]);
    }

    a_host_without_the_library_is_left_alone_for_a_while("h100.story", stage) {
        let library = stage.folder.join("libnvidia-ml.so.1");
        let mut gpu = stage.gpu_with(GpuConfig {
            library: Some(library.clone()),
            ..stage.config()
        });
        let error = stage.try_round(&mut gpu).unwrap_err();
        assert!(matches!(error, Error::Unavailable { source: Some(_), .. }), "{error:?}");
        assert!(!error.is_retryable());
        std::fs::copy(&stage.library, &library).unwrap();
        stage.turn(280_000);
        let error = stage.try_round(&mut gpu).unwrap_err();
        assert!(matches!(error, Error::Unavailable { source: None, .. }), "{error:?}");
        assert_eq!(series(&stage.round(&mut gpu))["vedette_gpu_devices"], 8.0);
    }

    a_driver_that_is_loaded_later_is_found_later("late_driver.story", stage) {
        let mut gpu = stage.gpu();
        let error = stage.try_round(&mut gpu).unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        stage.turn(300_000);
        assert_eq!(series(&stage.round(&mut gpu))["vedette_gpu_devices"], 8.0);
    }
}
