"""A very large photograph: `python -m vlmcli.bench.photo --megapixels 100`.

How long, and how much memory, from a JPEG's file to the pixels a model gets. The file is made in one child process and
read in others, each fresh, so that neither's memory is counted as the other's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from vlmcli import amounts

SHAPE = 4 / 3
"""Width by height."""


def make(path: Path, megapixels: float) -> None:
    """A JPEG of soft shapes and grain, with about as many bytes as a photograph of that size."""
    from PIL import Image, ImageFilter

    tile = Image.effect_noise((1024, 1024), 60).filter(ImageFilter.GaussianBlur(2))
    grain = Image.effect_noise((1024, 1024), 20)
    part = Image.merge("RGB", [Image.blend(tile.rotate(90 * turn), grain, 0.5) for turn in range(3)])
    size = (round((megapixels * 1e6 * SHAPE) ** 0.5), round((megapixels * 1e6 / SHAPE) ** 0.5))
    photo = Image.new("RGB", size)
    for left in range(0, size[0], part.width):
        for top in range(0, size[1], part.height):
            photo.paste(part, (left, top))
    photo.save(path, quality=90)


def load(path: Path) -> None:
    """Read it, and say how large it has become, seconds, CPU seconds and bytes at most."""
    import resource

    from vlmcli.pictures import images

    start, cpu = time.perf_counter(), time.process_time()
    picture = images.load(path)
    picture.pixels()
    spent = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1 << 10)
    sys.stdout.write(f"{picture.size[0]}x{picture.size[1]} {spent[0]:.3f} {spent[1]:.3f} {peak}\n")


def main() -> None:
    """Make the photograph, read it several times, and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.photo", description=__doc__.split("\n")[0])
    parser.add_argument("--megapixels", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make, options.megapixels)
        return
    if options.load:
        load(options.load)
        return
    command = [sys.executable, "-m", "vlmcli.bench.photo", "--megapixels", str(options.megapixels)]
    with tempfile.TemporaryDirectory(prefix="vlm-photo-") as folder:
        path = Path(folder, "photo.jpg")
        subprocess.run([*command, "--make", str(path)], check=True)
        reads = [
            subprocess.run([*command, "--load", str(path)], check=True, capture_output=True, text=True).stdout.split()
            for _ in range(options.rounds)
        ]
        length = path.stat().st_size
    seconds, cpu, peak = (median(float(read[at]) for read in reads) for at in (1, 2, 3))
    sys.stdout.write(
        f"{options.megapixels:g} megapixels, {amounts.size(length)}, to {reads[0][0]}: {seconds:.2f} s "
        f"({cpu:.2f} s of CPU), {amounts.size(int(peak))} at most (medians of {options.rounds})\n"
    )


if __name__ == "__main__":
    main()
