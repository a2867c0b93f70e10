//! Views as TOML tables: one merged into another, and what they share.

use toml::{Table, Value};

/// The `view` of a file or of a step; empty if there is none.
pub(super) fn view_table(of: &Table) -> Table {
    of.get("view").and_then(Value::as_table).cloned().unwrap_or_default()
}

/// Merges one table over another. A table with a `kind` is one choice and is replaced as a whole.
pub(super) fn merge_into(below: &mut Table, above: &Table) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if !above.contains_key("kind") => {
                merge_into(below, above);
            }
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The part of `table` that differs from `base`.
pub(super) fn difference(table: &Table, base: &Table) -> Table {
    let mut out = Table::new();
    for (key, value) in table {
        match (value, base.get(key)) {
            (value, Some(same)) if value == same => {}
            (Value::Table(inner), Some(Value::Table(below))) if !inner.contains_key("kind") => {
                out.insert(key.clone(), Value::Table(difference(inner, below)));
            }
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    out
}

/// The keys whose value is the same in every table.
pub(super) fn shared_by_all(tables: &[Table]) -> Table {
    let Some((first, rest)) = tables.split_first() else { return Table::new() };
    let same = |key: &String, value: &Value| rest.iter().all(|table| table.get(key) == Some(value));
    first
        .iter()
        .filter(|(key, value)| same(key, value))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}
