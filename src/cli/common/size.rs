//! Sizes of pictures in flags.

/// "1920x1080".
pub(crate) fn size(text: &str) -> Result<[u32; 2], String> {
    let wrong = || format!("`{text}` is not WIDTHxHEIGHT, such as 1920x1080");
    let (width, height) = text.split_once(['x', 'X', '×']).ok_or_else(wrong)?;
    let side = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
    let size = [side(width)?, side(height)?];
    if size.contains(&0) || size.iter().any(|&side| side > 16384) {
        return Err(format!("`{text}` must be between 1 and 16384 pixels a side"));
    }
    Ok(size)
}
