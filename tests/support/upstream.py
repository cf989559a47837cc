"""Our answers beside those of upstream's own tool."""

import numpy as np


def without_specials(model, said):
    """The bytes of an answer without the special tokens, which the tool prints, too, and the white space around it."""
    specials = {model.text(token).encode() for token in range(model.n_vocab) if model.is_special(token)}
    for special in sorted(specials - {b""}, key=len, reverse=True):
        said = said.replace(special, b"")
    return said.strip()


def where_they_part(model, logits, wanted):
    """The logits of the first step whose token is not one of the wanted answer.

    Args:
        model: which spells tokens.
        logits: of each step of our answer.
        wanted: the answer's bytes.
    """
    said = b""
    for row in logits:
        best = int(np.argmax(row))
        said += b"" if model.is_special(best) else model.piece(best)
        if not wanted.startswith(said.lstrip()):
            return row
    assert said.lstrip() != wanted, "the tokens are those of the wanted answer"
    return logits[-1]  # ours has ended there


def gap(row):
    """How far apart the two best logits are."""
    second, best = np.sort(row)[-2:]
    return best - second
