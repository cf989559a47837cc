"""`vlm doctor`, as it is installed: what it finds, on a healthy machine and on broken ones."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.hub import Hub
from tests.support.program import VLM, vlm
from vlmcli.engine import native
from vlmcli.installing import Graphics
from vlmcli.placement import Caching, Device
from vlmcli.reports import doctor
from vlmcli.reports.doctor import Finding, Native

AREAS = ["python", "llama.cpp", "cpu", "gpu", "memory", "disk", "cache", "results", "hub", "settings", "model"]


@pytest.fixture
def env(tmp_path):
    """A machine with nothing on it, and a Hub that answers."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("VLM_", "HF_", "XDG_"))}
    with Hub() as hub:
        folders = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("STATE", "CONFIG", "CACHE")}
        yield own | folders | {"HF_HOME": str(tmp_path / "hub"), "HF_ENDPOINT": hub.url}


def run(env, *words):
    done = vlm("doctor", *words, env=env)
    assert "Traceback" not in done.stderr
    return done


def run_process(env, *words):
    """The installed command: for what is decided when a process starts."""
    done = subprocess.run(
        [VLM, "doctor", *words], env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert "Traceback" not in done.stderr
    return done


def findings(env, code=0, run=run):
    done = run(env, "--json")
    assert done.returncode == code, done.stdout
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(set(one) == {"v", "area", "ok", "what", "mend"} for one in found)
    return {one["area"]: one for one in found}


def test_a_healthy_machine(env):
    found = findings(env)
    assert set(found) == set(AREAS)
    assert not [one for one in found.values() if one["ok"] is False]
    assert found["hub"]["what"] == f"{env['HF_ENDPOINT']} answers"
    assert "The circle is red." in found["model"]["what"]
    assert "vlm pull" in found["settings"]["mend"]
    lines = [line.split("\t") for line in run(env).stdout.splitlines()]
    assert {line[0] for line in lines} <= {"ok", "--"}
    assert all(len(line) == 4 for line in lines)


@pytest.mark.parametrize("columns", [80, 40])
def test_it_fits_a_terminal(env, columns):
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    running = subprocess.Popen([VLM, "doctor"], stdout=child, stderr=child, stdin=child, env=env | {"TERM": "xterm"})
    os.close(child)
    seen = b""
    try:
        while block := os.read(parent, 1 << 16):
            seen += block
    except OSError:
        pass  # the other end is closed
    os.close(parent)
    assert running.wait(timeout=60) == 0
    lines = seen.decode().splitlines()
    assert "ok  python" in lines[0]
    assert any(line.startswith(" " * 14 + "-> ") for line in lines)
    long = [line for line in lines if len(line) > columns]
    assert not [line for line in long if " " in line.strip()[3:]]  # only what cannot be parted


def test_offline_is_no_trouble_and_a_hub_that_is_away_a_remark(env):
    offline = findings(env | {"HF_HUB_OFFLINE": "1"})["hub"]
    assert (offline["ok"], "offline" in offline["what"]) == (True, True)
    away = findings(env | {"HF_ENDPOINT": "http://127.0.0.1:9"})["hub"]
    assert (away["ok"], "127.0.0.1:9 cannot be reached" in away["what"]) == (None, True)
    assert away["what"].count("127.0.0.1:9") == 1
    assert "network" in away["mend"]


def test_a_default_model_that_is_missing_is_broken(env):
    found = findings(env | {"VLM_MODEL": "smolvlm2-500m"}, code=1)
    assert (found["model"]["ok"], found["model"]["mend"]) == (False, "vlm pull smolvlm2-500m")
    assert "VLM_MODEL" in found["settings"]["what"]


def test_a_broken_file_of_settings_is_named(env):
    path = Path(env["XDG_CONFIG_HOME"]) / "vlm" / "settings.toml"
    path.parent.mkdir(parents=True)
    path.write_text("model = [", "utf-8")
    found = findings(env, code=1)
    assert found["settings"]["ok"] is False
    assert str(path) in found["settings"]["what"]
    assert found["python"]["ok"]


def test_a_library_that_cannot_be_loaded_is_one_finding(env, tmp_path):
    """llama_cpp is there, and broken."""
    (tmp_path / "broken" / "llama_cpp").mkdir(parents=True)
    (tmp_path / "broken" / "llama_cpp" / "__init__.py").write_text(
        "raise OSError('libggml.so: wrong ELF class')", "utf-8"
    )
    path = os.pathsep.join([str(tmp_path / "broken"), env.get("PYTHONPATH", "")])
    found = findings(env | {"PYTHONPATH": path}, code=1, run=run_process)
    assert found["llama.cpp"]["ok"] is False
    assert "llama-cpp-python==0.3.36" in found["llama.cpp"]["mend"]
    assert "model" not in found
    assert found["memory"]["ok"]


def test_downloads_that_were_not_finished_are_told_of(env):
    blobs = Path(env["HF_HOME"]) / "hub" / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / ("0" * 64 + ".incomplete")).write_bytes(bytes(1_200_000))
    done = run(env)
    assert "--\tcache\t1.2 MB of unfinished downloads" in done.stdout


def test_kept_results_are_told_of(env):
    folder = Path(env["XDG_CACHE_HOME"]) / "vlm"
    found = findings(env | {"VLM_CACHE": "0"})["results"]
    empty = f"0 bytes kept for later commands, at most 6.00 GB, in {folder}; vlm cache lists them"
    assert (found["ok"], found["what"]) == (None, f"{empty}; turned off now (VLM_CACHE)")
    assert not folder.exists()
    assert doctor._results(Caching(folder), "") == [Finding("results", True, empty)]
    findings(env)  # which asks a question
    (kept,) = doctor._results(Caching(folder), "")
    assert (kept.ok, kept.what.startswith("0 bytes")) == (True, False)


def test_a_folder_of_results_that_is_open_or_is_not_used_is_told_of(tmp_path):
    folder = tmp_path / "cache"
    (folder / "embeddings").mkdir(parents=True)
    (folder / "embeddings").chmod(0o755)
    (folder / "prefixes").symlink_to(tmp_path)
    (folder / "facts").write_text("mine", "utf-8")
    _, *wrong = doctor._results(Caching(folder), "")
    fix = "remove it, or set VLM_CACHE_DIR to another folder"
    assert wrong == [
        Finding("results", None, f"{folder}/embeddings can be read by other users",
                f"make it private: chmod 700 {folder}/embeddings"),
        Finding("results", None, f"{folder}/prefixes is a link, not a folder; nothing is kept there", fix),
        Finding("results", None, f"{folder}/facts is a file, not a folder; nothing is kept there", fix),
    ]  # fmt: skip


def test_a_folder_of_results_that_is_none_is_broken(env, tmp_path):
    (tmp_path / "mine").write_text("mine", "utf-8")
    found = findings(env | {"VLM_CACHE_DIR": str(tmp_path / "mine")}, code=1)["results"]
    assert (found["ok"], "is a file, not a folder" in found["what"]) == (False, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_of_results_that_cannot_be_written_is_told_of(tmp_path):
    (tmp_path / "closed").mkdir(0o500)
    what = [one.what for one in doctor._results(Caching(tmp_path / "closed" / "cache"), "")]
    assert f"{tmp_path}/closed/cache cannot be written to" in what


CPU = Device("CPU", "a CPU", "cpu", 1, 2)
GPU = Device("CUDA0", "a card", "gpu", 6_000_000_000, 8_000_000_000)
NATIVE = Native({"llama.cpp": "1", "llama-cpp-python": "1", "features": "CPU : AVX | AVX2 | FMA | REPACK"}, (CPU,))


def test_a_cpu_that_can_do_more_than_the_library_uses_is_a_hint():
    full = doctor._cpu(NATIVE, frozenset({"avx", "avx2", "fma", "sse"}))
    assert (full.ok, full.mend) == (True, "")
    more = doctor._cpu(NATIVE, frozenset({"avx", "avx2", "fma", "avx512f", "avx512_bf16"}))
    assert more.ok is None
    assert "and could also use AVX512, AVX512_BF16" in more.what
    assert "--no-binary llama-cpp-python" in more.mend
    assert "no extensions" in doctor._cpu(replace(NATIVE, versions={"features": "CPU :"}), frozenset()).what


def test_a_gpu_is_named_with_its_memory():
    (found,) = doctor._gpu(replace(NATIVE, devices=(CPU, GPU)), None)
    assert found == Finding("gpu", True, "CUDA0: a card, 6.00 GB free of 8.00 GB")


CARD = Graphics("NVIDIA H200", "CUDA", 550)


@pytest.mark.parametrize(
    ("backends", "seen", "ok", "what", "mend"),
    [
        (("CPU",), None, True, "none found", ""),
        (("CUDA", "CPU"), None, True, "none found", ""),
        (("CPU",), CARD, None, "NVIDIA H200 found, but not used: the installed llama-cpp-python is a CPU", "whl/cu124"),
        (("Vulkan", "CPU"), CARD, None, "is a Vulkan build", "whl/cu124"),
        (("CUDA", "CPU"), CARD, None, "though it is built with CUDA", "nvidia-smi"),
        (("CPU",), Graphics("AMD graphics", "Vulkan"), None, "AMD graphics found, but not used", "whl/vulkan"),
        (("BLAS", "CPU"), Graphics("Apple graphics", "Metal"), None, "is a CPU build", "whl/metal"),
        (("MTL", "CPU"), Graphics("Apple graphics", "Metal"), None, "though it is built with Metal", "virtual machine"),
    ],
)
def test_a_gpu_that_is_not_used_is_told_of_with_one_command(backends, seen, ok, what, mend):
    native = replace(NATIVE, backends=backends)
    (found,) = doctor._gpu(native, seen)
    assert found.ok is ok
    assert what in found.what
    assert mend in found.mend
    assert bool(found.mend) is bool(mend)
    assert f"{native.build} build" in doctor._versions(native).what


def test_the_build_is_what_llama_cpp_says_of_itself(env):
    kinds = {"CUDA": "CUDA", "Vulkan": "Vulkan", "MTL": "Metal"}
    build = next((kinds[one] for one in native.backends() if one in kinds), "CPU")
    assert "CPU" in native.backends()
    assert f", {build} build; vlm " in findings(env)["llama.cpp"]["what"]


def test_code_for_amx_that_would_end_the_process_is_told_of():
    found = doctor._cpu(replace(NATIVE, miscompiler="GCC 12.2"), frozenset({"avx512f"}))
    assert (found.ok, "not AMX, for which GCC 12.2 compiled wrong code" in found.what) == (None, True)
    assert "-mno-amx-tile" in found.mend
