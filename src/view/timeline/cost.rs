//! The memory that the views of a walkthrough need, estimated from its text: `layers = "0-1000000"` is short but names a
//! million layers, and each step holds a copy of the shared look.

use crate::view::AxisSet;
use toml::{Table, Value};

/// Bytes of the views of all steps: hundreds for each of the most steps that there may be.
pub(super) const MOST_VIEW_BYTES: u64 = 64 << 20;

/// The number of the first step with which the views are too large; `None` where they are not.
/// `tables` are those of the whole file.
pub(super) fn first_step_too_many(tables: &Table) -> Option<usize> {
    let of = |table: &Table| table.get("view").map_or(0, bytes);
    let shared = of(tables);
    let steps = tables.get("step").and_then(Value::as_array)?;
    let mut total = 0_u64;
    steps.iter().position(|step| {
        let own = step.as_table().map_or(0, of);
        total = total.saturating_add(shared).saturating_add(own);
        total > MOST_VIEW_BYTES
    })
}

fn bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64 + 4 * AxisSet::count(text),
        Value::Array(list) => list.iter().map(|value| 8 + bytes(value)).sum(),
        Value::Table(table) => {
            table.iter().map(|(key, value)| key.len() as u64 + bytes(value)).sum()
        }
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn ranges_and_the_shared_look_count_for_every_step() {
        let first = |text: &str| first_step_too_many(&toml::from_str(text).unwrap());
        let wide = "[[step]]\nview = { map = { layers = \"0-1000000\" } }\n";
        assert_eq!(first(&wide.repeat(100)), Some(16));
        assert_eq!(first(&"[[step]]\nview = { map = { layers = \"0-31\" } }\n".repeat(1000)), None);
        let shared = format!("[view.map]\nheads = \"0-1000000\"\n{}", "[[step]]\n".repeat(100));
        assert_eq!(first(&shared), Some(16));
        let caption = format!("[view.caption]\ntext = \"{}\"\n", "w ".repeat(400_000));
        assert_eq!(first(&format!("{caption}{}", "[[step]]\n".repeat(1000))), Some(83));
    }
}
