"""What a stranger's text may do to a terminal: nothing but show itself."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaopenai.cli.harmless import HarmlessStream, cut, harmless, one_line

COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

TEXTS = st.text(st.sampled_from("\x1b\x9b[]0;31mHA\x07\\ \n\t\rxé日\x7f\x85"), max_size=40)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("up\x1b[2A\x1b[2Kgone", "upgone"),
        ("\x9b31mred", "red"),
        ("a\x1b7b\x1b(0c\x1bcd", "abcd"),
        ("\x1b]0;title\x07text", "0;titletext"),
        ("over\rwritten\r\n", "overwritten\n"),
        ("tab\tand\nline\x08\x07\x7f\x85", "tab\tand\nline"),
        ("ends with \x1b[3", "ends with "),
        ("日本 é 🙂", "日本 é 🙂"),
    ],
)
def test_sequences_and_control_characters_are_taken_out(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(TEXTS, st.lists(st.integers(0, 40)))
def test_a_text_in_pieces_is_as_harmless_as_a_whole_one(text: str, places: list[int]) -> None:
    ends = sorted({0, len(text), *(place for place in places if place < len(text))})
    stream = HarmlessStream()
    pieces = [stream.feed(text[a:b]) for a, b in pairwise(ends)]
    shown = "".join(pieces)
    assert not COMMANDS.search(shown)
    assert harmless(text).startswith(shown)


@given(st.text())
def test_one_line_shows_all_in_one_line(text: str) -> None:
    shown = one_line(text)
    assert not COMMANDS.search(shown)
    assert len(shown.splitlines()) <= 1


def test_what_turns_the_direction_of_a_line_is_escaped() -> None:
    assert one_line("a\u202eb\nc\x1b") == "a\\u202eb\\nc\\u001b"


@pytest.mark.parametrize("unseen", ["\xad", "\u115f", "\u180e", "\u3164", "\ufff9", "\ud800"])
def test_what_takes_no_place_in_a_line_is_escaped(unseen: str) -> None:
    assert one_line(f"a{unseen}b") == f"a\\u{ord(unseen):04x}b"


def test_the_tags_in_which_text_can_be_hidden_are_escaped() -> None:
    assert one_line("a\U000e0041b\U000e0100") == "a\\u{e0041}b\\u{e0100}"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("short", 5, "short"), ("longer", 5, "long…"), ("日本語", 5, "日本…"), ("日本語", 4, "日…")],
)
def test_a_line_is_cut_to_the_columns_that_there_are(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown
