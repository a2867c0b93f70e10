//! The thread that reads the numbers of heads and computes statistics of the samples that count. The latest request wins.

use crate::job::{CancelToken, Worker};
use crate::table::TableError;
use crate::table::statistics::{
    Comparison, Cube, DataSet, HeadColumn, Mask, Moments, Ranking, RankingOptions, compare_groups,
    join, test_differences,
};
use crate::ui::model_feed::Wake;
use crate::ui::value_cache::Matrix;
use crate::ui::widgets::{capital, thousands};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Numbers of heads that stay in memory.
const KEPT_BYTES: usize = 512 << 20;

/// The groups that are compared.
#[derive(Clone, Debug)]
pub enum Groups {
    /// No comparison: means, or standard deviations.
    One {
        /// Whether the matrix shows the spread.
        spread: bool,
    },
    /// Two groups of samples of the table, with their names.
    Two([Mask; 2], [String; 2]),
    /// The same samples in another table.
    Table(PathBuf),
}

/// A request for statistics.
pub struct Request {
    /// Its number: results of older ones are dropped.
    pub number: u64,
    /// The table.
    pub data: Arc<DataSet>,
    /// The column of heads.
    pub column: HeadColumn,
    /// The samples that count.
    pub mask: Mask,
    /// The groups.
    pub groups: Groups,
}

/// Statistics of the samples that count.
pub struct Numbers {
    /// The column of heads.
    pub column: HeadColumn,
    /// The numbers of all samples.
    pub cube: Arc<Cube>,
    /// Mean and spread over the samples that count; in a comparison with another table, of the samples of both.
    pub moments: Moments,
    /// The comparison.
    pub comparison: Option<Comparison>,
    /// The direction of the differences with the sizes of the groups: "wrong answers (12) minus right answers (48)".
    pub direction: Option<String>,
    /// Of each head, the numbers of samples with a value in both groups.
    pub group_sizes: Vec<[u32; 2]>,
    /// Whether the matrix shows standard deviations.
    pub shows_spread: bool,
    /// The shown numbers, NaN where a head has none: means, standard deviations, or differences of means.
    pub matrix: Matrix,
}

/// News of the thread, each with the number of its request.
pub enum News {
    /// Share of the rows that is read, 0–1.
    Progress(u64, f32),
    /// The statistics.
    Numbers(u64, Box<Numbers>),
    /// The ranking, which takes longer.
    Ranking(u64, Ranking),
    /// A sentence: it failed.
    Failed(u64, String),
}

/// The thread with the receiver of its news.
pub struct Statistics {
    worker: Worker<Request>,
    news: Receiver<News>,
}

impl Statistics {
    /// Starts the thread; `wake` asks for a frame when there are news.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn start(wake: Wake) -> std::io::Result<Self> {
        let (sender, news) = unbounded();
        let failed = Teller { sender: sender.clone(), wake: Arc::clone(&wake) };
        let start = move || {
            let mut cubes = Cubes::default();
            let tell = Teller { sender: sender.clone(), wake: Arc::clone(&wake) };
            move |request: Request, cancel: &CancelToken| {
                let number = request.number;
                match compute(&request, &mut cubes, &tell, cancel) {
                    Ok(()) | Err(TableError::Cancelled) => {}
                    Err(error) => tell.say(News::Failed(number, reason_of(&error))),
                }
            }
        };
        let worker = Worker::spawn("data set", start, move |panicked, _| {
            failed.say(News::Failed(u64::MAX, panicked.to_string()));
        })?;
        Ok(Self { worker, news })
    }

    /// Makes a request the next one.
    pub fn ask(&self, request: Request) {
        self.worker.submit(request);
    }

    /// The news since the last call.
    pub fn news(&self) -> Vec<News> {
        self.news.try_iter().collect()
    }
}

/// Tells the window.
struct Teller {
    sender: Sender<News>,
    wake: Wake,
}

impl Numbers {
    /// The number of each head that the matrix shows, NaN where there is none.
    pub fn shown(&self) -> Vec<f64> {
        shown(&self.moments, self.comparison.as_ref(), self.shows_spread)
    }
}

impl Teller {
    fn say(&self, news: News) {
        // A table that was closed needs no news.
        let _ = self.sender.send(news);
        (self.wake)();
    }
}

/// The numbers of heads that were read last.
#[derive(Default)]
struct Cubes(Vec<(Arc<DataSet>, HeadColumn, Arc<Cube>)>);

impl Cubes {
    fn get(
        &mut self,
        of: &Arc<DataSet>,
        column: HeadColumn,
        progress: &dyn Fn(u64, u64),
        cancel: &CancelToken,
    ) -> Result<Arc<Cube>, TableError> {
        let is_wanted = |(own, own_column, _): &(Arc<DataSet>, HeadColumn, Arc<Cube>)| {
            *own_column == column && own.is_same(of)
        };
        let found = match self.0.iter().position(is_wanted) {
            Some(place) => self.0.remove(place),
            None => {
                let cube = Cube::load(of, column, progress, cancel)?;
                (Arc::clone(of), column, Arc::new(cube))
            }
        };
        let cube = Arc::clone(&found.2);
        self.0.push(found);
        let bytes = |(_, _, cube): &(Arc<DataSet>, HeadColumn, Arc<Cube>)| {
            cube.samples() * cube.cells() * size_of::<f32>()
        };
        while self.0.len() > 1 && self.0.iter().map(bytes).sum::<usize>() > KEPT_BYTES {
            self.0.remove(0);
        }
        Ok(cube)
    }
}

/// The text of an error; where the attention inside the object is missing, also what it needs.
fn reason_of(error: &TableError) -> String {
    match error {
        TableError::NoNumbers { column, .. } if column == HeadColumn::Inside.name() => format!(
            "{error}. It needs boxes or masks in the data set, or, for a folder of traces, an object that is marked (Y) in an open answer before the \
            folder is shown as a data set"
        ),
        _ => error.to_string(),
    }
}

fn compute(
    request: &Request,
    cubes: &mut Cubes,
    tell: &Teller,
    cancel: &CancelToken,
) -> Result<(), TableError> {
    let Request { number, data, column, mask, groups } = request;
    data.check_one_model(mask)?;
    let progress = |done: u64, all: u64| {
        let share = if all == 0 { 1.0 } else { done as f32 / all as f32 };
        tell.say(News::Progress(*number, share));
    };
    let cube = cubes.get(data, *column, &progress, cancel)?;
    let options = RankingOptions { low_first: column.is_low_first(), ..RankingOptions::default() };
    let by_size = RankingOptions { low_first: false, by_size: true, ..options };
    let title = column.title();
    let (moments, compared, ranking): (_, Option<Compared>, Box<dyn FnOnce() -> Option<Ranking>>) =
        match groups {
            Groups::One { .. } => {
                let cube = &cube;
                let ranking = move || Ranking::of_group(cube, mask, options, cancel);
                (cube.moments(mask), None, Box::new(ranking))
            }
            Groups::Two(masks, names) => {
                let [first, second] = masks;
                let [one, two] = [first, second].map(|mask| cube.moments(mask));
                let compared = Compared::of_groups(&one, &two, names, mask.count());
                let cube = &cube;
                let ranking =
                    move || Ranking::of_difference(cube, [first, second], by_size, cancel);
                (cube.moments(mask), Some(compared), Box::new(ranking))
            }
            Groups::Table(path) => {
                let other = Arc::new(DataSet::open(path)?);
                let pairs = join(data.samples(), other.samples())?;
                let pairs: Vec<[usize; 2]> =
                    pairs.into_iter().filter(|[row, _]| mask.has(*row)).collect();
                let second = cubes.get(&other, *column, &progress, cancel)?;
                let Some(differences) = cube.paired(&second, &pairs) else {
                    return Err(TableError::Foreign {
                        path: path.clone(),
                        reason: "has other layers or heads: heads of different models cannot be compared one by one".into(),
                    });
                };
                let files = [&data.source().heads, path].map(|path| file_name(path));
                let compared = Compared::of_pairs(&differences, &files, mask.count());
                let (all, moments) = (Mask::all(pairs.len()), cube.moments(mask));
                let ranking = move || Ranking::of_group(&differences, &all, by_size, cancel);
                (moments, Some(compared), Box::new(ranking))
            }
        };
    let reason = match &compared {
        _ if mask.count() == 0 => "no sample fits the filter".to_owned(),
        Some(Compared { lacks: Some(lacks), .. }) => lacks.clone(),
        _ => format!("no sample that counts has a value of {title}"),
    };
    let compared = compared.unwrap_or_default();
    let shows_spread = matches!(groups, Groups::One { spread: true });
    let values = shown(&moments, compared.comparison.as_ref(), shows_spread);
    let matrix = matrix(&cube, &values, compared.comparison.is_some(), reason);
    let Compared { comparison, direction, group_sizes, .. } = compared;
    let (column, cube) = (*column, Arc::clone(&cube));
    let numbers =
        Numbers { column, cube, moments, comparison, direction, group_sizes, shows_spread, matrix };
    if cancel.is_cancelled() {
        return Ok(());
    }
    tell.say(News::Numbers(*number, Box::new(numbers)));
    if let Some(ranking) = ranking() {
        tell.say(News::Ranking(*number, ranking));
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A comparison in numbers and words.
#[derive(Default)]
struct Compared {
    comparison: Option<Comparison>,
    direction: Option<String>,
    group_sizes: Vec<[u32; 2]>,
    /// The reason why there is nothing to compare.
    lacks: Option<String>,
}

impl Compared {
    fn of_groups(one: &Moments, two: &Moments, names: &[String; 2], all: usize) -> Self {
        let sizes = [one.samples, two.samples];
        let empty = (0..2).find(|&group| sizes[group] == 0);
        let lacks = empty.map(|group| {
            format!(
                "of the {} samples that count, none belongs to “{}”. Remove a condition of the filter, or choose another comparison",
                thousands(all),
                names[group]
            )
        });
        let [first, second] = names;
        let [n, m] = sizes.map(thousands);
        Self {
            comparison: Some(compare_groups(one, two)),
            direction: Some(format!("{} ({n}) minus {second} ({m}).", capital(first))),
            group_sizes: one.cells.iter().zip(&two.cells).map(|(a, b)| [a.n, b.n]).collect(),
            lacks,
        }
    }

    /// `differences` are those of the samples in both tables.
    fn of_pairs(differences: &Cube, files: &[String; 2], all: usize) -> Self {
        let pairs = differences.samples();
        let [first, second] = files;
        let [n, all] = [pairs, all].map(thousands);
        let lacks = (pairs == 0)
            .then(|| format!("0 of the {all} samples are in {second} (column `sample`)"));
        let cells = differences.moments(&Mask::all(pairs)).cells;
        Self {
            comparison: Some(test_differences(differences)),
            direction: Some(format!("{first} minus {second}: {n} of {all} samples are in both.")),
            group_sizes: cells.iter().map(|cell| [cell.n; 2]).collect(),
            lacks,
        }
    }
}

/// Half of the range of colours where all differences are 0, so that 0 is in its middle.
const NO_DIFFERENCE: f32 = 0.01;

/// The number of each head that the matrix shows.
fn shown(moments: &Moments, comparison: Option<&Comparison>, spread: bool) -> Vec<f64> {
    match comparison {
        Some(comparison) => comparison.cells.iter().map(|cell| cell.difference).collect(),
        None if spread => moments.cells.iter().map(|cell| cell.deviation).collect(),
        None => moments.cells.iter().map(|cell| cell.mean).collect(),
    }
}

/// The shown numbers as a matrix; `reason` says why no head has one.
fn matrix(cube: &Cube, values: &[f64], is_compared: bool, reason: String) -> Matrix {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    let known = || values.iter().copied().filter(|value| value.is_finite());
    let range = match is_compared {
        false => [known().fold(f32::INFINITY, f32::min), known().fold(f32::NEG_INFINITY, f32::max)],
        true => {
            let most = known().fold(0.0_f32, |most, value| most.max(value.abs()));
            let most = if most > 0.0 { most } else { NO_DIFFERENCE };
            [-most, most]
        }
    };
    let lacks = known().next().is_none().then_some(reason);
    Matrix {
        layers: cube.layers().len(),
        heads: cube.heads(),
        numbers: cube.layers().to_vec(),
        range: if lacks.is_some() { [0.0, 0.0] } else { range },
        values,
        lacks,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_head_without_a_value_has_none_in_the_matrix() {
        let cube = Cube::new(vec![0], 2, vec![0.5, f32::NAN, 0.7, f32::NAN]).unwrap();
        let found =
            matrix(&cube, &shown(&cube.moments(&Mask::all(2)), None, false), false, "none".into());
        assert_eq!((found.values[0], found.values[1].is_nan()), (0.6, true));
        assert_eq!((found.range, found.lacks), ([0.6, 0.6], None));
    }
}
