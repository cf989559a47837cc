"""What the engine has heard of: a newer model says that a newer engine is needed, and nothing that is known is refused.

The tables are copies of llama.cpp's; here the installed library is asked about every name in them.
"""

import json
import struct
import subprocess
import sys
from importlib import metadata

import pytest

from tests.support import ROOT
from tests.support.program import SCENE, vlm
from vlmcli import installing
from vlmcli.engine.native import library
from vlmcli.errors import ModelError
from vlmcli.models import encoders, families, gguf, known, pairing
from vlmcli.models.catalogue import entries, headers


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def header(**keys):
    """A GGUF file of these keys, whose values are texts, and no tensors."""
    pairs = [text(key.replace("__", ".")) + struct.pack("<I", 8) + text(value) for key, value in keys.items()]
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)


@pytest.fixture
def pair(tmp_path):
    """A function: the names of a language model's file and a projector's of these kinds."""

    def write(architecture="llama", projector="mlp"):
        (tmp_path / "new.gguf").write_bytes(header(general__architecture=architecture))
        (tmp_path / "mmproj-new.gguf").write_bytes(header(general__architecture="clip", clip__projector_type=projector))
        return tmp_path

    return write


def test_the_tables_are_of_the_bindings_that_are_pinned():
    assert f'"llama-cpp-python=={known.VERSION}"' in (ROOT / "pyproject.toml").read_text("utf-8")
    assert known.VERSION == installing.VERSION == metadata.version(known.BINDINGS)


@pytest.mark.parametrize(
    ("kinds", "named"),
    [
        ({"architecture": "qwen9vl"}, "vlm: new.gguf: {} the architecture qwen9vl"),
        ({"projector": "qwen9vl_merger"}, "mmproj-new.gguf: {} the projector type qwen9vl_merger"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("words", [["-m", "new.gguf", "--mmproj", "mmproj-new.gguf"], ["-m", "new.gguf"], ["-m", "."]])
def test_a_newer_model_asks_for_a_newer_engine(pair, kinds, named, words):
    done = vlm("ask", *words, SCENE, "what is this?", cwd=pair(**kinds))
    assert (done.returncode, done.stdout) == (1, "")
    assert named.format(f"this llama.cpp (llama-cpp-python {known.VERSION}) does not know") in done.stderr
    assert "update vlm, or choose another model: vlm models" in done.stderr


def test_of_two_new_files_the_model_is_named_first(pair):
    done = vlm(
        "ask", "-m", "new.gguf", "--mmproj", "mmproj-new.gguf", SCENE, "?", cwd=pair("qwen9vl", "qwen9vl_merger")
    )
    assert "architecture qwen9vl" in done.stderr


def test_with_other_bindings_llama_cpp_is_left_to_judge(pair, monkeypatch):
    new = gguf.read(pair("qwen9vl") / "new.gguf")
    with pytest.raises(ModelError):
        known.check(new)
    monkeypatch.setattr(metadata, "version", lambda _: "0.9.9")
    known.check(new)


def test_without_bindings_the_tables_are_right(pair, monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(ModelError, match="qwen9vl"):
        known.check(gguf.read(pair("qwen9vl") / "new.gguf"))


def test_a_name_that_is_none_is_left_to_other_checks(pair):
    for name in ("", "mlp\0x", "\x1b[2J"):
        known.check(gguf.read(pair(projector=name) / "mmproj-new.gguf"))


SOUND = frozenset(
    {
        "dots3note_a", "gemma3na", "gemma4a", "gemma4ua", "glma", "granite_speech", "lfm2a", "meralion", "mimo_audio",
        "musicflamingo", "parakeet", "pockettts_gen", "pockettts_spkenc", "qwen2a", "qwen3a", "qwen3tts_gen",
        "qwen3tts_spkenc", "ultravox", "voxtral",
    }
)  # fmt: skip
"""Projectors of encoders and decoders of sound."""


def test_all_that_is_published_and_checked_is_known():
    assert families.KNOWN | families.NOT_CAUSAL <= known.ARCHITECTURES
    assert known.PROJECTORS - set(encoders.ENCODERS) == SOUND | {"qwen2.5o"}  # which is Qwen2.5-VL's, and sound
    seen = [one for entry in entries() if (one := headers(entry))]
    assert seen
    for model, projector in seen:
        pairing.known.check(model)
        pairing.known.check(projector)


ASK = """
import ctypes, json, pathlib, sys
import llama_cpp

folder, names = pathlib.Path(sys.argv[1]), json.load(sys.stdin)
said = []
log = llama_cpp.llama_log_callback(lambda level, text, _: said.append(text.decode("utf-8", "replace")))
llama_cpp.llama_log_set(log, None)
unknown = []
for number, name in enumerate(names):
    said.clear()
    path = folder / f"{number}.gguf"
    params = llama_cpp.llama_model_default_params()
    assert not llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    assert said, name
    if "unknown model architecture" in "".join(said):
        unknown.append(name)
print(json.dumps(unknown))
"""


def test_the_library_knows_every_architecture_of_the_table(tmp_path):
    names = [*sorted(known.ARCHITECTURES), "qwen9vl"]
    for number, name in enumerate(names):
        (tmp_path / f"{number}.gguf").write_bytes(header(general__architecture=name))
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(tmp_path)], input=json.dumps(names), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == ["qwen9vl"]


def test_the_library_has_every_projector_type_of_the_table():
    data = b"".join(path.read_bytes() for path in library.folder().glob("*mtmd*"))
    assert not [name for name in known.PROJECTORS if name.encode() not in data]
    assert b"qwen9vl_merger" not in data
