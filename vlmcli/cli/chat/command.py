"""`vlm chat`: the verb and its options. The conversation itself is `session`'s, which is loaded only for it."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmcli.cli import options
from vlmcli.cli.flags import MODEL, PLACE, SAMPLING, Flags, with_flags


@with_flags(
    *MODEL,
    "server",
    "allow_upload",
    "system",
    *SAMPLING,
    "think",
    "plain",
    "stats",
    "no_thumbnails",
    "detail",
    "picture_tokens",
    "allow_local_urls",
    *PLACE,
)
def chat(
    pictures: Annotated[
        list[str] | None, typer.Argument(metavar="[PICTURES...]", help="Pictures to begin with.", show_default=False)
    ] = None,
    no_thumbnails: options.NoThumbnails = False,
    *,
    flags: Flags,
) -> None:
    """Chat with a model about pictures.

    Type questions; drop picture files into the line to add them. /help lists the commands.

    vlm chat photo.jpg

    vlm chat scan.pdf < questions.txt
    """
    from vlmcli.cli.chat.session import converse  # every command's start would pay for it

    converse(pictures or (), flags, with_thumbnails=not no_thumbnails)
