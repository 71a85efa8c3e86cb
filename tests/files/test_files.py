"""The bytes of a file."""

import json
import os
import struct

import numpy as np
import pytest
import safetensors.numpy

from skdeepcluster.files import FORMAT, Damaged, Foreign, _files as files, dumps, loads, write_file

ARRAYS = {"weight": np.arange(40.0), "labels": np.array([0, 1, 1])}


def whole():
    return dumps("toy", {"a": [1, 2.5, None]}, ARRAYS)


def with_header(change):
    """The file with another JSON, and the digest that it had."""
    raw = whole()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    inner = json.loads(header["__metadata__"]["skdeepcluster"])
    change(inner)
    header["__metadata__"]["skdeepcluster"] = json.dumps(inner)
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + raw[8 + length :]


def test_what_is_written_is_read():
    content, arrays = loads(whole(), "toy")
    assert content == {"a": [1, 2.5, None]}
    assert sorted(arrays) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_equal_contents_have_equal_bytes():
    assert dumps("toy", {"a": [1, 2.5, None]}, dict(reversed(ARRAYS.items()))) == whole()


def test_it_is_a_file_of_safetensors():
    np.testing.assert_array_equal(safetensors.numpy.load(whole())["labels"], [0, 1, 1])


def test_a_file_that_was_cut_says_where():
    raw = whole()
    for length in range(8 + len(files.MAGIC), len(raw), 31):
        with pytest.raises(Damaged, match=rf"damaged: cut short after {length} bytes"):
            loads(raw[:length], "toy")


def test_every_bit_counts():
    raw = bytearray(whole())
    for place in range(len(raw)):
        raw[place] ^= 8
        with pytest.raises(ValueError, match=r"damaged|not a file of|holds|is of format"):
            loads(bytes(raw), "toy")
        raw[place] ^= 8


def test_what_is_added_counts():
    with pytest.raises(Damaged):
        loads(whole() + b"x", "toy")


def test_a_changed_header_is_told():
    def change(inner):
        inner["content"]["a"][0] = 2

    with pytest.raises(Damaged, match="digest differs"):
        loads(with_header(change), "toy")
    assert loads(with_header(lambda inner: None), "toy")[0]["a"][0] == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda inner: inner.pop("kind"),
        lambda inner: inner.pop("format"),
        lambda inner: inner.pop("digest"),
        lambda inner: inner.update(format="1"),
        lambda inner: inner.update(content={"more": 1}),
        lambda inner: inner.update(content=float("nan")),
    ],
)
def test_a_header_without_its_parts_is_damaged(change):
    with pytest.raises(Damaged):
        loads(with_header(change), "toy")


def test_a_later_version_is_told():
    later = with_header(lambda inner: inner.update(format=FORMAT + 1))
    with pytest.raises(ValueError, match=rf"is of format {FORMAT + 1}, and this version .* later"):
        loads(later, "toy")


def test_another_kind_is_told():
    with pytest.raises(Foreign, match="holds a toy and no model"):
        loads(whole(), "model")


@pytest.mark.parametrize("raw", [b"", b"12345678", b"notes", safetensors.numpy.save(ARRAYS)])
def test_other_files_are_told(raw):
    with pytest.raises(Foreign, match="is not a file of skdeepcluster"):
        loads(raw, "toy")


def test_a_file_replaces_what_stood_there(tmp_path):
    path, precious = tmp_path / "file", tmp_path / "precious"
    precious.write_bytes(b"mine")
    path.symlink_to(precious)
    write_file(path, b"new")
    assert path.read_bytes() == b"new" and not path.is_symlink()
    assert precious.read_bytes() == b"mine"
    assert {each.name for each in tmp_path.iterdir()} == {"file", "precious"}


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize(("mode", "expected"), [(0o666, 0o644), (0o600, 0o600)])
def test_modes_follow_the_process(tmp_path, mode, expected):
    before = os.umask(0o022)
    try:
        write_file(tmp_path / "file", b"x", mode)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == expected
