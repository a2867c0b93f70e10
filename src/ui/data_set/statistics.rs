//! The thread that reads the numbers of heads and computes statistics of the samples that count. The latest request wins.

use crate::job::{CancelToken, Worker};
use crate::table::TableError;
use crate::table::statistics::{
    Comparison, Cube, DataSet, HeadColumn, Mask, Moments, Ranking, RankingOptions, compare_groups,
    join, test_differences,
};
use crate::ui::model_feed::Wake;
use crate::ui::value_cache::Matrix;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::path::PathBuf;
use std::sync::Arc;

/// Numbers of heads that stay in memory.
const KEPT_BYTES: usize = 512 << 20;
/// Seed of the resamples of rankings.
const SEED: u64 = 1;

/// The groups that are compared.
#[derive(Clone, Debug)]
pub enum Groups {
    /// No comparison.
    One,
    /// Two groups of samples of the table.
    Two([Mask; 2]),
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
    /// The shown numbers: means, or differences of means.
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
                    Err(error) => tell.say(News::Failed(number, error.to_string())),
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

impl Teller {
    fn say(&self, news: News) {
        // A table that was closed needs no news.
        let _ = self.sender.send(news);
        (self.wake)();
    }
}

/// The numbers of heads that were read last.
#[derive(Default)]
struct Cubes(Vec<(PathBuf, HeadColumn, Arc<Cube>)>);

impl Cubes {
    fn get(
        &mut self,
        of: &DataSet,
        column: HeadColumn,
        progress: &dyn Fn(u64, u64),
        cancel: &CancelToken,
    ) -> Result<Arc<Cube>, TableError> {
        let path = &of.source().heads;
        let place = self.0.iter().position(|(own, of, _)| own == path && *of == column);
        let found = match place {
            Some(place) => self.0.remove(place),
            None => {
                let cube = Cube::load(of, column, progress, cancel)?;
                (path.clone(), column, Arc::new(cube))
            }
        };
        let cube = Arc::clone(&found.2);
        self.0.push(found);
        let bytes = |(_, _, cube): &(PathBuf, HeadColumn, Arc<Cube>)| {
            cube.samples() * cube.cells() * size_of::<f32>()
        };
        while self.0.len() > 1 && self.0.iter().map(bytes).sum::<usize>() > KEPT_BYTES {
            self.0.remove(0);
        }
        Ok(cube)
    }
}

fn compute(
    request: &Request,
    cubes: &mut Cubes,
    tell: &Teller,
    cancel: &CancelToken,
) -> Result<(), TableError> {
    let Request { number, data, column, mask, groups } = request;
    let progress = |done: u64, all: u64| {
        let share = if all == 0 { 1.0 } else { done as f32 / all as f32 };
        tell.say(News::Progress(*number, share));
    };
    let cube = cubes.get(data, *column, &progress, cancel)?;
    let options = RankingOptions {
        seed: SEED,
        low_first: column.is_low_first(),
        ..RankingOptions::default()
    };
    let by_size = RankingOptions { low_first: false, by_size: true, ..options };
    let (moments, comparison, ranking): (_, _, Box<dyn FnOnce() -> Option<Ranking>>) = match groups
    {
        Groups::One => {
            let cube = &cube;
            let ranking = move || Ranking::of_group(cube, mask, options, cancel);
            (cube.moments(mask), None, Box::new(ranking))
        }
        Groups::Two([first, second]) => {
            let [one, two] = [first, second].map(|mask| cube.moments(mask));
            let (cube, comparison) = (&cube, compare_groups(&one, &two));
            let ranking = move || Ranking::of_difference(cube, [first, second], by_size, cancel);
            (cube.moments(mask), Some(comparison), Box::new(ranking))
        }
        Groups::Table(path) => {
            let other = DataSet::open(path)?;
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
            let (all, moments) = (Mask::all(pairs.len()), cube.moments(mask));
            let comparison = test_differences(&differences);
            let ranking = move || Ranking::of_group(&differences, &all, by_size, cancel);
            (moments, Some(comparison), Box::new(ranking))
        }
    };
    let matrix = matrix(&cube, &moments, comparison.as_ref());
    let numbers = Numbers { column: *column, cube: Arc::clone(&cube), moments, comparison, matrix };
    if cancel.is_cancelled() {
        return Ok(());
    }
    tell.say(News::Numbers(*number, Box::new(numbers)));
    if let Some(ranking) = ranking() {
        tell.say(News::Ranking(*number, ranking));
    }
    Ok(())
}

/// The means or the differences as a matrix; 0 where a head has no value.
fn matrix(cube: &Cube, moments: &Moments, comparison: Option<&Comparison>) -> Matrix {
    let values: Vec<f32> = match comparison {
        None => moments.cells.iter().map(|cell| cell.mean as f32).collect(),
        Some(comparison) => comparison.cells.iter().map(|cell| cell.difference as f32).collect(),
    };
    let known = || values.iter().copied().filter(|value| value.is_finite());
    let range = match comparison {
        None => [known().fold(f32::INFINITY, f32::min), known().fold(f32::NEG_INFINITY, f32::max)],
        Some(_) => {
            let most = known().fold(0.0_f32, |most, value| most.max(value.abs()));
            [-most, most]
        }
    };
    let lacks = known().next().is_none().then(|| "no sample that counts has a value".to_owned());
    Matrix {
        layers: cube.layers().len(),
        heads: cube.heads(),
        numbers: cube.layers().to_vec(),
        range: if lacks.is_some() { [0.0, 0.0] } else { range },
        values: values
            .into_iter()
            .map(|value| if value.is_finite() { value } else { 0.0 })
            .collect(),
        lacks,
    }
}
