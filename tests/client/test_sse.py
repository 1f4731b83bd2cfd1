"""The decoder of server-sent events: bytes cut anywhere in, the data of each event out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaopenai import APIConnectionError
from luaopenai.client.sse import Decoder


def decode(*pieces: bytes) -> list[object]:
    """The objects that a stream's pieces carry; anything but a JSON object is not accepted."""
    found: list[object] = []

    def accept(data: bytes) -> bool:
        try:
            value = json.loads(data)
        except ValueError:
            return False
        if isinstance(value, dict):
            found.append(value)
        return isinstance(value, dict)

    decoder = Decoder(accept)
    for piece in pieces:
        decoder.feed(piece)
    decoder.close()
    return found


def raw_data(piece: bytes) -> list[bytes]:
    """The data of each event in the first piece of a stream, before any more has come."""
    found: list[bytes] = []

    def accept(data: bytes) -> bool:
        found.append(data)
        return True

    Decoder(accept).feed(piece)
    return found


def cut(data: bytes, positions: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(positions), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


# --- Cutting ---

EVERYTHING = (
    "\ufeff: a comment\r\n"
    'event: ping\nid: 1\ndata: {"n":1}\n\n'
    'data:{"n":"é€😀"}\r\n\r\n'
    'data: {"n":\rdata: 3}\r\r'
    "data: not json\n\n"
    '  \tdata: {"n":4}\ndata: {"n":5}\n'
    "data: [DONE]\r\n\r\n"
    'data: {"n":6}'
).encode()
EVERYTHING_DECODED = [{"n": n} for n in (1, "é€😀", 3, 4, 5, 6)]


def test_a_whole_stream_in_one_piece_gives_its_events() -> None:
    assert decode(EVERYTHING) == EVERYTHING_DECODED


def test_a_stream_of_single_bytes_gives_the_same_events() -> None:
    assert decode(*cut(EVERYTHING, range(len(EVERYTHING)))) == EVERYTHING_DECODED


@given(st.lists(st.integers(0, len(EVERYTHING)), max_size=30))
def test_a_stream_cut_at_any_positions_gives_the_same_events(positions: list[int]) -> None:
    assert decode(*cut(EVERYTHING, positions)) == EVERYTHING_DECODED


LINES = st.sampled_from(
    b'|:|data|data:|data: {|data: "b":2}|data: {"a":1}| data: {}|data: [DONE]|data: x'
    b"|id: 7|retry: {}|datum: {}|\xef\xbb\xbf|\xff".split(b"|")
)


@given(st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=12), st.data())
def test_any_lines_cut_anywhere_give_what_they_give_whole(
    lines: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(line + end for line, end in lines)
    positions = data.draw(st.lists(st.integers(0, len(stream))))
    assert decode(*cut(stream, positions)) == decode(stream)


@given(st.lists(st.dictionaries(st.text(), st.text()), max_size=5))
def test_every_object_comes_out_as_it_went_in(objects: list[dict[str, str]]) -> None:
    stream = "".join(f"data: {json.dumps(one, ensure_ascii=False)}\n\n" for one in objects)
    assert decode(stream.encode()) == objects


# --- Lines ---


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_each_kind_of_line_end_ends_a_line(end: bytes) -> None:
    assert decode(end.join([b'data: {"a":1}', b"", b'data: {"b":2}', b"", b""])) == [
        {"a": 1},
        {"b": 2},
    ]


def test_a_crlf_cut_in_two_is_one_line_end() -> None:
    assert decode(b'data: {"a":\r', b"\ndata: 1}\r", b"\n\r", b"\n") == [{"a": 1}]


def test_an_empty_piece_between_cr_and_lf_changes_nothing() -> None:
    assert decode(b'data: {"a":\r', b"", b"\ndata: 1}\n\n") == [{"a": 1}]


def test_the_last_line_may_lack_its_newline() -> None:
    assert decode(b'data: {"a":1}') == [{"a": 1}]


def test_an_event_of_several_lines_may_lack_the_blank_line_at_the_end() -> None:
    assert decode(b'data: {"a":\ndata: 1}') == [{"a": 1}]


def test_a_byte_order_mark_may_open_the_stream() -> None:
    assert decode(b'\xef\xbb\xbfdata: {"a":1}\n\n') == [{"a": 1}]


def test_a_byte_order_mark_later_on_spoils_its_line() -> None:
    assert decode(b'data: {"a":1}\n\n\xef\xbb\xbfdata: {"b":2}\n\n') == [{"a": 1}]


def test_white_space_may_stand_before_a_line() -> None:
    assert decode(b' \t data: {"a":1}\n\n') == [{"a": 1}]


# --- Fields ---


def test_the_space_after_the_colon_may_be_left_out() -> None:
    assert decode(b'data:{"a":1}\n\n') == [{"a": 1}]


def test_only_one_space_after_the_colon_is_taken_off() -> None:
    assert raw_data(b"data:  text\n\n") == [b" text"]


@pytest.mark.parametrize(
    "line",
    [b": a comment", b":", b"event: message", b"id: 1", b"retry: 10", b"data", b"{}", b"\xff"],
)
def test_a_line_that_is_no_data_is_passed_over(line: bytes) -> None:
    assert decode(line + b'\ndata: {"a":1}\n' + line + b"\n\n") == [{"a": 1}]


def test_data_over_several_lines_is_joined_with_newlines() -> None:
    assert raw_data(b"data: one\ndata\ndata:\ndata: two\n\n") == [b"one\n\ntwo"]


def test_a_comment_inside_an_event_does_not_end_it() -> None:
    assert decode(b'data: {"a":\n: still here\ndata: 1}\n\n') == [{"a": 1}]


# --- Events ---


def test_whole_objects_need_no_blank_line_between_them() -> None:
    assert decode(b'data: {"a":1}\ndata: {"b":2}\ndata: {"c":3}\n') == [
        {"a": 1},
        {"b": 2},
        {"c": 3},
    ]


def test_a_whole_object_is_an_event_before_its_blank_line_has_come() -> None:
    assert raw_data(b'data: {"a":1}\n') == [b'{"a":1}']


def test_a_line_that_only_looks_like_a_whole_object_waits_for_the_rest() -> None:
    assert decode(b'data: {"a":{}\ndata: }\n\n') == [{"a": {}}]


@pytest.mark.parametrize("before", [b"{broken", b'{"a":', b"{oops}", b"not json", b"{}}", b"["])
def test_a_whole_object_is_an_event_whatever_came_before_it(before: bytes) -> None:
    assert decode(b"data: " + before + b'\ndata: {"b":2}\n') == [{"b": 2}]


def test_an_object_over_several_lines_comes_before_the_one_on_the_next() -> None:
    assert decode(b'data: {"a":\ndata: 1}\ndata: {"b":2}\n') == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_an_object_may_go_on_in_lines_without_their_field_name(end: bytes) -> None:
    lines = [b'data: {"a":', b"event: ping", b": a comment", b"  1,", b'"b":2', b"}", b"", b""]
    assert decode(end.join(lines)) == [{"a": 1, "b": 2}]


def test_the_end_mark_is_no_event() -> None:
    assert decode(b'data: {"a":1}\n\ndata: [DONE]\n\n') == [{"a": 1}]


def test_the_end_mark_ends_an_event_that_has_no_blank_line() -> None:
    assert decode(b'data: {"a":\ndata: 1}\ndata: [DONE]\n') == [{"a": 1}]


@pytest.mark.parametrize("data", [b"not json", b'{"a":', b"{oops}", b"[1]", b"1", b"null", b""])
def test_data_that_is_no_json_object_is_passed_over(data: bytes) -> None:
    assert decode(b"data: " + data + b'\n\ndata: {"b":2}\n\n') == [{"b": 2}]


def test_a_stream_of_nothing_gives_nothing() -> None:
    assert decode() == decode(b"") == decode(b"\n\n\n") == []


# --- Events without end ---


@pytest.mark.parametrize("piece", [b"x" * 10, b"data: x\n", b"data: {\n"], ids=repr)
def test_an_event_that_grows_beyond_the_limit_is_a_failure_and_is_not_held(piece: bytes) -> None:
    decoder = Decoder(lambda data: False, limit=1000)
    for _ in range(1000 // len(piece)):
        decoder.feed(piece)
    with pytest.raises(APIConnectionError, match=r"^an event of the stream is larger than 1000 "):
        decoder.feed(piece)
    decoder.feed(piece)


@pytest.mark.parametrize(
    "event",
    [b'data: {"a": 1}\n', b'data: {"a": 1}\n\n', b'data: {\ndata: "a": 1}\n\n', b": ping\n"],
)
def test_a_stream_of_any_length_has_events_within_the_limit(event: bytes) -> None:
    found: list[bytes] = []

    def accept(data: bytes) -> bool:
        found.append(data)
        return True

    decoder = Decoder(accept, limit=100)
    for piece in cut(event * 1000, range(7, len(event) * 1000, 7)):
        decoder.feed(piece)
    assert len(found) == (0 if event.startswith(b":") else 1000)
