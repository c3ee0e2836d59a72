//! The machine: what it is, and how busy others keep it while something is measured.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use aquifer_io::Instant;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Above this many cores in use by others, a round is marked as noisy.
pub(crate) const NOISY_CORES: f64 = 0.2;

/// Clock ticks of `/proc`, in a second. A constant of Linux on all its common machines.
const TICKS_PER_S: f64 = 100.0;

/// What the numbers were measured on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Machine {
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// As the processor names itself.
    pub(crate) cpu: String,
    /// CPUs that this process may use.
    pub(crate) cores: usize,
    /// Memory of the machine.
    pub(crate) memory_bytes: u64,
    /// Block device below the folder; empty when it has none of its own.
    pub(crate) device: String,
    /// Its I/O schedulers, the active one in brackets.
    pub(crate) scheduler: String,
    /// File system of the folder.
    pub(crate) file_system: String,
    /// Runnable tasks, averaged over a minute, when the run began.
    pub(crate) load_average: f64,
}

impl Machine {
    /// Looks at it; what cannot be found out stays empty.
    pub(crate) fn of(folder: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let cpu = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = read("/proc/loadavg");
        let device = device_of(folder);
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: cpu.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
            cores: aquifer_io::cores_available().len(),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
            file_system: file_system(&read("/proc/self/mountinfo"), folder),
            scheduler: read(&format!("/sys/block/{device}/queue/scheduler")).trim().to_owned(),
            device,
            load_average: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

/// Name of the whole disk that holds the folder.
fn device_of(folder: &Path) -> String {
    let Ok(found) = std::fs::metadata(folder) else { return String::new() };
    let (major, minor) = (rustix::fs::major(found.dev()), rustix::fs::minor(found.dev()));
    let Ok(target) = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")) else {
        return String::new();
    };
    let partition = target.join("partition").exists();
    let disk = if partition { target.parent() } else { Some(target.as_path()) };
    disk.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// `MemTotal: 1024 kB`.
fn memory_bytes(info: &str) -> u64 {
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.and_then(|kib| kib.checked_mul(1024)).unwrap_or(0)
}

/// `36 35 98:0 /root /where options - ext4 /dev/sda1 ..`: the type of the innermost mount that holds the folder.
fn file_system(mounts: &str, folder: &Path) -> String {
    let Ok(folder) = folder.canonicalize() else { return String::new() };
    let holding = mounts.lines().filter_map(|line| {
        let (fields, rest) = line.split_once(" - ")?;
        let place = fields.split(' ').nth(4)?.replace("\\040", " ");
        folder.starts_with(&place).then(|| (place.len(), rest.split(' ').next().unwrap_or_default()))
    });
    // Of several at one place the last one hides the others.
    holding.max_by_key(|(bytes, _)| *bytes).map(|(_, name)| name.to_owned()).unwrap_or_default()
}

/// Processor time of this process so far, all threads, user and system, those of the kernel that work for it included.
pub(crate) fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanoseconds.unwrap_or(0))
}

/// Processor time of a process, to a hundredth of a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Its own, all threads.
    pub(crate) own: Duration,
    /// Of its children that ended and that it waited for.
    pub(crate) children: Duration,
}

impl Cpu {
    /// Of the process with this number; zeros when it is gone.
    pub(crate) fn of(process: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let time = |from, ticks: &[u64]| {
            let sum: u64 = ticks.iter().skip(from).take(2).sum();
            Duration::from_secs_f64(sum as f64 / TICKS_PER_S)
        };
        let ticks = ticks_of(&stat);
        Self { own: time(0, &ticks), children: time(2, &ticks) }
    }
}

/// How busy the machine is, and this process with its ended children, from here on.
#[derive(Debug)]
pub(crate) struct Busy {
    /// Processes that work for this one and live on.
    beside: Vec<u32>,
    since: Instant,
    all_ticks: u64,
    own_ticks: u64,
}

impl Busy {
    /// Begins to look.
    pub(crate) fn begin() -> Self {
        Self::beside(Vec::new())
    }

    /// The same where other processes, by their numbers, work for this one.
    pub(crate) fn beside(beside: Vec<u32>) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let own = beside.iter().map(|process| format!("/proc/{process}/stat"));
        let own = own.chain(["/proc/self/stat".to_owned()]).map(|path| own_ticks(&read(&path))).sum();
        let all_ticks = all_ticks(&read("/proc/stat"));
        Self { beside, since: aquifer_io::now(), all_ticks, own_ticks: own }
    }

    /// Cores that others kept busy since then, on average.
    pub(crate) fn others_cores(&self) -> f64 {
        let now = Self::beside(self.beside.clone());
        let all = now.all_ticks.saturating_sub(self.all_ticks);
        let own = now.own_ticks.saturating_sub(self.own_ticks);
        let elapsed_s = now.since.duration_since(self.since).as_secs_f64();
        if elapsed_s > 0.0 { all.saturating_sub(own) as f64 / TICKS_PER_S / elapsed_s } else { 0.0 }
    }
}

/// `cpu  user nice system idle iowait irq softirq steal ..`: the ticks in which somebody computed, or the host took
/// the CPU away. Interrupts are left out: they are nobody's, and those of the disk are ours.
fn all_ticks(stat: &str) -> u64 {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let fields = line.split_whitespace().map(|field| field.parse::<u64>().unwrap_or(0));
    fields.enumerate().filter(|(index, _)| [0, 1, 2, 7].contains(index)).map(|(_, ticks)| ticks).sum()
}

/// User and system ticks of a process and of the children it has waited for, together.
fn own_ticks(stat: &str) -> u64 {
    ticks_of(stat).iter().sum()
}

/// `pid (name) state ..`: utime, stime, cutime, cstime; nothing of a text that is none.
fn ticks_of(stat: &str) -> Vec<u64> {
    // The name may hold anything, also parentheses.
    let Some((_, rest)) = stat.rsplit_once(')') else { return Vec::new() };
    // `state` is the third field of the manual; utime, stime, cutime, cstime are the 14th to the 17th.
    rest.split_whitespace().skip(11).take(4).map(|field| field.parse::<u64>().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_from_the_kernel_files() {
        let stat = "cpu  100 20 30 9000 50 6 7 8 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(all_ticks(stat), 158);
        assert_eq!(all_ticks("cpus 1 2\n"), 0);
        let own = "77 (a) b) (c) R 1 1 1 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 588548 3133440";
        assert_eq!(own_ticks(own), 110);
        assert_eq!(own_ticks(""), 0);
        assert_eq!(Cpu::of(0), Cpu::default(), "no process has this number");
    }

    #[test]
    fn memory_and_file_system_are_read_from_the_kernel_files() {
        assert_eq!(memory_bytes("MemFree: 1 kB\nMemTotal:       2048 kB\n"), 2 << 20);
        assert_eq!(memory_bytes("MemTotal: many kB\n"), 0);
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /usr rw shared:1 - xfs /dev/sdb rw\n\
                      3 1 8:3 / /usr rw - btrfs /dev/sdc rw\n4 1 8:4 / /usrx rw - tmpfs tmpfs rw\n";
        assert_eq!(file_system(mounts, Path::new("/usr")), "btrfs");
        assert_eq!(file_system(mounts, Path::new("/")), "ext4");
        assert_eq!(file_system("nonsense", Path::new("/")), "");
    }

    #[test]
    fn the_machine_is_described() {
        let machine = Machine::of(Path::new("/"));
        assert!(!machine.kernel.is_empty() && machine.cores > 0, "{machine:?}");
        assert!(Busy::begin().others_cores() >= 0.0);
        assert!(process_cpu() > Duration::ZERO);
    }
}
