//! Masks of objects: the pixels that an object covers, as run-length codes, polygons or a picture has them.

use super::outline::{Outline, RegionPart, intervals};
use serde::{Deserialize, Serialize};

/// Limit on the pixels of a mask: a code of a few bytes can claim any size.
const MOST_PIXELS: u64 = 1 << 26;
/// Difference of the aspect ratios of a mask and its picture, in pixels of the mask: resizing rounds both sides.
const ROUNDING_PX: f64 = 1.5;

/// The pixels of an object in a picture of a certain size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PixelMask {
    size: [u32; 2],
    /// For each row, the runs of pixels inside: first column, and the one after the last.
    rows: Vec<Vec<[u32; 2]>>,
}

/// An object's area.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum MaskShape {
    /// Pixels, which may be those of a smaller or larger copy of the picture.
    Pixels(PixelMask),
    /// Polygons in pixels of the picture; what lies in any of them is inside.
    Polygons(Vec<RegionPart>),
}

/// A mask with the noun that names its object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedMask {
    /// The noun, such as "fox".
    pub noun: String,
    /// The object's area.
    pub shape: MaskShape,
}

/// The run-length code of COCO: pixels column by column, first the number outside, then the number inside, and so on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RunLengths {
    /// Height and width.
    pub size: [u32; 2],
    /// The lengths.
    pub counts: Counts,
}

/// Lengths of runs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Counts {
    /// As numbers.
    Numbers(Vec<u32>),
    /// As the text that pycocotools writes.
    Text(String),
}

impl Counts {
    /// The lengths; of a text, as `rleFrString` of pycocotools reads it: digits of five bits, the lowest first, with a sign; from
    /// the fourth on, the difference to the length two before.
    fn lengths(&self) -> Result<Vec<u32>, String> {
        let text = match self {
            Self::Numbers(numbers) => return Ok(numbers.clone()),
            Self::Text(text) => text,
        };
        let broken =
            || "has `counts` that are no run lengths as pycocotools writes them".to_owned();
        let mut lengths: Vec<u32> = Vec::new();
        let mut bytes = text.bytes();
        while let Some(mut byte) = bytes.next() {
            let (mut value, mut shift) = (0_i64, 0_u32);
            loop {
                let digit = byte.checked_sub(48).filter(|digit| *digit < 64).ok_or_else(broken)?;
                value |= i64::from(digit & 31) << shift;
                shift += 5;
                if digit & 32 == 0 {
                    if digit & 16 != 0 {
                        value |= -1 << shift;
                    }
                    break;
                }
                if shift > 35 {
                    return Err(broken());
                }
                byte = bytes.next().ok_or_else(broken)?;
            }
            if let Some(before) = lengths.len().checked_sub(2).filter(|before| *before > 0) {
                value += i64::from(lengths[before]);
            }
            lengths.push(u32::try_from(value).map_err(|_| broken())?);
        }
        Ok(lengths)
    }
}

impl PixelMask {
    /// The mask of a run-length code.
    ///
    /// # Errors
    /// A description of the fault.
    pub fn from_run_lengths(code: &RunLengths) -> Result<Self, String> {
        let [height, width] = code.size;
        check_size([width, height])?;
        let lengths = code.counts.lengths()?;
        let (rows, pixels) = (height as usize, u64::from(height) * u64::from(width));
        if lengths.iter().copied().map(u64::from).sum::<u64>() != pixels {
            return Err(format!("has `counts` that do not add up to {width} × {height} pixels"));
        }
        let mut is_inside = vec![false; pixels as usize];
        let (mut start, mut inside) = (0, false);
        for length in lengths {
            let end = start + length as usize;
            is_inside[start..end].fill(inside);
            (start, inside) = (end, !inside);
        }
        Self::from_pixels([width, height], |x, y| is_inside[x as usize * rows + y as usize])
    }

    /// The mask of a picture of this width and height.
    ///
    /// # Errors
    /// A picture that is too large, or without pixels.
    pub fn from_pixels(
        size: [u32; 2],
        is_inside: impl Fn(u32, u32) -> bool,
    ) -> Result<Self, String> {
        check_size(size)?;
        let row = |y: u32| {
            let mut runs: Vec<[u32; 2]> = Vec::new();
            for x in (0..size[0]).filter(|x| is_inside(*x, y)) {
                match runs.last_mut() {
                    Some([_, end]) if *end == x => *end += 1,
                    _ => runs.push([x, x + 1]),
                }
            }
            runs
        };
        Ok(Self { size, rows: (0..size[1]).map(row).collect() })
    }

    /// Number of pixels inside.
    pub fn pixels(&self) -> u64 {
        self.rows.iter().flatten().map(|[start, end]| u64::from(end - start)).sum()
    }
}

fn check_size([width, height]: [u32; 2]) -> Result<(), String> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MOST_PIXELS {
        return Err(format!("has {width} × {height} pixels; 1 to {MOST_PIXELS} can be read"));
    }
    Ok(())
}

impl MaskShape {
    /// Polygons as COCO has them: x, y, x, y, … of each.
    ///
    /// # Errors
    /// A description of the fault.
    pub fn from_polygons(polygons: &[Vec<f64>]) -> Result<Self, String> {
        let part = |polygon: &Vec<f64>| {
            let (points, rest) = polygon.as_chunks::<2>();
            if points.len() < 3 || !rest.is_empty() {
                return Err("has a polygon that is not x, y of at least three points".to_owned());
            }
            let outline = Outline::Lasso { points: points.to_vec() };
            match outline.fault() {
                Some((_, value, bounds)) => {
                    Err(format!("has a polygon with the coordinate {value}, not {bounds}"))
                }
                None => Ok(RegionPart::new(outline)),
            }
        };
        polygons.iter().map(part).collect::<Result<_, _>>().map(Self::Polygons)
    }

    /// Whether there is nothing inside.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Pixels(mask) => mask.pixels() == 0,
            Self::Polygons(parts) => parts.is_empty(),
        }
    }

    /// Checks that the mask can be of a picture of this width and height in pixels.
    ///
    /// # Errors
    /// Both sizes.
    pub fn check(&self, picture: [u32; 2]) -> Result<(), String> {
        let Self::Pixels(PixelMask { size, .. }) = self else { return Ok(()) };
        let [width, height] = size.map(f64::from);
        let [wide, high] = picture.map(f64::from);
        // The height that the mask would have with its own width, and the other way round.
        let off = (width * high / wide - height).abs().min((height * wide / high - width).abs());
        if off > ROUNDING_PX {
            return Err(format!(
                "has {width} × {height} pixels, which is another shape than the picture's {wide} × {high}"
            ));
        }
        Ok(())
    }

    /// The intervals of columns inside on the line `y`, in pixels of a picture of this width and height: ascending,
    /// without overlap.
    pub fn intervals(&self, picture: [u32; 2], y: f64) -> Vec<[f64; 2]> {
        match self {
            Self::Polygons(parts) => intervals(parts, y),
            Self::Pixels(PixelMask { size, rows }) => {
                let scale: [f64; 2] =
                    std::array::from_fn(|axis| f64::from(picture[axis]) / f64::from(size[axis]));
                let row = (y / scale[1]).floor();
                let runs = (row >= 0.0).then(|| rows.get(row as usize)).flatten();
                let runs = runs.into_iter().flatten();
                runs.map(|run| run.map(|column| f64::from(column) * scale[0])).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn code(size: [u32; 2], counts: Counts) -> RunLengths {
        RunLengths { size, counts }
    }

    #[test]
    fn run_lengths_go_down_the_columns() {
        // 3 rows, 4 columns: the second column, and the first pixel of the third.
        let mask =
            PixelMask::from_run_lengths(&code([3, 4], Counts::Numbers(vec![3, 4, 5]))).unwrap();
        assert_eq!(mask.rows, [vec![[1, 3]], vec![[1, 2]], vec![[1, 2]]]);
        assert_eq!(mask.pixels(), 4);
    }

    #[test]
    fn texts_are_those_of_pycocotools() {
        // Written by pycocotools 2.0.11: an ellipse in 24 × 17 pixels, and two columns of 3000 pixels.
        let ellipse =
            code([17, 24], Counts::Text("j13<4M2O0O2O000000000000000001N101N3L^1".into()));
        let mask = PixelMask::from_run_lengths(&ellipse).unwrap();
        let in_row = |row: &Vec<[u32; 2]>| row.iter().map(|[start, end]| end - start).sum::<u32>();
        assert_eq!(
            mask.rows.iter().map(in_row).collect::<Vec<_>>(),
            [0, 0, 0, 10, 14, 16, 16, 18, 18, 18, 16, 16, 14, 10, 0, 0, 0]
        );
        assert_eq!(mask.rows[8], [[3, 21]], "the middle");
        let columns = Counts::Text("b1dj2Yo2]UM".into()).lengths();
        assert_eq!(columns.unwrap(), [50, 2900, 3049, 1]);
    }

    #[test]
    fn faults_of_codes_are_named() {
        let of = |size, counts| PixelMask::from_run_lengths(&code(size, counts)).unwrap_err();
        assert!(of([3, 4], Counts::Numbers(vec![3, 4])).contains("add up to 4 × 3"));
        assert!(of([u32::MAX; 2], Counts::Numbers(vec![])).contains("can be read"));
        assert!(of([3, 4], Counts::Text("\u{7f}".into())).contains("pycocotools"));
        assert!(of([3, 4], Counts::Text("oooooooooooooooooo".into())).contains("pycocotools"));
        assert!(of([3, 4], Counts::Text("@".into())).contains("pycocotools"), "a negative length");
        assert!(MaskShape::from_polygons(&[vec![0.0, 0.0, 1.0, 1.0, 2.0]]).is_err());
        let nan = MaskShape::from_polygons(&[vec![0.0, 0.0, 1.0, f64::NAN, 2.0, 2.0]]);
        assert!(nan.unwrap_err().contains("NaN"));
    }

    #[test]
    fn a_mask_of_another_size_lies_over_the_whole_picture() {
        let mask = PixelMask::from_pixels([4, 2], |x, y| x == 1 && y == 1).unwrap();
        let shape = MaskShape::Pixels(mask);
        assert!(shape.check([40, 20]).is_ok() && shape.check([399, 201]).is_ok());
        assert!(shape.check([20, 40]).unwrap_err().contains("4 × 2 pixels"));
        assert_eq!(shape.intervals([40, 20], 15.0), [[10.0, 20.0]]);
        assert!(shape.intervals([40, 20], 5.0).is_empty());
        assert!(
            shape.intervals([40, 20], -1.0).is_empty()
                && shape.intervals([40, 20], 20.0).is_empty()
        );
        assert!(!shape.is_empty());
    }
}
