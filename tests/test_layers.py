"""tests/map.py, held to the code: who imports whom, which library lives where, how long everything is."""

import ast
import functools
import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.map import LIBRARIES, MAY_IMPORT, PACKAGE, folder_of, purpose
from tests.support import ROOT
from tests.support.program import VLM

MODULES = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
           for path in sorted(PACKAGE.rglob("*.py"))}  # fmt: skip


@functools.cache
def imports(name):
    """Dotted names imported anywhere in a module, in functions and for types too."""
    found = []
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            found += [one.value for one in node.args if isinstance(one, ast.Constant)]
    return found


def own(name):
    """The modules of this package that a module imports; its doors are imported only when they are used."""
    if name == "vlmcli":
        return
    for dotted in imports(name):
        if dotted in MODULES:
            yield dotted
        elif dotted.rpartition(".")[0] in MODULES:
            yield dotted.rpartition(".")[0]


def test_every_folder_is_on_the_map_and_above_what_imports_it():
    folders = list(MAY_IMPORT)
    assert {folder_of(path) for path in MODULES.values()} == set(folders)
    for number, folder in enumerate(folders):
        assert set(MAY_IMPORT[folder].split()) <= set(folders[:number]), f"{folder} may import upward"
        assert purpose(folder), f"{folder}/__init__.py does not say what it is for"


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_what_the_map_says(folder):
    found = {
        (name, other)
        for name, path in MODULES.items()
        if folder_of(path) == folder and name != "vlmcli.__main__"  # which only starts the program
        for other in own(name)
        if folder_of(MODULES[other]) not in (folder, *MAY_IMPORT[folder].split())
    }
    assert not found
    others = {folder_of(MODULES[other]) for name in MODULES if folder_of(MODULES[name]) == folder
              for other in own(name)}  # fmt: skip
    assert set(MAY_IMPORT[folder].split()) <= others, "the map allows what nobody needs"


def test_no_modules_import_one_another_in_a_circle():
    done, under_way = set(), []

    def visit(name):
        assert name not in under_way, " -> ".join([*under_way[under_way.index(name) :], name])
        if name not in done:
            under_way.append(name)
            for other in sorted(set(own(name)) - {name}):
                visit(other)
            done.add(under_way.pop())

    for name in MODULES:
        visit(name)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_where_it_lives(library):
    homes = {folder_of(MODULES[name]) for name in MODULES
             if any(dotted.split(".")[0] == library for dotted in imports(name))}  # fmt: skip
    assert homes == set(LIBRARIES[library].split())


def test_the_map_names_every_library():
    known = {*LIBRARIES, *sys.stdlib_module_names, "vlmcli", "tomllib", "tomli"}
    assert {dotted.split(".")[0] for name in MODULES for dotted in imports(name)} <= known


def test_only_settings_reads_the_environment():
    readers = {name for name, path in MODULES.items() if "os.environ" in path.read_text("utf-8")}
    readers -= {"vlmcli.bench.broken", "vlmcli.bench.headers"}  # hand it on to the processes they start
    assert readers == {"vlmcli.settings", "vlmcli.engine.native.library"}  # which sets what C reads when it loads


def test_modules_functions_and_the_engine_are_short():
    long = []
    for path in sorted(ROOT.glob("*/**/*.py")):
        name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        text = path.read_text("utf-8")
        most = {"vlmcli": 500, "tests": 600}.get(name.split(".")[0])
        if most and len(text.splitlines()) > most:
            long.append(f"{name}: {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)) if name.startswith("vlmcli.") else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _lines(node) > 60:
                long.append(f"{name}.{node.name}: {_lines(node)} lines")
            if isinstance(node, ast.ClassDef) and node.name == "Engine" and _lines(node) > 400:
                long.append(f"{name}.{node.name}: {_lines(node)} lines")
    assert not long


def _lines(node):
    return node.end_lineno - node.lineno + 1


def test_the_command_that_is_tested_is_of_this_tree():
    """Where a copy is installed, it is the same as what lies here."""
    code = "import vlmcli; print(vlmcli.__file__)"
    python = Path(VLM).with_name(Path(sys.executable).name)
    done = subprocess.run([python, "-P", "-c", code] if sys.version_info >= (3, 11) else [python, "-c", code],
                          capture_output=True, text=True, check=True, cwd=ROOT.parent)  # fmt: skip
    installed = Path(done.stdout.strip()).parent
    assert Path(importlib.util.find_spec("vlmcli").origin).parent == PACKAGE, "the tests import another tree"

    def files(folder):
        return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}  # fmt: skip

    assert files(installed) == files(PACKAGE), "`vlm` is of another tree than these tests: pip install '.[dev]' again"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from vlmcli.cli.app import main; main(['--help']); main(['ask', '--help']);"
        "heavy = {'numpy', 'llama_cpp', 'PIL', 'rich', 'jinja2', 'gguf'} & {m.split('.')[0] for m in sys.modules};"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: vlm" in done.stdout


def test_a_model_begins_to_load_before_what_answering_needs_is_imported():
    """numpy, Pillow and Jinja take longer to import than all else; they come while llama.cpp reads the weights."""
    code = (
        "import sys; from vlmcli.cli import answer, running, verbs; from vlmcli.engine import Engine, native, place;"
        "from vlmcli.models import store;"
        "heavy = {'numpy', 'PIL', 'rich', 'jinja2', 'xml', 'tomllib', 'email', 'httpx2', 'huggingface_hub', 'gguf'};"
        "heavy &= {m.split('.')[0] for m in sys.modules};"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
