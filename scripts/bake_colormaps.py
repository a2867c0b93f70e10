"""Writes assets/colormaps/NAME.rgb: 256 × RGB, 8 bits, sRGB, from matplotlib's tables.

The renderer has no colour map written by hand: these files are the only source. Run
`python scripts/bake_colormaps.py` with matplotlib installed; it overwrites the files with the same
bytes unless a table changed. Sources and licences stand in assets/colormaps/README.md.
"""

from pathlib import Path

import numpy as np
from matplotlib import colormaps

OUT = Path(__file__).parent.parent / "assets" / "colormaps"
NAMES = ("viridis", "magma", "inferno", "turbo", "coolwarm", "jet")
ENTRIES = 256

for name in NAMES:
    table = np.asarray(colormaps[name](np.arange(ENTRIES)))[:, :3]
    # matplotlib truncates when asked for bytes; the published tables are rounded.
    rgb = np.round(table * 255).astype(np.uint8)
    (OUT / f"{name}.rgb").write_bytes(rgb.tobytes())
