"""Draw session.svg: run the commands below with the installed `vlm`, as on the first day, and show what they print."""

import io
import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console

HERE = Path(__file__).parent
COMMANDS = [
    'vlm ask -m demo scene.png "what is this?"',
    'vlm ask -m demo scene.png -q "What is on the right?" -q "Is there a green star?"',
    'vlm ask -m demo holiday.jpg "what is this?"',
    "vlm caption -m demo scene.png",
]


def main() -> None:
    """Run, record, write."""
    console = Console(file=io.StringIO(), record=True, width=96, force_terminal=True)
    with tempfile.TemporaryDirectory() as state:
        env = os.environ | {"XDG_STATE_HOME": state}
        for command in COMMANDS:
            console.print(f"[bold green]$[/] {command}", highlight=False)
            done = subprocess.run(
                shlex.split(command), cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                check=False,
            )  # fmt: skip
            console.print(done.stdout.rstrip().expandtabs(4), highlight=False, markup=False)
            console.print()
    svg = console.export_svg(title="vlm")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # a picture in a README fetches no fonts
    (HERE / "session.svg").write_text(svg.replace("Fira Code", "ui-monospace, Menlo, Consolas"), "utf-8")


if __name__ == "__main__":
    main()
