"""Lists that come in pages: what a page brings, and how the next one is asked for; without I/O."""

from __future__ import annotations

from luaopenai.client.completions import bad_status, is_success
from luaopenai.client.endpoints import find
from luaopenai.client.errors import APIError
from luaopenai.client.server_errors import reported_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from luaopenai.client.endpoints import Endpoint


def find_list(name: str) -> Endpoint:
    """Returns the endpoint of a method that lists something.

    Raises:
        ValueError: there is no such method, or its answer is no list.
    """
    endpoint = find(name, "each")
    if endpoint.pages is None:
        raise ValueError(f"each: {name} does not return a list")
    return endpoint


def check_page(status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
    """Raises ``APIError``, or the subclass for the status, unless a response is a page."""
    if not is_success(status):
        raise bad_status(status, body, headers)
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        text = f"The answer is not a page of a list{reported_error(body)}"
        raise APIError(text, status=status, body=body, headers=headers)


def next_cursor(status: int, body: dict[str, Any], last: object) -> str | None:
    """Returns the cursor that asks for the next page, or None after the last page.

    Args:
        status: the answer's.
        body: a page; of its items only the last is looked at.
        last: what this page was asked for by.

    Raises:
        APIError: there is more, and the page does not tell how to get at it.
    """
    next_page = body.get("next") or body.get("next_page")
    has_more = body.get("has_more")
    if has_more is False or not body["data"] or not (next_page or has_more):
        return None
    item = body["data"][-1]
    cursor = (
        next_page or body.get("last_id") or (item.get("id") if isinstance(item, dict) else None)
    )
    if not isinstance(cursor, str) or cursor == last:
        # Without this, a server that does not know pages would be asked for the same one for ever.
        text = "The list has more, but its page does not tell how to go on"
        raise APIError(text, status=status, body=body)
    return cursor
