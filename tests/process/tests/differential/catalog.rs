//! The names and labels that questions are made of.

/// Names and labels of a set.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// Labels that all series have.
    pub(crate) shared: &'static [&'static str],
    /// Counters.
    pub(crate) counters: &'static [Metric],
    /// Gauges.
    pub(crate) gauges: &'static [Metric],
    /// Classic histograms, without the ends of their names.
    pub(crate) histograms: &'static [Metric],
    /// Values of labels.
    pub(crate) values: &'static [(&'static str, &'static [&'static str])],
}

/// A name, and the labels that tell its series apart besides those that all have.
pub(crate) type Metric = (&'static str, &'static [&'static str]);

/// Those of `demo`.
pub(crate) const DEMO: Catalog = Catalog {
    shared: &["instance"],
    counters: &[
        ("demo_cpu_usage_seconds_total", &["mode"]),
        ("demo_items_shipped_total", &[]),
        (
            "demo_api_request_duration_seconds_count",
            &["method", "path", "status"],
        ),
    ],
    gauges: &[
        ("demo_memory_usage_bytes", &["type"]),
        ("demo_disk_usage_bytes", &[]),
        ("demo_num_cpus", &[]),
        ("demo_intermittent_metric", &[]),
        ("demo_batch_last_success_timestamp_seconds", &[]),
        ("demo_api_http_requests_in_progress", &[]),
        ("demo_odd_values", &[]),
    ],
    histograms: &[(
        "demo_api_request_duration_seconds",
        &["method", "path", "status"],
    )],
    values: &[
        (
            "instance",
            &[
                "demo.promlabs.com:10000",
                "demo.promlabs.com:10001",
                "demo.promlabs.com:10002",
            ],
        ),
        ("mode", &["idle", "user", "system"]),
        ("type", &["used", "cached", "buffers", "free"]),
        ("method", &["GET", "POST"]),
        ("path", &["/api/foo", "/api/bar"]),
        ("status", &["200", "500"]),
    ],
};

/// Those of the recording.
pub(crate) const RECORDING: Catalog = Catalog {
    shared: &["instance", "job"],
    counters: &[
        ("node_cpu_seconds_total", &["cpu", "mode"]),
        ("node_disk_read_bytes_total", &["device"]),
        ("node_disk_io_time_seconds_total", &["device"]),
        ("node_network_receive_bytes_total", &["device"]),
        ("node_softnet_processed_total", &["cpu"]),
        ("node_context_switches_total", &[]),
        ("node_pressure_cpu_waiting_seconds_total", &[]),
        ("node_vmstat_pgfault", &[]),
        ("process_cpu_seconds_total", &[]),
    ],
    gauges: &[
        ("node_memory_MemAvailable_bytes", &[]),
        ("node_memory_Dirty_bytes", &[]),
        ("node_load1", &[]),
        ("node_filesystem_avail_bytes", &["mountpoint"]),
        ("node_procs_running", &[]),
        ("node_sockstat_TCP_inuse", &[]),
        ("node_scrape_collector_duration_seconds", &["collector"]),
        ("node_network_up", &["device"]),
        ("go_goroutines", &[]),
        ("go_gc_duration_seconds", &["quantile"]),
        ("node_time_seconds", &[]),
    ],
    histograms: &[],
    values: &[
        ("instance", &["127.0.0.1:9100"]),
        ("job", &["node"]),
        ("cpu", &["0", "1"]),
        ("mode", &["idle", "user", "system", "iowait", "steal"]),
        ("device", &["eth0", "vda", "zram0", "lo", "ifb0"]),
        ("mountpoint", &["/"]),
        ("collector", &["cpu", "meminfo", "netdev", "zfs"]),
        ("quantile", &["0", "0.25", "0.5", "1"]),
    ],
};

/// Those of the small load.
pub(crate) const SMALL: Catalog = Catalog {
    shared: &["node", "rack", "instance"],
    counters: &[
        ("node_cpu_seconds_total", &["cpu", "mode"]),
        ("node_disk_written_bytes_total", &["device"]),
        ("node_network_transmit_bytes_total", &["device"]),
        ("node_context_switches_total", &[]),
        ("vllm:generation_tokens_total", &["model_name"]),
        ("vllm:num_preemptions_total", &["model_name"]),
        ("vllm:request_success_total", &["finished_reason"]),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", &["gpu"]),
    ],
    gauges: &[
        ("node_memory_MemAvailable_bytes", &[]),
        ("node_filesystem_avail_bytes", &["mountpoint"]),
        ("node_load1", &[]),
        ("node_hwmon_temp_celsius", &["sensor"]),
        ("vllm:num_requests_running", &["model_name"]),
        ("vllm:num_requests_waiting", &["model_name"]),
        ("vllm:gpu_cache_usage_perc", &["model_name"]),
        ("DCGM_FI_DEV_POWER_USAGE", &["gpu"]),
        ("DCGM_FI_DEV_GPU_UTIL", &["gpu"]),
        ("DCGM_FI_DEV_GPU_TEMP", &["gpu"]),
        ("up", &["job"]),
    ],
    histograms: &[
        ("vllm:time_to_first_token_seconds", &["model_name"]),
        ("vllm:e2e_request_latency_seconds", &["model_name"]),
    ],
    values: &[
        ("node", &["gpu-0000", "gpu-0004", "gpu-0008", "gpu-0012"]),
        ("rack", &["r00", "r01", "r02"]),
        (
            "instance",
            &["10.0.0.7:9100", "10.0.4.7:8000", "10.0.8.7:9400"],
        ),
        ("job", &["node", "dcgm", "vllm"]),
        ("cpu", &["0", "1", "2", "3"]),
        ("mode", &["idle", "user", "system", "iowait"]),
        ("device", &["eth0", "ib0", "nvme0n1"]),
        ("mountpoint", &["/", "/models"]),
        ("sensor", &["temp1", "temp2"]),
        ("gpu", &["0", "1", "2", "3"]),
        ("model_name", &["meta-llama/Llama-3.1-70B-Instruct"]),
        ("finished_reason", &["stop", "length", "abort"]),
    ],
};
