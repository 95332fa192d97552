//! Which call of the driver gives which metrics.

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{
    Clock, PcieUtilCounter, PerformancePolicy, PerformanceState, TemperatureSensor,
    TemperatureThreshold,
};
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id as id;

use super::missing::{known_u32, known_u64};
use super::page::Metric;

/// Bytes in a MiB, the unit of DCGM's memory metrics.
pub(super) const MIB: f64 = 1_048_576.0;

/// What one call gave.
#[derive(Debug, Default)]
pub(super) struct Found(pub(super) Vec<(&'static Metric, f64)>);

impl Found {
    fn put(&mut self, metric: &'static Metric, value: Option<f64>) {
        self.0.extend(value.map(|value| (metric, value)));
    }
}

/// One call and what to make of its answer.
pub(super) struct Reader {
    /// The C function, said when it hangs.
    pub(super) call: &'static str,
    /// Asks. What it found counts only when it succeeds.
    pub(super) read: fn(&Device<'_>, &mut Found) -> Result<(), NvmlError>,
}

macro_rules! metrics {
    ($($ident:ident $kind:ident $name:literal $help:literal)*) => {
        $(static $ident: Metric = Metric::$kind($name, $help);)*
    };
}

metrics! {
    GPU_UTIL gauge "DCGM_FI_DEV_GPU_UTIL" "GPU utilization (in %)."
    MEM_COPY_UTIL gauge "DCGM_FI_DEV_MEM_COPY_UTIL" "Memory utilization (in %)."
    ENC_UTIL gauge "DCGM_FI_DEV_ENC_UTIL" "Encoder utilization (in %)."
    DEC_UTIL gauge "DCGM_FI_DEV_DEC_UTIL" "Decoder utilization (in %)."
    FB_TOTAL gauge "DCGM_FI_DEV_FB_TOTAL" "Total framebuffer memory (in MiB)."
    FB_FREE gauge "DCGM_FI_DEV_FB_FREE" "Framebuffer memory free (in MiB)."
    FB_USED gauge "DCGM_FI_DEV_FB_USED" "Framebuffer memory used (in MiB)."
    FB_RESERVED gauge "DCGM_FI_DEV_FB_RESERVED" "Framebuffer memory reserved (in MiB)."
    FB_USED_PERCENT gauge "DCGM_FI_DEV_FB_USED_PERCENT" "Used over total less reserved framebuffer memory (ratio, 0 to 1)."
    BAR1_TOTAL gauge "DCGM_FI_DEV_BAR1_TOTAL" "Total BAR1 memory (in MiB)."
    BAR1_FREE gauge "DCGM_FI_DEV_BAR1_FREE" "BAR1 memory free (in MiB)."
    BAR1_USED gauge "DCGM_FI_DEV_BAR1_USED" "BAR1 memory used (in MiB)."
    POWER_USAGE gauge "DCGM_FI_DEV_POWER_USAGE" "Power draw (in W)."
    POWER_LIMIT gauge "DCGM_FI_DEV_POWER_MGMT_LIMIT" "Power limit that was set (in W)."
    POWER_LIMIT_MIN gauge "DCGM_FI_DEV_POWER_MGMT_LIMIT_MIN" "Lowest power limit that can be set (in W)."
    POWER_LIMIT_MAX gauge "DCGM_FI_DEV_POWER_MGMT_LIMIT_MAX" "Highest power limit that can be set (in W)."
    POWER_LIMIT_DEF gauge "DCGM_FI_DEV_POWER_MGMT_LIMIT_DEF" "Default power limit (in W)."
    POWER_ENFORCED gauge "DCGM_FI_DEV_ENFORCED_POWER_LIMIT" "Power limit in force (in W)."
    ENERGY counter "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" "Total energy consumption since the driver was loaded (in mJ)."
    GPU_TEMP gauge "DCGM_FI_DEV_GPU_TEMP" "GPU temperature (in C)."
    SLOWDOWN_TEMP gauge "DCGM_FI_DEV_SLOWDOWN_TEMP" "GPU temperature at which the hardware slows down (in C)."
    SHUTDOWN_TEMP gauge "DCGM_FI_DEV_SHUTDOWN_TEMP" "GPU temperature at which the hardware shuts down (in C)."
    SM_CLOCK gauge "DCGM_FI_DEV_SM_CLOCK" "SM clock frequency (in MHz)."
    MEM_CLOCK gauge "DCGM_FI_DEV_MEM_CLOCK" "Memory clock frequency (in MHz)."
    MAX_SM_CLOCK gauge "DCGM_FI_DEV_MAX_SM_CLOCK" "Highest SM clock frequency (in MHz)."
    MAX_MEM_CLOCK gauge "DCGM_FI_DEV_MAX_MEM_CLOCK" "Highest memory clock frequency (in MHz)."
    PSTATE gauge "DCGM_FI_DEV_PSTATE" "Performance state: 0 is the highest, 15 the lowest."
    FAN_SPEED gauge "DCGM_FI_DEV_FAN_SPEED" "Fan speed (in % of its maximum)."
    EVENT_REASONS gauge "DCGM_FI_DEV_CLOCKS_EVENT_REASONS" "Why the clocks are held down now (bit mask of nvmlClocksEventReason); DCGM 4's name."
    THROTTLE_REASONS gauge "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS" "Why the clocks are held down now (bit mask of nvmlClocksEventReason)."
    POWER_VIOLATION counter "DCGM_FI_DEV_POWER_VIOLATION" "Throttling duration due to power constraints (in ns)."
    THERMAL_VIOLATION counter "DCGM_FI_DEV_THERMAL_VIOLATION" "Throttling duration due to thermal constraints (in ns)."
    SYNC_BOOST_VIOLATION counter "DCGM_FI_DEV_SYNC_BOOST_VIOLATION" "Throttling duration due to sync-boost constraints (in ns)."
    BOARD_LIMIT_VIOLATION counter "DCGM_FI_DEV_BOARD_LIMIT_VIOLATION" "Throttling duration due to board limit constraints (in ns)."
    LOW_UTIL_VIOLATION counter "DCGM_FI_DEV_LOW_UTIL_VIOLATION" "Throttling duration due to low utilization (in ns)."
    RELIABILITY_VIOLATION counter "DCGM_FI_DEV_RELIABILITY_VIOLATION" "Throttling duration due to reliability constraints (in ns)."
    LINK_GEN gauge "DCGM_FI_DEV_PCIE_LINK_GEN" "PCIe link generation in use."
    LINK_WIDTH gauge "DCGM_FI_DEV_PCIE_LINK_WIDTH" "PCIe link width in use (lanes)."
    MAX_LINK_GEN gauge "DCGM_FI_DEV_PCIE_MAX_LINK_GEN" "Highest PCIe link generation of GPU and slot."
    MAX_LINK_WIDTH gauge "DCGM_FI_DEV_PCIE_MAX_LINK_WIDTH" "Highest PCIe link width of GPU and slot (lanes)."
    PCIE_TX gauge "DCGM_FI_DEV_PCIE_TX_THROUGHPUT" "PCIe transmit throughput over the last 20 ms (in KB/s)."
    PCIE_RX gauge "DCGM_FI_DEV_PCIE_RX_THROUGHPUT" "PCIe receive throughput over the last 20 ms (in KB/s)."
    PROCESSES gauge "vedette_gpu_compute_processes" "Processes that hold a compute context on the GPU."
    ECC_CURRENT gauge "DCGM_FI_DEV_ECC_CURRENT" "Whether ECC is on."
    SBE_VOL counter "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL" "Total number of single-bit volatile ECC errors."
    DBE_VOL counter "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL" "Total number of double-bit volatile ECC errors."
    SBE_AGG counter "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL" "Total number of single-bit persistent ECC errors."
    DBE_AGG counter "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL" "Total number of double-bit persistent ECC errors."
    RETIRED_SBE counter "DCGM_FI_DEV_RETIRED_SBE" "Total number of retired pages due to single-bit errors."
    RETIRED_DBE counter "DCGM_FI_DEV_RETIRED_DBE" "Total number of retired pages due to double-bit errors."
    RETIRED_PENDING gauge "DCGM_FI_DEV_RETIRED_PENDING" "Whether pages are pending retirement."
    REMAPPED_COR counter "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS" "Number of remapped rows for correctable errors"
    REMAPPED_UNC counter "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS" "Number of remapped rows for uncorrectable errors"
    REMAP_PENDING gauge "DCGM_FI_DEV_ROW_REMAP_PENDING" "Whether rows wait for a reset to be remapped"
    REMAP_FAILURE gauge "DCGM_FI_DEV_ROW_REMAP_FAILURE" "Whether remapping of rows has failed"
    MEMORY_TEMP gauge "DCGM_FI_DEV_MEMORY_TEMP" "Memory temperature (in C)."
    PCIE_REPLAY counter "DCGM_FI_DEV_PCIE_REPLAY_COUNTER" "Total number of PCIe retries."
    PCIE_TX_BYTES counter "vedette_gpu_pcie_transmit_bytes_total" "Bytes sent over PCIe."
    PCIE_RX_BYTES counter "vedette_gpu_pcie_receive_bytes_total" "Bytes received over PCIe."
    NVLINK_FLIT counter "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL" "Total number of NVLink flow-control CRC errors."
    NVLINK_DATA counter "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL" "Total number of NVLink data CRC errors."
    NVLINK_REPLAY counter "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL" "Total number of NVLink retries."
    NVLINK_RECOVERY counter "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL" "Total number of NVLink recovery errors."
    NVLINK_BANDWIDTH counter "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL" "Total number of NVLink bandwidth counters for all lanes."
    RECOVERY_ACTION gauge "DCGM_FI_DEV_GET_GPU_RECOVERY_ACTION" "What the driver asks for: 0 nothing, 1 GPU reset, 2 node reboot, 3 drain peers, 4 drain and reset."
    CAP_NS counter "DCGM_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP_NS" "Time below full clocks due to the power limit (in ns)."
    BOOST_NS counter "DCGM_FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST_NS" "Time below full clocks due to the sync-boost group (in ns)."
    SW_THERM_NS counter "DCGM_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN_NS" "Time below full clocks due to the driver's thermal limit (in ns)."
    HW_THERM_NS counter "DCGM_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN_NS" "Time below half clocks due to the hardware's thermal limit (in ns)."
    BRAKE_NS counter "DCGM_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN_NS" "Time below half clocks due to the external power brake (in ns)."
    GR_ENGINE_ACTIVE gauge "DCGM_FI_PROF_GR_ENGINE_ACTIVE" "Ratio of time the graphics engine is active."
    SM_ACTIVE gauge "DCGM_FI_PROF_SM_ACTIVE" "The ratio of cycles an SM has at least 1 warp assigned."
    SM_OCCUPANCY gauge "DCGM_FI_PROF_SM_OCCUPANCY" "The ratio of number of warps resident on an SM."
    TENSOR_ACTIVE gauge "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE" "Ratio of cycles the tensor (HMMA) pipe is active."
    DRAM_ACTIVE gauge "DCGM_FI_PROF_DRAM_ACTIVE" "Ratio of cycles the device memory interface is active sending or receiving data."
    FP64_ACTIVE gauge "DCGM_FI_PROF_PIPE_FP64_ACTIVE" "Ratio of cycles the fp64 pipes are active."
    FP32_ACTIVE gauge "DCGM_FI_PROF_PIPE_FP32_ACTIVE" "Ratio of cycles the fp32 pipes are active."
    FP16_ACTIVE gauge "DCGM_FI_PROF_PIPE_FP16_ACTIVE" "Ratio of cycles the fp16 pipes are active."
    PROF_PCIE_TX gauge "DCGM_FI_PROF_PCIE_TX_BYTES" "The rate of data transmitted over the PCIe bus (in bytes per second)."
    PROF_PCIE_RX gauge "DCGM_FI_PROF_PCIE_RX_BYTES" "The rate of data received over the PCIe bus (in bytes per second)."
    PROF_NVLINK_TX gauge "DCGM_FI_PROF_NVLINK_TX_BYTES" "The rate of data transmitted over all NVLinks (in bytes per second)."
    PROF_NVLINK_RX gauge "DCGM_FI_PROF_NVLINK_RX_BYTES" "The rate of data received over all NVLinks (in bytes per second)."
}

/// Milliwatts as watts.
fn watts(milliwatts: u32) -> Option<f64> {
    known_u32(milliwatts).map(|value| value / 1000.0)
}

/// Bytes as MiB.
fn mib(bytes: u64) -> Option<f64> {
    known_u64(bytes).map(|value| value / MIB)
}

fn violation(
    device: &Device<'_>,
    found: &mut Found,
    policy: PerformancePolicy,
    metric: &'static Metric,
) -> Result<(), NvmlError> {
    let time = device.violation_status(policy)?;
    found.put(metric, known_u64(time.violation_time));
    Ok(())
}

/// Framebuffer memory, of a GPU or of a MIG instance.
pub(super) static MEMORY: Reader = Reader {
    call: "nvmlDeviceGetMemoryInfo_v2",
    read: |device, found| {
        let memory = device.memory_info()?;
        found.put(&FB_TOTAL, mib(memory.total));
        found.put(&FB_FREE, mib(memory.free));
        found.put(&FB_USED, mib(memory.used));
        found.put(&FB_RESERVED, mib(memory.reserved));
        let usable = mib(memory.total)
            .zip(mib(memory.reserved))
            .map(|(total, reserved)| total - reserved)
            .filter(|usable| *usable > 0.0);
        found.put(
            &FB_USED_PERCENT,
            mib(memory.used)
                .zip(usable)
                .map(|(used, usable)| used / usable),
        );
        Ok(())
    },
};

/// The two calls that each watch the bus for 20 ms before they answer.
pub(super) static PCIE_THROUGHPUT: &[Reader] = &[
    Reader {
        call: "nvmlDeviceGetPcieThroughput",
        read: |device, found| {
            found.put(
                &PCIE_TX,
                known_u32(device.pcie_throughput(PcieUtilCounter::Send)?),
            );
            Ok(())
        },
    },
    Reader {
        call: "nvmlDeviceGetPcieThroughput",
        read: |device, found| {
            found.put(
                &PCIE_RX,
                known_u32(device.pcie_throughput(PcieUtilCounter::Receive)?),
            );
            Ok(())
        },
    },
];

macro_rules! readers {
    ($($call:literal $device:ident $found:ident $body:block)*) => {
        &[$(Reader {
            call: $call,
            read: |$device, $found| {
                $body
                Ok(())
            },
        }),*]
    };
}

/// The calls that give a value each, in the order in which they are made.
pub(super) static READERS: &[Reader] = readers! {
    "nvmlDeviceGetUtilizationRates" device found {
        let rates = device.utilization_rates()?;
        found.put(&GPU_UTIL, known_u32(rates.gpu));
        found.put(&MEM_COPY_UTIL, known_u32(rates.memory));
    }
    "nvmlDeviceGetEncoderUtilization" device found {
        found.put(&ENC_UTIL, known_u32(device.encoder_utilization()?.utilization));
    }
    "nvmlDeviceGetDecoderUtilization" device found {
        found.put(&DEC_UTIL, known_u32(device.decoder_utilization()?.utilization));
    }
    "nvmlDeviceGetBAR1MemoryInfo" device found {
        let memory = device.bar1_memory_info()?;
        found.put(&BAR1_TOTAL, mib(memory.total));
        found.put(&BAR1_FREE, mib(memory.free));
        found.put(&BAR1_USED, mib(memory.used));
    }
    "nvmlDeviceGetPowerUsage" device found {
        found.put(&POWER_USAGE, watts(device.power_usage()?));
    }
    "nvmlDeviceGetPowerManagementLimit" device found {
        found.put(&POWER_LIMIT, watts(device.power_management_limit()?));
    }
    "nvmlDeviceGetPowerManagementLimitConstraints" device found {
        let limits = device.power_management_limit_constraints()?;
        found.put(&POWER_LIMIT_MIN, watts(limits.min_limit));
        found.put(&POWER_LIMIT_MAX, watts(limits.max_limit));
    }
    "nvmlDeviceGetPowerManagementDefaultLimit" device found {
        found.put(&POWER_LIMIT_DEF, watts(device.power_management_limit_default()?));
    }
    "nvmlDeviceGetEnforcedPowerLimit" device found {
        found.put(&POWER_ENFORCED, watts(device.enforced_power_limit()?));
    }
    "nvmlDeviceGetTotalEnergyConsumption" device found {
        found.put(&ENERGY, known_u64(device.total_energy_consumption()?));
    }
    "nvmlDeviceGetTemperature" device found {
        found.put(&GPU_TEMP, known_u32(device.temperature(TemperatureSensor::Gpu)?));
    }
    "nvmlDeviceGetTemperatureThreshold" device found {
        let slowdown = device.temperature_threshold(TemperatureThreshold::Slowdown)?;
        found.put(&SLOWDOWN_TEMP, known_u32(slowdown));
    }
    "nvmlDeviceGetTemperatureThreshold" device found {
        let shutdown = device.temperature_threshold(TemperatureThreshold::Shutdown)?;
        found.put(&SHUTDOWN_TEMP, known_u32(shutdown));
    }
    "nvmlDeviceGetClockInfo" device found {
        found.put(&SM_CLOCK, known_u32(device.clock_info(Clock::SM)?));
    }
    "nvmlDeviceGetClockInfo" device found {
        found.put(&MEM_CLOCK, known_u32(device.clock_info(Clock::Memory)?));
    }
    "nvmlDeviceGetMaxClockInfo" device found {
        found.put(&MAX_SM_CLOCK, known_u32(device.max_clock_info(Clock::SM)?));
    }
    "nvmlDeviceGetMaxClockInfo" device found {
        found.put(&MAX_MEM_CLOCK, known_u32(device.max_clock_info(Clock::Memory)?));
    }
    "nvmlDeviceGetPerformanceState" device found {
        let state = device.performance_state()?;
        found.put(&PSTATE, match state {
            PerformanceState::Unknown => None,
            known => known_u32(known.as_c()),
        });
    }
    "nvmlDeviceGetFanSpeed_v2" device found {
        found.put(&FAN_SPEED, known_u32(device.fan_speed(0)?));
    }
    "nvmlDeviceGetCurrentClocksThrottleReasons" device found {
        // One value under both of DCGM's names, the old one and the new.
        let reasons = known_u64(device.current_throttle_reasons()?.bits());
        found.put(&THROTTLE_REASONS, reasons);
        found.put(&EVENT_REASONS, reasons);
    }
    "nvmlDeviceGetViolationStatus" device found {
        violation(device, found, PerformancePolicy::Power, &POWER_VIOLATION)?;
    }
    "nvmlDeviceGetViolationStatus" device found {
        violation(device, found, PerformancePolicy::Thermal, &THERMAL_VIOLATION)?;
    }
    "nvmlDeviceGetViolationStatus" device found {
        violation(device, found, PerformancePolicy::SyncBoost, &SYNC_BOOST_VIOLATION)?;
    }
    "nvmlDeviceGetViolationStatus" device found {
        violation(device, found, PerformancePolicy::BoardLimit, &BOARD_LIMIT_VIOLATION)?;
    }
    "nvmlDeviceGetViolationStatus" device found {
        violation(device, found, PerformancePolicy::LowUtilization, &LOW_UTIL_VIOLATION)?;
    }
    "nvmlDeviceGetViolationStatus" device found {
        violation(device, found, PerformancePolicy::Reliability, &RELIABILITY_VIOLATION)?;
    }
    "nvmlDeviceGetCurrPcieLinkGeneration" device found {
        found.put(&LINK_GEN, known_u32(device.current_pcie_link_gen()?));
    }
    "nvmlDeviceGetCurrPcieLinkWidth" device found {
        found.put(&LINK_WIDTH, known_u32(device.current_pcie_link_width()?));
    }
    "nvmlDeviceGetMaxPcieLinkGeneration" device found {
        found.put(&MAX_LINK_GEN, known_u32(device.max_pcie_link_gen()?));
    }
    "nvmlDeviceGetMaxPcieLinkWidth" device found {
        found.put(&MAX_LINK_WIDTH, known_u32(device.max_pcie_link_width()?));
    }
    "nvmlDeviceGetComputeRunningProcesses_v3" device found {
        found.put(&PROCESSES, known_u32(device.running_compute_processes_count()?));
    }
};

/// A value that the driver gives by number, many of them in one call.
pub(super) struct Field {
    /// The number, in the wrapper's canonical scheme.
    pub(super) id: u32,
    /// What it is.
    pub(super) metric: &'static Metric,
}

impl Field {
    /// The number as the wrapper wants it.
    pub(super) fn field_id(&self) -> FieldId {
        FieldId(self.id)
    }
}

macro_rules! fields {
    ($($id:ident $metric:ident)*) => { &[$(Field { id: id::$id, metric: &$metric }),*] };
}

/// The values asked for by number.
pub(super) static FIELDS: &[Field] = fields! {
    NVML_FI_DEV_ECC_CURRENT ECC_CURRENT
    NVML_FI_DEV_ECC_SBE_VOL_TOTAL SBE_VOL
    NVML_FI_DEV_ECC_DBE_VOL_TOTAL DBE_VOL
    NVML_FI_DEV_ECC_SBE_AGG_TOTAL SBE_AGG
    NVML_FI_DEV_ECC_DBE_AGG_TOTAL DBE_AGG
    NVML_FI_DEV_RETIRED_SBE RETIRED_SBE
    NVML_FI_DEV_RETIRED_DBE RETIRED_DBE
    NVML_FI_DEV_RETIRED_PENDING RETIRED_PENDING
    NVML_FI_DEV_REMAPPED_COR REMAPPED_COR
    NVML_FI_DEV_REMAPPED_UNC REMAPPED_UNC
    NVML_FI_DEV_REMAPPED_PENDING REMAP_PENDING
    NVML_FI_DEV_REMAPPED_FAILURE REMAP_FAILURE
    NVML_FI_DEV_MEMORY_TEMP MEMORY_TEMP
    NVML_FI_DEV_PCIE_REPLAY_COUNTER PCIE_REPLAY
    NVML_FI_DEV_PCIE_COUNT_TX_BYTES PCIE_TX_BYTES
    NVML_FI_DEV_PCIE_COUNT_RX_BYTES PCIE_RX_BYTES
    NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL NVLINK_FLIT
    NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL NVLINK_DATA
    NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL NVLINK_REPLAY
    NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL NVLINK_RECOVERY
    NVML_FI_DEV_NVLINK_BANDWIDTH_C0_TOTAL NVLINK_BANDWIDTH
    NVML_FI_DEV_GET_GPU_RECOVERY_ACTION RECOVERY_ACTION
    NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP CAP_NS
    NVML_FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST BOOST_NS
    NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN SW_THERM_NS
    NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN HW_THERM_NS
    NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN BRAKE_NS
};

/// How many NVLinks the GPU has.
pub(super) const LINK_COUNT: FieldId = FieldId(id::NVML_FI_DEV_NVLINK_LINK_COUNT);

/// A profiling counter that is worked out between two samples (Hopper and newer).
pub(super) struct Profile {
    /// Which one.
    pub(super) id: GpmMetricId,
    /// What it is.
    pub(super) metric: &'static Metric,
    /// From the driver's unit (percent, MiB/s) to the metric's (ratio, bytes/s).
    pub(super) factor: f64,
}

macro_rules! profiles {
    ($($id:ident $metric:ident $factor:expr;)*) => {
        &[$(Profile { id: GpmMetricId::$id, metric: &$metric, factor: $factor }),*]
    };
}

/// The profiling counters.
pub(super) static PROFILES: &[Profile] = profiles! {
    GraphicsUtil GR_ENGINE_ACTIVE 0.01;
    SmUtil SM_ACTIVE 0.01;
    SmOccupancy SM_OCCUPANCY 0.01;
    AnyTensorUtil TENSOR_ACTIVE 0.01;
    DramBwUtil DRAM_ACTIVE 0.01;
    Fp64Util FP64_ACTIVE 0.01;
    Fp32Util FP32_ACTIVE 0.01;
    Fp16Util FP16_ACTIVE 0.01;
    PcieTxPerSec PROF_PCIE_TX MIB;
    PcieRxPerSec PROF_PCIE_RX MIB;
    NvlinkTotalTxPerSec PROF_NVLINK_TX MIB;
    NvlinkTotalRxPerSec PROF_NVLINK_RX MIB;
};
