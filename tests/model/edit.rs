//! Every tool of the edit stack, its undo, and the text that repeats it.

use image::{Rgb, RgbImage};
use std::sync::Arc;
use vlmscope::edit::{Adjust, Area, Brush, EditError, Edits, Fill, LikeColor, Outline, Step};
use vlmscope::trace::Rect;

const SIZE: [u32; 2] = [64, 48];

/// A sky that changes from column to column, with a red box in it.
fn original() -> Arc<RgbImage> {
    Arc::new(RgbImage::from_fn(SIZE[0], SIZE[1], |x, y| {
        if (20..36).contains(&x) && (10..30).contains(&y) {
            Rgb([200 + (y % 7) as u8, 30, 40])
        } else {
            Rgb([120, 160 + (x / 4) as u8, 220])
        }
    }))
}

fn rect(x: f64, y: f64, width: f64, height: f64) -> Rect {
    Rect { x, y, width, height }
}

fn boxed() -> Area {
    Area::rectangle(rect(20.0, 10.0, 16.0, 20.0))
}

fn brush(size: f64) -> Brush {
    Brush { size, hardness: 0.8 }
}

/// One step of every tool and fill.
fn every_tool() -> Vec<Step> {
    let points = vec![[5.0, 5.0], [30.0, 20.0], [50.0, 40.0]];
    let lasso = Outline::Lasso { points: vec![[10.0, 5.0], [50.0, 8.0], [30.0, 40.0]] };
    let like = Some(LikeColor { color: [200, 30, 40], tolerance: 25.0 });
    let ellipse = Outline::Ellipse { rect: rect(18.0, 8.0, 20.0, 24.0) };
    vec![
        Step::Stroke { points: points.clone(), brush: brush(9.0), color: [0, 0, 0] },
        Step::Erase { points, brush: brush(5.0) },
        Step::Fill { area: boxed(), with: Fill::Color { color: [1, 2, 3] } },
        Step::Fill { area: Area::new(ellipse), with: Fill::Mean },
        Step::Fill { area: boxed(), with: Fill::Surroundings },
        Step::Fill { area: Area::new(lasso), with: Fill::Blur { sigma: 4.0 } },
        Step::Adjust {
            area: Area { outline: Outline::All, like },
            by: Adjust { hue: 240.0, saturation: 0.8, brightness: 0.1, contrast: 0.2 },
        },
        Step::Blank {
            patches: vec![[0, 1], [2, 3]],
            grid: [3, 4],
            rects: vec![rect(16.0, 0.0, 16.0, 16.0), rect(48.0, 32.0, 16.0, 16.0)],
        },
        Step::Crop { rect: rect(8.0, 8.0, 40.0, 30.0) },
    ]
}

fn changed(before: &RgbImage, after: &RgbImage) -> usize {
    before.pixels().zip(after.pixels()).filter(|(a, b)| a != b).count()
}

#[test]
fn every_tool_changes_the_picture_and_undo_restores_every_byte() {
    let original = original();
    let paint = Step::Fill { area: Area::new(Outline::All), with: Fill::Mean };
    for step in every_tool() {
        let mut edits = Edits::new(SIZE);
        // An eraser needs something to erase.
        if matches!(step, Step::Erase { .. }) {
            edits.push(paint.clone()).unwrap();
        }
        let before = edits.flatten(&original).unwrap();
        edits.push(step.clone()).unwrap();
        let after = edits.flatten(&original).unwrap();
        let differs = before.dimensions() != after.dimensions() || changed(&before, &after) > 0;
        assert!(differs, "{} changes nothing", step.tool());
        assert!(edits.undo());
        assert_eq!(edits.flatten(&original).unwrap(), before, "undo of {}", step.tool());
        assert!(edits.redo() && !edits.redo());
        assert_eq!(edits.flatten(&original).unwrap(), after, "redo of {}", step.tool());
    }
}

#[test]
fn undo_walks_back_through_the_whole_stack_and_redo_forward() {
    let original = original();
    let mut edits = Edits::new(SIZE);
    let mut pictures = vec![edits.flatten(&original).unwrap()];
    for step in every_tool() {
        edits.push(step).unwrap();
        pictures.push(edits.flatten(&original).unwrap());
    }
    assert_eq!(pictures[0], original, "no edits, no change");
    for picture in pictures.iter().rev().skip(1) {
        assert!(edits.undo());
        assert_eq!(edits.flatten(&original).unwrap(), *picture);
    }
    assert!(!edits.undo() && edits.is_empty());
    for picture in &pictures[1..] {
        assert!(edits.can_redo() && edits.redo());
        assert_eq!(edits.flatten(&original).unwrap(), *picture);
    }
    edits.undo();
    edits.push(every_tool().remove(0)).unwrap();
    assert!(!edits.can_redo(), "a new step forgets what was undone");
}

#[test]
fn an_eraser_restores_the_original_under_its_brush_alone() {
    let original = original();
    let mut edits = Edits::new(SIZE);
    let black = Fill::Color { color: [0; 3] };
    edits.push(Step::Fill { area: Area::new(Outline::All), with: black }).unwrap();
    let hard = Brush { size: 10.0, hardness: 1.0 };
    edits.push(Step::Erase { points: vec![[28.0, 20.0]], brush: hard }).unwrap();
    let picture = edits.flatten(&original).unwrap();
    assert_eq!(picture.get_pixel(28, 20), original.get_pixel(28, 20));
    assert_eq!(picture.get_pixel(28, 30).0, [0; 3]);
}

#[test]
fn an_object_is_erased_into_its_surroundings() {
    let original = original();
    let mut edits = Edits::new(SIZE);
    edits.push(Step::Fill { area: boxed(), with: Fill::Surroundings }).unwrap();
    let picture = edits.flatten(&original).unwrap();
    let [red, green, blue] = picture.get_pixel(27, 19).0;
    assert_eq!([red, blue], [120, 220], "the sky's own values");
    assert!((160..176).contains(&green));
    assert_eq!(changed(&original, &picture), 16 * 20, "nothing but the box");
}

#[test]
fn a_new_hue_stays_within_the_colour_that_was_selected() {
    let original = original();
    let mut edits = Edits::new(SIZE);
    let like = Some(LikeColor { color: [200, 30, 40], tolerance: 20.0 });
    let area = Area { outline: Outline::Rectangle { rect: rect(10.0, 4.0, 40.0, 40.0) }, like };
    let by = Adjust { hue: 240.0, ..Adjust::default() };
    edits.push(Step::Adjust { area, by }).unwrap();
    let picture = edits.flatten(&original).unwrap();
    let [red, green, blue] = picture.get_pixel(27, 19).0;
    assert!(blue > 190 && red < 60 && green < 60, "{red} {green} {blue}");
    assert_eq!(changed(&original, &picture), 16 * 20, "the sky stays");
}

#[test]
fn a_crop_keeps_its_rectangle_whatever_comes_after() {
    let original = original();
    let mut edits = Edits::new(SIZE);
    edits.push(Step::Crop { rect: rect(20.0, 10.0, 16.0, 20.0) }).unwrap();
    let dab = Brush { size: 4.0, hardness: 1.0 };
    edits.push(Step::Stroke { points: vec![[22.0, 12.0]], brush: dab, color: [9, 9, 9] }).unwrap();
    let picture = edits.flatten(&original).unwrap();
    assert_eq!(picture.dimensions(), (16, 20));
    assert_eq!(picture.get_pixel(2, 2).0, [9; 3], "positions stay those of the original");
    assert_eq!(edits.crop(), Some([20, 10, 16, 20]));
    edits.undo();
    edits.undo();
    assert_eq!(edits.flatten(&original).unwrap(), original);
}

#[test]
fn edits_read_back_from_their_text_make_the_same_picture() {
    let original = original();
    let mut edits = Edits::new(SIZE);
    every_tool().into_iter().for_each(|step| edits.push(step).unwrap());
    let text = edits.to_toml().unwrap();
    let mut again = Edits::from_toml(&text).unwrap();
    assert_eq!(again, edits);
    assert_eq!(again.flatten(&original).unwrap(), edits.flatten(&original).unwrap());
    assert_eq!(again.blanked().collect::<Vec<_>>(), [([0, 1], [3, 4]), ([2, 3], [3, 4])]);
}

#[test]
fn edits_fit_a_copy_of_the_picture_in_another_size() {
    let mut edits = Edits::new(SIZE);
    let area = Area::rectangle(rect(16.0, 12.0, 32.0, 24.0));
    let black = Fill::Color { color: [0; 3] };
    edits.push(Step::Fill { area, with: black }).unwrap();
    let double = Arc::new(RgbImage::from_pixel(128, 96, Rgb([255; 3])));
    let picture = edits.flatten(&double).unwrap();
    assert_eq!(picture.pixels().filter(|pixel| pixel.0 == [0; 3]).count(), 64 * 48);
    let other = Arc::new(RgbImage::new(64, 64));
    let error = edits.flatten(&other).unwrap_err();
    assert!(matches!(error, EditError::OtherPicture { .. }));
    assert!(error.to_string().contains("64 × 48"), "{error}");
}

#[test]
fn the_old_spelling_of_color_is_read_and_the_new_one_written() {
    let text = |color: &str| {
        format!(
            "version = 1\nsize = [64, 48]\n\
            [[step]]\ntool = \"stroke\"\npoints = [[1.0, 2.0]]\nbrush = {{ size = 3.0 }}\n\
            {color} = [1, 2, 3]\n\
            [[step]]\ntool = \"fill\"\n\
            area = {{ outline = {{ shape = \"rectangle\", rect = {{ x = 1, y = 2, width = 3, height = 4 }} }}, \
            like = {{ {color} = [4, 5, 6], tolerance = 9.0 }} }}\n\
            with = {{ kind = \"{color}\", {color} = [7, 8, 9] }}\n"
        )
    };
    let old = Edits::from_toml(&text("colour")).unwrap();
    assert_eq!(old, Edits::from_toml(&text("color")).unwrap());
    let written = old.to_toml().unwrap();
    assert!(written.contains("color") && !written.contains("colour"), "{written}");
    assert_eq!(Edits::from_toml(&written).unwrap(), old);
}

#[test]
fn senseless_text_is_refused_with_a_reason() {
    let head = "version = 1\nsize = [64, 48]\n";
    let cases = [
        ("size = [64, 48]".to_owned(), "version"),
        ("version = 7\nsize = [1, 1]".to_owned(), "newer"),
        ("version = 1\nsize = [0, 5]".to_owned(), "neither of them 0"),
        (format!("{head}[[step]]\ntool = \"magic\""), "magic"),
        (
            format!(
                "{head}[[step]]\ntool = \"stroke\"\npoints = [[1.0, 2.0]]\nbrush = {{ size = 0.0 }}\ncolor = [1, 2, 3]"
            ),
            "brush.size",
        ),
        (
            format!(
                "{head}[[step]]\ntool = \"blank\"\npatches = [[5, 0]]\ngrid = [3, 4]\nrects = []"
            ),
            "grid",
        ),
    ];
    for (text, named) in cases {
        let error = Edits::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains(named), "{text:?} gives {error:?}");
    }
    let mut edits = Edits::new(SIZE);
    let nowhere = Area::rectangle(rect(500.0, 0.0, 3.0, 3.0));
    edits.push(Step::Fill { area: nowhere, with: Fill::Mean }).unwrap();
    assert!(matches!(edits.flatten(&original()), Err(EditError::Empty { index: 0, .. })));
}
