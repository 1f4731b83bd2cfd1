"""The errors that the client raises for an unusable response, or when none came."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from luaopenai.client.runs import ToolCall


class OpenAIError(Exception):
    """The base of all that the client raises when a request fails.

    What is wrong with an argument is a ``ValueError`` or a ``TypeError`` instead, as everywhere.

    Attributes:
        message: the text, one line without credentials.
    """

    @property
    def message(self) -> str:
        """The text, one line without credentials."""
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles an error without a call of its ``__init__``, which takes more than the text."""
        from copyreg import __newobj__  # type: ignore[attr-defined]

        return __newobj__, (type(self), *self.args), self.__dict__


class APIError(OpenAIError):
    """The server answered, and the answer cannot be used as a reply.

    The message is the one that a Lua session returns as its second value, for instance
    ``Bad status: 401: Incorrect API key provided (invalid_api_key)``.

    Attributes:
        status: the HTTP status code.
        body: the decoded JSON body, or the raw text where it is not JSON.
        headers: the answer's, names in lower case.
        status_code: another name of ``status``.
        code: what the body gives as the error's code, such as ``invalid_api_key``, or None.
        request_id: the server's number for the request, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        body: object,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    @property
    def status_code(self) -> int:
        """Another name of ``status``."""
        return self.status

    @property
    def code(self) -> Any:
        """The error's code in the body, such as ``invalid_api_key``, or None."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return error.get("code") if isinstance(error, dict) else None

    @property
    def request_id(self) -> str | None:
        """The server's number for the request, or None."""
        return self.headers.get("x-request-id")


class APIStatusError(APIError):
    """The server answered with a status that is no success."""


class BadRequestError(APIStatusError):
    """Status 400: the server does not understand the request."""


class AuthenticationError(APIStatusError):
    """Status 401: the key is missing or wrong."""


class PermissionDeniedError(APIStatusError):
    """Status 403: the key does not grant this."""


class NotFoundError(APIStatusError):
    """Status 404: there is no such model, object or path."""


class ConflictError(APIStatusError):
    """Status 409: another request was there first."""


class UnprocessableEntityError(APIStatusError):
    """Status 422: the request is understood, and its values cannot be used."""


class RateLimitError(APIStatusError):
    """Status 429: too many requests, or the quota is used up."""


class InternalServerError(APIStatusError):
    """Status 500 or above: the server failed."""


class APIConnectionError(OpenAIError):
    """The request got no complete answer: the network failed, or time ran out.

    The message says what failed and where, without credentials.

    Attributes:
        was_sent: whether the server may have seen the request.
        body: the text that had come by then, where a session's stream was cut off; the last body,
            where ``wait_for`` was out of time; else None.
    """

    was_sent = True
    body: object = None


class APITimeoutError(APIConnectionError):
    """Time ran out before there was a connection, or before the next part of the answer came.

    Or before what ``wait_for`` waits for was done.
    """


class ToolLoopError(OpenAIError):
    """A run has come to its ``max_steps``, and the model still calls tools.

    Attributes:
        calls: all calls so far, in order, as ``Run.calls`` has them; the last were not run.
    """

    def __init__(self, message: str, calls: list[ToolCall]) -> None:
        super().__init__(message)
        self.calls = calls


class AnswerError(OpenAIError):
    """No answer has fitted the type that ``parse`` was given, or the answer was cut short.

    Attributes:
        text: the last answer.
    """

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def status_error(
    message: str, status: int, body: object, headers: Mapping[str, str] | None = None
) -> APIStatusError:
    """Returns the error for a status that is no success."""
    kind = InternalServerError if status >= 500 else _BY_STATUS.get(status, APIStatusError)
    return kind(message, status=status, body=body, headers=headers)
