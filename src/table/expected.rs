//! Comparing an answer with the expected one.

use std::fmt;
use std::str::FromStr;

/// The rule by which an answer is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The answer is the expected text: case, surrounding punctuation and the number of spaces do not matter.
    Exact,
    /// Both mean yes, or both mean no. As in POPE's evaluation, the first sentence counts: it means no if it has the
    /// word "no" or "not", and yes otherwise.
    YesNo,
    /// The answer has the words of the expected text, one after another.
    Contains,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Exact, Self::YesNo, Self::Contains];

    /// The name on the command line and in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::YesNo => "yes-no",
            Self::Contains => "contains",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|rule| rule.name() == text);
        found.ok_or_else(|| {
            format!("`{text}` is no rule of comparison; use exact, yes-no or contains")
        })
    }
}

/// The expected answers of a sample, and the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Answers that are right; never empty.
    answers: Vec<String>,
    /// The rule that compares an answer with each.
    rule: Rule,
}

impl Expected {
    /// With a rule, or the rule that fits: yes or no if that is what is expected, or else `contains`. `None` without an
    /// expected answer.
    pub fn new(answers: Vec<String>, rule: Option<Rule>) -> Option<Self> {
        let answers: Vec<String> =
            answers.into_iter().filter(|answer| !answer.trim().is_empty()).collect();
        let is_yes_no = |answer: &String| matches!(words(answer).as_slice(), [one] if one == "yes" || one == "no");
        let fits = if answers.iter().all(is_yes_no) { Rule::YesNo } else { Rule::Contains };
        (!answers.is_empty()).then(|| Self { answers, rule: rule.unwrap_or(fits) })
    }

    /// The rule.
    pub const fn rule(&self) -> Rule {
        self.rule
    }

    /// The answers as one text, separated by " | ".
    pub fn text(&self) -> String {
        self.answers.join(" | ")
    }

    /// Whether an answer is one of those that are expected.
    pub fn accepts(&self, answer: &str) -> bool {
        let found = words(answer);
        self.answers.iter().any(|expected| match self.rule {
            Rule::Exact => found == words(expected),
            Rule::YesNo => means_no(answer) == means_no(expected),
            Rule::Contains => {
                let wanted = words(expected);
                !wanted.is_empty() && found.windows(wanted.len()).any(|part| part == wanted)
            }
        })
    }
}

/// The words in lower case, without punctuation around them.
fn words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

fn means_no(text: &str) -> bool {
    let sentence = text.split('.').next().unwrap_or_default();
    words(sentence).iter().any(|word| word == "no" || word == "not")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn accepts(expected: &str, rule: Option<Rule>, answer: &str) -> bool {
        Expected::new(vec![expected.into()], rule).unwrap().accepts(answer)
    }

    #[test]
    fn answers_are_compared_by_their_rule() {
        assert!(accepts("A red fox.", Some(Rule::Exact), "a  Red fox"));
        assert!(!accepts("fox", Some(Rule::Exact), "a red fox"));
        assert!(accepts("red fox", None, "It is a red fox, on the left."));
        assert!(!accepts("fox", None, "Two foxes"), "whole words");
        assert!(!accepts("red fox", None, "a fox that is red"), "in this order");
    }

    #[test]
    fn yes_and_no_are_those_of_pope() {
        assert_eq!(Expected::new(vec!["Yes".into()], None).unwrap().rule(), Rule::YesNo);
        assert!(accepts("no", None, "No, there is no fox."));
        assert!(accepts("no", None, "There is not a fox. Yes."), "the first sentence counts");
        assert!(accepts("yes", None, "There is a fox."));
        assert!(!accepts("yes", None, "No."));
        assert!(!accepts("no", None, "Nothing else is known."), "whole words");
    }

    #[test]
    fn any_of_several_answers_is_right_and_none_is_no_expectation() {
        let several = Expected::new(vec!["fox".into(), "dog".into()], None).unwrap();
        assert!(several.accepts("a dog") && !several.accepts("a cat"));
        assert_eq!(several.text(), "fox | dog");
        assert_eq!(Expected::new(vec![" ".into()], None), None);
        assert!("best".parse::<Rule>().unwrap_err().contains("yes-no"));
    }
}
