#!/usr/bin/env python3
"""The usual way to such a film: matplotlib draws every frame, ffmpeg (libx264 veryfast) encodes it.

Draws what `vlmscope bench --record` draws for most of its tour: the picture with an attention map
over it at 1920 x 1080 (bicubic, opacity follows the value), a colour bar and a caption, another
mixture of two maps in every frame. Prints frames a CPU second, children included.

    python benches/python/film.py [--frames 60] [--out film.mp4]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--out", default="/tmp/film.mp4")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (336, 336, 3), dtype=np.uint8)
    maps = rng.random((2, 24, 24)) ** 8

    figure = plt.figure(figsize=(19.2, 10.8), dpi=100, facecolor="#161719")
    axes = figure.add_axes((0.25, 0.16, 0.5, 0.82))
    axes.axis("off")
    axes.imshow(picture, extent=(0, 24, 24, 0))
    overlay = axes.imshow(
        maps[0], cmap="inferno", interpolation="bicubic", extent=(0, 24, 24, 0), alpha=maps[0], vmin=0, vmax=1
    )
    bar = figure.colorbar(overlay, ax=axes, orientation="horizontal", fraction=0.02, pad=0.02)
    bar.ax.tick_params(colors="white")
    caption = figure.text(0.5, 0.05, "", color="white", fontsize=30, ha="center")

    encoder = subprocess.Popen(
        ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgba", "-s", "1920x1080", "-framerate", "30"]
        + ["-i", "-", "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", arguments.out],
        stdin=subprocess.PIPE,
    )
    assert encoder.stdin
    start = cpu_seconds()
    for frame in range(arguments.frames):
        share = frame / arguments.frames
        mixed = (1 - share) * maps[0] + share * maps[1]
        overlay.set_data(mixed)
        overlay.set_alpha(mixed)
        caption.set_text(f"At fox, layer {frame % 32} looks at the picture most")
        figure.canvas.draw()
        encoder.stdin.write(figure.canvas.buffer_rgba())
    encoder.stdin.close()
    encoder.wait()
    spent = cpu_seconds() - start
    print(
        json.dumps(
            {
                "frames": arguments.frames,
                "cpu_ms_a_frame": round(spent * 1e3 / arguments.frames, 1),
                "frames_a_cpu_second": round(arguments.frames / spent, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
