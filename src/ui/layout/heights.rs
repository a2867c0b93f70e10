//! Heights of the rows of panels in the inspector.

/// Height of the inspector under which three rows of panels are one too many.
const LEAST_HEIGHT: f32 = 440.0;
/// Height of the inspector under which one row of panels is large and the others are small.
const LOW_HEIGHT: f32 = 600.0;
/// The part of the inspector's height that the panels below the matrix keep.
const LEAST_BELOW: f32 = 0.36;
/// Height of the matrix's panel without its rows, and the height of a row that is wanted.
const MATRIX_FRAME: f32 = 176.0;
const MATRIX_ROW: f32 = 6.0;
/// Least height of the matrix's panel without its rows and its colour bar.
const MATRIX_LEAST: f32 = 134.0;
/// Least height of a row of the matrix, and of all rows where they are many.
const ROW_LEAST: f32 = 10.0;
const ROWS_LEAST: [f32; 2] = [48.0, 96.0];
/// Height of the fields of a walkthrough's step with their buttons, and the height in which they can be scrolled.
const STEP_HEIGHT: f32 = 420.0;
const STEP_LEAST: f32 = 180.0;
/// Least heights of the panel of bars, and of the lower panels while another row is in use: tabs, margins and a few lines.
const BARS_LEAST: f32 = 124.0;
const LOWER_LEAST: f32 = 88.0;
/// Least height of the panels in use.
const USED_LEAST: f32 = 150.0;

/// The heights of the upper panels, in points.
#[derive(Clone, Copy, Debug)]
pub(super) struct UpperHeight {
    /// Height at which nothing has to be scrolled and each row of the matrix can be hit.
    wanted: f32,
    /// Least height at which the contents are legible.
    least: f32,
}

impl UpperHeight {
    /// The fields of a walkthrough's step.
    pub const OF_STEP: Self = Self { wanted: STEP_HEIGHT, least: STEP_LEAST };

    /// The matrix of a model with so many layers.
    pub fn of_matrix(layers: usize) -> Self {
        let layers = layers as f32;
        let rows = (ROW_LEAST * layers).clamp(ROWS_LEAST[0], ROWS_LEAST[1]);
        Self { wanted: MATRIX_FRAME + MATRIX_ROW * layers, least: MATRIX_LEAST + rows }
    }
}

/// The shares of the upper, the middle and the lower row of panels in the height of the inspector. On a low window, the
/// row that was used last takes what the others do not need to stay legible; where even that is too much, most of the height.
pub(super) fn shares_of_inspector(
    height: f32,
    upper: UpperHeight,
    shows_bars: bool,
    used_row: Option<usize>,
) -> [f32; 3] {
    if let Some(row) = used_row.filter(|_| height < LOW_HEIGHT) {
        return shares_of_used(height, upper, row);
    }
    let (share, below): (f32, [f32; 2]) = match (height >= LEAST_HEIGHT, shows_bars) {
        (true, true) => (1.2, [0.65, 1.15]),
        (true, false) => (1.2, [1.1, 0.7]),
        (false, true) => (1.6, [0.25, 1.15]),
        (false, false) => (1.6, [0.8, 0.6]),
    };
    let [middle, lower] = below;
    let all = share + middle + lower;
    let share = (share / all).max((upper.wanted / height.max(1.0)).min(1.0 - LEAST_BELOW));
    let part = (1.0 - share) / (middle + lower);
    [share, middle * part, lower * part]
}

/// The same on a low window, where the row `used` is large.
fn shares_of_used(height: f32, upper: UpperHeight, used: usize) -> [f32; 3] {
    let least = [upper.least, BARS_LEAST, LOWER_LEAST];
    let others: f32 =
        (0..).zip(least).filter(|(row, _)| *row != used).map(|(_, least)| least).sum();
    let rest = height - others;
    let of_used = least.get(used).map_or(0.0, |least| least.max(USED_LEAST));
    if rest >= of_used {
        let mut shares = least.map(|least| least / height);
        if let Some(share) = shares.get_mut(used) {
            *share = rest / height;
        }
        return shares;
    }
    let mut shares = [LEAST_BELOW / 2.0; 3];
    if let Some(share) = shares.get_mut(used) {
        *share = 1.0 - LEAST_BELOW;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(shares: [f32; 3]) -> f32 {
        shares.iter().sum()
    }

    #[test]
    fn a_matrix_of_many_layers_takes_more_of_the_height() {
        let [few, many] = [6, 32].map(UpperHeight::of_matrix);
        for height in [300.0, 430.0, 900.0] {
            for bars in [true, false] {
                let low = shares_of_inspector(height, few, bars, None);
                let high = shares_of_inspector(height, many, bars, None);
                for shares in [low, high] {
                    assert!((sum(shares) - 1.0).abs() < 1e-5, "{shares:?}");
                }
                assert!(high[0] >= low[0] && high[0] <= 1.0 - LEAST_BELOW + 1e-5);
                let other = shares_of_inspector(height, many, !bars, None);
                assert_eq!(high[0], other[0], "the edge stays where it is when the tab changes");
            }
        }
        // Rows of the matrix that can be hit.
        let low = 430.0 * shares_of_inspector(430.0, many, true, None)[0];
        assert!(low >= 0.6 * 430.0);
    }

    #[test]
    fn on_a_low_window_the_row_of_the_chosen_tab_is_large_and_the_others_stay_legible() {
        for layers in [4, 6, 32] {
            let upper = UpperHeight::of_matrix(layers);
            for used in 0..3 {
                let low = shares_of_inspector(520.0, upper, true, Some(used));
                assert!((sum(low) - 1.0).abs() < 1e-5, "{low:?}");
                let heights = low.map(|share| share * 520.0);
                assert!(heights[used] > USED_LEAST, "{heights:?}");
                assert!(heights[0] >= upper.least - 0.1 && heights[1] >= BARS_LEAST - 0.1);
                // A height that is too low for all rows goes to the row in use.
                let lowest = shares_of_inspector(250.0, upper, true, Some(used));
                assert!(lowest[used] > 0.6 && (sum(lowest) - 1.0).abs() < 1e-5, "{lowest:?}");
                let high = shares_of_inspector(900.0, upper, true, Some(used));
                assert_eq!(high, shares_of_inspector(900.0, upper, true, None));
            }
        }
    }
}
