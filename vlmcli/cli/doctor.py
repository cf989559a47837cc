"""`vlm doctor`: what the installation and this machine are asked, and how the findings are shown.

Does not know what is right: `reports.doctor` does.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from vlmcli import settings
from vlmcli.cli import options
from vlmcli.errors import Exit
from vlmcli.records.lines import escape, object_line
from vlmcli.terminal.ui import Ui

if TYPE_CHECKING:
    from vlmcli.placement import Caching
    from vlmcli.reports.doctor import Finding, Native

MARKS = {True: "ok", None: "--", False: "!!"}
QUESTION, SEEN = "What color is the circle?", "red"


def doctor(json: options.Json = False) -> None:
    """Check the installation and suggest fixes.

    vlm doctor
    """
    from vlmcli.models import hub, hub_cache, hub_client
    from vlmcli.reports.doctor import Probes, checks

    broken = False
    with Ui() as ui:
        probes = Probes(
            _native, hub_cache.folder, settings.state_folder(), hub.reach, hub_client.is_offline, _default, _answer,
            _results,
        )  # fmt: skip
        for finding in checks(probes):
            broken |= finding.ok is False
            if json:
                fields = {"area": finding.area, "ok": finding.ok, "what": finding.what, "mend": finding.mend}
                ui.line(object_line(fields))
            else:
                _show(ui, finding)
        if broken:
            raise typer.Exit(int(Exit.FAILED))


def _show(ui: Ui, finding: Finding) -> None:
    """A line; on a terminal as wide as that, with what to do below it."""
    mark = MARKS[finding.ok]
    if not ui.stdout.isatty():
        ui.line("\t".join(escape(field) for field in (mark, finding.area, finding.what, finding.mend)))
        return
    first, other = f"{mark}  {finding.area:10}", " " * 14
    for start, text in ((first, finding.what), (other + "-> ", finding.mend)):
        if text:
            indent = " " * len(start)
            wrap = textwrap.TextWrapper(ui.width, start, indent, break_on_hyphens=False, break_long_words=False)
            for line in wrap.wrap(text):
                ui.line(line)


def _native() -> Native:
    from vlmcli.engine import native
    from vlmcli.reports.doctor import Native

    return Native(native.versions(), native.devices(), native.miscompiler(), native.backends())


def _default() -> tuple[str, str]:
    chosen = settings.load()
    return chosen.model, chosen.sources.get("model", "")


def _results() -> tuple[Caching, str]:
    from vlmcli.settings import caching

    chosen = settings.load()
    where = caching(replace(chosen, cache=True))
    assert where is not None
    return where, "" if chosen.cache else chosen.sources["cache"]


def _answer() -> Finding:
    """The default model, or the one in the package, is asked about a drawn scene, in a process of its own."""
    from vlmcli import demo
    from vlmcli.cli.running import working
    from vlmcli.demo import scenes
    from vlmcli.models import store
    from vlmcli.pictures import images
    from vlmcli.pictures.sources import expand
    from vlmcli.reports.doctor import Finding
    from vlmcli.tasks.ask import Ask
    from vlmcli.values import Failed, run

    chosen = settings.load()
    name = expand(chosen.model) or demo.FILES.name
    files = store.resolve(name, expand(chosen.mmproj), demo=demo.FILES)
    shapes = (
        scenes.Shape("circle", SEEN, (214, 40, 40), 36, 64, 22),
        scenes.Shape("square", "blue", (40, 70, 200), 92, 64, 22),
    )
    drawn = scenes.draw(scenes.Scene(384, 384, "white", (250, 250, 250), shapes))
    picture = images.from_pixels(drawn.tobytes(), drawn.size, "a drawn scene")
    text = ""
    with working(files, chosen) as runner:
        for _, event in run(runner, [Ask(QUESTION, max_tokens=32).request([picture])]):
            if isinstance(event, Failed):
                return Finding("model", False, f"{files.name}: {event.error.message}", event.error.hint)
            if hasattr(event, "answer"):
                text = event.answer.text.strip()
    said = f"asked {files.name} about a red circle and a blue square: {QUESTION} {text!r}"
    if SEEN in text.lower():
        return Finding("model", True, said)
    right = files.name == demo.FILES.name
    return Finding(
        "model",
        False if right or not text else None,
        f"{said}, which is wrong",
        f"check its files: vlm verify {files.name}",
    )
