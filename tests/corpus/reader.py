"""The reader under test, in a child process: `Reader.read(path)` is what vlm makes of a file.

The child answers each path it gets on stdin with one line of JSON, and leaves pixels in a folder of its parent's. It
is started again after it died or was killed for taking too long.
"""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.support import ROOT


@dataclass(frozen=True)
class Read:
    """What vlm made of a file.

    Attributes:
        pages: how many pictures vlm would ask about.
        pictures: (number of the frame or page, pixels: uint8, height x width x 3) of the first of them.
        error: why it refuses the file.
        fault: whether that was no named error: another exception, a death, or too much time.
    """

    pages: int = 0
    pictures: list[tuple[int, np.ndarray]] = field(default_factory=list)
    error: str = ""
    fault: bool = False


class Reader:
    """A child that reads files with vlm, one after the other.

    Args:
        folder: a temporary one, for the pixels.
        pages: how many pictures of a file are loaded.
        seconds: for one file.
        memory: bytes of address space, where the system can bound it.
    """

    def __init__(self, folder: Path, pages: int, seconds: float, memory: int):
        self._folder, self._pages, self._seconds, self._memory = folder, pages, seconds, memory
        self._child: subprocess.Popen[str] | None = None
        self._said: queue.Queue[str] = queue.Queue()

    def read(self, path: Path) -> Read:
        """What vlm makes of a file."""
        if self._child is None or self._child.poll() is not None:
            self._start()
        try:
            self._child.stdin.write(json.dumps(str(path)) + "\n")
            self._child.stdin.flush()
            line = self._said.get(timeout=self._seconds)
        except queue.Empty:
            self.close()
            return Read(error=f"not read within {self._seconds:g} s", fault=True)
        except OSError:
            line = ""
        if not line:
            code = self._child.wait()
            self.close()
            return Read(error=f"the process that read it ended with {code}", fault=True)
        said = json.loads(line)
        pictures = []
        for number, (width, height) in enumerate(said["sizes"]):
            pixels = np.fromfile(self._folder / f"{number}.rgb", np.uint8)
            pictures.append((said["frames"][number], pixels.reshape(height, width, 3)))
        return Read(said["pages"], pictures, said["error"], said["fault"])

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child.stdin.close()
            self._child = None

    def _start(self) -> None:
        command = [sys.executable, "-m", "tests.corpus.reader", str(self._folder), str(self._pages), str(self._memory)]
        self._child = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._said = queue.Queue()
        threading.Thread(target=_forward, args=(self._child.stdout, self._said), daemon=True).start()


def _forward(lines, said: queue.Queue) -> None:
    """Put each line into a queue, which, unlike a pipe, can be waited on for a while; then an empty one."""
    with lines:
        for line in lines:
            said.put(line)
    said.put("")


# --- The child ---


def _answer(path: str, folder: Path, most: int) -> dict:
    """What vlm makes of a file, its pixels written to `folder`."""
    from vlmcli.errors import SourceError, UsageError
    from vlmcli.pictures import sources

    found = {"pages": 0, "frames": [], "sizes": [], "error": "", "fault": False}
    try:
        named = list(sources.find([path]))
        found["pages"] = len(named)
        for number, source in enumerate(named[:most]):
            picture = source.load()
            (folder / f"{number}.rgb").write_bytes(picture.pixels())
            found["frames"].append(source.frame or 1)
            found["sizes"].append(picture.size)
    except (SourceError, UsageError) as error:
        found["error"] = re.sub(rf"^{re.escape(path)}(#\d+)?: ", "", error.message)
    except BaseException as error:
        found.update(error=f"{type(error).__name__}: {error}", fault=True)
    return found


def main() -> None:
    """The child's command: FOLDER PAGES MEMORY."""
    folder, most, memory = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line), folder, most)), flush=True)


if __name__ == "__main__":
    main()
