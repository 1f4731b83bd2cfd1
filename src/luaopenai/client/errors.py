"""What the client raises when an answer is unusable or no answer came."""

from __future__ import annotations


class APIError(Exception):
    """The server answered, and the answer cannot be used as a reply.

    The message is the one that a Lua session returns as its second value, for instance
    ``Bad status: 401: Incorrect API key provided (invalid_api_key)``.

    Attributes:
        status: the HTTP status code.
        body: the decoded JSON body, or the raw text where it is not JSON.
    """

    def __init__(self, message: str, *, status: int, body: object) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class APIConnectionError(Exception):
    """The request got no complete answer: the network failed, or time ran out.

    The message says what failed and where, without credentials.

    Attributes:
        was_sent: whether the server may have seen the request.
    """

    was_sent = True
