"""Which files of a repository are the pair: listings of the habits that repositories have."""

import random
import re

import pytest

from vlmcli.errors import HubError
from vlmcli.models.repository import (
    RemoteFile,
    Repository,
    choose,
    is_repository,
    pairs,
    parse,
)


def listing(text):
    """A repository of the files that a text names, a line each."""
    files = tuple(RemoteFile(line.strip(), 100 + number) for number, line in enumerate(text.split()))
    return Repository("someone/model-GGUF", "0" * 40, files)


QWEN = """README.md .gitattributes Qwen2.5-VL-3B-Instruct-Q4_K_M.gguf Qwen2.5-VL-3B-Instruct-Q8_0.gguf
    Qwen2.5-VL-3B-Instruct-f16.gguf mmproj-Qwen2.5-VL-3B-Instruct-Q8_0.gguf mmproj-Qwen2.5-VL-3B-Instruct-f16.gguf"""
SMOL = """SmolVLM2-500M-Video-Instruct-Q8_0.gguf SmolVLM2-500M-Video-Instruct-f16.gguf
    mmproj-SmolVLM2-500M-Video-Instruct-Q8_0.gguf mmproj-SmolVLM2-500M-Video-Instruct-f16.gguf"""
UNSLOTH = """gemma-3-4b-it-BF16.gguf gemma-3-4b-it-IQ4_NL.gguf gemma-3-4b-it-Q4_K_M.gguf gemma-3-4b-it-UD-Q4_K_XL.gguf
    gemma-3-4b-it-UD-IQ2_M.gguf imatrix_unsloth.gguf mmproj-BF16.gguf mmproj-F16.gguf mmproj-F32.gguf"""
PARTS = """big-72B-Q4_K_M/big-72B-Q4_K_M-00001-of-00003.gguf big-72B-Q4_K_M/big-72B-Q4_K_M-00003-of-00003.gguf
    big-72B-Q4_K_M/big-72B-Q4_K_M-00002-of-00003.gguf big-72B-Q8_0/big-72B-Q8_0-00001-of-00002.gguf
    mmproj-big-72B-f16.gguf"""
FOLDERS = "Q4_K_M/model.gguf Q8_0/model.gguf Q8_0/mmproj-model.gguf mmproj-F16.gguf"
LLAVA = "ggml-model-q4_k.gguf ggml-model-q5_k.gguf ggml-model-f16.gguf mmproj-model-f16.gguf"
AFTER = "pixtral-12b-Q4_K_M.gguf pixtral-12b-mmproj-F16.gguf pixtral-12b-mmproj-Q8_0.gguf"
WEIGHTED = "Model.i1-Q4_K_M.gguf Model.i1-IQ3_XS.gguf Model.imatrix.gguf Model.mmproj-f16.gguf"
DRAFTS = (
    "model-Q4_K_M.gguf mtp-model-Q4_K_M.gguf eagle3-model-Q4_K_M.gguf model-draft-Q4_K_M.gguf mmproj-model-bf16.gguf"
)
TEXT = "moondream2-text-model-f16.gguf moondream2-mmproj-f16.gguf"
VISION = "granite-Q8_0.gguf granite-vision-f16.gguf"
LOWER = "internvl3-1b-instruct-q8_0.gguf internvl3-1b-instruct-q4_k_m.gguf mmproj-internvl3-1b-instruct-q8_0.gguf"
TWO = """tiny-1B-Q4_K_M.gguf tiny-1B-Q8_0.gguf tiny-7B-Q4_K_M.gguf mmproj-tiny-1B-f16.gguf mmproj-tiny-7B-f16.gguf"""


@pytest.mark.parametrize(
    ("files", "options", "model", "projector", "quant"),
    [
        (QWEN, {}, "Qwen2.5-VL-3B-Instruct-Q4_K_M", "mmproj-Qwen2.5-VL-3B-Instruct-f16", "Q4_K_M"),
        (QWEN, {"quant": "q8_0"}, "Qwen2.5-VL-3B-Instruct-Q8_0", "mmproj-Qwen2.5-VL-3B-Instruct-f16", "Q8_0"),
        (QWEN, {"projector": "Q8_0"}, "Qwen2.5-VL-3B-Instruct-Q4_K_M", "mmproj-Qwen2.5-VL-3B-Instruct-Q8_0", "Q4_K_M"),
        (QWEN, {"preferred": "F16"}, "Qwen2.5-VL-3B-Instruct-f16", "mmproj-Qwen2.5-VL-3B-Instruct-f16", "f16"),
        (QWEN, {"preferred": "Q2_K"}, "Qwen2.5-VL-3B-Instruct-Q4_K_M", "mmproj-Qwen2.5-VL-3B-Instruct-f16", "Q4_K_M"),
        (SMOL, {}, "SmolVLM2-500M-Video-Instruct-Q8_0", "mmproj-SmolVLM2-500M-Video-Instruct-f16", "Q8_0"),
        (UNSLOTH, {}, "gemma-3-4b-it-Q4_K_M", "mmproj-F16", "Q4_K_M"),
        (UNSLOTH, {"bf16": True}, "gemma-3-4b-it-Q4_K_M", "mmproj-BF16", "Q4_K_M"),
        (UNSLOTH, {"quant": "UD-Q4_K_XL"}, "gemma-3-4b-it-UD-Q4_K_XL", "mmproj-F16", "UD-Q4_K_XL"),
        (UNSLOTH, {"quant": "iq2_m"}, "gemma-3-4b-it-UD-IQ2_M", "mmproj-F16", "UD-IQ2_M"),
        (PARTS, {}, "big-72B-Q4_K_M/big-72B-Q4_K_M-00001-of-00003", "mmproj-big-72B-f16", "Q4_K_M"),
        (FOLDERS, {}, "Q4_K_M/model", "mmproj-F16", "Q4_K_M"),
        (FOLDERS, {"quant": "Q8_0"}, "Q8_0/model", "Q8_0/mmproj-model", "Q8_0"),
        (LLAVA, {}, "ggml-model-q4_k", "mmproj-model-f16", "q4_k"),
        (AFTER, {}, "pixtral-12b-Q4_K_M", "pixtral-12b-mmproj-F16", "Q4_K_M"),
        (WEIGHTED, {}, "Model.i1-Q4_K_M", "Model.mmproj-f16", "i1-Q4_K_M"),
        (DRAFTS, {}, "model-Q4_K_M", "mmproj-model-bf16", "Q4_K_M"),
        (TEXT, {}, "moondream2-text-model-f16", "moondream2-mmproj-f16", "f16"),
        (VISION, {}, "granite-Q8_0", "granite-vision-f16", "Q8_0"),
        (LOWER, {}, "internvl3-1b-instruct-q4_k_m", "mmproj-internvl3-1b-instruct-q8_0", "q4_k_m"),
        (TWO, {"quant": "tiny-7b"}, "tiny-7B-Q4_K_M", "mmproj-tiny-7B-f16", "Q4_K_M"),
        (TWO, {"quant": "tiny-1B"}, "tiny-1B-Q4_K_M", "mmproj-tiny-1B-f16", "Q4_K_M"),
        (TWO, {"quant": "Q8_0"}, "tiny-1B-Q8_0", "mmproj-tiny-1B-f16", "Q8_0"),
        (TWO, {"quant": "tiny-1B-Q8_0"}, "tiny-1B-Q8_0", "mmproj-tiny-1B-f16", "Q8_0"),
    ],
)
def test_a_listing_has_one_right_pair(files, options, model, projector, quant):
    found = choose(listing(files), **options)
    assert (found.model[0].path, found.projector.path) == (f"{model}.gguf", f"{projector}.gguf")
    assert found.quant == quant


def test_a_model_in_parts_has_all_of_them_in_order():
    found = choose(listing(PARTS))
    assert [file.path[-19:] for file in found.model] == [f"-0000{n}-of-00003.gguf"[-19:] for n in (1, 2, 3)]
    assert found.size == sum(file.size for file in found.files) == sum(file.size for file in listing(PARTS).files) - 103


@pytest.mark.parametrize(
    ("files", "options", "says"),
    [
        (TWO, {}, ["2 language models", "tiny-1b, tiny-7b", "someone/model-GGUF:tiny-1B-Q8_0"]),
        (TWO, {"quant": "Q4_K_M"}, ["2 language models", "tiny-1B-Q4_K_M"]),
        (QWEN, {"quant": "Q3_K_S"}, ["no Q3_K_S in this repository", "Q4_K_M, Q8_0, f16"]),
        (QWEN, {"projector": "BF16"}, ["no projector has BF16", "mmproj-Qwen2.5-VL-3B-Instruct-f16.gguf"]),
        (PARTS, {"quant": "Q8_0"}, ["part 2 of "]),
        ("words-Q8_0.gguf README.md", {}, ["no projector (mmproj)"]),
        ("mmproj-F16.gguf README.md", {}, ["no GGUF language model"]),
        ("model.safetensors", {}, ["no GGUF language model"]),
    ],
)
def test_what_is_not_clear_is_an_error_with_the_choices(files, options, says):
    with pytest.raises(HubError) as caught:
        choose(listing(files), **options)
    for text in says:
        assert text in str(caught.value)


@pytest.mark.parametrize("files", [QWEN, UNSLOTH, PARTS, FOLDERS, WEIGHTED, DRAFTS, TWO, LOWER])
def test_the_order_of_a_listing_does_not_matter_where_a_preference_does(files):
    """Shuffled, the pair is the same; a part is never of another model; and it is one of all pairs."""
    lines = files.split()
    options = {"quant": "tiny-7B"} if files is TWO else {}
    expected = choose(listing(files), **options)
    for seed in range(20):
        random.Random(seed).shuffle(lines)
        there = listing(" ".join(lines))
        found = choose(there, **options)
        assert [file.path for file in found.files] == [file.path for file in expected.files]
        assert found in pairs(there)
        for pair in pairs(there):
            assert len({re.sub(r"-\d{5}-of-", "-of-", file.path) for file in pair.model}) == 1


def test_all_pairs_are_those_that_can_be_chosen():
    assert [pair.quant for pair in pairs(listing(QWEN))] == ["Q4_K_M", "Q8_0", "f16"]
    assert [(one.model[0].path, one.projector.path) for one in pairs(listing(TWO))][-1] == (
        "tiny-7B-Q4_K_M.gguf",
        "mmproj-tiny-7B-f16.gguf",
    )
    assert [pair.quant for pair in pairs(listing(PARTS))] == ["Q4_K_M"]
    for nothing in ("words-Q8_0.gguf", "mmproj-F16.gguf", "README.md"):
        assert pairs(listing(nothing)) == ()


@pytest.mark.parametrize(
    ("name", "repository", "quant"),
    [
        ("ggml-org/Qwen2.5-VL-3B-Instruct-GGUF", "ggml-org/Qwen2.5-VL-3B-Instruct-GGUF", ""),
        ("ggml-org/gemma-3-4b-it-GGUF:Q8_0", "ggml-org/gemma-3-4b-it-GGUF", "Q8_0"),
        ("https://huggingface.co/a/b", "a/b", ""),
        ("https://huggingface.co/a/b/tree/main?x=1", "a/b", ""),
        ("hf.co/a/b:Q4_K_M", "a/b", "Q4_K_M"),
        *(
            (no, "", "")
            for no in ("a", "a/b/c", "./a", "../a", "/a/b", "a/.b", "a b/c", "a/b:", "a/b.git", "a//b", "~/a/b", "")
        ),
    ],
)
def test_a_name_of_a_repository(name, repository, quant):
    assert parse(name) == (repository, quant)
    assert is_repository(name) == bool(repository)
