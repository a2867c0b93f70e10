//! Every shader under naga without a device, and the structs of both sides against each other.

use std::mem::offset_of;
use vlmscope::gpu::passes::{
    NAMES, SOURCES, composite, density, difference, fill_atlas, matrix, normalise, picture, reduce,
    token_matrix, wall,
};
use vlmscope::gpu::{Globals, shader};

fn parse(source: &shader::Source) -> naga::Module {
    naga::front::wgsl::parse_str(&source.wgsl()).unwrap_or_else(|error| {
        panic!("{}", error.emit_to_string_with_path(&source.wgsl(), source.name))
    })
}

#[test]
fn every_shader_is_valid_without_optional_features() {
    for source in SOURCES {
        let module = parse(source);
        let mut validator = naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            // unpack2x16float: part of WebGPU's base, a capability only to naga.
            naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32,
        );
        if let Err(error) = validator.validate(&module) {
            panic!("{}: {}", source.name, error.emit_to_string(&source.wgsl()));
        }
        assert!(NAMES.contains(&source.name), "{} is missing in NAMES", source.name);
    }
}

/// Members (name, offset) and size of a WGSL struct.
fn members(source: &shader::Source, name: &str) -> (Vec<(String, usize)>, usize) {
    let module = parse(source);
    let (_, found) = module
        .types
        .iter()
        .find(|(_, ty)| ty.name.as_deref() == Some(name))
        .unwrap_or_else(|| panic!("{} has no struct {name}", source.name));
    let naga::TypeInner::Struct { members, span } = &found.inner else {
        panic!("{name} is no struct")
    };
    let members = members
        .iter()
        .map(|member| (member.name.clone().unwrap_or_default(), member.offset as usize))
        .collect();
    (members, *span as usize)
}

macro_rules! same_layout {
    ($source:expr, $name:literal, $rust:ty { $($field:ident),+ $(,)? }) => {
        let (members, size) = members(&$source, $name);
        let here: Vec<(String, usize)> =
            vec![$((stringify!($field).to_owned(), offset_of!($rust, $field))),+];
        assert_eq!(members, here, "{} of {}", $name, $source.name);
        assert_eq!(size, size_of::<$rust>(), "size of {} of {}", $name, $source.name);
    };
}

#[test]
fn structs_lie_the_same_way_on_both_sides() {
    same_layout!(picture::SOURCE, "Globals", Globals { target_px, padding });
    same_layout!(
        reduce::SOURCE,
        "Reduce",
        reduce::Params {
            patches,
            positions,
            heads,
            layer_count,
            head_count,
            keep,
            maxima,
            flags,
            query_count,
            scale,
            pairs,
            padding,
        }
    );
    same_layout!(difference::SOURCE, "Difference", difference::Params { count, row, padding });
    same_layout!(density::SOURCE, "Density", density::Params { cells, patches, planes, padding });
    same_layout!(density::SOURCE, "Part", density::Part { patch_index, share });
    same_layout!(
        normalise::SOURCE,
        "Normalise",
        normalise::Params { patches, planes, kind, flags, low, high, padding, level_ranks }
    );
    same_layout!(
        fill_atlas::SOURCE,
        "FillAtlas",
        fill_atlas::Params {
            cells,
            first_cell,
            grid,
            texels,
            patches,
            first_patch,
            planes,
            flags,
            padding,
        }
    );
    same_layout!(
        composite::SOURCE,
        "Style",
        composite::Style {
            opacity,
            mix_at,
            lut_row,
            diverging,
            line_px,
            first_level,
            second_first_level,
            padding,
            line_colors,
        }
    );
    same_layout!(wall::SOURCE, "Style", wall::Style { lut_row, mix_at, padding });
    same_layout!(matrix::SOURCE, "Style", matrix::Style { lut_row, unused, padding, gap });
    same_layout!(
        token_matrix::SOURCE,
        "Style",
        token_matrix::Style { range, lut_row, flags, gap, unseen, first, pooled, padding }
    );
}
