"""`python -m vlmcli.bench.steady`: whether a long run's memory stays flat. Linux.

Asks the demo model for a caption of each of many drawn scenes, as a user would (`vlm caption FOLDER --output FILE`),
and looks at the resident memory of that command's processes together, beside the records written so far.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from vlmcli.demo import scenes

MB = 1_000_000
WARM = 100
"""Pictures after which everything that is kept should be there."""


def main() -> None:
    """Draw the scenes, run the command on them, and print and draw its memory."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.steady", description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the curve as SVG")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vlm-steady-") as place:
        folder, output = Path(place) / "pictures", Path(place) / "out.jsonl"
        folder.mkdir()
        chance = random.Random(1)
        for number in range(options.pictures):
            scenes.draw(scenes.make(chance, size=(320, 240))).save(folder / f"{number:05}.png")
        curve = _run(folder, output)
    first = _at(curve, WARM)
    for count in sorted({WARM, *(options.pictures * part // 4 for part in (1, 2, 3, 4))}):
        memory = _at(curve, count)
        sys.stdout.write(f"{count:6} pictures {memory / MB:6.0f} MB {memory / first - 1:+7.1%}\n")
    if options.plot:
        options.plot.write_text(_svg(curve), "utf-8")


def _at(curve: list[tuple[int, int]], count: int) -> int:
    """The most bytes that were taken when so many pictures had been answered, give or take fifty."""
    return max(memory for done, memory in curve if count - 50 <= done <= count + 50)


def _run(folder: Path, output: Path) -> list[tuple[int, int]]:
    """Records written and bytes of resident memory, again and again."""
    command = [sys.executable, "-m", "vlmcli", "caption", "-m", "demo", str(folder), "--output", str(output)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    curve, count, end = [], 0, 0
    while running.poll() is None:
        time.sleep(0.2)
        if output.exists():
            with output.open("rb") as file:
                file.seek(end)
                new = file.read()
            count, end = count + new.count(b"\n"), end + len(new)
        memory = sum(resident(pid) for pid in family(running.pid))
        if memory and count:
            curve.append((count, memory))
    if running.returncode:
        raise SystemExit(f"vlm ended with {running.returncode}")
    return curve


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for one in found:
        for thread in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, thread.read_text("ascii").split())
    return found


def resident(pid: int) -> int:
    """Bytes that a process has to itself, and its share of those it has with others."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


def _svg(curve: list[tuple[int, int]]) -> str:
    """The curve with its axes, as an SVG document."""
    width, height, left, bottom = 640, 260, 60, 40
    across, up = curve[-1][0], max(memory for _, memory in curve) * 1.15
    wide, high = width - left - 20, height - bottom - 20
    points = " ".join(
        f"{left + wide * count / across:.1f},{height - bottom - high * memory / up:.1f}" for count, memory in curve
    )
    marks = []
    for part in range(5):
        y = height - bottom - high * part / 4
        x = left + wide * part / 4
        marks.append(f'<line x1="{left}" x2="{width - 20}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>')
        marks.append(f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{up * part / 4 / MB:.0f}</text>')
        marks.append(f'<text x="{x:.0f}" y="{height - bottom + 18}" text-anchor="middle">{across * part // 4}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">'
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(marks)}'
        f'<polyline points="{points}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>'
        f'<text x="{width // 2}" y="{height - 6}" text-anchor="middle">pictures</text>'
        f'<text x="{left - 8}" y="14" text-anchor="end">MB</text></svg>\n'
    )


if __name__ == "__main__":
    main()
