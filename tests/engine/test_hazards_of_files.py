"""What llama.cpp makes of files that are broken, or not what they seem: models, projectors and pictures.

Each is named by what the file is and what llama.cpp does with it. Here such a model or projector is refused with an
error that names the file and says what to do, and a picture is read as its maker meant it, or refused.
"""

import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.support import ROOT
from tests.support.engines import ask, noise, opened, small_files
from tests.support.program import VLM
from vlmcli import demo
from vlmcli.bench.pair_maker import EncoderShape, ModelShape, PairMaker
from vlmcli.pictures import images

SCENE = ROOT / "docs" / "images" / "scene.png"
QUESTION, RIGHT = "what is this?", "A red circle and a blue square."


# ------------------------------------------------------------------------------------------ models and projectors


class Spoiler(PairMaker):
    """Writes a pair with something wrong: `change(name, values)` gives a tensor's values, or None to leave it out."""

    def __init__(self, folder, change=lambda name, values: values):
        super().__init__(folder, np.random.default_rng(0).standard_normal)
        self.change = change

    @contextmanager
    def file(self, name, arch):
        with super().file(name, arch) as writer:
            add = writer.add_tensor

            def changed(tensor, values):
                values = self.change(tensor, values)
                if values is not None:
                    add(tensor, values)

            writer.add_tensor = changed
            yield writer


def llava(folder, change=lambda name, values: values, model=None, **encoder):
    make = Spoiler(folder, change)
    make.model("x", model or ModelShape(bpe="", specials=["<image>"]))
    tensors = make.mlp(64, 64, 64, 0.2, ("mm.0", "mm.2"))
    shape = EncoderShape("mlp", class_token=True, pre_norm=True, patch_bias=False, gelu=False, tensors=tensors)
    make.projector("x", replace(shape, **encoder), 64)


def without(*names):
    """A pair whose files lack these tensors."""
    return lambda folder, pairs: llava(folder, lambda name, values: None if name in names else values)


def narrower(name):
    """A pair with a tensor that is one row too small."""
    return lambda folder, pairs: llava(folder, lambda one, values: values[..., :-1].copy() if one == name else values)


def mixed(model, projector):
    def write(folder, pairs):
        (folder / "x.gguf").write_bytes((pairs / f"{model}.gguf").read_bytes())
        (folder / "mmproj-x.gguf").write_bytes((pairs / f"mmproj-{projector}.gguf").read_bytes())

    return write


def bytes_of(name, change):
    """The whole pair, and then one file's bytes changed."""

    def write(folder, pairs):
        llava(folder)
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return write


def a_folder_for(name):
    def write(folder, pairs):
        llava(folder)
        (folder / name).unlink()
        (folder / name).mkdir()

    return write


FILES = {
    "truncated projector: loads, with garbage": bytes_of("mmproj-x.gguf", lambda data: data[:-100]),
    "truncated model: NULL": bytes_of("x.gguf", lambda data: data[: len(data) // 2]),
    "model of zero bytes: NULL": bytes_of("x.gguf", lambda data: b""),
    "projector of zero bytes: NULL": bytes_of("mmproj-x.gguf", lambda data: b""),
    "a web page as the model: NULL": bytes_of("x.gguf", lambda data: b"<!DOCTYPE html>" + b" " * 999),
    "a folder as the projector: NULL": a_folder_for("mmproj-x.gguf"),
    "a picture as the model: NULL": bytes_of("x.gguf", lambda data: SCENE.read_bytes()),
    "unknown projector: NULL": lambda folder, pairs: llava(folder, projector="nonsense"),
    "unknown architecture: NULL": lambda folder, pairs: llava(
        folder, model=ModelShape("nonsense", bpe="", specials=["<image>"])
    ),
    "projector without patch_embd: SIGSEGV": without("v.patch_embd.weight"),
    "projector without attn_q: SIGSEGV": without("v.blk.1.attn_q.weight"),
    "projector without mm.2: throws": without("mm.2.weight"),
    "model without a block's tensor: NULL": without("blk.1.attn_k.weight"),
    "projector with a shape that is wrong: abort": narrower("v.blk.1.ffn_up.weight"),
    "projector with attention of a shape that is wrong: abort": narrower("v.blk.0.attn_q.weight"),
    "projector with n_head 0: abort": lambda folder, pairs: llava(folder, heads=0),
    "projector of another width: NULL": mixed("wide", "llava"),
    "same width, wrong family: tokens of -1, abort": mixed("llava", "smolvlm"),
    "qwen2vl's projector on a model without M-RoPE: accepted": mixed("llava", "qwen2vl"),
    "a projector without M-RoPE on qwen2vl: accepted": mixed("qwen2vl", "llava"),
    "a model as its own projector": bytes_of("mmproj-x.gguf", lambda data: demo.FILES.model.read_bytes()),
}


@pytest.mark.parametrize("name", FILES)
def test_file_hazard(name, small, tmp_path):
    """A pair that is broken, or is none, through the installed command."""
    FILES[name](tmp_path, small)
    done = subprocess.run(
        [VLM, "ask", "-m", str(tmp_path / "x.gguf"), "--mmproj", str(tmp_path / "mmproj-x.gguf"), str(SCENE), QUESTION,
         "--json", "--max-tokens", "4"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr[-1500:])
    error = json.loads(done.stdout)["error"]
    assert error["type"] in ("ModelError", "RequestError"), error
    assert "x.gguf" in error["message"], error
    assert "\n" not in error["message"]
    assert error["hint"], error


def test_the_pair_that_is_spoiled_above_is_whole(small, tmp_path):
    llava(tmp_path)
    with opened(replace(small_files(tmp_path, "x"), name="x")) as engine:
        (answer,) = engine.run([ask(QUESTION, noise(1), tokens=4)])
    assert answer.usage.picture_tokens == 16


# ------------------------------------------------------------------------------------------ pictures


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for ffprobe")
@pytest.mark.parametrize("kind", ["mp4", "rubbish", "text", "matroska"])
def test_what_is_no_picture_is_given_to_no_other_program(tmp_path, kind):
    """llama.cpp's helper runs ffprobe and ffmpeg from PATH on every file it does not know."""
    data = {
        "mp4": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(4000),
        "rubbish": bytes(range(256)) * 20,
        "text": b"http://example.org/film.m3u8\n" * 20,
        "matroska": b"\x1aE\xdf\xa3" + bytes(4000),
    }[kind]
    (tmp_path / "film.jpg").write_bytes(data)
    trace = tmp_path / "trace"
    for program in ("ffprobe", "ffmpeg"):
        (tmp_path / program).write_text(f"#!/bin/sh\necho $0 >> {trace}\n")
        (tmp_path / program).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    assert subprocess.run(["ffprobe"], env=environment, check=True).returncode == 0
    assert trace.read_text()
    trace.unlink()
    done = subprocess.run(
        [VLM, "ask", "-m", "demo", str(tmp_path / "film.jpg"), QUESTION, "--json"],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["type"] == "SourceError"
    assert "film.jpg" in done.stderr
    assert not trace.exists()


def saved(path, make):
    scene = Image.open(SCENE).convert("RGB")
    make(scene, path)
    return path


def rotated(scene, path):
    exif = Image.Exif()
    exif[0x0112] = 8
    scene.rotate(-90, expand=True).save(path, exif=exif, quality=95)


def see_through(scene, path):
    alpha = Image.fromarray((255 - 255 * (np.asarray(scene) > 250).all(axis=2)).astype(np.uint8))
    hidden = np.asarray(scene).copy()
    hidden[np.asarray(alpha) == 0] = 0  # black behind nothing: who drops the alpha sees a black ground
    image = Image.fromarray(hidden)
    image.putalpha(alpha)
    image.save(path)


FORMATS = {
    "EXIF rotation: ignored": ("x.jpg", rotated),
    "alpha: black behind it": ("x.png", see_through),
    "CMYK": ("x.jpg", lambda scene, path: scene.convert("CMYK").save(path, quality=95)),
    "a palette": ("x.gif", lambda scene, path: scene.quantize(16).save(path)),
    "TIFF, which it cannot read": ("x.tif", lambda scene, path: scene.save(path)),
}


@pytest.mark.parametrize(("file", "make"), FORMATS.values(), ids=FORMATS)
def test_a_format_that_llama_cpps_reader_gets_wrong(demo_engine, tmp_path, file, make):
    pixels = images.load(saved(tmp_path / file, make))
    answers = demo_engine.run([ask(QUESTION, pixels), ask("What is on the right?", pixels)])
    assert [answer.text for answer in answers] == [RIGHT, "A blue square."]


def test_sixteen_bits_a_sample_are_scaled_not_cut(demo_engine, tmp_path):
    grey = np.asarray(Image.open(SCENE).convert("L"))
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    eight, sixteen = (demo_engine.run([ask(QUESTION, images.load(tmp_path / f"{bits}.png"))])[0] for bits in (8, 16))
    assert eight.text == sixteen.text
