"""Whether a language model and a projector can be loaded, and belong together, by their headers alone.

llama.cpp ends the process on many a damaged file, and on some pairs that do not match: it takes shapes and types for
granted. `check` refuses those before anything is loaded: each file by itself (`check_model`, `check_projector`), then
the two together. What llama.cpp refuses by itself is left to it, and so is every projector that is not in `families`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vlmcli import memo
from vlmcli.errors import ModelError
from vlmcli.later import Later
from vlmcli.models import gguf, known
from vlmcli.models.families import FAMILIES, KNOWN, TURNING, TURNING_IF_TOLD
from vlmcli.models.gguf import Header

if TYPE_CHECKING:
    from vlmcli.models import check_model, check_projector, encoders
else:  # a pair that was checked before needs none of them
    check_model = Later("vlmcli.models.check_model")
    check_projector = Later("vlmcli.models.check_projector")
    encoders = Later("vlmcli.models.encoders")

OWN_PROJECTOR = "use the mmproj file that was published with this model"


def check(model: Header, projector: Header) -> None:
    """Raise ModelError, naming the file or both, unless these two can be loaded and belong together.

    What an earlier command has found of two files that have not changed holds (`memo`).

    Args:
        model: the language model's header.
        projector: the projector's.
    """
    if model.is_projector:
        raise exchanged(model)
    if not projector.is_projector:
        raise ModelError(f"{projector.path}: not a projector", "give the mmproj file that was published with the model")
    for header in (model, projector):
        known.check(header)
    _once("pair", _check, model, projector)


def _check(model: Header, projector: Header) -> None:
    for header in (model, projector):
        gguf.check_whole(header)
    check_model.check_model(model)
    check_projector_of(model, projector)


def _once(what: str, check: Callable[[Header, Header], None], model: Header, projector: Header) -> None:
    """Check two headers, unless it is known that their files have passed, which is then kept."""
    passed = [one.identity for one in (model, projector) if one.identity is not None]
    if len(passed) == 2 and memo.known(what, passed):
        return
    check(model, projector)
    if len(passed) == 2:
        memo.keep(what, passed, True)


def exchanged(model: Header) -> ModelError:
    """The error of a projector that is named as the language model."""
    return ModelError(f"{model.path}: a projector, not a language model", "give it as --mmproj, and the model as -m")


def check_projector_of(model: Header, projector: Header) -> None:
    """Raise ModelError unless a whole projector can be loaded and belongs to a model, which is not looked at itself."""
    known.check(projector)
    _once("projector", _check_projector_of, model, projector)


def _check_projector_of(model: Header, projector: Header) -> None:
    check_projector.check_projector(projector)
    check_pair(model, projector)


def check_pair(model: Header, projector: Header) -> None:
    """Raise ModelError, naming both files, unless the projector was made for such a language model."""
    kind, arch = projector.projector_type, model.architecture
    if arch in TURNING_IF_TOLD and min([*model.numbers("rope.dimension_sections"), 0, 0][:2]) <= 0:
        raise ModelError(f"{model.path}: converted without what pictures need", "get a newer copy of this model")
    family = FAMILIES.get(kind)
    if family is None:
        return
    made_for = family.architectures
    others = frozenset() if made_for is None else KNOWN - made_for if made_for else TURNING
    if arch in others or (kind == "hunyuanvl" and arch not in TURNING):  # mtmd.cpp: its rows need two dimensions
        raise _mismatch(model, projector, f"a projector of the {kind} family does not fit a {arch} model")
    rows, width = _output_width(projector, kind), _input_width(model)
    if rows and width and rows != width:
        raise _mismatch(model, projector, f"its rows have {rows} numbers, but the model takes {width}")
    missing = gguf.missing_texts(model, gguf.VOCABULARY, family.tokens)
    if missing:
        raise _mismatch(
            model, projector, f"the model's vocabulary lacks {missing[0]}, which {kind} puts beside a picture"
        )


def _mismatch(model: Header, projector: Header, why: str) -> ModelError:
    why = gguf.shown(why)
    return ModelError(f"{projector.path}: not the projector of {model.path} ({why})", OWN_PROJECTOR)


def _input_width(model: Header) -> int:
    """Numbers of a row the language model takes: llama_model_n_embd_inp."""
    return model.number("embedding_length") * (1 + model.number("n_deepstack_layers"))


def _output_width(projector: Header, kind: str) -> int:
    """Numbers of a row the projector gives: clip.cpp, clip_n_mmproj_embd."""
    tensors: dict[str, Any] = {tensor.name: tensor for tensor in projector.tensors}
    names = [name for name, shape in encoders.ENCODERS[kind].projector.items() if "out" in shape and len(shape) == 2]
    if kind == "mlp" and "mm.3.weight" in tensors:
        names = ["mm.3.weight"]
    tensor = tensors.get(names[0])
    if tensor is None or len(tensor.shape) < 2:
        return 0
    deep = sum(name.startswith("v.deepstack.") and name.endswith(".fc1.weight") for name in tensors)
    row: int = tensor.shape[0 if kind == "gemma3" else 1]
    return row * (1 + deep)
