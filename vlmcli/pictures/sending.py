"""A picture's pixels as text, for a server: a PNG, in a data URI. Does not know who sends it."""

from __future__ import annotations

import base64
import io

from vlmcli import room
from vlmcli.errors import NoMemory, VlmError
from vlmcli.later import Later
from vlmcli.values import Picture

Image = Later("PIL.Image")

LEVEL = 1
"""Of the compression. Higher ones save a few percent of a photograph's bytes, and take several times as long."""


def data_uri(picture: Picture) -> str:
    """A picture as `data:image/png;base64,…`, of exactly its pixels; they are read now.

    Raises as `Picture.load`; NoMemory where there is too little for the text.
    """
    try:
        image = Image.frombytes("RGB", picture.size, picture.pixels())
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=LEVEL)
        return f"data:image/png;base64,{base64.b64encode(file.getbuffer()).decode('ascii')}"
    except Exception as error:
        if isinstance(error, VlmError) or not room.is_out(error):
            raise
        raise NoMemory(f"{picture.source}: not enough memory to send it", room.HINT) from None
