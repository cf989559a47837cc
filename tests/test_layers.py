"""DESIGN's two tables, held to the code: who may import whom, and which file may import which library."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "vlmcli"
MODULES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}

LAYER = {
    "errors": 0, "values": 0, "thinking": 0, "markdown": 0,
    "settings": 1, "templates": 1, "pdf": 0, "whole": 0, "dicom": 1, "images": 1, "fetch": 1, "sources": 2, "gguf": 1,
    "thumbnails": 2, "clipboard": 2,
    "demo": 1,
    "demo/scenes": 1, "demo/wordings": 1, "demo/questions": 1, "demo/tokenizer": 2, "demo/batches": 2,
    "demo/model": 3, "demo/muon": 3, "demo/losses": 4, "demo/train": 5, "demo/export": 4, "demo/calibrate": 5,
    "demo/accuracy": 6, "demo/compare": 7,
    "amounts": 0, "disk": 0, "marks": 0, "families": 1, "pairing": 2, "fit": 2,
    "repository": 1, "cache": 2, "hub": 3, "download": 4, "chat_templates": 0, "shapes": 2, "catalogue": 3,
    "store": 4, "pull": 5,
    "cost": 2, "sparse": 3, "speed": 4, "recommend": 5, "about": 8, "doctor": 3,
    "engine/template": 3, "engine/plan": 3, "engine/grammar": 3, "engine/amx": 2, "engine/native": 3,
    "engine/stream": 3,
    "engine/vision": 4, "engine/sampling": 4, "engine/scheduler": 4, "engine/engine": 5,
    "engine/stages": 6, "engine": 6, "place": 7,
    "worker": 0, "worker/wire": 1, "worker/runner": 2, "worker/child": 8,
    "xmp": 1, "embedded": 1, "chat": 1, "transcript": 2, "dropped": 3,
    "tasks": 7, "records": 7, "explain": 7, "journal": 8,
    "ui": 8,
    "cli/options": 9, "cli/naming": 9, "cli/writing": 9, "cli/flags": 9, "cli/running": 9,
    "cli/pulling": 9, "cli/course": 9, "cli/sidecars": 9, "cli/lineedit": 9,
    "cli/talk": 10, "cli/commands": 11, "cli/chatting": 12,
    "cli/showing": 10, "cli/asking": 10, "cli/asked": 10, "cli/verbs": 11,
    "cli/seeing": 12, "cli/manage": 13, "cli/diagnosing": 13, "cli/app": 14, "cli": 9,
    "bench": 15, "bench/pairs": 9, "bench/contestant": 14, "bench/fuzz": 15, "bench/broken": 15,
    "bench/photo": 15, "bench/memory": 15, "bench/steady": 15, "bench/__main__": 15,
    "bench/mutants": 10, "bench/published": 10, "bench/rounds": 15, "bench/folder": 15,
    "__main__": 16, "": 0,
}  # fmt: skip

# What a module may import of this package, where that is less than all layers below it.
ALLOWED = {
    "errors": set(),
    "values": {"errors"},
    "thinking": set(),
    "marks": set(),
    "markdown": set(),
    "settings": {"errors", "values"},
    "templates": {"errors", "values"},
    "images": {"errors", "values", "pdf", "dicom", "whole"},
    "pdf": {"errors"},
    "dicom": {"errors", "whole"},
    "whole": {"errors"},
    "fetch": {"errors", ""},
    "sources": {"errors", "values", "images", "fetch"},
    "thumbnails": {"images"},
    "clipboard": {"errors"},
    "gguf": {"errors", "values"},
    "demo": {"errors", "values"},
    "demo/scenes": {"demo"},
    "demo/wordings": {"demo"},
    "demo/questions": {"demo", "demo/scenes", "demo/wordings"},
    "families": set(),
    "pairing": {"errors", "values", "gguf", "families"},
    "repository": {"errors"},
    "amounts": set(),
    "disk": set(),
    "xmp": {"errors"},
    "embedded": {"errors", "xmp"},
    "cache": {"errors", "repository"},
    "hub": {"errors", "repository", "cache", ""},
    "download": {"errors", "repository", "cache", "hub", "amounts"},
    "chat_templates": set(),
    "shapes": {"gguf"},
    "catalogue": {"values", "gguf", "shapes", "chat_templates"},
    "store": {"errors", "values", "gguf", "pairing", "repository", "cache", "catalogue", "chat_templates"},
    "pull": {"errors", "gguf", "pairing", "repository", "cache", "hub", "download", "catalogue", "disk", "store"},
    "cost": {"gguf"},
    "doctor": {"errors", "values", "fit", "amounts", "disk", ""},
    "sparse": {"values", "gguf", "shapes"},
    "speed": {"errors", "values", "gguf", "shapes", "sparse", "cost"},
    "recommend": {"values", "catalogue", "cost", "fit", "speed"},
    "fit": {"errors", "values", "gguf", "cost"},
    "engine/template": {"errors", "values"},
    "engine/plan": {"errors", "values"},
    "engine/native": {"engine/amx", "errors", "values"},
    "engine/stream": {"errors", "values"},
    "engine/grammar": {"errors", "values"},
    "engine/sampling": {"errors", "values", "engine/native"},
    "engine/scheduler": {"errors", "values", "engine/plan"},
    "engine/vision": {"errors", "values", "engine/native", "engine/plan", "engine/template"},
    "worker/wire": {"errors", "values"},
    "worker/runner": {"errors", "values", "worker/wire"},  # whoever asks loads nothing native
    "tasks": {"errors", "values", "thinking"},
    "chat": {"errors", "values"},
    "transcript": {"errors", "chat"},
    "dropped": {"sources"},
    "records": {"errors", "values"},
    "ui": {"errors", "values", "markdown", "amounts"},
}

ONE_FILE = {
    "llama_cpp": {"engine/native", "bench/contestant"},  # the benchmark runs the peer's own handler
    "PIL": {
        "images", "dicom", "whole", "thumbnails", "clipboard", "bench/__main__", "bench/broken", "bench/fuzz",
        "bench/photo", "demo",
    },
    "pillow_heif": {"images", "bench/fuzz"},
    "pypdfium2": {"pdf", "bench/fuzz"},
    "pydicom": {"dicom", "bench/fuzz"},
    "numpy": {"images", "dicom", "bench", "engine", "demo"},
    "jinja2": {"engine/template"},
    "platformdirs": {"settings"},
    "tomllib": {"templates", "settings", "catalogue"},
    "tomli": {"templates", "settings", "catalogue"},
    "rich": {"ui"},
    "markdown_it": {"ui"},
    "typer": {"cli"},
    "prompt_toolkit": {"cli/lineedit"},
    "huggingface_hub": {"cache", "hub"},
    "httpx2": {"hub"},
    "filelock": {"cache"},
    "gguf": {"bench/pairs", "bench/published", "demo/export"},
    "torch": {"demo/losses", "demo/model", "demo/muon", "demo/train", "demo/export", "demo/calibrate", "demo/compare"},
    "tokenizers": {"demo/tokenizer"},
    "matplotlib": {"demo/train"},
}  # fmt: skip


def name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").removesuffix("__init__")


def imports(path: Path) -> set[str]:
    """Dotted names imported anywhere in a file; TYPE_CHECKING blocks too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own(dotted: str) -> str | None:
    """The module of this package a dotted name stands for."""
    if dotted.split(".")[0] != "vlmcli":
        return None
    parts = dotted.split(".")[1:]
    while parts:
        if "/".join(parts) + ".py" in MODULES or "/".join(parts) + "/__init__.py" in MODULES:
            return "/".join(parts)
        parts.pop()
    return ""


@pytest.mark.parametrize("path", MODULES)
def test_a_module_imports_only_lower_layers(path):
    module = name(path)
    for dotted in imports(MODULES[path]):
        other = own(dotted)
        if other is None or other == module:
            continue
        assert LAYER[other] <= LAYER[module], f"{module} imports {other}, which is above it"
        if module in ALLOWED and other:
            assert other in ALLOWED[module], f"{module} may not import {other}"


@pytest.mark.parametrize("path", MODULES)
def test_a_library_is_imported_where_it_belongs(path):
    module = name(path)
    for dotted in imports(MODULES[path]):
        library = dotted.split(".")[0]
        if library in ONE_FILE:
            homes = ONE_FILE[library]
            at_home = any(module == home or module.startswith(home + "/") for home in homes)
            assert at_home, f"{module} imports {library}"


def test_only_settings_reads_the_environment():
    readers = {name(path) for path, file in MODULES.items() if "os.environ" in file.read_text("utf-8")}
    readers -= {"bench/broken"}  # hands it on to the processes it starts
    assert readers == {"settings", "engine/native"}  # native: what must be set before the library loads


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from vlmcli.cli.app import main; main(['--help']); main(['ask', '--help']);"
        "heavy = {'numpy', 'llama_cpp', 'PIL', 'rich', 'jinja2', 'gguf'} & {m.split('.')[0] for m in sys.modules};"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: vlm" in done.stdout
