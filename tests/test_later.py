"""A module that is put off is imported with its first use."""

import subprocess
import sys

import pytest

from vlmcli.later import Later


def test_a_module_is_imported_when_something_of_it_is_used():
    code = (
        "import sys; from vlmcli.later import Later; one = Later('wave'); assert 'wave' not in sys.modules;"
        "first = one.open; import wave; assert first is wave.open is one.open; assert vars(one)['open'] is first"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_not_there_is_the_usual_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = Later("json").no_such_name
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        _ = Later("no_such_module").anything
