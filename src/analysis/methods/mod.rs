//! The methods that turn an answered question into one map over the patches for each answer token.
//!
//! [`Method`] is a row of one table: commands, files and figures refer to a method by it, whichever module computes the
//! map. Methods that need only the trace are computed here ([`compute`]); for the others the engine runs the model and
//! passes its attention and gradients to their functions.

mod attention;
mod gradients;
mod heads;
mod info;
mod inputs;
mod random;
mod relative;
mod rollout;
mod rows;
mod sinks;
mod table;

pub use heads::{HeadChoice, chosen_heads, spatial_entropy};
pub use info::{Computation, Forward, Layout, Method, MethodError, MethodInfo, Needs};
pub use inputs::{AnswerGradients, Missing, OwnGradients, Tower};
pub use relative::{GENERAL_QUESTION, relative_layer};
pub use rollout::rollout_rows;
pub use sinks::{SINK_FACTOR, Sink, sinks};

use super::reduce::patch_keys;
use crate::trace::Trace;

/// The map of a method that needs only the trace: [G, N], not normalised. `seed` is for [`Method::RANDOM`] only.
///
/// # Errors
/// A trace without a picture, one that lacks what the method reads, or a method that needs the model.
pub fn compute(trace: &Trace, method: Method, seed: u64) -> Result<Vec<f32>, MethodError> {
    if patch_keys(trace).is_empty() {
        return Err(MethodError::NoPatches(trace.meta().why_no_patches()));
    }
    let command = match method.run {
        Computation::Trace(map) => {
            return map(trace, seed).map_err(|Missing(what)| MethodError::Missing { method, what });
        }
        Computation::Command(command) => command,
        Computation::Forward(_)
        | Computation::AnswerGradients(_)
        | Computation::OwnGradients(_)
        | Computation::TowerGradients(_)
        | Computation::GradientPages
        | Computation::FromGradientPages(_) => "relevancy",
    };
    Err(MethodError::NeedsModel { method, command })
}

/// The same at some answer tokens (indices into the answer): their mean, `[N]`.
///
/// # Errors
/// As [`compute`].
pub fn compute_mean(
    trace: &Trace,
    method: Method,
    seed: u64,
    tokens: &[usize],
) -> Result<Vec<f32>, MethodError> {
    let numbers = compute(trace, method, seed)?;
    let patches = patch_keys(trace).len();
    let rows: Vec<&[f32]> = numbers.chunks_exact(patches).collect();
    let mut mean = vec![0.0; patches];
    for row in tokens.iter().filter_map(|&token| rows.get(token)) {
        mean.iter_mut().zip(*row).for_each(|(sum, value)| *sum += value / tokens.len() as f32);
    }
    Ok(mean)
}
