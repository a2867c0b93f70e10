//! The metadata in the form of the file. Format 1.0, where each picture has one canvas of the same number, stores views
//! and canvases in another form than 2.0; in memory there is one form. A trace is written in the version that it was
//! read or built in.

use super::{Affine, CanvasMode, FrameInfo, ImageAttention, ImageSpan, PreprocessInfo, Rect};
use super::{TraceMeta, ViewOf};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// A view in the form of the file.
#[derive(Serialize, Deserialize)]
struct SpanRecord {
    /// Only in 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    picture: Option<u32>,
    /// Only in 2.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canvas: Option<u32>,
    /// Only in 2.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<ViewOf>,
    first: u32,
    rows: u32,
    columns: u32,
    /// Only in 2.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row_stride: Option<u32>,
    preprocessed_rect: Rect,
    /// Only in 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_from_preprocessed: Option<Affine>,
    /// Only in 2.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tile: Option<[u32; 2]>,
    /// Only in 2.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frame: Option<FrameInfo>,
    /// Only in 2.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cells: Option<Vec<[f64; 4]>>,
}

/// A canvas in the form of the file.
#[derive(Serialize, Deserialize)]
struct CanvasRecord {
    /// Only in 2.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    picture: Option<u32>,
    mode: CanvasMode,
    original_size: [u32; 2],
    preprocessed_size: [u32; 2],
    /// Only in 2.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_from_preprocessed: Option<Affine>,
    #[serde(default)]
    file_name: String,
}

/// Reads the metadata of a file of major version `major`; the error is the reason why it does not fit.
pub(super) fn read(mut loose: Value, major: u32) -> Result<TraceMeta, String> {
    let canvases: Vec<CanvasRecord> = take(&mut loose, "preprocess")?;
    let spans: Vec<SpanRecord> = take(&mut loose, "spans")?;
    let mut meta: TraceMeta = parse(loose)?;
    if major < 2 {
        read_1(&mut meta, canvases, spans)?;
    } else {
        read_2(&mut meta, canvases, spans)?;
    }
    Ok(meta)
}

fn take<T: DeserializeOwned>(loose: &mut Value, field: &str) -> Result<T, String> {
    let value =
        loose.get_mut(field).map(Value::take).ok_or_else(|| format!("`{field}` is missing"))?;
    serde_json::from_value(value).map_err(|error| format!("`{field}`: {error}"))
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn read_1(
    meta: &mut TraceMeta,
    canvases: Vec<CanvasRecord>,
    spans: Vec<SpanRecord>,
) -> Result<(), String> {
    meta.spans = spans
        .into_iter()
        .map(|record| {
            let picture = record.picture.ok_or("a span without `picture`")?;
            let affine = record.original_from_preprocessed;
            Ok(ImageSpan {
                picture,
                canvas: picture,
                first: record.first,
                rows: record.rows,
                columns: record.columns,
                preprocessed_rect: record.preprocessed_rect,
                original_from_preprocessed: affine
                    .ok_or("a span without `original_from_preprocessed`")?,
                ..ImageSpan::default()
            })
        })
        .collect::<Result<_, &str>>()?;
    meta.preprocess = (0..)
        .zip(canvases)
        .map(|(picture, record)| {
            let own = meta.spans.iter().find(|span| span.picture == picture);
            let affine = own.map_or_else(
                || scale(record.preprocessed_size, record.original_size),
                |span| span.original_from_preprocessed,
            );
            canvas(record, picture, affine)
        })
        .collect();
    // These fields have no meaning in 1.0, see docs/trace-format.md.
    let model = &mut meta.model;
    model.attention_layers.clear();
    model.heads_of_layer.clear();
    model.image_attention = ImageAttention::Causal;
    if model.layer_kinds.iter().any(|kind| !kind.has_attention()) {
        model.layer_kinds.clear();
    }
    (meta.virtual_len, meta.unplaced) = (0, None);
    Ok(())
}

fn read_2(
    meta: &mut TraceMeta,
    canvases: Vec<CanvasRecord>,
    spans: Vec<SpanRecord>,
) -> Result<(), String> {
    meta.preprocess = canvases
        .into_iter()
        .enumerate()
        .map(|(index, record)| {
            let missing = |field| format!("canvas {index} has no `{field}`");
            let picture = record.picture.ok_or_else(|| missing("picture"))?;
            let affine = record.original_from_preprocessed;
            let affine = affine.ok_or_else(|| missing("original_from_preprocessed"))?;
            Ok(canvas(record, picture, affine))
        })
        .collect::<Result<_, String>>()?;
    meta.spans = spans
        .into_iter()
        .enumerate()
        .map(|(index, record)| {
            let missing = |field| format!("view {index} has no `{field}`");
            let canvas = record.canvas.ok_or_else(|| missing("canvas"))?;
            let kind = record.kind.ok_or_else(|| missing("kind"))?;
            let on = meta.preprocess.get(canvas as usize).ok_or_else(|| {
                format!(
                    "view {index} is on canvas {canvas}, but there are {}",
                    meta.preprocess.len()
                )
            })?;
            if record.row_stride.is_some_and(|stride| stride < record.columns) {
                return Err(format!("view {index} has a `row_stride` below its columns"));
            }
            if (kind == ViewOf::Frame) != record.frame.is_some() {
                return Err(format!("view {index}: `frame` goes with the kind `frame`"));
            }
            let cells = record.cells.map(|cells| cells.into_iter().map(rect).collect());
            Ok(ImageSpan {
                picture: on.picture,
                canvas,
                kind,
                first: record.first,
                rows: record.rows,
                columns: record.columns,
                // Rows without a gap have only one representation, so that equal views compare equal.
                row_stride: record.row_stride.filter(|&s| s != record.columns).unwrap_or(0),
                preprocessed_rect: record.preprocessed_rect,
                original_from_preprocessed: on.original_from_preprocessed,
                tile: record.tile,
                frame: record.frame,
                cells,
            })
        })
        .collect::<Result<_, String>>()?;
    Ok(())
}

fn rect([x, y, width, height]: [f64; 4]) -> Rect {
    Rect { x, y, width, height }
}

fn scale([from_width, from_height]: [u32; 2], [to_width, to_height]: [u32; 2]) -> Affine {
    let factor = |from: u32, to: u32| f64::from(to.max(1)) / f64::from(from.max(1));
    Affine::scale_offset([factor(from_width, to_width), factor(from_height, to_height)], [0.0; 2])
}

fn canvas(record: CanvasRecord, picture: u32, affine: Affine) -> PreprocessInfo {
    PreprocessInfo {
        picture,
        mode: record.mode,
        original_size: record.original_size,
        preprocessed_size: record.preprocessed_size,
        original_from_preprocessed: affine,
        file_name: record.file_name,
    }
}

/// The major version in the metadata; 1 if there is none.
pub(super) fn major(meta: &TraceMeta) -> u32 {
    let major = meta.format_version.split('.').next().and_then(|major| major.parse().ok());
    major.unwrap_or(1)
}

/// The metadata in the form of its file version.
pub(super) fn write(meta: &TraceMeta) -> serde_json::Result<String> {
    let is_2 = major(meta) >= 2;
    let canvases = meta.preprocess.iter().map(|info| CanvasRecord {
        picture: is_2.then_some(info.picture),
        mode: info.mode.clone(),
        original_size: info.original_size,
        preprocessed_size: info.preprocessed_size,
        original_from_preprocessed: is_2.then_some(info.original_from_preprocessed),
        file_name: info.file_name.clone(),
    });
    let array = |rect: &Rect| [rect.x, rect.y, rect.width, rect.height];
    let cells = |cells: &Arc<[Rect]>| cells.iter().map(array).collect();
    let spans = meta.spans.iter().map(|span| SpanRecord {
        picture: (!is_2).then_some(span.picture),
        canvas: is_2.then_some(span.canvas),
        kind: is_2.then_some(span.kind),
        first: span.first,
        rows: span.rows,
        columns: span.columns,
        row_stride: is_2.then_some(span.stride()),
        preprocessed_rect: span.preprocessed_rect,
        original_from_preprocessed: (!is_2).then_some(span.original_from_preprocessed),
        tile: span.tile,
        frame: span.frame,
        cells: span.cells.as_ref().map(cells),
    });
    let mut value = serde_json::to_value(meta)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("spans".into(), serde_json::to_value(spans.collect::<Vec<_>>())?);
        fields.insert("preprocess".into(), serde_json::to_value(canvases.collect::<Vec<_>>())?);
    }
    serde_json::to_string(&value)
}
