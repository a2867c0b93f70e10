//! Changes of the settings.

use crate::ui::app::App;
use crate::ui::intent::SettingsChange;

/// Changes a setting.
pub fn apply(app: &mut App, change: SettingsChange) {
    let settings = &mut app.settings;
    match change {
        SettingsChange::Sampling(sampling) => settings.sampling = sampling,
        SettingsChange::Preprocess(mode) => settings.preprocess = mode,
        SettingsChange::Verdict(limits) => settings.verdict = limits.checked(),
        SettingsChange::Theme(theme) => settings.theme = theme,
        SettingsChange::Animate(animate) => settings.animate = animate,
        SettingsChange::PromptOpen(is_open) => settings.prompt_open = is_open,
        SettingsChange::AdviceSeen => settings.advice_seen = true,
    }
}
