//! One graph of a bundle in ONNX Runtime.

use super::options::{Provider, SessionOptions};
use super::runtime::Runtime;
use crate::job::CancelToken;
use crate::model::bundle::Bundle;
use crate::model::error::{ModelError, Result};
use crate::model::manifest::{AxisLength, ElementType, Graph, Port, show_axes};
use half::f16;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session};
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, ValueType};
use std::path::PathBuf;
use std::sync::Arc;

/// The prefix of outputs with keys and values: these stay on the device of the next step.
const PRESENT: &str = "present_";

/// An open graph.
#[derive(Debug)]
pub(super) struct GraphSession {
    name: String,
    path: PathBuf,
    session: Session,
    provider: Provider,
    outputs: Vec<String>,
}

/// The shape of an output of one run, and the entries to check.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Its axes, outermost first.
    pub shape: Vec<usize>,
    /// Entries of the second-to-last axis before this index come from an earlier run, which checked them: only the
    /// later entries are checked for numbers that are not finite.
    pub first_new: usize,
}

impl Expected {
    /// An output whose entries are all new.
    pub fn new<const N: usize>(shape: [usize; N]) -> Self {
        Self { shape: shape.to_vec(), first_new: 0 }
    }
}

/// The expectation for an output by its name; `None`: the output is not requested.
pub(super) type Expect<'a> = dyn Fn(&str) -> Option<Expected> + 'a;

impl GraphSession {
    /// Opens a graph and compares its inputs and outputs with the manifest.
    pub fn open(
        runtime: &Runtime,
        bundle: &Bundle,
        (name, graph): (&str, &Graph),
        provider: Provider,
        options: SessionOptions,
    ) -> Result<Self> {
        let path = bundle.folder().join(&graph.file);
        let runtime_error = |error: ort::Error| ModelError::Runtime {
            path: path.clone(),
            doing: format!("opening the {name} graph"),
            reason: first_line(error.message()),
        };
        let builder = Session::builder(&runtime.environment).map_err(runtime_error)?;
        let builder = configure(builder, options).map_err(runtime_error)?;
        let mut builder = with_provider(builder, provider, runtime)?;
        let session = builder.commit_from_file(&path).map_err(runtime_error)?;
        check_ports(&path, &session, graph)?;
        let outputs = graph.outputs.iter().map(|port| port.name.clone()).collect();
        Ok(Self { name: name.to_owned(), path, session, provider, outputs })
    }

    /// Runs the graph and returns the expected outputs by name, in the graph's order, each checked for its expected
    /// shape and for finite numbers. Outputs without an expectation are computed, but freed as soon as no operator
    /// needs them. `kept` are inputs that the caller continues to own; `cancel` stops the graph between two operators.
    pub fn run(
        &mut self,
        inputs: Vec<(String, DynValue)>,
        kept: &[(String, &DynValue)],
        expect: &Expect<'_>,
        cancel: &CancelToken,
    ) -> Result<Vec<(String, DynValue)>> {
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        let outputs = match self.run_bound(inputs, kept, expect, cancel) {
            Ok(outputs) => outputs,
            Err(_) if cancel.is_cancelled() => return Err(ModelError::Cancelled),
            Err(error) => return Err(self.failed("running it", error.message())),
        };
        for (name, value) in &outputs {
            if let Some(expected) = expect(name) {
                self.check_output(name, value, &expected)?;
            }
        }
        Ok(outputs)
    }

    /// Compares an output with its expectation: its shape, and that its numbers are finite (values that stay on a GPU
    /// are not read back for this check).
    fn check_output(&self, name: &str, value: &DynValue, expected: &Expected) -> Result<()> {
        let wrong = |problem: String| ModelError::Output {
            path: self.path.clone(),
            graph: self.name.clone(),
            output: name.to_owned(),
            problem,
        };
        let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
            return Err(wrong("is not a tensor".into()));
        };
        let want = expected.shape.iter().map(|&axis| i64::try_from(axis).unwrap_or(i64::MAX));
        if !want.eq(shape.iter().copied()) {
            let found = shape.to_vec();
            return Err(wrong(format!(
                "has the shape {found:?}, but {:?} was expected",
                expected.shape
            )));
        }
        let on_gpu = self.provider == Provider::Cuda && name.starts_with(PRESENT);
        if on_gpu {
            return Ok(());
        }
        let finite = match ty {
            TensorElementType::Float32 => {
                let read = value.try_extract_tensor::<f32>();
                let (_, data) = self.check(read, "reading its outputs")?;
                all_finite(data, expected, |number| number.is_finite())
            }
            TensorElementType::Float16 => {
                let read = value.try_extract_tensor::<f16>();
                let (_, data) = self.check(read, "reading its outputs")?;
                all_finite(data, expected, |number| number.is_finite())
            }
            _ => true,
        };
        if finite {
            return Ok(());
        }
        Err(wrong(
            "holds values that are not finite (weights that overflow in f16 do this: export with --dtype f32)"
                .into(),
        ))
    }

    fn run_bound(
        &mut self,
        inputs: Vec<(String, DynValue)>,
        kept: &[(String, &DynValue)],
        expect: &Expect<'_>,
        cancel: &CancelToken,
    ) -> ort::Result<Vec<(String, DynValue)>> {
        let host = MemoryInfo::new(
            AllocationDevice::CPU,
            0,
            AllocatorType::Device,
            MemoryType::CPUOutput,
        )?;
        let device = match self.provider {
            Provider::Cpu => None,
            Provider::Cuda => Some(MemoryInfo::new(
                AllocationDevice::CUDA,
                0,
                AllocatorType::Device,
                MemoryType::Default,
            )?),
        };
        let mut binding = self.session.create_binding()?;
        for (name, value) in &inputs {
            binding.bind_input(name, value)?;
        }
        for (name, value) in kept {
            binding.bind_input(name, value)?;
        }
        for name in self.outputs.iter().filter(|name| expect(name).is_some()) {
            // Keys and values stay on the device of the next step.
            let stays = device.as_ref().filter(|_| name.starts_with(PRESENT));
            binding.bind_output_to_device(name, stays.unwrap_or(&host))?;
        }
        let options = Arc::new(RunOptions::new()?);
        let terminate = Arc::clone(&options);
        let guard = cancel.on_cancel(move || {
            // If the early stop fails, the graph only runs to its end.
            let _ = terminate.terminate();
        });
        let outputs = self.session.run_binding_with_options(&binding, &options)?;
        drop(guard);
        Ok(outputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The graph's file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Adds the name of this graph to an error of ONNX Runtime.
    pub fn check<T>(&self, result: ort::Result<T>, doing: &str) -> Result<T> {
        result.map_err(|error| self.failed(doing, error.message()))
    }

    /// An error of this graph.
    pub fn failed(&self, doing: &str, reason: &str) -> ModelError {
        ModelError::Runtime {
            path: self.path.clone(),
            doing: doing.to_owned(),
            reason: first_line(reason),
        }
    }

    /// The numbers of one output.
    pub fn output<'a, T: PrimitiveTensorElementType>(
        &self,
        outputs: &'a [(String, DynValue)],
        name: &str,
    ) -> Result<&'a [T]> {
        let doing = "reading its outputs";
        let value = outputs.iter().find(|(found, _)| found == name).map(|(_, value)| value);
        let value = value.ok_or_else(|| self.failed(doing, &format!("{name} is missing")))?;
        let (_, data) = self.check(value.try_extract_tensor::<T>(), doing)?;
        Ok(data)
    }
}

/// Whether the new entries of an output are finite.
fn all_finite<T>(data: &[T], expected: &Expected, is_finite: impl Fn(&T) -> bool) -> bool {
    // No early exit within a block, so that the comparison can be vectorised.
    let finite = |data: &[T]| {
        data.chunks(4096)
            .all(|block| block.iter().fold(true, |finite, number| finite & is_finite(number)))
    };
    match expected.shape[..] {
        [.., rows, columns] if expected.first_new > 0 && rows * columns > 0 => {
            let old = expected.first_new.min(rows) * columns;
            data.chunks_exact(rows * columns).all(|matrix| finite(&matrix[old..]))
        }
        _ => finite(data),
    }
}

/// Shapes vary from call to call, so neither the arena (which never shrinks) nor the memory pattern (which is planned
/// for one shape) helps; a spinning thread pool would use CPU time between the short operators of a decode step.
fn configure(builder: SessionBuilder, options: SessionOptions) -> ort::Result<SessionBuilder> {
    let mut builder = builder
        .with_optimization_level(GraphOptimizationLevel::Level3)?
        .with_memory_pattern(false)?
        .with_prepacking(options.prepack)?
        .with_intra_op_spinning(false)?;
    if let Some(threads) = options.threads {
        builder = builder.with_intra_threads(threads)?;
    }
    Ok(builder)
}

fn with_provider(
    builder: SessionBuilder,
    provider: Provider,
    runtime: &Runtime,
) -> Result<SessionBuilder> {
    let cpu: ExecutionProviderDispatch =
        ep::CPU::default().with_arena_allocator(false).build().error_on_failure();
    let providers = match provider {
        Provider::Cpu => vec![cpu],
        Provider::Cuda => {
            preload_cuda(runtime);
            vec![ep::CUDA::default().build().error_on_failure(), cpu]
        }
    };
    builder.with_execution_providers(providers).map_err(|error| ModelError::Device {
        device: match provider {
            Provider::Cpu => "cpu",
            Provider::Cuda => "cuda",
        }
        .to_owned(),
        reason: first_line(error.message()),
    })
}

/// Loads the CUDA libraries that Python wheels install beside onnxruntime, if there are any; the provider itself then
/// reports missing ones.
fn preload_cuda(runtime: &Runtime) {
    // …/site-packages/onnxruntime/capi/libonnxruntime.so → …/site-packages/nvidia/*/lib
    let Some(packages) = runtime.path.ancestors().nth(3) else { return };
    let folders: Vec<PathBuf> = std::fs::read_dir(packages.join("nvidia"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("lib"))
        .collect();
    for library in ep::cuda::CUDA_DYLIBS.iter().chain(ep::cuda::CUDNN_DYLIBS) {
        if let Some(path) = folders.iter().map(|lib| lib.join(library)).find(|path| path.exists()) {
            // The provider's own error names a library that does not load.
            let _ = ort::util::preload_dylib(&path);
        }
    }
}

/// Compares the graph's inputs and outputs with the manifest.
fn check_ports(path: &std::path::Path, session: &Session, graph: &Graph) -> Result<()> {
    let error =
        |field: String, reason: String| ModelError::Graph { path: path.to_owned(), field, reason };
    let optional = session.overridable_initializers();
    let inputs: Vec<(&str, &ValueType, bool)> = session
        .inputs()
        .iter()
        .map(|input| (input.name(), input.dtype(), false))
        .chain(optional.iter().map(|input| (input.name(), input.dtype(), true)))
        .collect();
    let outputs: Vec<(&str, &ValueType, bool)> =
        session.outputs().iter().map(|output| (output.name(), output.dtype(), false)).collect();
    for (side, expected, found) in
        [("input", &graph.inputs, &inputs), ("output", &graph.outputs, &outputs)]
    {
        for port in expected {
            let field = format!("{side} `{}`", port.name);
            let Some((_, found_type, _)) = found.iter().find(|(name, ..)| *name == port.name)
            else {
                return Err(error(field, "is in the manifest but not in the graph".into()));
            };
            if let Some(reason) = differs(port, found_type) {
                return Err(error(field, reason));
            }
        }
        let unknown = found.iter().find(|(name, _, has_default)| {
            !has_default && !expected.iter().any(|port| port.name == *name)
        });
        if let Some((name, ..)) = unknown {
            let field = format!("{side} `{name}`");
            return Err(error(field, "is in the graph but not in the manifest".into()));
        }
    }
    Ok(())
}

fn differs(port: &Port, found: &ValueType) -> Option<String> {
    let ValueType::Tensor { ty, shape, .. } = found else {
        return Some("is no tensor".into());
    };
    let expected = match port.dtype {
        ElementType::F32 => TensorElementType::Float32,
        ElementType::F16 => TensorElementType::Float16,
        ElementType::I64 => TensorElementType::Int64,
    };
    let fits = shape.len() == port.shape.len()
        && shape.iter().zip(&port.shape).all(|(&found, want)| match want {
            AxisLength::Fixed(want) => found == i64::try_from(*want).unwrap_or(i64::MAX),
            AxisLength::Symbol(_) => found < 0,
        });
    if *ty == expected && fits {
        return None;
    }
    Some(format!(
        "is {ty} {:?} in the graph, but {expected} {} in the manifest (−1: varies)",
        shape.to_vec(),
        show_axes(&port.shape)
    ))
}

/// The first line: ONNX Runtime's messages continue with stack traces.
fn first_line(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    line.trim().trim_end_matches('.').to_owned()
}
