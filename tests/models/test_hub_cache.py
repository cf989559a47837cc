"""What the Hub's cache says of a file in it, and how much it holds."""

from pathlib import Path

from vlmcli.models import hub_cache

HASH = "0123456789abcdef" * 4


def test_a_cached_file_is_of_a_commit_and_others_of_none():
    assert hub_cache.revision(Path("/hub/models--o--r/snapshots/abc/model.gguf")) == "abc"
    assert hub_cache.revision(Path("/hub/models--o--r/snapshots/abc/folder/model.gguf")) == "abc"
    assert hub_cache.revision(Path("/models/model.gguf")) == ""
    assert hub_cache.revision(Path("/snapshots/model.gguf")) == ""


def test_a_cached_file_was_published_with_its_contents_name(tmp_path):
    blob, link = tmp_path / "blobs" / HASH, tmp_path / "snapshots" / "abc" / "model.gguf"
    for path in (blob, link):
        path.parent.mkdir(parents=True)
    blob.write_bytes(b"")
    link.symlink_to(blob)
    assert hub_cache.published_sha256(link) == HASH
    small = link.with_name("README.md")
    small.symlink_to(blob.with_name("a" * 40))  # git's hash of a small file
    assert hub_cache.published_sha256(small) == ""


def test_a_cache_holds_content_and_parts_of_it(tmp_path):
    blobs = tmp_path / "models--o--r" / "blobs"
    assert hub_cache.held(tmp_path) == (0, 0)
    blobs.mkdir(parents=True)
    (blobs / HASH).write_bytes(bytes(30))
    (blobs / ("a" * 40)).write_bytes(bytes(2))
    (blobs / f"{HASH}.incomplete").write_bytes(bytes(5))
    assert hub_cache.held(tmp_path) == (32, 5)
