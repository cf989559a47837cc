"""The verbs about models as files: `vlm ls`, `models`, `rm`, `verify` and `default`.

Knows how a table, a record and a question look. Does not know where models lie (`models.store`) or what fits this
machine (`machine.recommend`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmcli import settings
from vlmcli.amounts import duration, gigabytes, size
from vlmcli.cli import options
from vlmcli.cli.pull import speed_here
from vlmcli.cli.signals import interruptible
from vlmcli.errors import ModelError, UsageError
from vlmcli.pictures.sources import expand
from vlmcli.records.lines import escape, object_line
from vlmcli.terminal.ui import Ui

if TYPE_CHECKING:
    from vlmcli.machine.recommend import Advice
    from vlmcli.models.store import Listed


def ls(json: options.Json = False) -> None:
    """List the models that are here, and what other programs have brought that can be used.

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
    measure: Annotated[bool, typer.Option("--measure", help="Measure this machine's speed again.")] = False,
) -> None:
    """List the models that are known by name, the best for this machine first.

    vlm models
    """
    from vlmcli.engine.place import this_machine
    from vlmcli.machine import recommend
    from vlmcli.models import store

    with Ui() as ui:
        here = {one.name.partition(":")[0] for one in store.listed()}
        advices = recommend.advise(this_machine(), speed_here(ui, again=measure), here)
        if json:
            for one in advices:
                ui.line(object_line(_advice_record(one)))
            return
        head = ("NAME", "SIZE", "MEMORY", "FITS", "TIME", "GOOD AT")
        ui.rows([head, *(_advice_row(one) for one in advices)])
        best = recommend.best(advices)
        if best is not None:
            ui.say(f"to begin with: vlm pull {best.entry.name}")


def _advice_row(one: Advice) -> tuple[str, ...]:
    return (
        one.entry.name,
        "here" if one.here else _about(one.download),
        _about(one.memory),
        one.fits or "?",
        "?" if one.seconds is None else f"~{duration(one.seconds)}",
        one.entry.good_at,
    )


def _about(count: int) -> str:
    """Bytes as a table of estimates has them; "?" where there is no estimate."""
    return f"~{gigabytes(count)}" if count else "?"


def _advice_record(one: Advice) -> dict[str, Any]:
    entry = one.entry
    return {
        "name": entry.name,
        "repository": entry.repository,
        "quantisation": entry.quant,
        "licence": entry.licence,
        "good_at": entry.good_at,
        "use": entry.use,
        "boxes": entry.boxes,
        "picture_tokens": list(entry.tokens) if entry.tokens[1] else None,
        "here": one.here,
        "download": one.download or None,
        "memory": one.memory or None,
        "fits": one.fits or None,
        "seconds": None if one.seconds is None else round(one.seconds, 1),
        "checked": entry.checked,
    }


def rm(
    names: Annotated[list[str] | None, typer.Argument(metavar="MODEL", show_default=False)] = None,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="What is here of downloads that stopped.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    json: options.Json = False,
) -> None:
    """Remove models from the cache; other programs that use it lose them, too.

    vlm rm smolvlm2-500m

    vlm rm --unfinished
    """
    from vlmcli import demo
    from vlmcli.models import hub_cache, store

    names = names or []
    if not names and not unfinished:
        raise UsageError("nothing is named to be removed", "vlm ls lists what is here")
    chosen = settings.load().model
    with Ui() as ui:
        if demo.FILES.name in names:
            raise UsageError(f"{demo.FILES.name}: it is part of vlm", "it goes when vlm is uninstalled")
        found = [store.the_one(name) for name in names]
        for one in dict.fromkeys(found):
            _agree(ui, f"{one.name} ({size(one.size)})", yes=yes)
            freed = store.remove(one)
            ui.say(f"{one.name} is removed, {size(freed)} are free again")
            if not store.is_here(chosen):
                ui.say(f"the default is {chosen}, which is not here any more: vlm default NAME sets another")
            if json:
                ui.line(object_line(_record(one) | {"freed": freed}))
        parts = hub_cache.parts() if unfinished else ()
        if parts:
            _agree(ui, f"unfinished downloads ({size(sum(count for _, count in parts))})", yes=yes)
        if unfinished:
            freed = sum(hub_cache.drop(path) for path, _ in parts)
            ui.say(f"{size(freed)} of unfinished downloads are free again")
            if json:
                ui.line(object_line({"name": None, "freed": freed}))


def _agree(ui: Ui, what: str, *, yes: bool) -> None:
    """Ask whether to remove something. Raises UsageError where the answer is no, or nobody can be asked."""
    agreed = yes or ui.confirmed(f"vlm: remove {what}?")
    if agreed is None:
        raise UsageError(f"{what}: nobody can be asked whether to remove it", "-y removes it without asking")
    if not agreed:
        raise UsageError(f"{what}: not removed", "-y removes it without asking")


def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="MODEL", show_default=False)] = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Read models again, and compare what is there with what was published; all of them without a name.

    vlm verify smolvlm2-500m
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
                what = "its content is gone"
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
                ui.rows(said_of)
        if wrong:
            raise ModelError(
                f"{wrong} of {len(files) + len(gone)} files are not what was published",
                "vlm rm NAME, and vlm pull NAME",
            )


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
    name: Annotated[str | None, typer.Argument(metavar="MODEL", show_default=False)] = None,
    mmproj: options.Mmproj = None,
    none: Annotated[bool, typer.Option("--none", help="Have no default.")] = False,
) -> None:
    """Say which model is asked without -m, or set it.

    vlm default smolvlm2-500m
    """
    with Ui() as ui:
        if none:
            if name:
                raise UsageError(f"--none, and {name}", "leave one out")
            settings.remember_model("")
            return
        if name is None and mmproj:
            raise UsageError("--mmproj is of a model, and none is named", "vlm default MODEL --mmproj FILE")
        if name is None:
            chosen = settings.load()
            if not chosen.model:
                raise ModelError("there is no default model", "vlm default NAME sets one; vlm ls lists what is here")
            ui.line(chosen.model)
            ui.say(f"set by {chosen.sources['model']}")
            return
        from vlmcli import demo
        from vlmcli.models import store

        files = store.resolve(expand(name), expand(mmproj or ""), demo=demo.FILES, tell=ui.notice)
        path = Path(expand(name))
        by_path = files.name == expand(name) and path.exists() and files.name != demo.FILES.name
        where = settings.remember_model(
            str(path.absolute()) if by_path else files.name, str(Path(expand(mmproj)).absolute()) if mmproj else ""
        )
        ui.say(f"{files.name} is the default now ({where})")
        if settings.load().model != (str(path.absolute()) if by_path else files.name):
            ui.say("the variable VLM_MODEL goes before it")
