//! Scores the same answer under many variants, wherever the model is.

use super::engine::{Engine, Place};
use super::error::{ModelError, Result};
use super::rescore::{LocalRescorer, Rescored, Variant};
use crate::job::CancelToken;
use crate::trace::Trace;

/// Scores the answer of one trace under variants. It keeps the results that variants share, so that a second round (a
/// finer occlusion map, for example) does not compute them again; the engine may answer questions in between.
#[derive(Debug)]
pub struct Rescorer(Kind);

#[derive(Debug)]
enum Kind {
    Here(Box<LocalRescorer>),
    /// The other machine keeps what variants of one trace share.
    There(Box<Trace>),
}

impl Rescorer {
    /// Prepares to score the answer of `trace`; the model does not run yet.
    ///
    /// # Errors
    /// A trace of another model, or a damaged one, see [`super::TraceInputs::from_trace`].
    pub fn new(engine: &Engine, trace: &Trace) -> Result<Self> {
        Ok(Self(match &engine.place {
            Place::Here(engine) => Kind::Here(Box::new(LocalRescorer::new(engine, trace)?)),
            Place::There(_) => Kind::There(Box::new(trace.clone())),
        }))
    }

    /// Limits the number of variants at a time to `batch`; of a model in this process.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with_batch(self, batch: usize) -> Self {
        match self.0 {
            Kind::Here(rescorer) => Self(Kind::Here(Box::new(rescorer.with_batch(batch)))),
            there @ Kind::There(_) => Self(there),
        }
    }

    /// Scores one variant at a time, every position in one call, nothing shared: the cost of a variant without this
    /// module, for measurements and tests of a model in this process.
    #[must_use]
    pub fn plain(self) -> Self {
        match self.0 {
            Kind::Here(rescorer) => Self(Kind::Here(Box::new(rescorer.plain()))),
            there @ Kind::There(_) => Self(there),
        }
    }

    /// Scores the answer under each variant, in order. `each` receives every result with its index as soon as it is
    /// computed; variants are taken from the iterator one batch at a time.
    ///
    /// # Errors
    /// A variant that does not fit the model, a failure of ONNX Runtime, a lost connection, or
    /// [`ModelError::Cancelled`]; results that `each` received stay valid.
    pub fn score(
        &mut self,
        engine: &mut Engine,
        variants: impl IntoIterator<Item = Variant>,
        cancel: &CancelToken,
        each: &mut dyn FnMut(usize, &Rescored),
    ) -> Result<Vec<Rescored>> {
        match (&mut self.0, &mut engine.place) {
            (Kind::Here(rescorer), Place::Here(engine)) => {
                rescorer.score(engine, variants, cancel, each)
            }
            (Kind::There(trace), Place::There(engine)) => {
                engine.rescore(trace, variants, cancel, each)
            }
            _ => Err(ModelError::Request {
                what: "the model".into(),
                reason: "is not the one that the scores were prepared for.".into(),
            }),
        }
    }
}
