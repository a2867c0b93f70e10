//! CPU and wall time of frames.

use crate::gpu::{FrameStats, Gpu};
use crate::terminal;
use cpu_time::ProcessTime;
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::Instant;

/// CPU and wall time of a frame.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    /// User and system time of the whole process.
    pub cpu_ms: f64,
    wall_ms: Vec<f64>,
    page_uploads: f64,
    page_bytes: f64,
    passes: Vec<&'static str>,
}

impl Cost {
    /// The object in the report.
    pub fn json(&self) -> Value {
        json!({
            "cpu_ms": rounded(self.cpu_ms, 3),
            "wall_p50_ms": rounded(percentile(&self.wall_ms, 0.5), 3),
            "wall_p99_ms": rounded(percentile(&self.wall_ms, 0.99), 3),
            "page_uploads": rounded(self.page_uploads, 2),
            "page_bytes": rounded(self.page_bytes, 0),
            "passes": self.passes,
        })
    }
}

/// The nearest-rank percentile of ascending numbers; 0 of none.
fn percentile(ascending: &[f64], share: f64) -> f64 {
    let last = ascending.len().saturating_sub(1) as f64;
    ascending.get((last * share).round() as usize).copied().unwrap_or(0.0)
}

/// Measures one kind of frame.
pub(super) struct Meter<'a> {
    gpu: &'a Gpu,
    name: &'static str,
    frames: u32,
}

/// Groups of frames; the median group counts, so that a disturbance has no effect.
const GROUPS: u32 = 5;
/// Frames before the measured ones: they fill pipelines, textures and caches.
pub(super) const WARM_UP: u32 = 4;

impl<'a> Meter<'a> {
    pub const fn new(gpu: &'a Gpu, name: &'static str, frames: u32) -> Self {
        Self { gpu, name, frames }
    }

    /// Runs `frame` with 0, 1, 2, … and waits for the device after each.
    pub fn run(
        &self,
        mut frame: impl FnMut(u32) -> anyhow::Result<FrameStats>,
    ) -> anyhow::Result<Cost> {
        note(self.name)?;
        let mut once = |index: u32| -> anyhow::Result<FrameStats> {
            let stats = frame(index)?;
            self.gpu.wait()?;
            Ok(stats)
        };
        for index in 0..WARM_UP {
            once(index)?;
        }
        let in_group = self.frames.div_ceil(GROUPS);
        let (mut groups, mut wall_ms) = (Vec::new(), Vec::new());
        let (mut uploads, mut bytes, mut passes) = (0_u64, 0_u64, Vec::new());
        let mut index = WARM_UP;
        for _ in 0..GROUPS {
            let cpu = ProcessTime::now();
            for _ in 0..in_group {
                let start = Instant::now();
                let stats = once(index)?;
                wall_ms.push(start.elapsed().as_secs_f64() * 1e3);
                uploads += u64::from(stats.page_uploads);
                bytes += stats.page_bytes;
                passes = stats.passes;
                index += 1;
            }
            groups.push(cpu.elapsed().as_secs_f64() * 1e3 / f64::from(in_group));
        }
        groups.sort_by(f64::total_cmp);
        wall_ms.sort_by(f64::total_cmp);
        let count = f64::from(in_group * GROUPS);
        Ok(Cost {
            cpu_ms: percentile(&groups, 0.5),
            wall_ms,
            page_uploads: uploads as f64 / count,
            page_bytes: bytes as f64 / count,
            passes,
        })
    }
}

/// Resident memory of this process: its own, and mapped pages of files, which the system may drop and read again at
/// any time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resident {
    pub own_bytes: u64,
    pub mapped_bytes: u64,
}

impl Resident {
    /// `None` if the system does not report it.
    pub fn now() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let bytes = |field: &str| -> Option<u64> {
            let line = status.lines().find(|line| line.starts_with(field))?;
            let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kilobytes * 1024)
        };
        Some(Self { own_bytes: bytes("RssAnon:")?, mapped_bytes: bytes("RssFile:")? })
    }
}

/// A line on stderr.
pub(super) fn note(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(terminal::stderr(), "{text}")?)
}

/// A number, rounded to so many decimals.
pub(super) fn rounded(value: f64, decimals: i32) -> Value {
    let scale = 10_f64.powi(decimals);
    json!((value * scale).round() / scale)
}
