//! The Markdown page of a report.

use super::args::Args;
use super::comparison::Compared;
use super::figures::{Drawn, counted_text, ranks, share_text};
use super::numbers::{Numbers, wilson};
use crate::table::statistics::{CORNER_DISTANCE, HeadColumn, LEAST_SAMPLES, MOST_CORNERS};
use crate::view::figure::{capital, head_name, number, percent, signed, thousands};
use std::fmt::Write as _;

/// Heads that are listed in a comparison.
const MOST_DIFFERENCES: usize = 16;

/// Fewer wrong or right answers are too few for an interval by resampling.
const FEW_ANSWERS: usize = 10;

/// The page.
pub(super) fn page(args: &Args, found: &Numbers, drawn: &[Drawn]) -> String {
    let mut page = Page { text: String::new(), column: args.quantity, drawn };
    page.line(&format!(
        "# {} of {}\n",
        capital(args.quantity.title()),
        cell(&found.models.join(", "))
    ));
    page.about(found);
    page.accuracy(found);
    page.heads(found);
    if let Some(compared) = &found.comparison {
        page.comparison(compared, found.categories.len());
    }
    page.finders(found);
    page.suspicious(found);
    page.definitions(found);
    page.text
}

struct Page<'a> {
    text: String,
    column: HeadColumn,
    drawn: &'a [Drawn],
}

impl Page<'_> {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn row(&mut self, cells: &[String]) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    /// The head of a table; a name that ends in `:` is a column of numbers.
    fn header(&mut self, names: &[&str]) {
        let plain: Vec<String> =
            names.iter().map(|name| name.trim_end_matches(':').to_owned()).collect();
        self.row(&plain);
        let rules: Vec<&str> =
            names.iter().map(|name| if name.ends_with(':') { "---:" } else { "---" }).collect();
        self.line(&format!("|{}|", rules.join("|")));
    }

    fn figure(&mut self, name: &str) {
        if let Some(drawn) = self.drawn.iter().find(|drawn| drawn.name == name) {
            let caption = cell(&drawn.caption);
            self.line(&format!("\n![{caption}]({name}.png)\n\n*{caption}* ([SVG]({name}.svg))\n"));
            if !drawn.missing.is_empty() {
                self.line("Without a picture:\n");
                for missing in &drawn.missing {
                    self.line(&format!("- {}", cell(missing)));
                }
                self.line("");
            }
        }
    }

    /// A value in its unit.
    fn value(&self, value: f64) -> String {
        self.column.unit().text(value, value)
    }

    fn about(&mut self, found: &Numbers) {
        self.header(&["", ""]);
        let filter = match found.filter.is_empty() {
            true => String::new(),
            false => format!(
                " of {}, filter: {}",
                thousands(found.all_samples),
                cell(&found.filter.join(", "))
            ),
        };
        let model = if found.models.len() == 1 { "model" } else { "models" };
        let rows = [
            ("table", cell(&found.table.display().to_string())),
            (model, cell(&found.models.join(", "))),
            ("layers × heads", format!("{} × {}", found.layers.len(), found.heads)),
            ("samples", format!("{}{filter}", thousands(found.samples))),
            ("samples with a number", counted_text(found.counted)),
            ("pictures", thousands(found.pictures)),
            ("number of each head", format!("`{}`", self.column.name())),
            ("made by", format!("vlmscope {}", found.vlmscope)),
        ];
        for (name, value) in rows {
            self.row(&[name.into(), value]);
        }
        self.line(&format!("\n```sh\n{}\n```\n", found.command.replace("```", "'''")));
        if found.pictures < found.samples {
            self.line("Several samples share a picture. All intervals and tests treat samples as independent: they are too narrow if answers to one picture are alike.\n");
        }
    }

    fn accuracy(&mut self, found: &Numbers) {
        if found.expected == 0 {
            return self.line("The table has no expected answers, so that nothing here is about right and wrong ones.\n");
        }
        self.line("## Answers\n");
        let right = found.expected - found.wrong;
        let share = right as f64 / found.expected as f64;
        self.line(&format!(
            "{} of {} answers are the expected one: {}. Wrong answers: {}.\n",
            thousands(right),
            thousands(found.expected),
            share_text(share, wilson(right, found.expected)),
            thousands(found.wrong)
        ));
        if found.categories.is_empty() {
            return;
        }
        self.header(&["kind of question", "samples:", "correct:", "95 %:"]);
        for category in &found.categories {
            let share = category.correct as f64 / category.samples as f64;
            let [low, high] = category.interval.map(|end| format!("{:.1}", 100.0 * end));
            self.row(&[
                cell(&category.category),
                thousands(category.samples),
                format!("{:.1} %", 100.0 * share),
                format!("{low}–{high}"),
            ]);
        }
        self.line("");
    }

    fn heads(&mut self, found: &Numbers) {
        self.line("## Heads\n");
        self.figure("heads_mean");
        self.figure("heads_spread");
        self.figure("ranking");
        let among = format!("among the first {}:", found.ranking_first);
        self.header(&[
            "head",
            "mean:",
            "95 %:",
            "standard deviation:",
            "samples:",
            &among,
            "rank, 5–95 %:",
        ]);
        for head in &found.ranking {
            let of = found.means.iter().find(|of| of.layer == head.layer && of.head == head.head);
            let [low, high] = head.interval.map(|end| self.value(end));
            self.row(&[
                head_name(head.layer, head.head),
                self.value(head.mean),
                format!("{low} to {high}"),
                of.map_or(String::new(), |of| {
                    self.column.difference_unit().text(of.deviation, of.deviation)
                }),
                of.map_or(String::new(), |of| thousands(of.samples as usize)),
                head.stability.map_or_else(|| "–".to_owned(), |share| percent(share, 0)),
                head.ranks.map_or_else(|| "–".to_owned(), ranks),
            ]);
        }
        self.line("");
        if !found.has_stability() {
            self.line(&format!("With fewer than {LEAST_SAMPLES} samples that have a number, resamples say nothing about the stability and the ranks (–).\n"));
        }
    }

    fn comparison(&mut self, compared: &Compared, kinds: usize) {
        let [first, second] = &compared.groups;
        self.line(&format!("## {} − {}\n", cell(first), cell(second)));
        let samples = match compared.is_paired {
            true => format!("{} that both tables have", counted_text(compared.counted[0])),
            false => compared.counted.map(counted_text).join(" and "),
        };
        self.line(&format!("{samples}. {}\n", compared.sentence));
        if compared.asked_otherwise > 0 {
            let otherwise = thousands(compared.asked_otherwise);
            self.line(&format!("**{otherwise} of these samples have another question in {}**: the difference is also one between questions.\n", cell(second)));
        }
        if !compared.is_paired && kinds > 1 {
            self.line("The groups may differ in their kinds of question: compare one kind with `--filter \"category = …\"`.\n");
        }
        self.figure("difference");
        let mut heads: Vec<_> = compared.heads.iter().filter(|head| head.q.is_finite()).collect();
        heads.sort_by(|a, b| {
            a.p.total_cmp(&b.p).then(b.difference.abs().total_cmp(&a.difference.abs()))
        });
        if heads.is_empty() {
            return;
        }
        self.header(&["head", "difference:", "95 %:", "p:", "p, corrected:"]);
        let unit = self.column.difference_unit();
        for head in heads.into_iter().take(MOST_DIFFERENCES) {
            let largest = head.interval[0].abs().max(head.interval[1].abs());
            let [low, high] =
                head.interval.map(|end| number(end * unit.factor(), largest * unit.factor()));
            let plus = if head.difference > 0.0 { "+" } else { "" };
            let name = head_name(head.layer, head.head);
            self.row(&[
                if head.is_significant { format!("**{name}**") } else { name },
                format!("{plus}{}", unit.text(head.difference, largest)),
                format!("{low} to {high}"),
                p_text(head.p),
                p_text(head.q),
            ]);
        }
        self.line("\nHeads in bold differ after the correction.\n");
    }

    fn finders(&mut self, found: &Numbers) {
        if found.finders.is_empty() {
            return;
        }
        self.line("## Finding wrong answers\n");
        self.figure("wrong_answers");
        self.header(&["number", "suspicious if", "AUC:", "95 %:", "wrong:", "right:"]);
        for finder in &found.finders {
            self.row(&[
                format!("`{}`", finder.column),
                if finder.low { "low".into() } else { "high".into() },
                format!("{:.3}", finder.auc),
                format!("{:.3}–{:.3}", finder.interval[0], finder.interval[1]),
                thousands(finder.wrong),
                thousands(finder.right),
            ]);
        }
        self.line("\nThe direction of each number is fixed beforehand: an AUC below 0.5 says that wrong answers have it the other way round.\n");
        if found.finders.iter().any(|finder| finder.wrong.min(finder.right) < FEW_ANSWERS) {
            self.line(&format!("With fewer than {FEW_ANSWERS} wrong or right answers, the intervals are no measure of the uncertainty.\n"));
        }
        self.figure("distribution");
    }

    fn suspicious(&mut self, found: &Numbers) {
        if found.suspicious.is_empty() {
            return;
        }
        self.line("## The most suspicious samples\n");
        self.figure("samples");
        self.header(&[
            "sample",
            "question",
            "answer",
            "expected",
            &format!("{}:", found.suspicious_by),
        ]);
        for sample in &found.suspicious {
            let answer = cell(&sample.answer);
            self.row(&[
                cell(&sample.sample),
                cell(&sample.question),
                if sample.correct == Some(false) { format!("**{answer}**") } else { answer },
                cell(sample.expected.as_deref().unwrap_or_default()),
                signed(sample.score, 3).trim_start_matches('+').to_owned(),
            ]);
        }
        self.line("\nAnswers in bold are wrong.\n");
    }

    fn definitions(&mut self, found: &Numbers) {
        self.line("## Definitions\n");
        let line = |name: &str, text: &str| format!("- **{name}**: {text}");
        let column = match self.column {
            HeadColumn::Focus => {
                "share of the attention on the picture × (1 − entropy / ln N), for N patches: high for a head that attends to few patches."
            }
            HeadColumn::ImageShare => "share of the attention on all patches.",
            HeadColumn::Entropy => {
                "entropy in nats of the attention on the patches, scaled to sum 1."
            }
            HeadColumn::Peak => "largest attention on a patch.",
            HeadColumn::SinkShare => "attention on the first position of the prompt.",
            HeadColumn::Inside => {
                "attention on the patches of the object; a patch that the edge cuts counts by its part inside. The object is that of the question, or else the one that a word of the answer names. A sample without such an object in its picture has no number; an answer, right or wrong, counts only by words that name an object that is there."
            }
        };
        let mut lines = vec![
            line(&capital(self.column.title()), column),
            line(
                "Number of a sample",
                "mean over the answer tokens that have one; a head's mean, standard deviation and 95 % interval (Student's t) are over samples.",
            ),
            line(
                "Stability",
                &format!(
                    "share of {} resamples of the samples, drawn with replacement (seed {}), in which the head is among the first {}.",
                    found.resamples, found.seed, found.ranking_first
                ),
            ),
        ];
        if let Some(compared) = &found.comparison {
            let test = if compared.is_paired { "t-test of pairs" } else { "Welch's t-test" };
            lines.push(line("Difference", &format!("{test} for each head, with its 95 % interval; p-values are corrected for all heads by Benjamini and Hochberg: on average, at most 5 % of the heads that differ after it do so by chance alone.")));
        }
        if found.expected > 0 {
            lines.push(line("Share of correct answers", "with Wilson's 95 % interval."));
        }
        if !found.finders.is_empty() {
            lines.push(line("AUC", "the chance that a wrong answer is more suspicious than a right one; 0.5 is chance. The interval is from 1,000 resamples of the samples."));
            lines.push(line("ROC curve", &format!("its corners, between which it is straight; of more than {}, only those {CORNER_DISTANCE} or more after the one before, both shares added. The AUC counts every sample.", thousands(MOST_CORNERS))));
            lines.push(line("`logprob`", "sum of the log-probabilities of the answer's tokens; `logprob / tokens` their mean."));
            lines.push(line("`relevancy_share`, `relevancy_inside`", "share of the answer's relevancy (gradient × attention) on the picture, and inside the object."));
            lines.push(line("`blank_probability`, `kept`", "probability of the answer with a blank picture, and the part of its probability that it keeps then."));
        }
        for text in lines {
            self.line(&text);
        }
        self.line("\nThe same numbers are in [report.json](report.json).");
    }
}

/// Text in a cell of a table, or in a line: no line ends, and no character that Markdown reads as markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '\\' | '#' => {
                out.extend(['\\', character])
            }
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

fn p_text(p: f64) -> String {
    match p {
        p if p < 1e-4 => format!("{p:.1e}"),
        p => format!("{p:.4}"),
    }
}
