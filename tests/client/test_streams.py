"""The reader of a stream's events: bytes cut anywhere in, objects with whole characters out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaopenai import APIConnectionError
from luaopenai.client.lenient import read_body, write
from luaopenai.client.streams import EventReader, deliver_events

Event = dict[str, Any]


def read(*pieces: bytes) -> list[Event]:
    """The events in a stream's pieces; their JSON texts must say the same."""
    found: list[Event] = []
    reader = EventReader(found.append)
    for piece in pieces:
        reader.feed(piece)
    reader.close()
    for event in found:
        assert str(json.loads(write(event), strict=False)) == str(event)
    return found


def stream(*events: str) -> bytes:
    return "".join(f"data: {event}\n\n" for event in events).encode()


def delta(text: str, choice: int = 0, field: str = "content") -> str:
    """An event with a text that is written as it stands: escapes and all."""
    return f'{{"choices":[{{"index":{choice},"delta":{{"{field}":"{text}"}}}}]}}'


def texts(events: Iterable[Event], field: str = "content") -> list[str]:
    return [event["choices"][0]["delta"].get(field) for event in events]


# --- Halves of characters ---


def test_the_second_half_is_joined_to_the_first() -> None:
    assert texts(read(stream(delta(r"a\ud83d"), delta(r"\ude00b")))) == ["a😀", "b"]


def test_an_event_may_bring_a_second_half_and_another_first_one() -> None:
    events = read(stream(delta(r"\ud83d"), delta(r"\ude00\ud83d"), delta(r"\ude00")))
    assert texts(events) == ["😀", "😀", ""]


def test_events_without_the_text_may_stand_between_the_halves() -> None:
    events = [delta(r"a\ud83d"), '{"choices":[]}', delta(""), delta(r"\ude00b")]
    assert read(stream(*events))[1] == {"choices": []}
    assert texts(read(stream(events[0], *events[2:]))) == ["a😀", "", "b"]


def test_halves_of_two_choices_are_not_mixed_up() -> None:
    events = read(
        stream(delta(r"\ud83d", 0), delta(r"\ud83c", 1), delta(r"\udf89", 1), delta(r"\ude00", 0))
    )
    assert texts(events) == ["😀", "🎉", "", ""]


def test_halves_of_two_fields_are_not_joined() -> None:
    events = read(stream(delta(r"\ud83d", field="reasoning"), delta(r"\ude00")))
    assert (texts(events, "reasoning")[0], texts(events)[1]) == ("\ufffd", "\ufffd")


def test_a_half_that_nothing_follows_is_replaced() -> None:
    assert texts(read(stream(delta(r"a\ud83d"), delta("b")))) == ["a\ufffd", "b"]


def test_an_event_waits_for_a_second_half_no_longer_than_for_64_events() -> None:
    found: list[Event] = []
    reader = EventReader(found.append)
    reader.feed(stream(delta(r"\ud83d"), *["{}"] * 62))
    assert found == []
    reader.feed(stream("{}"))
    assert (texts(found[:1]), len(found)) == (["\ufffd"], 64)


def test_halves_in_the_names_of_fields_are_replaced() -> None:
    assert read(stream(r'{"a\ud83d": {"\ude00": 1}}')) == [{"a\ufffd": {"\ufffd": 1}}]


def test_what_only_looks_like_half_of_a_character_is_left_alone() -> None:
    assert read(stream(r'{"a": "\\ud83d"}')) == [{"a": r"\ud83d"}]


# --- Anything ---

ODD_TEXT = st.lists(
    st.sampled_from([r"\ud83d", r"\ude00", r"\uD83D", "😀", "é", r"\n", r"\\", "\x01", "\0"])
).map("".join)


@given(st.lists(ODD_TEXT, max_size=6), st.data())
def test_a_stream_cut_anywhere_gives_the_same_events(parts: list[str], data: st.DataObject) -> None:
    whole = stream(*map(delta, parts))
    edges = data.draw(st.lists(st.integers(0, len(whole)), max_size=10).map(sorted))
    pieces = [whole[start:end] for start, end in pairwise([0, *edges, len(whole)])]
    assert read(*pieces) == read(whole)


@given(st.lists(ODD_TEXT, max_size=6))
def test_a_text_in_pieces_is_the_text_in_one(parts: list[str]) -> None:
    [whole] = read(stream(delta("".join(parts))))
    assert "".join(texts(read(stream(*map(delta, parts))))) == "".join(texts([whole]))


@given(st.binary())
def test_any_bytes_are_events_or_none(body: bytes) -> None:
    read(body)
    read(b"data: {" + body + b"}\n\n")


@given(st.binary())
def test_any_bytes_in_a_string_are_its_text(text: bytes) -> None:
    text = text.translate(None, b'"\\\r\n')
    assert read(b'data: {"a": "%s"}\n\n' % text) == [{"a": text.decode("utf-8", "replace")}]


@pytest.mark.parametrize("depth", [500, 5_000, 500_000])
def test_an_event_of_any_depth_raises_nothing(depth: int) -> None:
    read(b'data: {"a":' + b"[" * depth + b"]" * depth + b"}\n\n")


@given(
    st.recursive(
        st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_is_json_is_read_as_json_is(value: object) -> None:
    assert read_body(json.dumps(value).encode()) == value
    assert read_body(json.dumps(value, ensure_ascii=False).encode()) == value


def test_a_body_may_open_with_a_byte_order_mark() -> None:
    assert read_body('\ufeff{"a":"é"}'.encode()) == {"a": "é"}


# --- Ends ---


def test_what_came_before_the_network_failed_is_delivered_first() -> None:
    def pieces() -> Iterator[bytes]:
        yield stream(delta(r"a\ud83d"))
        yield b"data: " + delta("b").encode()
        raise APIConnectionError("cut")

    found: list[Event] = []
    with pytest.raises(APIConnectionError, match="cut"):
        deliver_events(pieces(), found.append)
    assert texts(found) == ["a\ufffd", "b"]


def test_a_failure_of_the_callbacks_own_ends_the_stream() -> None:
    found: list[Event] = []

    def on_event(event: Event) -> None:
        found.append(event)
        raise APIConnectionError("mine")

    with pytest.raises(APIConnectionError, match="mine"):
        deliver_events([stream(delta("a"), delta("b"))], on_event)
    assert texts(found) == ["a"]


def test_a_callback_that_returns_false_gets_no_more_events() -> None:
    found: list[Event] = []

    def on_event(event: Event) -> bool:
        found.append(event)
        return False

    first, second = stream(delta("a"), delta("b")), stream(delta("c"))
    assert deliver_events(iter([first, second]), on_event) == first
    assert texts(found) == ["a"]
