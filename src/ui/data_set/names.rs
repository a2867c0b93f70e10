//! Conditions and comparisons in the words of the window.

use super::view::Compared;
use crate::table::statistics::{Condition, Test};
use crate::ui::widgets::capital;

/// A condition in the words of the window: "wrong answers", "category: count".
pub fn condition_name(condition: &Condition) -> String {
    match (condition.column.as_str(), &condition.test) {
        ("correct", Test::Equals(value)) if value == "true" => "right answers".into(),
        ("correct", Test::Equals(value)) if value == "false" => "wrong answers".into(),
        (column, Test::Equals(value)) => format!("{column}: {value}"),
        _ => condition.to_string(),
    }
}

/// A comparison in words.
pub fn compared_name(compared: &Compared) -> String {
    match compared {
        Compared::Nothing => "Means, no comparison".into(),
        Compared::Spread => "Spread (standard deviations)".into(),
        Compared::Condition(condition) if *condition == Condition::correct(false) => {
            "Wrong against right answers".into()
        }
        Compared::Condition(condition) => {
            format!("{} against the others", capital(&condition_name(condition)))
        }
        Compared::Table(path) => {
            format!("Against {}", path.file_name().unwrap_or_default().to_string_lossy())
        }
    }
}

/// The groups of a comparison by a condition, in words: "wrong answers" and "right answers".
pub fn group_names(condition: &Condition) -> [String; 2] {
    let name = condition_name(condition);
    match &condition.test {
        Test::Equals(value) if condition.column == "correct" => {
            [name, condition_name(&Condition::correct(value != "true"))]
        }
        _ => [name, "the others".into()],
    }
}
