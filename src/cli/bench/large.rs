//! Traces that are larger than memory should be.

use super::meter::{Resident, note, rounded};
use crate::gpu::{Gpu, Renderer, RendererOptions, Scene, Target};
use crate::trace::Trace;
use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
use crate::view::{Queries, ViewState};
use anyhow::Context as _;
use cpu_time::ProcessTime;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// The page pool of the sparse trace.
const SPARSE_POOL_BYTES: u64 = 64 << 20;
/// Frames that are scrubbed through the sparse trace.
const SCRUBS: u32 = 60;

/// Opens and scrubs both traces; their files are removed afterwards.
pub(super) fn run(gpu: &Arc<Gpu>, scratch: &Path, size: [u32; 2]) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir_in(scratch)
        .with_context(|| format!("cannot write to {}; choose --scratch", scratch.display()))?;
    let target = Target::offscreen(gpu, size)?;
    let full = folder.path().join("full.vlmtrace");
    synthetic("llava-1.5-7b")?.write(&full)?;
    let opened = open_full(gpu, &full, &target)?;
    std::fs::remove_file(&full)?;
    let sparse = folder.path().join("sparse.vlmtrace");
    synthetic("long-context")?.write_sparse(&sparse)?;
    let scrubbed = scrub_sparse(gpu, &sparse, &target)?;
    Ok(json!({ "full": opened, "sparse": scrubbed }))
}

fn synthetic(name: &str) -> anyhow::Result<Synthetic> {
    let geometry = Geometry::named(name).context("the geometry is known")?;
    Ok(Synthetic::new(geometry, RowsKept::All, 1)?)
}

/// From a ready device to the first frame of a trace with every row kept.
fn open_full(gpu: &Arc<Gpu>, path: &Path, target: &Target) -> anyhow::Result<Value> {
    note("large: first frame")?;
    let before = Resident::now();
    let (start, cpu) = (Instant::now(), ProcessTime::now());
    let trace = Trace::open(path)?;
    let mut renderer = Renderer::new(Arc::clone(gpu), RendererOptions::offscreen())?;
    let mut state = ViewState::default();
    state.map.queries = Queries::answer(1);
    renderer.frame(&Scene::new(&state, &trace), target)?;
    gpu.wait()?;
    let first_frame_ms = start.elapsed().as_secs_f64() * 1e3;
    let first_frame_cpu_ms = cpu.elapsed().as_secs_f64() * 1e3;
    let pool_bytes = renderer.pool().allocated_bytes;
    Ok(json!({
        "file_bytes": std::fs::metadata(path)?.len(),
        "first_frame_wall_ms": rounded(first_frame_ms, 1),
        "first_frame_cpu_ms": rounded(first_frame_cpu_ms, 1),
        "pool_bytes": pool_bytes,
        "resident_growth": growth(before),
    }))
}

fn scrub_sparse(gpu: &Arc<Gpu>, path: &Path, target: &Target) -> anyhow::Result<Value> {
    note("large: sparse scrub")?;
    let before = Resident::now();
    let start = Instant::now();
    let trace = Trace::open(path)?;
    let open_ms = start.elapsed().as_secs_f64() * 1e3;
    let options =
        RendererOptions { pool_bytes: Some(SPARSE_POOL_BYTES), ..RendererOptions::offscreen() };
    let mut renderer = Renderer::new(Arc::clone(gpu), options)?;
    let rows = trace.rows();
    let mut wall = Vec::new();
    let mut uploads = 0;
    for index in 0..SCRUBS {
        // Through the whole file: from the answer back to the first row, in large steps.
        let row = rows[rows.len() - 1 - (index as usize * rows.len() / SCRUBS as usize)];
        let mut state = ViewState::default();
        state.map.queries = Queries::position(row);
        let start = Instant::now();
        let stats = renderer.frame(&Scene::new(&state, &trace), target)?;
        gpu.wait()?;
        wall.push(start.elapsed().as_secs_f64() * 1e3);
        uploads += stats.page_uploads;
    }
    wall.sort_by(f64::total_cmp);
    Ok(json!({
        "file_bytes": std::fs::metadata(path)?.len(),
        "open_wall_ms": rounded(open_ms, 1),
        "frames": SCRUBS,
        "page_uploads": uploads,
        "frame_wall_p50_ms": rounded(wall[wall.len() / 2], 2),
        "pool_bytes": renderer.pool().allocated_bytes,
        "resident_growth": growth(before),
    }))
}

fn growth(before: Option<Resident>) -> Value {
    match before.zip(Resident::now()) {
        None => Value::Null,
        Some((before, after)) => json!({
            "own_bytes": after.own_bytes.saturating_sub(before.own_bytes),
            "mapped_bytes": after.mapped_bytes.saturating_sub(before.mapped_bytes),
        }),
    }
}
