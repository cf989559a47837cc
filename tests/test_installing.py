"""The command that installs the engine: for these graphics, and for whatever installed this program."""

import sys

import pytest

from vlmcli import installing
from vlmcli.installing import Graphics

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="graphics are looked for in dev, proc and sys")


def machine(root, files):
    """A folder with the files that an operating system shows."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


CARD = {
    "dev/nvidia0": "", "dev/nvidiactl": "",
    "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA H200\nIRQ:   1\n",
    "proc/driver/nvidia/version":
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12\n",
}  # fmt: skip
NODE, VENDOR = "dev/dri/renderD128", "sys/class/drm/renderD128/device/vendor"


@linux
@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        (CARD, Graphics("NVIDIA H200", "CUDA", 550)),
        ({"dev/nvidia3": ""}, Graphics("an NVIDIA card", "CUDA")),
        ({name: text for name, text in CARD.items() if name != "dev/nvidia0"}, None),  # a driver, and no card
        ({"dev/dxg": "", "usr/lib/wsl/lib/libcuda.so.1": ""}, Graphics("an NVIDIA card", "CUDA")),
        ({"dev/dxg": ""}, None),
        ({NODE: "", VENDOR: "0x1002\n"}, Graphics("AMD graphics", "Vulkan")),
        ({NODE: "", VENDOR: "0x8086\n"}, Graphics("Intel graphics", "Vulkan")),
        ({NODE: "", VENDOR: "0x1af4\n"}, None),  # a virtual machine's display
        ({NODE: "", VENDOR: "0x15ad\n"}, None),
        ({NODE: ""}, None),
        ({NODE: "", VENDOR: "0x1002\n", **CARD}, Graphics("NVIDIA H200", "CUDA", 550)),
    ],
)
def test_graphics_are_those_that_could_compute(tmp_path, files, found):
    assert installing.graphics(machine(tmp_path, files)) == found


@linux
def test_an_open_driver_has_a_version_too(tmp_path):
    said = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n"
    files = CARD | {"proc/driver/nvidia/version": said}
    assert installing.graphics(machine(tmp_path, files)).driver == 580


@pytest.mark.parametrize(
    ("found", "build"),
    [
        (None, "cpu"),
        (Graphics("a card", "CUDA"), "cu124"),
        (Graphics("a card", "CUDA", 470), "cu118"),
        (Graphics("a card", "CUDA", 535), "cu122"),
        (Graphics("a card", "CUDA", 550), "cu124"),
        (Graphics("a card", "CUDA", 570), "cu125"),
        (Graphics("a card", "CUDA", 580), "cu130"),
        (Graphics("a card", "CUDA", 600), "cu132"),
        (Graphics("AMD graphics", "Vulkan"), "vulkan"),
        (Graphics("Apple graphics", "Metal"), "metal"),
    ],
)
def test_the_wheels_are_those_for_the_graphics_and_their_driver(found, build):
    assert installing.build_for(found) == build


INDEX = "--extra-index-url https://abetlen.github.io/llama-cpp-python/whl/cpu"
WANTED = "llama-cpp-python==0.3.36"


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """An environment of the program's own, whose pip is first on the PATH."""
    folder = tmp_path / "an environment"
    (folder / "bin").mkdir(parents=True)
    for name in ("python", "pip"):
        (folder / "bin" / name).touch()
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setattr(sys, "prefix", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    monkeypatch.setenv("PATH", str(folder / "bin"))
    return folder


def test_pip_is_told_what_it_has_to_replace(prefix):
    assert installing.command("cpu") == f"pip install {WANTED} {INDEX}"
    again = "--force-reinstall --no-cache-dir --no-deps"
    assert installing.command("cpu", replace=True) == f"pip install {again} {WANTED} {INDEX}"
    assert installing.source() == f"pip install {again} {WANTED} --no-binary llama-cpp-python"
    assert installing.source("CUDA").startswith('CMAKE_ARGS="-DGGML_CUDA=on" pip install ')
    assert installing.source(flags="-mno-x").startswith('CFLAGS="-mno-x" CXXFLAGS="-mno-x" pip install ')


def test_another_pip_on_the_path_is_not_meant(prefix):
    (prefix / "bin" / "pip").unlink()
    assert installing.command("cpu").startswith(f"'{sys.executable}' -m pip install {WANTED}")


def test_what_uv_and_pipx_installed_is_theirs_to_change(prefix, monkeypatch):
    (prefix / "uv-receipt.toml").touch()
    python = f"uv pip install --python '{sys.executable}'"
    assert installing.command("cpu") == f"{python} {WANTED} {INDEX} --index-strategy unsafe-best-match"
    again = "--reinstall-package llama-cpp-python --no-cache"
    assert installing.command("cpu", replace=True) == (
        f"{python} {again} {WANTED} {INDEX} --index-strategy unsafe-best-match"
    )
    assert installing.source() == f"{python} {again} {WANTED} --no-binary llama-cpp-python"
    (prefix / "uv-receipt.toml").rename(prefix / "pipx_metadata.json")
    assert installing.command("cpu") == f"pipx runpip 'an environment' install {WANTED} {INDEX}"


def test_the_release_is_the_one_that_is_required():
    import importlib.metadata

    assert installing.PACKAGE in importlib.metadata.requires("vlmcli")
