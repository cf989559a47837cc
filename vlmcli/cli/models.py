"""The verbs about models as files: `vlm ls`, `models`, `rm`, `verify` and `default`.

Knows how a table, a record and a question look. Does not know where models lie (`models.store`) or what fits this
machine (`machine.recommend`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmcli import settings
from vlmcli.amounts import duration, gigabytes, size
from vlmcli.cli import options
from vlmcli.cli.pull import speed_here
from vlmcli.cli.signals import interruptible
from vlmcli.errors import Exit, ModelError, UsageError
from vlmcli.pictures.sources import expand
from vlmcli.records.lines import escape, object_line
from vlmcli.terminal.ui import Ui

if TYPE_CHECKING:
    from vlmcli.machine.recommend import Advice
    from vlmcli.models.store import Listed


def ls(json: options.Json = False) -> None:
    """List downloaded models, including those from other programs.

    vlm ls
    """
    from vlmcli import demo
    from vlmcli.models import store

    chosen = store.language_model(expand(settings.load().model), demo.FILES)
    with Ui() as ui:
        rows = store.listed(demo.FILES)
        if json:
            for one in rows:
                ui.line(object_line(_record(one) | {"default": one.files[0] == chosen}))
            return
        head = ("NAME", "SIZE", "QUANTISATION", "LICENCE", "")
        ui.rows([head, *(_row(one, "default" if one.files[0] == chosen else "") for one in rows)])


def _row(one: Listed, note: str) -> tuple[str, ...]:
    return tuple(map(escape, (one.name, size(one.size), one.quant, one.licence, note)))


def _record(one: Listed) -> dict[str, Any]:
    return {
        "name": one.name,
        "repository": one.repository,
        "commit": one.commit,
        "quantisation": one.quant,
        "licence": one.licence,
        "size": one.size,
        "model": [str(path) for path in one.files[:-1]],
        "projector": str(one.files[-1]),
    }


def models(
    json: options.Json = False,
    every: Annotated[bool, typer.Option("--all", help="List retired models, too.")] = False,
    measure: Annotated[bool, typer.Option("--measure", help="Measure the speed of this machine again.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Compare this list with what is published now.")] = False,
) -> None:
    """List models to download, the best for this machine first.

    vlm models

    vlm models --all
    """
    if check:
        if measure:
            raise UsageError("--check measures nothing", "leave out --measure")
        _check(json=json)  # every row, retired or not
        return
    from vlmcli.engine.place import this_machine
    from vlmcli.machine import recommend
    from vlmcli.models import catalogue, store

    with Ui() as ui:
        here = {one.name.partition(":")[0] for one in store.listed()}
        speed = speed_here(ui, "to order the list", again=measure)
        advices = recommend.advise(this_machine(), speed, here, retired=every)
        if json:
            for one in advices:
                ui.line(object_line(_advice_record(one)))
            return
        table = _advice_table(advices, ui.width if ui.stdout.isatty() else 0)
        ui.rows(table)
        dropped = [name for name in reversed(_TO_DROP) if name not in (*table[0], *_WIDE)]
        told = f"{' and '.join(', '.join(dropped).rsplit(', ', 1))}, because the terminal is too narrow"
        count = sum(one.retired for one in catalogue.entries())
        retired = (
            f"{count} older or less useful models, {'which come last' if every else 'listed by: vlm models --all'}"
        )
        ui.glossary({**_legend(advices), **({"not shown": told} if dropped else {}), "retired": retired})


def _check(*, json: bool) -> None:
    """Compare each row of the catalogue with the Hub. Raises typer.Exit where one is not right."""
    from vlmcli.models import catalogue, check_catalogue

    with Ui() as ui:
        interruptible()
        rows, right = catalogue.entries(), 0
        for one in check_catalogue.check(rows, ui.say):
            right += not one.wrong
            ui.status(f"{one.entry.name}: asked")
            if json:
                size_now = one.choice.size if one.choice else None
                ui.line(object_line({"name": one.entry.name, "wrong": list(one.wrong), "size": size_now}))
            else:
                for wrong in one.wrong:
                    ui.line(escape(f"{one.entry.name}: {wrong}"))
        ui.say(f"{right} of {len(rows)} models are as the list says")
    if right < len(rows):
        raise typer.Exit(int(Exit.FAILED))


_WIDE = ("REPOSITORY",)
"""Columns that only a wide terminal has, and a pipe."""
_TO_DROP = (*_WIDE, "GOOD AT", "MEMORY", "SIZE", "LICENCE", "1,000")
"""Columns that a narrow terminal does without, the first of them first."""


def _advice_table(advices: Sequence[Advice], width: int) -> list[tuple[str, ...]]:
    """The table's rows, its head among them, with as many columns as there is room for.

    Args:
        advices: a row each.
        width: of the terminal; 0 where it is none, for all columns, and the mark in a column of its own.
    """
    marks = ["*" if one.recommended else "" for one in advices]
    columns = {
        "": marks,
        "NAME": [one.entry.name for one in advices],
        "SIZE": ["local" if one.here else _about(one.download) for one in advices],
        "MEMORY": [_about(one.memory) for one in advices],
        "PICTURE": [_time(one, 1) for one in advices],
        "1,000": [_time(one, 1000) for one in advices],
        "LICENCE": [one.entry.licence_label for one in advices],
        "GOOD AT": [one.entry.good_at for one in advices],
        "REPOSITORY": [one.entry.repository for one in advices],
    }
    if width:
        names = [f"{mark or ' '} {name}" for mark, name in zip(columns.pop(""), columns.pop("NAME"), strict=True)]
        columns = {"  NAME": names, **columns}
        for name in _TO_DROP:
            if sum(max(map(len, (head, *cells))) + 2 for head, cells in columns.items()) - 2 > width:
                del columns[name]
    return [tuple(columns), *zip(*columns.values(), strict=True)]


def _about(count: int) -> str:
    """Bytes as a table of estimates has them; "?" where there is no estimate."""
    return gigabytes(count) if count else "?"


def _time(one: Advice, pictures: int) -> str:
    """How long so many pictures take; why that is not known, for one."""
    if one.fits in ("no", "slow"):
        return "" if pictures > 1 else "no room" if one.fits == "no" else "slow"
    return "?" if one.seconds is None else duration(one.seconds * pictures)


def _legend(advices: Sequence[Advice]) -> dict[str, str]:
    """What the table's marks and words mean, of those that are in it."""
    best = next((one for one in advices if one.recommended), None)
    legend = {"PICTURE": "estimated time for a picture, and in the next column for 1,000"}
    if best is not None:
        what = "downloaded already" if best.here else f"download it with: vlm pull {best.entry.name}"
        legend = {"*": f"recommended for this machine; {what}", **legend}
    legend["order"] = "general, for pages, medical; of each, the best quick ones first"
    if any(not one.memory for one in advices):
        legend["?"] = "not known before the download"
    elif any(one.seconds is None for one in advices):
        legend["?"] = "not known"
    if any(not one.entry.commercial for one in advices):
        legend["research"] = "the licence forbids commercial use"
    if any(one.fits == "slow" for one in advices):
        legend["slow"] = "larger than the free memory, so it is read from the disk again and again"
    if any(one.fits == "no" for one in advices):
        legend["no room"] = "needs more memory than this machine has"
    if any(one.here for one in advices):
        legend["local"] = "downloaded already"
    return legend


def _advice_record(one: Advice) -> dict[str, Any]:
    entry = one.entry
    return {
        "name": entry.name,
        "recommended": one.recommended,
        "repository": entry.repository,
        "quantisation": entry.quant,
        "licence": entry.licence,
        "commercial": entry.commercial,
        "good_at": entry.good_at,
        "use": entry.use,
        "retired": entry.retired,
        "rank": entry.rank,
        "boxes": entry.boxes,
        "picture_tokens": list(entry.tokens) if entry.tokens[1] else None,
        "budget": list(entry.budget) if entry.budget[1] else None,
        "reading_budget": list(entry.reading_budget) if entry.reading_budget[1] else None,
        "thinks": entry.thinks,
        "prompts": dict(entry.prompts),
        "accept": entry.accept or None,
        "gated": entry.gated,
        "seen": entry.seen,
        "here": one.here,
        "download": one.download or None,
        "memory": one.memory or None,
        "fits": one.fits or None,
        "seconds": None if one.seconds is None else round(one.seconds, 1),
        "checked": entry.checked,
    }


def rm(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL...", help="Names from vlm ls.", show_default=False)
    ] = None,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Remove unfinished downloads.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask for confirmation.")] = False,
    json: options.Json = False,
) -> None:
    """Remove downloaded models.

    Models are removed from the cache of the Hugging Face Hub: other programs that use it lose them, too.

    vlm rm qwen3.5-0.8b

    vlm rm --unfinished
    """
    from vlmcli import demo
    from vlmcli.models import hub_cache, store

    names = names or []
    if not names and not unfinished:
        raise UsageError("no model to remove", "name one: vlm rm MODEL; vlm ls lists them")
    chosen = settings.load().model
    with Ui() as ui:
        if demo.FILES.name in names:
            raise UsageError(f"{demo.FILES.name}: part of vlm, not a download", "name another model; vlm ls lists them")
        found = [store.the_one(name) for name in names]
        for one in dict.fromkeys(found):
            _agree(ui, f"{one.name} ({size(one.size)})", yes=yes)
            freed = store.remove(one)
            ui.say(f"removed {one.name}: {size(freed)} freed")
            if not store.is_here(chosen):
                ui.say(f"the default model is still {chosen}; vlm default MODEL sets another")
            if json:
                ui.line(object_line(_record(one) | {"freed": freed}))
        parts = hub_cache.parts() if unfinished else ()
        if parts:
            _agree(ui, f"unfinished downloads ({size(sum(count for _, count in parts))})", yes=yes)
        if unfinished:
            freed = sum(hub_cache.drop(path) for path, _ in parts)
            ui.say(f"removed unfinished downloads: {size(freed)} freed")
            if json:
                ui.line(object_line({"name": None, "freed": freed}))


def _agree(ui: Ui, what: str, *, yes: bool) -> None:
    """Ask whether to remove something. Raises UsageError where the answer is no, or nobody can be asked."""
    agreed = yes or ui.confirmed(f"vlm: Remove {what}?")
    if agreed is None:
        raise UsageError(f"{what}: not removed without confirmation", "add -y to remove it without being asked")
    if not agreed:
        raise UsageError(f"{what}: not removed", "add -y to remove it without being asked")


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL...]", help="Names from vlm ls; default: all models.", show_default=False),
    ] = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Check model files against their published hashes.

    vlm verify qwen3.5-0.8b
    """
    from vlmcli import demo
    from vlmcli.models import store

    with Ui() as ui:
        rows, gone = _verifiable(names) if names else (store.listed(demo.FILES), store.broken())
        files = {path: one for one in rows for path in one.files}
        wrong, said_of = 0, []
        interruptible()
        try:
            for repository, path in gone:
                what = "content missing"
                wrong += 1
                if json:
                    ui.line(object_line({"name": repository, "file": str(path), "ok": False, "what": what}))
                else:
                    said_of.append((escape(repository), escape(path.name), what))
            for path, one in files.items():
                with ui.transfer(path.name, path.stat().st_size, quiet=quiet) as bar:
                    said = store.verify(path, bar.at)
                wrong += not said.ok
                if json:
                    ui.line(object_line({"name": one.name, "file": str(path), "ok": said.ok, "what": said.what}))
                else:
                    said_of.append((escape(one.name), escape(path.name), said.what))
        finally:
            if said_of:
                _show_verified(ui, said_of)
        if wrong:
            raise ModelError(
                f"{wrong} of {len(files) + len(gone)} files differ from what was published",
                "download the model again: vlm rm MODEL, then vlm pull MODEL",
            )


def _show_verified(ui: Ui, rows: Sequence[tuple[str, str, str]]) -> None:
    """A model, a file and what was found of it per line; below one another where the terminal is too narrow."""
    if not ui.stdout.isatty() or sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True)) - 2 <= ui.width:
        ui.rows(rows)
        return
    wrap = textwrap.TextWrapper(ui.width, "", "  ", break_on_hyphens=False)
    for name, file, what in rows:
        for line in wrap.wrap(f"{name}  {file}: {what}"):
            ui.line(line)


def _verifiable(names: Sequence[str]) -> tuple[Sequence[Listed], Sequence[tuple[str, Path]]]:
    """The pairs that names stand for, and files of theirs whose content is gone. Raises ModelError for neither."""
    from vlmcli import demo
    from vlmcli.models import store

    rows: list[Listed] = []
    gone: list[tuple[str, Path]] = []
    for name in names:
        lost = store.broken(name)
        gone += lost
        try:
            rows += store.matching(name, demo.FILES)
        except ModelError:
            if not lost:
                raise
    return rows, gone


def default(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help="The new default; without it, show the current one.", show_default=False
        ),
    ] = None,
    mmproj: options.Mmproj = None,
    none: Annotated[bool, typer.Option("--none", help="Remove the default.")] = False,
) -> None:
    """Show or set the default model.

    vlm default qwen3.5-0.8b
    """
    with Ui() as ui:
        if none:
            if name:
                raise UsageError(f"--none clears the default, and {name} sets it", f"leave out --none or {name}")
            settings.remember_model("")
            ui.say("no default model now")
            return
        if name is None and mmproj:
            raise UsageError("--mmproj needs a model", "name it: vlm default MODEL --mmproj FILE")
        if name is None:
            chosen = settings.load()
            if not chosen.model:
                raise ModelError("no default model", "set one: vlm default MODEL; vlm ls lists them")
            ui.line(chosen.model)
            ui.say(f"set in {chosen.sources['model']}")
            return
        from vlmcli import demo
        from vlmcli.models import store

        try:
            files = store.resolve(expand(name), expand(mmproj or ""), demo=demo.FILES, tell=ui.notice)
        except ModelError as error:
            raise type(error)(error.message, _hint_without_m(error.hint)) from error
        path = Path(expand(name))
        by_path = files.name == expand(name) and path.exists() and files.name != demo.FILES.name
        where = settings.remember_model(
            str(path.absolute()) if by_path else files.name, str(Path(expand(mmproj)).absolute()) if mmproj else ""
        )
        ui.say(f"the default model is now {files.name} ({where})")
        if settings.load().model != (str(path.absolute()) if by_path else files.name):
            ui.say("VLM_MODEL is set, too, and takes precedence")


def _hint_without_m(hint: str) -> str:
    """A hint about -m for a command that takes the model's name as its argument."""
    if hint.startswith("did you mean "):
        return f"{hint.partition('?')[0].replace('-m ', '')}?"
    return hint.replace("or try -m demo", "or try vlm default demo")
