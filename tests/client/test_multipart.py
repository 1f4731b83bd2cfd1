"""Forms with files: read back by another implementation, they hold what went in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaopenai.client.multipart import encode
from support import exactly
from support.forms import File, Form, read_form

BYTES = bytes(range(256)) + b"\r\n--boundary--\r\n"


def read_back(fields: dict[str, Any]) -> Form:
    return read_form(*encode(fields, ["file"]))


def file_of(file: Any) -> File:
    return read_back({"file": file}).files["file"]


def test_a_file_may_be_a_path(tmp_path: Path) -> None:
    (tmp_path / "speech.wav").write_bytes(BYTES)
    assert file_of(tmp_path / "speech.wav") == ("speech.wav", BYTES)
    assert file_of(str(tmp_path / "speech.wav")) == ("speech.wav", BYTES)


def test_a_file_may_be_a_name_and_its_content() -> None:
    assert file_of(("a.bin", BYTES)) == ("a.bin", BYTES)
    assert file_of({"name": "a.bin", "content": BYTES}) == ("a.bin", BYTES)
    assert file_of(("a.txt", "Zürich")) == ("a.txt", "Zürich".encode())


def test_a_file_may_be_open(tmp_path: Path) -> None:
    (tmp_path / "speech.wav").write_bytes(BYTES)
    with (tmp_path / "speech.wav").open("rb") as opened:
        assert file_of(opened) == ("speech.wav", BYTES)
    assert file_of(io.BytesIO(BYTES)) == ("file", BYTES)


@given(st.binary())
def test_any_bytes_arrive_unchanged(content: bytes) -> None:
    assert file_of(("a.bin", content)) == ("a.bin", content)


def test_a_name_cannot_break_out_of_its_header() -> None:
    form = read_back({"file": ('a"\r\nX-Evil: 1\r\n\r\nb.txt', b"content")})
    assert (list(form.fields), list(form.files)) == ([], ["file"])
    assert form.files["file"].content == b"content"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_arrives_unchanged(text: str) -> None:
    assert read_back({"file": ("a", b""), "prompt": text}).fields == {"prompt": [text]}


def test_numbers_booleans_and_lists_are_written_as_the_api_reads_them() -> None:
    fields = {"n": 2, "temperature": 0.5, "stream": True, "cold": False, "nothing": None}
    form = read_back({"file": ("a", b""), "include": ["logprobs", "x"], **fields})
    assert form.fields == {
        "include[]": ["logprobs", "x"],
        "n": ["2"],
        "temperature": ["0.5"],
        "stream": ["true"],
        "cold": ["false"],
    }


NO_FILE = "file: expected a path, or a filename and its content"
NO_CONTENT = "file: expected a filename and its content"
NO_TEXT = "x: a form takes text, numbers, booleans and files"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"file": 5}, NO_FILE),
        (["a.txt"], "a form's fields need names"),
        ({5: "a.txt"}, "a form's fields need names"),
        ({"file": "/no/such/file"}, "file: cannot read /no/such/file: No such file or directory"),
        ({"file": "a\0b"}, "file: cannot read a\0b: embedded null byte"),
        ({"file": ("a", None)}, NO_CONTENT),
        ({"file": {"content": b""}}, NO_CONTENT),
        ({"file": ("a", b"", 5)}, "file: expected a string for content_type"),
        ({"file": ("a", b""), "x": {}}, NO_TEXT),
        ({"file": ("a", b""), "x": [None]}, NO_TEXT),
        ({"file": ("a", b""), "x": "\ud800"}, "x: the string is not valid Unicode"),
    ],
    ids=repr,
)
def test_what_has_no_place_in_a_form_is_refused(fields: Any, text: str) -> None:
    with pytest.raises(ValueError, match=exactly(text)):
        encode(fields, ["file"])
