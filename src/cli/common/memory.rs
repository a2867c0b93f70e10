//! The memory limit of relevancy.

use crate::analysis::methods::Method;
use crate::model::RelevancyRequest;

/// The memory limit of a backward pass.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct MemoryFlag {
    /// Memory limit for relevancy, in GB [default: the free memory]
    #[arg(long, value_name = "GB", value_parser = gigabytes)]
    memory: Option<u64>,
}

fn gigabytes(text: &str) -> Result<u64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if value.is_finite() && value > 0.0 {
        Ok((value * 1e9) as u64)
    } else {
        Err(format!("{value} GB is not a memory limit"))
    }
}

impl MemoryFlag {
    /// A relevancy request within this limit.
    pub(crate) fn request(self, methods: &[Method]) -> RelevancyRequest {
        let memory_budget = self.memory;
        RelevancyRequest { memory_budget, ..RelevancyRequest::new(methods.iter().copied()) }
    }
}
