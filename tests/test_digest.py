"""What a file hashes to, and how far its reading has come."""

import hashlib

import pytest

from vlmcli import digest


def test_a_file_has_the_hash_of_its_bytes_and_its_reading_is_told(tmp_path):
    data = b"abc" * digest.BLOCK
    (tmp_path / "file").write_bytes(data)
    told = []
    assert digest.sha256(tmp_path / "file", told.append) == hashlib.sha256(data).hexdigest()
    assert told == [digest.BLOCK, 2 * digest.BLOCK, 3 * digest.BLOCK]


def test_a_hash_that_has_been_begun_goes_on(tmp_path):
    (tmp_path / "file").write_bytes(b"and more")
    hashed = hashlib.sha1(b"begun ", usedforsecurity=False)
    assert digest.add_file(hashed, tmp_path / "file") == 8
    assert hashed.digest() == hashlib.sha1(b"begun and more", usedforsecurity=False).digest()


def test_a_file_that_is_not_there_has_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        digest.sha256(tmp_path / "file")
