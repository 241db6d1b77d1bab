//! Flags that limit what a container uses: of `run` and `create`, `update` and `container clone`.

use clap::Args;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Resources {
    /// Memory limit (bytes, or with b, k, m, g)
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<String>,

    /// Memory and swap together (-1 for all the swap there is; default: twice --memory)
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,

    /// Memory that is left to the container while others can give
    #[arg(long, value_name = "SIZE")]
    pub memory_reservation: Option<String>,

    /// How readily memory is swapped out (cgroup v2 has no such setting: a warning)
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub memory_swappiness: Option<i64>,

    /// Number of CPUs (default 0, no limit)
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<f64>,

    /// CPU time in each period, microseconds
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,

    /// Length of a period, microseconds
    #[arg(long, value_name = "NUMBER")]
    pub cpu_period: Option<u64>,

    /// Share of the CPU time against others (2 to 262144; they have 1024)
    #[arg(short = 'c', long, value_name = "NUMBER")]
    pub cpu_shares: Option<u64>,

    /// Length of a real-time period (cgroup v2 has no such setting: a warning)
    #[arg(long, value_name = "NUMBER")]
    pub cpu_rt_period: Option<u64>,

    /// Real-time CPU time (cgroup v2 has no such setting: a warning)
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub cpu_rt_runtime: Option<i64>,

    /// CPUs to run on (0-3,5)
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,

    /// Memory nodes to use (0-3,5)
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,

    /// Share of the block I/O against others (10 to 1000)
    #[arg(long, value_name = "NUMBER")]
    pub blkio_weight: Option<u16>,

    /// The same of one device (PATH:NUMBER)
    #[arg(long, value_name = "PATH:NUMBER", value_delimiter = ',')]
    pub blkio_weight_device: Vec<String>,

    /// Bytes read from a device per second (PATH:SIZE)
    #[arg(long, value_name = "PATH:SIZE", value_delimiter = ',')]
    pub device_read_bps: Vec<String>,

    /// Bytes written to a device per second (PATH:SIZE)
    #[arg(long, value_name = "PATH:SIZE", value_delimiter = ',')]
    pub device_write_bps: Vec<String>,

    /// Reads from a device per second (PATH:NUMBER)
    #[arg(long, value_name = "PATH:NUMBER", value_delimiter = ',')]
    pub device_read_iops: Vec<String>,

    /// Writes to a device per second (PATH:NUMBER)
    #[arg(long, value_name = "PATH:NUMBER", value_delimiter = ',')]
    pub device_write_iops: Vec<String>,

    /// Number of processes (0 or -1 for no limit)
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
}
