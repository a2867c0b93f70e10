//! Conditions on the columns of the samples table.

use super::super::{Result, TableError};
use super::{Mask, SampleColumns, Values};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An end of a range of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Less than the number.
    Less,
    /// The number or less.
    AtMost,
    /// More than the number.
    More,
    /// The number or more.
    AtLeast,
}

impl Bound {
    const ALL: [Self; 4] = [Self::AtMost, Self::AtLeast, Self::Less, Self::More];

    const fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }

    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Less => value < bound,
            Self::AtMost => value <= bound,
            Self::More => value > bound,
            Self::AtLeast => value >= bound,
        }
    }
}

/// The test that a value must pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// A text, number or bool that is this one. Case matters.
    Equals(String),
    /// A text that contains this one. Case does not matter.
    Contains(String),
    /// A number on one side of another.
    Bounded(Bound, f64),
    /// A number from the first to the second, both included.
    Between(f64, f64),
}

/// A condition on one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// The test of its value; a missing value fails each test.
    pub test: Test,
}

/// Conditions that must all hold; none chooses every sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Filter {
    /// The conditions.
    pub conditions: Vec<Condition>,
}

impl Filter {
    /// The samples for which all conditions hold.
    ///
    /// # Errors
    /// A column that is not there, or that a condition does not fit.
    pub fn mask(&self, samples: &SampleColumns) -> Result<Mask> {
        let mut mask = Mask::all(samples.len());
        for condition in &self.conditions {
            mask = mask.and(&condition.mask(samples)?);
        }
        Ok(mask)
    }
}

impl Condition {
    /// The condition that an answer is an expected one, or is not.
    pub fn correct(correct: bool) -> Self {
        Self { column: "correct".into(), test: Test::Equals(correct.to_string()) }
    }

    /// The samples for which it holds.
    ///
    /// # Errors
    /// A column that is not there, or that the test does not fit.
    pub fn mask(&self, samples: &SampleColumns) -> Result<Mask> {
        let wrong = |reason: String| TableError::Condition { condition: self.to_string(), reason };
        let Some(values) = samples.column(&self.column) else {
            let names = samples.names().join(", ");
            return Err(wrong(format!(
                "the table has no column `{}`; it has {names}",
                self.column
            )));
        };
        let chosen: Vec<bool> = match (values, &self.test) {
            (Values::Text(texts), Test::Equals(wanted)) => {
                texts.iter().map(|text| text.as_ref() == Some(wanted)).collect()
            }
            (Values::Text(texts), Test::Contains(part)) => {
                let part = part.to_lowercase();
                let has = |text: &Option<String>| {
                    text.as_ref().is_some_and(|text| text.to_lowercase().contains(&part))
                };
                texts.iter().map(has).collect()
            }
            (Values::Bool(bools), Test::Equals(wanted)) => {
                let wanted: bool =
                    wanted.parse().map_err(|_| wrong("the column holds true or false".into()))?;
                bools.iter().map(|own| *own == Some(wanted)).collect()
            }
            (Values::Number(numbers), Test::Equals(wanted)) => {
                let wanted = number(wanted)
                    .map_err(|reason| wrong(format!("the column holds numbers, and {reason}")))?;
                // A column of f32 holds the f32 that is nearest to the written number.
                numbers
                    .iter()
                    .map(|own| *own == wanted || *own == f64::from(wanted as f32))
                    .collect()
            }
            (Values::Number(numbers), Test::Bounded(bound, than)) => {
                numbers.iter().map(|own| bound.holds(*own, *than)).collect()
            }
            (Values::Number(numbers), Test::Between(low, high)) => {
                numbers.iter().map(|own| (*low..=*high).contains(own)).collect()
            }
            (Values::Text(_), _) => return Err(wrong("the column holds texts: use = or ~".into())),
            (Values::Bool(_), _) => {
                return Err(wrong("the column holds true or false: use =".into()));
            }
            (Values::Number(_), _) => {
                return Err(wrong(
                    "the column holds numbers: use =, <, <=, >, >= or =LOW..HIGH".into(),
                ));
            }
        };
        Ok(Mask::new(chosen))
    }
}

/// A number of a condition: a finite one.
fn number(text: &str) -> std::result::Result<f64, String> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) if text.contains(|c: char| c.is_ascii_digit()) => {
            Err(format!("`{text}` is larger than any number of a table"))
        }
        _ => Err(format!("`{text}` is no number")),
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = &self.column;
        match &self.test {
            Test::Equals(value) if column == "correct" && value == "true" => f.write_str("correct"),
            Test::Equals(value) if column == "correct" && value == "false" => f.write_str("wrong"),
            Test::Equals(value) => write!(f, "{column} = {value}"),
            Test::Contains(part) => write!(f, "{column} ~ {part}"),
            Test::Bounded(bound, than) => write!(f, "{column} {} {than}", bound.sign()),
            Test::Between(low, high) => write!(f, "{column} = {low}..{high}"),
        }
    }
}

impl FromStr for Condition {
    type Err = TableError;

    /// `correct`, `wrong`, `COLUMN = VALUE`, `COLUMN = LOW..HIGH`, `COLUMN ~ PART`, `COLUMN < NUMBER` and the like.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |reason: &str| TableError::Condition {
            condition: text.to_owned(),
            reason: reason.to_owned(),
        };
        match text.trim() {
            "correct" => return Ok(Self::correct(true)),
            "wrong" => return Ok(Self::correct(false)),
            _ => {}
        }
        let Some(at) = text.find(['=', '~', '<', '>']) else {
            return Err(wrong(
                "a condition is `correct`, `wrong`, or a column with =, ~ (contains), <, <=, > or >= and a value",
            ));
        };
        let (column, rest) = text.split_at(at);
        let column = column.trim().to_owned();
        if column.is_empty() {
            return Err(wrong("it names no column"));
        }
        let number = |text: &str| number(text).map_err(|reason| wrong(&reason));
        if let Some(bound) = Bound::ALL.into_iter().find(|bound| rest.starts_with(bound.sign())) {
            let than = number(&rest[bound.sign().len()..])?;
            return Ok(Self { column, test: Test::Bounded(bound, than) });
        }
        let (sign, value) = rest.split_at(1);
        let value = value.trim();
        let test = match (sign, value.split_once("..")) {
            ("~", _) => Test::Contains(value.to_owned()),
            (_, Some((low, high))) if number(low).is_ok() && number(high).is_ok() => {
                let (low, high) = (number(low)?, number(high)?);
                if low > high {
                    return Err(wrong("the range ends before it begins"));
                }
                Test::Between(low, high)
            }
            _ => Test::Equals(value.to_owned()),
        };
        Ok(Self { column, test })
    }
}
