//! One graph of a bundle in ONNX Runtime.

use super::options::{Provider, SessionOptions};
use super::runtime::Runtime;
use crate::job::CancelToken;
use crate::model::bundle::Bundle;
use crate::model::error::{ModelError, Result};
use crate::model::manifest::{Axis, ElementType, Graph, Port, show_axes};
use ort::ep::{self, ExecutionProviderDispatch};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session};
use ort::value::{DynValue, TensorElementType, ValueType};
use std::path::PathBuf;
use std::sync::Arc;

/// An open graph.
#[derive(Debug)]
pub(super) struct GraphSession {
    path: PathBuf,
    session: Session,
    provider: Provider,
    outputs: Vec<String>,
}

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
        Ok(Self { path, session, provider, outputs })
    }

    /// Runs the graph and returns all outputs by name, in the graph's order. `kept` are inputs
    /// that stay with the caller; `cancel` stops the graph between two of its operators.
    pub fn run(
        &mut self,
        inputs: Vec<(String, DynValue)>,
        kept: &[(String, &DynValue)],
        cancel: &CancelToken,
    ) -> Result<Vec<(String, DynValue)>> {
        self.run_for(inputs, kept, &|_| true, cancel)
    }

    /// The same for those outputs whose name is `wanted`; the others are computed, but freed as
    /// soon as nothing inside the graph needs them.
    pub fn run_for(
        &mut self,
        inputs: Vec<(String, DynValue)>,
        kept: &[(String, &DynValue)],
        wanted: &dyn Fn(&str) -> bool,
        cancel: &CancelToken,
    ) -> Result<Vec<(String, DynValue)>> {
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        match self.run_bound(inputs, kept, wanted, cancel) {
            Ok(outputs) => Ok(outputs),
            Err(_) if cancel.is_cancelled() => Err(ModelError::Cancelled),
            Err(error) => Err(self.failed("running it", error.message())),
        }
    }

    fn run_bound(
        &mut self,
        inputs: Vec<(String, DynValue)>,
        kept: &[(String, &DynValue)],
        wanted: &dyn Fn(&str) -> bool,
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
        for name in self.outputs.iter().filter(|name| wanted(name)) {
            // Keys and values stay where the next step wants them.
            let stays = device.as_ref().filter(|_| name.starts_with("present_"));
            binding.bind_output_to_device(name, stays.unwrap_or(&host))?;
        }
        let options = Arc::new(RunOptions::new()?);
        let terminate = Arc::clone(&options);
        let guard = cancel.on_cancel(move || {
            // Failing to stop early only means that the graph runs to its end.
            let _ = terminate.terminate();
        });
        let outputs = self.session.run_binding_with_options(&binding, &options)?;
        drop(guard);
        Ok(outputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Its file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Names this graph in an error of ONNX Runtime.
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

    /// The f32 numbers of one output.
    pub fn floats(&self, outputs: Vec<(String, DynValue)>, name: &str) -> Result<Vec<f32>> {
        let value = outputs.into_iter().find(|(found, _)| found == name);
        let (_, value) = value
            .ok_or_else(|| self.failed("reading its outputs", &format!("{name} is missing")))?;
        let (_, data) = self.check(value.try_extract_tensor::<f32>(), "reading its outputs")?;
        Ok(data.to_vec())
    }
}

/// Shapes vary from call to call, so neither the arena (which never shrinks) nor the memory
/// pattern (which is planned for one shape) helps; a spinning pool would burn the CPU between the
/// short operators of a decode step.
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

/// Loads the CUDA libraries that Python wheels put beside onnxruntime, where there are any; what
/// is missing is then reported by the provider itself.
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
            // A library that does not load is named by the provider's own error.
            let _ = ort::util::preload_dylib(&path);
        }
    }
}

/// Compares what the graph has with what the manifest says.
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
            Axis::Fixed(want) => found == i64::try_from(*want).unwrap_or(i64::MAX),
            Axis::Symbol(_) => found < 0,
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

/// ONNX Runtime's messages go on with stack traces.
fn first_line(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    line.trim().trim_end_matches('.').to_owned()
}
