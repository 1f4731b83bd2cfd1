"""Finds a server's own words about an error, in whatever form its body gives them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LONGEST = 200
"""Characters of a body that is no JSON; what is longer is cut."""


def error_text(body: object) -> str:
    """Returns a body's error as ``: TEXT (CODE)``, each where there is one.

    Args:
        body: decoded JSON, or text: a plain line, or an event stream that carries the error.
    """
    text, code = _words(body)
    return (f": {text}" if text else "") + (f" ({code})" if code else "")


def reported_error(body: object) -> str:
    """Does the same for a response whose status reports no error: a body must clearly mean one."""
    if isinstance(body, dict):
        return error_text(body) if body.get("error") or body.get("detail") else ""
    if isinstance(body, list):
        return next(filter(None, map(reported_error, body[:1])), "")
    if not isinstance(body, str) or '"error"' not in body:
        return ""
    return next(filter(None, map(reported_error, _events(body))), "")


def _words(body: object) -> tuple[str, str]:
    """Returns the text and the code of the error in a body, each "" where there is none."""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if isinstance(body, str):
        return _words_of_text(body)
    if isinstance(body, list):
        body = body[0] if body else None
    if not isinstance(body, dict):
        return "", ""
    error = body.get("error")
    if isinstance(error, str) and error:
        return error, ""
    if isinstance(error, dict):
        return _words_of_error(error)
    if body.get("detail"):
        return _words_of_detail(body["detail"])
    return _words_of_error(body) if isinstance(body.get("message"), str) else ("", "")


def _words_of_error(error: dict[str, Any]) -> tuple[str, str]:
    text, code = error.get("message"), error.get("code")
    if isinstance(code, float) and code.is_integer():
        code = int(code)  # Lua does not tell 400.0 from 400.
    is_code = isinstance(code, str | int | float) and not isinstance(code, bool)
    return text if isinstance(text, str) else "", str(code) if is_code else ""


def _words_of_detail(detail: object) -> tuple[str, str]:
    """Reads FastAPI's form: a text, or a list of faults with their locations in the request."""
    if isinstance(detail, str):
        return detail, ""
    if isinstance(detail, dict):
        return _words({"error": detail.get("error") or detail})
    if not isinstance(detail, list):
        return "", ""
    return "; ".join(filter(None, map(_words_of_fault, detail))), ""


def _words_of_fault(fault: object) -> str:
    if isinstance(fault, str):
        return fault
    if not isinstance(fault, dict) or not isinstance(fault.get("msg"), str):
        return ""
    location = fault.get("loc")
    steps = (
        [str(step) for step in location if isinstance(step, str | int)]
        if isinstance(location, list)
        else []
    )
    return f"{'.'.join(steps)}: {fault['msg']}" if steps else str(fault["msg"])


def _words_of_text(text: str) -> tuple[str, str]:
    found = next((words for event in _events(text) if any(words := _words(event))), None)
    if found:
        return found
    line = " ".join(text.split())
    if line.startswith("<") or not line.isprintable() or "\ufffd" in line:
        return "", ""
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…", ""


def _events(text: str) -> list[object]:
    """Returns the data of the events in a text, decoded where it is JSON."""
    from luaopenai.client.payload import decode
    from luaopenai.client.sse import Decoder

    events: list[object] = []

    def accept(data: bytes) -> bool:
        event = decode(data)
        is_broken = isinstance(event, str) and data.startswith(b"{")
        if not is_broken:
            events.append(event)
        return not is_broken

    decoder = Decoder(accept)
    decoder.feed(text.encode("utf-8", "replace"))
    decoder.close()
    return events
