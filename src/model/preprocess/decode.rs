//! Decoding an encoded file to upright pixels, and encoding them again without private metadata.

use super::resize::Rgb;
use crate::model::error::{ModelError, Result};
use crate::model::manifest::Resample;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Larger pictures are refused before any pixel is decoded.
pub const MAX_MEGAPIXELS: u32 = 128;
/// Largest decoded picture: three channels of 16 bits. While a picture is turned upright, it is in memory twice.
const MAX_DECODED_BYTES: u64 = MAX_MEGAPIXELS as u64 * 6 * 1_000_000;
/// Memory limit of the decoders: the pixels, and the same amount for the decoders' own tables.
const MAX_DECODE_BYTES: u64 = 2 * MAX_DECODED_BYTES;
/// The original is kept for display and for asking again; it is not an archive.
const STORED_LONG_EDGE: u32 = 2048;
const JPEG_QUALITY: u8 = 92;
/// If all samples of a 16-bit picture are darker than this, it comes from a detector of 13 bits or less.
const DARK: u16 = 1 << 13;
const HEIF: &str = "it is a HEIC (HEIF) picture, as many phones take them, whatever its name \
    says; convert it, for example with heif-convert IN.heic OUT.jpg (Debian and Ubuntu: apt \
    install libheif-examples), or set the phone's camera to its most compatible format";

/// Upright pixels.
pub(super) struct Decoded {
    pub upright: DynamicImage,
    /// Whether the file's format is lossy.
    pub lossy: bool,
}

/// Decodes the first frame and turns it upright.
pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<Decoded> {
    let not_a_picture = |reason: String| ModelError::Picture { name: name.to_owned(), reason };
    if bytes.is_empty() {
        return Err(not_a_picture("the file is empty".into()));
    }
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| not_a_picture(error.to_string()))?;
    let format = reader.format().ok_or_else(|| {
        not_a_picture(if is_heif(bytes) {
            HEIF.into()
        } else {
            "its first bytes match no known format".into()
        })
    })?;
    let broken = |error: image::ImageError| not_a_picture(error.to_string());
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > u64::from(MAX_MEGAPIXELS) * 1_000_000 {
        let limit_megapixels = MAX_MEGAPIXELS;
        return Err(ModelError::PictureTooLarge {
            name: name.to_owned(),
            width,
            height,
            limit_megapixels,
        });
    }
    if pixels == 0 {
        return Err(not_a_picture("it has no pixels".into()));
    }
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        let [found, most] =
            [decoder.total_bytes(), MAX_DECODED_BYTES].map(|bytes| bytes / 1_000_000);
        return Err(not_a_picture(format!(
            "it has {found} MB when it is decoded, more than {most} MB; reduce it, or save it with 8 bits a channel"
        )));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODE_BYTES);
    decoder.set_limits(limits).map_err(broken)?;
    // A picture whose orientation cannot be read is not turned.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err(not_a_picture("the file is truncated: it ends before its end marker".into()));
    }
    let jpeg = if format == ImageFormat::Jpeg { decode_jpeg(bytes) } else { None };
    let mut upright = match jpeg {
        Some(picture) => picture,
        None => DynamicImage::from_decoder(decoder).map_err(broken)?,
    };
    upright.apply_orientation(orientation);
    let lossy = matches!(format, ImageFormat::Jpeg | ImageFormat::WebP);
    Ok(Decoded { upright, lossy })
}

/// Whether a file is HEIF but not AVIF: "ftyp", then a brand, a version and the compatible brands.
fn is_heif(bytes: &[u8]) -> bool {
    const BRANDS: [&[u8; 4]; 9] =
        [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"mif1", b"msf1"];
    let Some(size) = bytes.first_chunk::<4>().map(|size| u32::from_be_bytes(*size) as usize) else {
        return false;
    };
    bytes.get(4..8) == Some(b"ftyp")
        && bytes[8..bytes.len().min(size.max(8))]
            .chunks_exact(4)
            .any(|brand| BRANDS.iter().any(|known| brand == *known))
}

/// The notice for a picture of 16 bits a channel that uses only the lowest of them.
pub(super) fn dark_notice(picture: &DynamicImage) -> Option<String> {
    let samples = match picture {
        DynamicImage::ImageLuma16(grey) => grey.as_raw(),
        DynamicImage::ImageRgb16(rgb) => rgb.as_raw(),
        _ => return None,
    };
    let brightest = samples.iter().copied().max().filter(|&value| value < DARK)?;
    Some(format!(
        "the brightest value of this 16-bit picture is {brightest} of 65535, so the model sees it nearly black; \
         stretch it to the full range first, for example with ImageMagick: convert IN.png -auto-level OUT.png"
    ))
}

/// Whether a JPEG reaches its end marker. Decoders fill the missing part of a truncated file with grey, and the model
/// would answer about the grey area; Pillow refuses such files as well.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const START: u8 = 0xd8;
    const END: u8 = 0xd9;
    const RESTARTS: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
    let mut at = 0;
    // A segment states its length; the header of a scan is followed by data without a length, in which 0xff is followed
    // by 0x00 or a restart marker.
    while let Some(&[first, marker]) = bytes.get(at..at + 2) {
        match marker {
            _ if first != 0xff => at += 1,
            END => return true,
            0xff => at += 1,
            0x00 | 0x01 | START => at += 2,
            marker if RESTARTS.contains(&marker) => at += 2,
            _ => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
    false
}

/// Decodes colour and grey JPEGs bit for bit as libjpeg-turbo does, which Python uses to read pictures; the decoder of
/// `image` differs by up to 6 steps. Files that it cannot read (CMYK, for example) are left to the latter.
fn decode_jpeg(bytes: &[u8]) -> Option<DynamicImage> {
    let decoded =
        libjpeg_turbo_rs::decompress_to(bytes, libjpeg_turbo_rs::PixelFormat::Rgb).ok()?;
    let [width, height] = [decoded.width, decoded.height].map(|edge| edge as u32);
    image::RgbImage::from_raw(width, height, decoded.data).map(DynamicImage::from)
}

/// The colours as transformers computes them: 16 bits are reduced to their upper 8, and transparent pixels are composed
/// over white.
pub(super) fn to_rgb(picture: &DynamicImage) -> Rgb {
    let size = [picture.width(), picture.height()];
    let bytes = match picture {
        DynamicImage::ImageLuma16(grey) => {
            grey.pixels().flat_map(|pixel| [upper(pixel.0[0]); 3]).collect()
        }
        DynamicImage::ImageLumaA16(grey) => {
            let over = |[grey, alpha]: [u16; 2]| [over_white(upper(grey), upper(alpha)); 3];
            grey.pixels().flat_map(|pixel| over(pixel.0)).collect()
        }
        DynamicImage::ImageRgb16(rgb) => {
            rgb.pixels().flat_map(|pixel| pixel.0.map(upper)).collect()
        }
        DynamicImage::ImageRgba16(rgba) => {
            rgba.pixels().flat_map(|pixel| laid_over_white(pixel.0.map(upper))).collect()
        }
        other if other.color().has_alpha() => {
            other.to_rgba8().pixels().flat_map(|pixel| laid_over_white(pixel.0)).collect()
        }
        other => other.to_rgb8().into_raw(),
    };
    Rgb { bytes, size }
}

fn upper(value: u16) -> u8 {
    (value >> 8) as u8
}

fn laid_over_white([red, green, blue, alpha]: [u8; 4]) -> [u8; 3] {
    [red, green, blue].map(|color| over_white(color, alpha))
}

/// colour · α + white · (1 − α), rounded.
fn over_white(color: u8, alpha: u8) -> u8 {
    let (color, alpha) = (u32::from(color), u32::from(alpha));
    ((color * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// An encoded picture.
pub(super) struct Stored {
    pub bytes: Vec<u8>,
    /// Width and height.
    pub size: [u32; 2],
}

/// Encodes the upright picture again, which removes all metadata: as JPEG if it came from a lossy format, otherwise as
/// PNG. A long edge over [`STORED_LONG_EDGE`] is reduced.
pub(super) fn encode_original(
    name: &str,
    upright: DynamicImage,
    rgb: &Rgb,
    lossy: bool,
) -> Result<Stored> {
    let failed = |reason: String| ModelError::Picture {
        name: name.to_owned(),
        reason: format!("encoding it for the trace failed ({reason})"),
    };
    let [width, height] = [upright.width(), upright.height()];
    let long = width.max(height);
    let picture = if long > STORED_LONG_EDGE {
        let shrink = |edge: u32| {
            let edge = u64::from(edge) * u64::from(STORED_LONG_EDGE) / u64::from(long);
            (edge as u32).max(1)
        };
        drop(upright);
        let small = rgb.resized(shrink(width), shrink(height), Resample::Bicubic);
        let [width, height] = small.size;
        image::RgbImage::from_raw(width, height, small.bytes)
            .map(DynamicImage::ImageRgb8)
            .ok_or_else(|| failed("the resized picture has a wrong size".into()))?
    } else {
        eight_bits(upright)
    };
    let size = [picture.width(), picture.height()];
    let mut bytes = Vec::new();
    let result = if lossy && !picture.color().has_alpha() {
        picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY))
    } else {
        picture.write_with_encoder(PngEncoder::new_with_quality(
            &mut bytes,
            CompressionType::Fast,
            FilterType::Adaptive,
        ))
    };
    result.map_err(|error| failed(error.to_string()))?;
    Ok(Stored { bytes, size })
}

/// The picture with 8 bits a channel; grey and transparency stay.
fn eight_bits(picture: DynamicImage) -> DynamicImage {
    match picture {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageRgba8(_) => picture,
        DynamicImage::ImageLuma16(_) => picture.to_luma8().into(),
        other if other.color().has_alpha() => other.to_rgba8().into(),
        other => other.to_rgb8().into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
    use super::*;
    use image::{GrayImage, ImageBuffer, Luma, LumaA, Rgb as Rgb8, RgbaImage};

    fn png(picture: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn rgb_of(bytes: &[u8]) -> Vec<u8> {
        to_rgb(&decode("test", bytes).unwrap().upright).bytes
    }

    #[test]
    fn every_mode_becomes_rgb_as_in_transformers() {
        let rgba = RgbaImage::from_raw(3, 1, vec![9, 9, 9, 0, 10, 20, 30, 255, 0, 100, 255, 51]);
        let expected = [255, 255, 255, 10, 20, 30, 204, 224, 255];
        assert_eq!(rgb_of(&png(&rgba.unwrap().into())), expected, "laid over white");
        let grey = GrayImage::from_raw(1, 1, vec![77]).unwrap();
        assert_eq!(rgb_of(&png(&grey.into())), [77; 3]);
        let deep: ImageBuffer<Rgb8<u16>, _> =
            ImageBuffer::from_raw(1, 1, vec![0x12ff, 0x3400, 0xffff]).unwrap();
        assert_eq!(rgb_of(&png(&DynamicImage::ImageRgb16(deep))), [0x12, 0x34, 0xff]);
        let deep: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_raw(1, 1, vec![0x80ff]).unwrap();
        assert_eq!(rgb_of(&png(&DynamicImage::ImageLuma16(deep))), [0x80; 3]);
        let grey: ImageBuffer<LumaA<u8>, _> = ImageBuffer::from_raw(1, 1, vec![9, 255]).unwrap();
        assert_eq!(rgb_of(&png(&DynamicImage::ImageLumaA8(grey))), [9; 3]);
    }

    #[test]
    fn a_huge_picture_is_refused_from_its_header() {
        // The header of a 40,000 × 40,000 PNG, without pixel data.
        let mut bytes = png(&GrayImage::from_raw(1, 1, vec![0]).unwrap().into());
        bytes[16..20].copy_from_slice(&40_000_u32.to_be_bytes());
        bytes[20..24].copy_from_slice(&40_000_u32.to_be_bytes());
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        match decode("huge.png", &bytes).map(|_| ()).unwrap_err() {
            ModelError::PictureTooLarge { width: 40_000, height: 40_000, .. } => {}
            other => panic!("{other}"),
        }
        // 127.7 megapixels of four channels of 16 bits.
        for at in [16, 20] {
            bytes[at..at + 4].copy_from_slice(&11_300_u32.to_be_bytes());
        }
        bytes[24..26].copy_from_slice(&[16, 6]);
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = decode("deep.png", &bytes).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("1021 MB") && error.contains("more than 768 MB"), "{error}");
    }

    #[test]
    fn heic_is_named_whatever_the_file_is_called() {
        let file = |brands: &[u8; 8]| {
            let mut bytes = b"\0\0\0\x18ftyp".to_vec();
            bytes.extend_from_slice(&brands[..4]);
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&brands[4..]);
            bytes.extend_from_slice(&[0; 64]);
            bytes
        };
        let error = |bytes: &[u8]| decode("fake.jpg", bytes).map(|_| ()).unwrap_err().to_string();
        for brands in [b"heicmif1", b"mif1heic", b"msf1hevc"] {
            let text = error(&file(brands));
            assert!(text.contains("it is a HEIC") && text.contains("heif-convert"), "{text}");
        }
        // A video has the same first box.
        let text = error(&file(b"isommp41"));
        assert!(text.contains("no known format"), "{text}");
        assert!(error(b"\0\0\0\x04ftyp").contains("no known format"));
    }

    #[test]
    fn few_bits_in_a_deep_picture_are_told() {
        let grey = |brightest: u16| {
            let values = (0..64).map(|at| (u32::from(brightest) * at / 63) as u16).collect();
            DynamicImage::ImageLuma16(ImageBuffer::from_raw(8, 8, values).unwrap())
        };
        let notice = dark_notice(&grey(4080)).unwrap();
        assert!(notice.contains("4080 of 65535") && notice.contains("-auto-level"), "{notice}");
        assert_eq!(dark_notice(&grey(u16::MAX)), None);
        assert_eq!(dark_notice(&grey(u16::MAX).to_luma8().into()), None);
    }

    #[test]
    fn what_is_no_picture_says_so() {
        for bytes in [&b""[..], b"hello", b"\x89PNG\r\n\x1a\nbroken", &[0xff, 0xd8, 0xff, 0xe0]] {
            let error = decode("notes.txt", bytes).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("notes.txt is not a picture"), "{error}");
        }
    }

    #[test]
    fn a_cut_picture_is_refused_in_every_format() {
        use image::codecs::jpeg::JpegEncoder;
        let picture = image::RgbImage::from_fn(61, 47, |x, y| {
            Rgb8([(x * 37 % 251) as u8, (y * 91 % 241) as u8, (x * y % 256) as u8])
        });
        let picture = DynamicImage::from(picture);
        let mut jpeg = Vec::new();
        picture.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, 90)).unwrap();
        let mut files = vec![("jpeg", jpeg)];
        for (name, format) in [
            ("png", ImageFormat::Png),
            ("gif", ImageFormat::Gif),
            ("bmp", ImageFormat::Bmp),
            ("webp", ImageFormat::WebP),
            ("tiff", ImageFormat::Tiff),
        ] {
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, format).unwrap();
            files.push((name, bytes.into_inner()));
        }
        for (name, bytes) in files {
            decode(name, &bytes).map(|_| ()).unwrap();
            for length in [bytes.len() / 3, bytes.len() / 2, bytes.len() * 9 / 10] {
                let error = decode(name, &bytes[..length]).map(|_| ()).unwrap_err().to_string();
                assert!(error.contains("not a picture that can be read"), "{error}");
            }
        }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for &byte in bytes {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        !crc
    }
}
