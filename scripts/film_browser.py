"""Looks at an MP4 as other programs do: boxes, ffprobe, mutagen, and Chromium's <video>.

    film_browser.py FILM SECONDS FPS [--browser CHROMIUM]

Prints one line per check; exits 1 where one fails.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import json
import os
import queue
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SMALL = (64, 36)
PLACES = (0.5, 0.9, 0.1)
PAGE = """<!doctype html><meta charset="utf-8"><title>film</title>
<video id="film" src="/film.mp4" muted playsinline preload="auto"></video>
<canvas id="small" width="%(width)d" height="%(height)d"></canvas>
<script type="module">
const film = document.getElementById("film");
const small = document.getElementById("small").getContext("2d", { willReadFrequently: true });
const event = (name) => new Promise((done, failed) => {
  film.addEventListener(name, done, { once: true });
  film.addEventListener("error", () => failed(new Error(film.error.message)), { once: true });
});
const seconds = (count) => new Promise((done) => setTimeout(done, count * 1000));
async function seek(to) {
  const seeked = event("seeked");
  film.currentTime = to;
  await seeked;
  await seconds(0.2);
  small.drawImage(film, 0, 0, %(width)d, %(height)d);
  const pixels = small.getImageData(0, 0, %(width)d, %(height)d).data;
  return { asked: to, at: film.currentTime, rgb: [...pixels].filter((_, index) => index %% 4 < 3) };
}
async function look() {
  if (film.readyState < 1) await event("loadedmetadata");
  const found = { duration: film.duration, size: [film.videoWidth, film.videoHeight], seeks: [] };
  found.seekable = film.seekable.length ? film.seekable.end(0) : 0;
  for (const place of %(places)s) found.seeks.push(await seek(place));
  film.currentTime = 0;
  await event("seeked");
  await film.play();
  await seconds(1.5);
  found.played = film.currentTime;
  film.pause();
  return found;
}
let result;
try { result = await look(); } catch (error) { result = { error: String(error) }; }
await fetch("/result", { method: "POST", body: JSON.stringify(result) });
</script>
"""


def boxes(film: Path) -> list[str]:
    """Names of the boxes of the file, in order."""
    names: list[str] = []
    with film.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            read = 8
            if size == 1:
                size, read = struct.unpack(">Q", file.read(8))[0], 16
            names.append(name.decode("latin-1"))
            file.seek(size - read, os.SEEK_CUR)
    return names


def frame_at(film: Path, seconds: float) -> bytes:
    """The frame that ffmpeg decodes at a time, small, as RGB bytes."""
    command = ["ffmpeg", "-v", "error", "-ss", f"{seconds:.6f}", "-i", str(film), "-frames:v", "1"]
    command += ["-vf", f"scale={SMALL[0]}:{SMALL[1]}:flags=area", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def mean_difference(first: bytes, second: bytes) -> float:
    """Mean absolute difference in steps of 255."""
    if len(first) != len(second):
        return 255.0
    return sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(first)


def serve(film: Path, page: bytes, results: queue.Queue[dict]) -> http.server.ThreadingHTTPServer:
    """Serves the page and the film (with ranges, without which no browser seeks) on a free port of this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/film.mp4":
                self.film()
            else:
                self.answer(200 if self.path == "/" else 404, "text/html", page if self.path == "/" else b"")

        def film(self) -> None:
            data = film.read_bytes()
            wanted = self.headers.get("Range", "")
            if not wanted.startswith("bytes="):
                self.answer(200, "video/mp4", data)
                return
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            first = int(start)
            last = min(int(end) if end else len(data) - 1, len(data) - 1)
            headers = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            self.answer(206, "video/mp4", data[first : last + 1], headers)

        def do_POST(self) -> None:
            results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(200, "text/plain", b"")

        def answer(self, code: int, kind: str, data: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(code)
            for name, value in {"Content-Type": kind, "Accept-Ranges": "bytes", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            # A player stops reading when it seeks.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def watch(film: Path, browser: str, places: list[float]) -> dict:
    """What Chromium says of the film."""
    page = PAGE % {"width": SMALL[0], "height": SMALL[1], "places": json.dumps(places)}
    results: queue.Queue[dict] = queue.Queue()
    server = serve(film, page.encode(), results)
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless=new", "--no-first-run", "--disable-gpu", "--mute-audio"]
        command.append(f"--user-data-dir={profile}")
        command += ["--autoplay-policy=no-user-gesture-required", "--disable-background-networking"]
        # Its sandbox refuses to run as root, as in a container.
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        command.append(f"http://127.0.0.1:{server.server_address[1]}/")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return results.get(timeout=120)
        except queue.Empty:
            return {"error": "the page did not answer within 120 s"}
        finally:
            process.terminate()
            process.wait()
            server.shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("film", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("fps", type=int)
    parser.add_argument("--browser")
    args = parser.parse_args()
    film, seconds, step = args.film, args.seconds, 1 / args.fps
    failed = 0

    def check(what: str, found: object, is_right: bool) -> None:
        nonlocal failed
        failed += not is_right
        print(f"{'✓' if is_right else '✗'} {film.name}: {what}: {found}")

    names = boxes(film)
    check("boxes", " ".join(names), names == ["ftyp", "moov", "mdat"])
    probed = json.loads(
        subprocess.run(
            ["ffprobe", "-v", "error", "-show_format", "-of", "json", str(film)], check=True, capture_output=True
        ).stdout
    )
    length = float(probed["format"]["duration"])
    check("seconds by ffprobe", length, abs(length - seconds) < 0.001)

    from mutagen.mp4 import MP4

    length = MP4(film).info.length
    check("seconds by mutagen", length, abs(length - seconds) < 0.001)
    if not args.browser:
        return failed > 0
    # In the middle of a frame, so that both sides mean the same one.
    places = [(int(place * seconds * args.fps) + 0.5) * step for place in PLACES]
    seen = watch(film, args.browser, places)
    if "error" in seen:
        check("Chromium", seen["error"], False)
        return 1
    check("seconds in Chromium", seen["duration"], abs((seen["duration"] or 0) - seconds) < 0.01)
    check("seekable to", seen["seekable"], abs(seen["seekable"] - seconds) < 0.01)
    for at in seen["seeks"]:
        check(f"sought {at['asked']:.3f} s", at["at"], abs(at["at"] - at["asked"]) < step)
        difference = mean_difference(bytes(at["rgb"]), frame_at(film, at["asked"] - 0.75 * step))
        # ffmpeg gives the first frame that begins at a time or later.
        check("its frame against ffmpeg's, mean of 255", f"{difference:.2f}", difference < 6)
    first, second = (bytes(at["rgb"]) for at in seen["seeks"][:2])
    apart = mean_difference(first, second)
    check("the frames differ from each other, mean of 255", f"{apart:.2f}", apart > 0.5)
    check("seconds played in 1.5 s", seen["played"], 0.3 < seen["played"] < 3)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
