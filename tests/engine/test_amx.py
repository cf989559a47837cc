"""A compiler that gets AMX wrong is told by what it leaves in a library's file."""

import pytest

from vlmcli.engine.native import amx


@pytest.mark.parametrize(
    ("comment", "name"),
    [
        (b"GCC: (Debian 12.2.0-14+deb12u1) 12.2.0\0", "GCC 12.2"),
        (b"GCC: (GNU) 11.2.1 20220127 (Red Hat 11.2.1-9)\0", "GCC 11.2"),
        (b"GCC: (Ubuntu 13.2.0-23ubuntu4) 13.2.0\0", "GCC 13.2"),
        (b"GCC: (GNU) 10.2.1\0", "GCC 10.2"),
        (b"GCC: (Ubuntu 11.5.0-1) 11.5.0\0", ""),
        (b"GCC: (Ubuntu 13.3.0-6ubuntu2) 13.3.0\0", ""),
        (b"GCC: (GNU) 14.1.0\0", ""),
        (b"GCC: (Debian 14.2.0-19) 14.2.0\0", ""),
        (b"GCC: (GNU) 15.0.1\0", ""),
        (b"GCC: (Debian 12.2.0-14) 12.2.0\0Debian clang version 14.0.6\0", ""),
        (b"", ""),
    ],
)
def test_the_compilers_before_the_mending_are_named(comment, name):
    assert amx.miscompiler(b"\x7fELF \0 machine code \0" + comment + b"\0.symtab\0") == name
