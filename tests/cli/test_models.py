"""Names to files: headers, folders, pairs, and the machine they are put on."""

import random
import shutil

import pytest

from vlmcli import demo
from vlmcli.errors import ModelError
from vlmcli.machine import fit
from vlmcli.machine.cache import kept
from vlmcli.models import gguf, store
from vlmcli.placement import Device, Machine


@pytest.fixture
def pair(tmp_path):
    """A folder with the demo's two files under other names."""
    shutil.copy(demo.FILES.model, tmp_path / "words.gguf")
    shutil.copy(demo.FILES.projector, tmp_path / "eyes.gguf")
    return tmp_path


def resolve(name, **options):
    return store.resolve(str(name), demo=demo.FILES, **options)


def test_headers_say_what_the_files_are():
    words, eyes = gguf.read(demo.FILES.model), gguf.read(demo.FILES.projector)
    assert (words.architecture, words.is_projector, eyes.is_projector) == ("llama", False, True)
    assert eyes.metadata["clip.projector_type"] == "mlp"
    assert words.number("block_count") == 4
    assert "<|im_start|>" in words.metadata["tokenizer.chat_template"]
    assert "tokenizer.ggml.tokens" not in words.metadata
    assert 3_900_000 < words.parameters + eyes.parameters < 4_100_000
    for header in (words, eyes):
        gguf.check_whole(header)


def test_the_demo_is_always_at_hand():
    files = resolve("demo")
    assert files.encoder_layers == 6
    assert "photographs" in files.card.notice


def test_a_folder_with_a_pair(pair):
    files = resolve(pair)
    assert (files.model.name, files.projector.name) == ("words.gguf", "eyes.gguf")


def test_a_file_and_the_projector_beside_it(pair):
    assert resolve(pair / "words.gguf").projector.name == "eyes.gguf"
    assert resolve(pair / "words.gguf", mmproj=str(demo.FILES.projector)).projector == demo.FILES.projector


@pytest.mark.parametrize(
    ("spoil", "name", "options", "says"),
    [
        (lambda p: None, "", {}, "no model chosen"),
        (lambda p: None, "nothing-here", {}, "no such model"),
        (lambda p: None, "{p}/none.gguf", {}, "no such file"),
        (lambda p: (p / "eyes.gguf").unlink(), "{p}", {}, "no projector"),
        (lambda p: (p / "words.gguf").unlink(), "{p}", {}, "no language model"),
        (lambda p: shutil.copy(p / "eyes.gguf", p / "more.gguf"), "{p}", {}, "2 projectors"),
        (lambda p: shutil.copy(p / "eyes.gguf", p / "more.gguf"), "{p}/words.gguf", {}, "several projectors"),
        (lambda p: None, "{p}/words.gguf", {"mmproj": "{p}/words.gguf"}, "not a projector"),
        (lambda p: None, "{p}/eyes.gguf", {"mmproj": "{p}/eyes.gguf"}, "not a language model"),
        (lambda p: None, "{p}/words.gguf", {"mmproj": "{p}/none.gguf"}, "no such file"),
        (lambda p: (p / "words.gguf").write_text("<!DOCTYPE html>" + " " * 99), "{p}/words.gguf", {}, "web page"),
        (lambda p: (p / "words.gguf").write_bytes(bytes(99)), "{p}/words.gguf", {}, "not a GGUF file"),
        (lambda p: (p / "words.gguf").write_bytes(b""), "{p}/words.gguf", {}, "0 bytes"),
        (lambda p: None, "demo", {"chat_template": "{p}/none.jinja"}, "no such chat template"),
        (lambda p: (p / "t").touch(), "demo", {"chat_template": "{p}/t"}, "not a chat template"),
        (lambda p: None, "demo", {"chat_template": "{p}"}, "not a chat template"),
        (lambda p: None, "demo", {"mmproj": "{p}/eyes.gguf"}, "always uses its own projector"),
    ],
)
def test_what_is_missing_or_wrong_is_named(pair, spoil, name, options, says):
    spoil(pair)
    options = {key: value.format(p=pair) for key, value in options.items()}
    with pytest.raises(ModelError) as caught:
        resolve(name.format(p=pair), **options)
    assert says in caught.value.message
    assert caught.value.hint


def test_a_file_cut_short_is_found_before_it_is_loaded(pair):
    """llama.cpp loads a projector whose last tensor is cut, and fills it with what was in memory."""
    path = pair / "eyes.gguf"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cut off: at least 100 bytes"):
        resolve(pair)


def test_a_chat_template_by_name_or_file(tmp_path):
    named = resolve("demo", chat_template="vicuna").card
    assert "ASSISTANT:" in named.chat_template
    assert "USER:" in named.stop
    (tmp_path / "t.jinja").write_text("{{ messages }}")
    assert resolve("demo", chat_template=str(tmp_path / "t.jinja")).card.chat_template == "{{ messages }}"


def test_a_model_in_parts_is_its_first_part(pair):
    (pair / "words.gguf").rename(pair / "best-of-both-00001-of-00002.gguf")
    shutil.copy(demo.FILES.model, pair / "best-of-both-00002-of-00002.gguf")
    assert resolve(pair).model.name == "best-of-both-00001-of-00002.gguf"


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "~nosuchuser/model"])
def test_a_name_that_can_be_no_name_is_an_error(name):
    with pytest.raises(ModelError):
        resolve(name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "many", ["a", "b"], []])
def test_nonsense_in_a_header_still_gives_a_fit(value):
    from dataclasses import replace

    keys = ("llama.context_length", "llama.attention.head_count_kv", "llama.attention.head_count")
    for key in keys:
        odd = replace(HEADER, metadata={**HEADER.metadata, key: value})
        assert fit.fit(odd, Machine(2, 1 << 30)).n_ctx >= 256


def test_damaged_headers_are_errors_and_nothing_else(tmp_path):
    """Bits flipped and ends cut at random in the header: a ModelError or a header, within bounds."""
    whole = demo.FILES.projector.read_bytes()
    end = gguf.read(demo.FILES.projector).data
    rng = random.Random(0)
    refused = 0
    for number in range(400):
        data = bytearray(whole[: end + 64])
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(4, end)] ^= 1 << rng.randrange(8)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(data)
        try:
            gguf.check_whole(gguf.read(path))
        except ModelError:
            refused += 1
    assert refused > 300


HEADER = gguf.read(demo.FILES.model)


def test_the_context_follows_the_model_and_the_memory():
    plenty = fit.fit(HEADER, Machine(4, 32 << 30))
    assert (plenty.n_ctx, plenty.threads, plenty.n_gpu_layers) == (4096, 4, 0)
    assert kept(HEADER).cell == 4 * 2 * 192 * 2
    poor = fit.fit(HEADER, Machine(4, 40 << 20))
    assert poor.n_ctx == (10 << 20) // kept(HEADER).cell // 256 * 256
    assert "of memory is free" in poor.reason
    assert fit.fit(HEADER, Machine(4, 1 << 20)).n_ctx == fit.CTX_FLOOR
    assert fit.fit(HEADER, Machine(4, 0)).n_ctx == 4096


def test_what_the_user_says_goes():
    machine = Machine(4, 32 << 30, (Device("CUDA0", "a GPU", "gpu", 8 << 30, 8 << 30),))
    chosen = fit.fit(HEADER, machine, ctx=512, threads=3, gpu_layers=2)
    assert (chosen.n_ctx, chosen.threads, chosen.n_gpu_layers, chosen.projector_on_gpu) == (512, 3, 2, True)
    assert fit.fit(HEADER, machine).n_gpu_layers == -1
    assert not fit.fit(HEADER, machine, gpu_layers=0).projector_on_gpu


def test_this_machine_has_a_core():
    machine = fit.this_machine()
    assert machine.cores >= 1
    assert machine.memory_free >= 0
