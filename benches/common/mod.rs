//! Shared by the benches: parts run in processes of their own, medians over rounds, memory and CPU time of a process.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;
use vlmscope::model::Picture;

/// A picture of noise, always the same.
pub fn noise(side: u32) -> anyhow::Result<Picture> {
    let mut state = 1_u32;
    let picture = image::RgbImage::from_fn(side, side, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, red, green, blue] = state.to_be_bytes();
        image::Rgb([red, green, blue])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png)?;
    Ok(Picture { name: "noise.png".to_owned(), bytes: Arc::from(bytes.into_inner()) })
}

/// Runs a part; returns the JSON on the last line that it prints.
pub fn run(mut command: Command, what: &str) -> anyhow::Result<Value> {
    let output = command.output().with_context(|| format!("starting {what}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what} failed: {errors}");
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().last().with_context(|| format!("{what} printed nothing"))?;
    Ok(serde_json::from_str(line)?)
}

/// The median of each number over the rounds.
pub fn medians(rounds: &[Value]) -> Value {
    let Some(first) = rounds.first().and_then(Value::as_object) else { return Value::Null };
    let median = |field: &String| {
        let mut values: Vec<f64> =
            rounds.iter().filter_map(|round| round.get(field)?.as_f64()).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    first.keys().map(|field| (field.clone(), json!(median(field)))).collect()
}

/// A field of /proc/self/status, in bytes.
pub fn status(field: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with(field)).context("no such field")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kilobytes * 1024)
}

/// CPU time of this process, all threads.
pub fn cpu_seconds() -> anyhow::Result<f64> {
    Ok(cpu_time::ProcessTime::now().as_duration().as_secs_f64())
}
