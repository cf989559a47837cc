"""A projector's type is read in one way by all who ask for it, whichever of llama.cpp's keys names it."""

from dataclasses import replace

import pytest

from tests.support.engines import small_files
from vlmcli.bench import families, mutants, pairs
from vlmcli.bench.mutants import Value
from vlmcli.engine import stages
from vlmcli.errors import ModelError
from vlmcli.machine import tiling
from vlmcli.models import gguf, pairing
from vlmcli.models.encoders import ENCODERS
from vlmcli.models.families import FAMILIES
from vlmcli.reports import about

STRING = 8
WHOLE, VISION, AUDIO = "clip.projector_type", "clip.vision.projector_type", "clip.audio.projector_type"
KEYS = (WHOLE, VISION)
PAIR_OF = dict(
    zip(
        (
            "mlp", "qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "gemma3", "idefics3", "pixtral", "internvl",
            "lfm2",
        ),
        pairs.SMALL,
        strict=True,
    )
)  # fmt: skip

COUNTED = {
    "deepseekocr", "dots_ocr", "gemma4uv", "gemma4v", "glm4v", "hunyuanvl", "lightonocr", "minicpmv4_6", "paddleocr",
    "resampler",
}  # fmt: skip
"""Types beside FAMILIES whose rows of a picture `tiling` counts."""


@pytest.fixture
def named(small, tmp_path):
    """A function: a small pair whose projector names its type under these keys only; `change` may do more to it."""

    def name(pair, types, change=None):
        folder = small if pair in pairs.SMALL else families.write(tmp_path / "whole", [pair])
        files = small_files(folder, pair)
        file = mutants.read(files.projector.read_bytes())
        file.keys = [one for one in file.keys if not one[0].endswith(b"projector_type")]
        file.keys += [(key.encode(), Value(STRING, kind.encode())) for key, kind in types.items()]
        if change:
            change(file)
        projector = tmp_path / files.projector.name
        projector.write_bytes(mutants.write(file))
        return replace(files, projector=projector)

    return name


def check(files):
    pairing.check(gguf.read(files.model), gguf.read(files.projector))


def without_its_last_matrix(file):
    """Only a check that knows the family misses it."""
    file.weights.remove([one for one in file.weights if one.name.startswith(b"mm.") and len(one.shape) > 1][-1])


def without_its_projectors_matrix(file):
    own = [one for one in file.weights if one.name.startswith((b"mm.", b"resampler.", b"adapter."))]
    file.weights.remove([one for one in own if len(one.shape) > 1][-1] if own else file.weight("v.image_newline"))


def test_every_family_has_a_pair():
    assert set(PAIR_OF) <= set(FAMILIES) <= set(ENCODERS)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("family", PAIR_OF)
def test_a_family_is_known_to_all_by_either_key(small, named, family, key):
    tokens = tiling.picture_tokens(gguf.read(small_files(small, PAIR_OF[family]).projector), *about.PICTURE)
    assert tokens is not None and tokens > 0
    files = named(PAIR_OF[family], {key: family})
    check(files)
    assert tiling.picture_tokens(gguf.read(files.projector), *about.PICTURE) == tokens
    found = about.facts(files)
    assert (about.record(found)["projector_type"], about.record(found)["picture_tokens"]) == (family, tokens)
    shown = "\n".join(about.lines(found))
    assert f"{family}, " in shown and f"{tokens} tokens at 1024x768" in shown
    assert stages.Encoding(files).family == family


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("family", PAIR_OF)
def test_a_family_is_checked_under_either_key(named, family, key):
    with pytest.raises(ModelError, match="tensor mm"):
        check(named(PAIR_OF[family], {key: family}, without_its_last_matrix))


@pytest.mark.parametrize("kind", sorted(set(ENCODERS) - set(PAIR_OF)))
def test_a_type_that_goes_with_any_model_is_known_to_all_by_either_key(named, kind):
    for key in KEYS:
        files = named(kind, {key: kind})
        check(files)
        found = about.facts(files)
        assert about.record(found)["projector_type"] == kind
        assert found.tokens == tiling.picture_tokens(gguf.read(files.projector), *about.PICTURE)
        assert (found.tokens is None) == (kind not in COUNTED)
        assert stages.Encoding(files).family == kind
        with pytest.raises(
            ModelError, match=r"tensor mm\..*weight is missing|tensor resampler|tensor adapter|v\.image_new"
        ):
            check(named(kind, {key: kind}, without_its_projectors_matrix))


def test_the_files_key_comes_before_its_encoders(named):
    files = named("llava", {WHOLE: "mlp", VISION: "resampler"})
    check(files)
    assert about.record(about.facts(files))["projector_type"] == "mlp"
    assert stages.Encoding(files).family == "mlp"
    files = named("llava", {WHOLE: "", VISION: "mlp"})  # an empty name is none
    assert about.record(about.facts(files))["projector_type"] == "mlp"
    assert about.facts(files).tokens is not None


def test_a_file_for_pictures_and_sound_is_of_its_encoder_for_pictures(named):
    both = named("llava", {VISION: "mlp", AUDIO: "ultravox"}, has_encoders(vision=True, audio=True))
    assert gguf.read(both.projector).projector_type == "mlp"
    omni = named("qwen25vl", {WHOLE: "qwen2.5o"}, has_encoders(vision=True, audio=True))
    check(omni)
    assert about.record(about.facts(omni))["projector_type"] == "qwen2.5vl_merger"
    assert about.facts(omni).tokens is not None


def test_a_file_for_sound_alone_is_of_its_encoder_for_sound(named):
    sound = named("llava", {VISION: "mlp", AUDIO: "ultravox"}, has_encoders(vision=False, audio=True))
    assert gguf.read(sound.projector).projector_type == "ultravox"
    omni = named("llava", {WHOLE: "qwen2.5o"}, has_encoders(vision=False, audio=True))
    assert gguf.read(omni.projector).projector_type == "qwen2a"


def test_a_file_that_names_no_type_is_unnamed(named):
    files = named("llava", {})
    assert gguf.read(files.projector).projector_type == ""
    assert about.record(about.facts(files))["projector_type"] == "unnamed"


def has_encoders(*, vision, audio):
    def change(file):
        kept = [one for one in file.keys if not one[0].endswith(b"_encoder")]
        given = {b"clip.has_vision_encoder": vision, b"clip.has_audio_encoder": audio}
        file.keys = kept + [(key, Value(7, has)) for key, has in given.items()]

    return change
