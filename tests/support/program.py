"""The installed `vlm`, as a script meets it: words in; stdout, stderr and an exit code out."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

VLM = str(Path(sys.executable).with_name("vlm"))
SCENE = str(ROOT / "docs" / "images" / "scene.png")
NOTICE = "vlm: the demo model sees drawn shapes and short words only; it cannot read photographs\n"
ANSWER = "A red circle and a blue square.\n"


def vlm(*words, env=None, **options):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("VLM_")} | (env or {})
    return subprocess.run(
        [VLM, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
        **options,
    )
