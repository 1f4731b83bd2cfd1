"""JSON on the wire: what goes out, what comes in, and what is refused with the place it stands."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaopenai.client.payload import decode, encode, fault
from support import exactly

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_whatever_is_encoded_decodes_to_itself(value: object) -> None:
    assert decode(encode(value)) == value


@given(JSON)
def test_what_can_be_sent_has_no_fault(value: object) -> None:
    assert fault(value) == ""


def test_text_goes_out_as_compact_utf_8() -> None:
    assert encode({"a": ["é", "😀", None]}) == '{"a":["é","😀",null]}'.encode()


def test_a_tuple_goes_out_as_a_list() -> None:
    assert encode((1, (2,))) == b"[1,[2]]"


def itself(make: Callable[[Any], Any]) -> object:
    """A list that holds what ``make`` makes of it."""
    value: list[Any] = []
    value.append(make(value))
    return value


REFUSED = [
    (math.nan, "payload: JSON has no nan"),
    ({"a": [0, math.inf]}, "payload.a[1]: JSON has no inf"),
    ([-math.inf], "payload[0]: JSON has no -inf"),
    ({"a": b"text"}, "payload.a: the string is not valid UTF-8"),
    ({"a": {"b": "\ud800"}}, "payload.a.b: the string is not valid UTF-8"),
    ({"a": object()}, "payload.a: JSON has no object"),
    ({"a": ({1, 2},)}, "payload.a[0]: JSON has no set"),
    ({"a": Decimal(1)}, "payload.a: JSON has no Decimal"),
    ({"a": len}, "payload.a: JSON has no function"),
    (itself(lambda whole: whole), "payload[0]: the table contains itself"),
    (itself(lambda whole: {"b": (whole,)}), "payload[0].b[0]: the table contains itself"),
]


@pytest.mark.parametrize(("value", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_what_json_cannot_carry_is_refused_by_its_place(value: object, text: str) -> None:
    with pytest.raises(ValueError, match=exactly(text)):
        encode(value)


def test_a_key_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the string is not valid UTF-8$"):
        encode({"a": {"\ud800": 1}})


def test_a_key_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^payload: keys must be str"):
        encode({("a", "b"): 1})


def test_a_payload_of_bottomless_depth_is_refused() -> None:
    value: object = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match=r"^payload: nested too deeply$"):
        encode(value)


def test_one_value_in_two_places_is_no_cycle() -> None:
    shared = ["x"]
    with pytest.raises(ValueError, match=r"^payload\.c: JSON has no set$"):
        encode({"a": shared, "b": [shared, shared], "c": set()})


def test_places_are_named_as_the_caller_counts_and_calls_them() -> None:
    assert fault([1, [2, math.nan]], "messages", 1) == "messages[2][2]: JSON has no nan"


def test_the_error_does_not_drag_the_encoders_own_behind_it() -> None:
    with pytest.raises(ValueError, match=r"JSON has no nan") as caught:
        encode(math.nan)
    assert caught.value.__suppress_context__


# --- Bodies ---


def test_a_body_that_is_not_json_is_its_text() -> None:
    assert decode(b"<html>502</html>") == "<html>502</html>"


def test_an_empty_body_is_an_empty_text() -> None:
    assert decode(b"") == ""


def test_bytes_that_are_not_utf_8_are_replaced_in_a_text() -> None:
    assert decode(b"caf\xe9") == "caf\ufffd"


def test_a_body_of_bottomless_depth_is_its_text() -> None:
    body = "[" * 100_000 + "]" * 100_000
    assert decode(body.encode()) == body


def test_integers_of_any_size_stay_exact() -> None:
    assert decode(json.dumps(2**70).encode()) == 2**70
