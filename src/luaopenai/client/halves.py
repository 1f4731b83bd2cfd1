"""Joins the characters that a server has cut in two between one event of a stream and the next."""

from __future__ import annotations

from luaopenai.client.lenient import mend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Event = dict[str, Any]
    KeyPath = tuple[object, ...]

_PATIENCE = 64
"""How many events are held back at most for the second half of a character."""


class Halves:
    """Holds back the events whose text ends in half of a surrogate pair until the other half comes.

    The pair then stands in the event that its first half came in. A half whose other half does not
    come is U+FFFD.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._open: dict[KeyPath, tuple[Any, Any]] = {}

    def __bool__(self) -> bool:
        """Returns whether events are held back."""
        return bool(self._events)

    def take(self, event: Event) -> list[Event]:
        """Takes an event; returns the events that are complete by now, in their order."""
        for path, container, key, text in list(_texts(event)):
            if path in self._open:
                before, at = self._open.pop(path)
                if "\udc00" <= text[0] <= "\udfff":
                    before[at] += text[0]
                    container[key] = text[1:]
            if "\ud800" <= text[-1] <= "\udbff":
                self._open[path] = container, key
        self._events.append(event)
        return [] if self._open and len(self._events) < _PATIENCE else self.end()

    def end(self) -> list[Event]:
        """Returns the events that are still held back."""
        events, self._events = self._events, []
        self._open.clear()
        return [mend(event) for event in events]


def _texts(event: Event) -> Iterator[tuple[KeyPath, Any, Any, str]]:
    """Yields the texts of an event that are not empty: path in the stream, container, key and text.

    A path is the same in all events that continue one text: list items count by their own index
    where they have one, and events of the Responses API by what they belong to.
    """
    names = ("type", "item_id", "output_index", "content_index", "summary_index")
    root = tuple(str(event.get(name)) for name in names)
    waiting: list[tuple[KeyPath, Any]] = [(root, event)]
    while waiting:
        path, container = waiting.pop()
        items = container.items() if isinstance(container, dict) else enumerate(container)
        for key, item in items:
            if isinstance(item, str) and item:
                yield (*path, key), container, key, item
            elif isinstance(item, dict | list):
                own = item.get("index") if isinstance(item, dict) else None
                waiting.append(((*path, own if isinstance(own, int) else key), item))
