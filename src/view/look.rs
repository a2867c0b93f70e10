//! The choices of a frame's look that have one name each.

named! {
    /// Colour maps. The renderer computes their tables in advance.
    ColorMap {
        /// Perceptual, black to yellow.
        #[default]
        Inferno = "inferno",
        /// Perceptual, black to pale pink.
        Magma = "magma",
        /// Perceptual, violet to yellow.
        Viridis = "viridis",
        /// MATLAB's rainbow, as LVLM-Interpret shows it.
        Jet = "jet",
        /// A rainbow without jet's false edges.
        Turbo = "turbo",
        /// Diverging, blue to red.
        Coolwarm = "coolwarm",
        /// Black to white.
        Grey = "grey",
    }
}

named! {
    /// The blend of a map with the picture.
    Blend {
        /// Opacity follows the value: unattended parts stay untouched.
        #[default]
        Glow = "glow",
        /// The same opacity everywhere.
        Flat = "flat",
        /// The picture times the colour.
        Multiply = "multiply",
        /// Parts with little attention are dimmed.
        Spotlight = "spotlight",
        /// Lines at quantiles of the map.
        Contours = "contours",
    }
}

named! {
    /// The interpolation of a map.
    Interpolation {
        /// Patches as squares.
        Nearest = "nearest",
        /// Linear between patch centres.
        Bilinear = "bilinear",
        /// Catmull-Rom between patch centres.
        #[default]
        Bicubic = "bicubic",
    }
}

named! {
    /// The lines between patches.
    PatchGrid {
        /// None.
        Off = "off",
        /// Hairlines that appear when patches are large enough on screen.
        #[default]
        Auto = "auto",
        /// Always.
        On = "on",
    }
}

named! {
    /// The order of heads in the heads view and, within each layer, on the wall.
    HeadOrder {
        /// By number.
        #[default]
        Index = "index",
        /// Largest image share first.
        ImageShare = "image-share",
        /// Largest single patch first.
        Peak = "peak",
        /// Lowest entropy (the most focused) first.
        Entropy = "entropy",
        /// Largest share of attention inside the chosen object first.
        Inside = "inside",
    }
}

named! {
    /// Surroundings of the picture.
    Theme {
        /// Neutral dark.
        #[default]
        Dark = "dark",
        /// Neutral light, for print.
        Light = "light",
    }
}

named! {
    /// The form of the picture beneath the map.
    ImageForm {
        /// The pixels that the model saw.
        #[default]
        Preprocessed = "preprocessed",
        /// The file as it was given.
        Original = "original",
    }
}

named! {
    /// The scale between the ends of the range.
    Scale {
        /// Linear.
        #[default]
        Linear = "linear",
        /// Logarithmic over four decades below the upper end.
        Log = "log",
    }
}

impl ColorMap {
    /// Whether the middle of the colour map is neutral, as differences need.
    pub const fn is_diverging(self) -> bool {
        matches!(self, Self::Coolwarm)
    }
}

impl Blend {
    /// The opacity at which the picture stays visible beneath the map.
    pub const fn default_opacity(self) -> f64 {
        match self {
            Self::Flat | Self::Multiply => 0.5,
            Self::Glow | Self::Spotlight | Self::Contours => 1.0,
        }
    }
}
