//! Statistics over the samples of a table: means of every head over a group of samples, comparisons of two groups, rankings
//! with their stability, and how well a column finds wrong answers. Plain data on the CPU; docs/tables.md describes the methods.

mod auc;
mod compare;
mod cube;
mod data_set;
mod filter;
mod head_column;
mod mask;
mod moments;
mod ranking;
mod sample_columns;
#[cfg(test)]
mod tests;

pub use auc::{Auc, CORNER_DISTANCE, MOST_CORNERS, auc, auc_interval, roc};
pub use compare::{
    Comparison, Difference, benjamini_hochberg, compare_groups, compare_paired, test_differences,
};
pub use cube::Cube;
pub use data_set::DataSet;
pub use filter::{Bound, Condition, Filter, Test};
pub use head_column::HeadColumn;
pub use mask::Mask;
pub use moments::{Counted, Moment, Moments};
pub use ranking::{LEAST_SAMPLES, RankedHead, Ranking, RankingOptions};
pub use sample_columns::{SampleColumns, Values, asked_otherwise, column_title, join};
