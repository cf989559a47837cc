"""Draw session.svg: run the commands below with the installed `vlm` and show what they print, as it is."""

import io
import re
import shlex
import subprocess
from pathlib import Path

from rich.console import Console

HERE = Path(__file__).parent
COMMANDS = [
    'vlm ask -m demo scene.png "what is this?"',
    'vlm ask -m demo scene.png -q "What is on the right?" -q "Is there a green star?"',
    'vlm ask -m demo holiday.jpg "what is this?"',
    'vlm ask -m demo --stats scene.png "What color is the circle?"',
]


def main() -> None:
    """Run, record, write."""
    console = Console(file=io.StringIO(), record=True, width=96, force_terminal=True)
    for command in COMMANDS:
        console.print(f"[bold green]$[/] {command}", highlight=False)
        done = subprocess.run(
            shlex.split(command), cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        console.print(done.stdout.rstrip().expandtabs(4), highlight=False, markup=False)
        console.print()
    svg = console.export_svg(title="vlm")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # a picture in a README fetches no fonts
    (HERE / "session.svg").write_text(svg.replace("Fira Code", "ui-monospace, Menlo, Consolas"), "utf-8")


if __name__ == "__main__":
    main()
