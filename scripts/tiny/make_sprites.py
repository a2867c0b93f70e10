"""Cut the sprites out of Noto Color Emoji, once: `python -m tiny.make_sprites` in scripts/, with Debian's fonts-noto-color-emoji.

The PNGs are committed, so training does not depend on the font's version. The font's licence (OFL 1.1) lies beside them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tiny.sprites import SPRITE_FOLDER
from tiny.vocabulary import NOUNS

BITMAP_SIZE = 109  # the only strike that the font contains


def cut(font: ImageFont.FreeTypeFont, emoji: str) -> Image.Image:
    """One emoji as RGBA, cropped to its opaque part."""
    image = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((10, 10), emoji, font=font, embedded_color=True)
    box = image.getchannel("A").point(lambda a: 255 if a > 8 else 0).getbbox()
    if box is None:
        raise SystemExit(f"the font has no picture for {emoji!r}")
    return image.crop(box)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--font", type=Path, default=Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"))
    args = parser.parse_args()
    font = ImageFont.truetype(str(args.font), BITMAP_SIZE)
    for noun in NOUNS.values():
        if noun.emoji is not None:
            cut(font, noun.emoji).save(SPRITE_FOLDER / f"{noun.name}.png", optimize=True)


if __name__ == "__main__":
    main()
