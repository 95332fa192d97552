//! The DCGM exporter's page with its default counters, help and units (`default-counters.csv`).

use crate::engine::Engine;
use crate::gpu::Reading;
use crate::page::Page;

/// A family: name, type, help, and how its value is read.
type Field = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Reading) -> f64,
);

const FIELDS: [Field; 23] = [
    (
        "DCGM_FI_DEV_SM_CLOCK",
        "gauge",
        "SM clock frequency (in MHz).",
        |r| r.clock_mhz,
    ),
    (
        "DCGM_FI_DEV_MEM_CLOCK",
        "gauge",
        "Memory clock frequency (in MHz).",
        |_| 2619.0,
    ),
    (
        "DCGM_FI_DEV_MEMORY_TEMP",
        "gauge",
        "Memory temperature (in C).",
        |r| r.memory_celsius.round(),
    ),
    (
        "DCGM_FI_DEV_GPU_TEMP",
        "gauge",
        "GPU temperature (in C).",
        |r| r.celsius.round(),
    ),
    (
        "DCGM_FI_DEV_POWER_USAGE",
        "gauge",
        "Power draw (in W).",
        |r| thousandths(r.power_watts),
    ),
    (
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "counter",
        "Total energy consumption since boot (in mJ).",
        |r| (r.energy_joules * 1000.0).floor(),
    ),
    (
        "DCGM_FI_DEV_PCIE_REPLAY_COUNTER",
        "counter",
        "Total number of PCIe retries.",
        |_| 0.0,
    ),
    (
        "DCGM_FI_DEV_GPU_UTIL",
        "gauge",
        "GPU utilization (in %).",
        |r| percent(r.utilisation),
    ),
    (
        "DCGM_FI_DEV_MEM_COPY_UTIL",
        "gauge",
        "Memory utilization (in %).",
        |r| percent(r.memory_active),
    ),
    (
        "DCGM_FI_DEV_ENC_UTIL",
        "gauge",
        "Encoder utilization (in %).",
        |_| 0.0,
    ),
    (
        "DCGM_FI_DEV_DEC_UTIL",
        "gauge",
        "Decoder utilization (in %).",
        |_| 0.0,
    ),
    (
        "DCGM_FI_DEV_XID_ERRORS",
        "gauge",
        "Value of the last XID error encountered.",
        |_| 0.0,
    ),
    (
        "DCGM_FI_DEV_FB_FREE",
        "gauge",
        "Framebuffer memory free (in MiB).",
        |r| r.free_mib,
    ),
    (
        "DCGM_FI_DEV_FB_USED",
        "gauge",
        "Framebuffer memory used (in MiB).",
        |r| r.used_mib,
    ),
    (
        "DCGM_FI_DEV_FB_RESERVED",
        "gauge",
        "Framebuffer memory reserved (in MiB).",
        |r| r.reserved_mib,
    ),
    (
        "DCGM_FI_DEV_VGPU_LICENSE_STATUS",
        "gauge",
        "vGPU License status",
        |_| 0.0,
    ),
    (
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
        "counter",
        "Number of remapped rows for uncorrectable errors",
        |_| 0.0,
    ),
    (
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
        "counter",
        "Number of remapped rows for correctable errors",
        |_| 0.0,
    ),
    (
        "DCGM_FI_DEV_ROW_REMAP_FAILURE",
        "gauge",
        "Whether remapping of rows has failed",
        |_| 0.0,
    ),
    (
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        "gauge",
        "Ratio of time the graphics engine is active.",
        |r| millionths(r.utilisation),
    ),
    (
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
        "gauge",
        "Ratio of cycles the tensor (HMMA) pipe is active.",
        |r| millionths(r.tensor_active),
    ),
    (
        "DCGM_FI_PROF_DRAM_ACTIVE",
        "gauge",
        "Ratio of cycles the device memory interface is active sending or receiving data.",
        |r| millionths(r.memory_active),
    ),
    (
        "DCGM_FI_PROF_PCIE_TX_BYTES",
        "gauge",
        "The rate of data transmitted over the PCIe bus - including both protocol headers and \
         data payloads - in bytes per second.",
        |r| (2.5e6 + 4.0e7 * r.utilisation).round(),
    ),
];

/// The page of the GPUs under `engine`, on the node named `host`.
pub(super) fn page(host: &str, engine: &Engine) -> String {
    let model = engine.profile().gpu_name;
    let gpus: Vec<(String, Reading)> = engine
        .gpus()
        .readings()
        .enumerate()
        .map(|(index, (uuid, reading))| {
            let labels = format!(
                "gpu=\"{index}\",UUID=\"{uuid}\",pci_bus_id=\"00000000:{:02X}:00.0\",\
                 device=\"nvidia{index}\",modelName=\"{model}\",Hostname=\"{host}\",\
                 DCGM_FI_DRIVER_VERSION=\"570.172.08\"",
                0x1b + 0x12 * index
            );
            (labels, reading)
        })
        .collect();
    let mut page = Page::default();
    for (name, kind, help, read) in FIELDS {
        page.family(name, kind, help);
        for (labels, reading) in &gpus {
            // The exporter is written in Go: whole numbers have no fraction.
            page.sample(name, labels, &format!("{}", read(reading)));
        }
    }
    page.into_text()
}

fn percent(share: f64) -> f64 {
    (share * 100.0).round()
}

fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn millionths(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
