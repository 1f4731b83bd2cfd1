"""Makes the methods of both Python clients from the table of endpoints; methods.pyi has types."""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import Any

from luaopenai.client.endpoints import ENDPOINTS, Endpoint

BY_HAND = ("create_chat_completion", "create_response")
"""The endpoints for which clients have methods of their own, since these take callbacks."""


class EndpointMethods:
    """The methods of ``OpenAI`` that the table makes."""

    def _send(self, name: str, fields: dict[str, Any]) -> Any:
        raise NotImplementedError


class AsyncEndpointMethods:
    """The methods of ``AsyncOpenAI`` that the table makes."""

    def _begin(self, name: str, *args: Any, **opts: Any) -> Any:
        raise NotImplementedError


def parameter_names(endpoint: Endpoint) -> list[str]:
    """The names of what a Python method takes before its options."""
    own = [endpoint.argument] if endpoint.argument else []
    return [*endpoint.ids, *own, *(name for name in endpoint.required if name not in own)]


def _signature(endpoint: Endpoint) -> Signature:
    names = ["self", *parameter_names(endpoint)]
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    if endpoint.options:
        parameters.append(Parameter("opts", Parameter.VAR_KEYWORD))
    return Signature(parameters)


def _add_methods(name: str, endpoint: Endpoint) -> None:
    signature = _signature(endpoint)

    def send(self: EndpointMethods, *args: Any, **opts: Any) -> Any:
        try:
            fields = signature.bind(self, *args, **opts).arguments
        except TypeError as error:
            raise TypeError(f"{name}(): {error}") from None
        del fields["self"]
        further = fields.pop("opts", {})
        return self._send(name, {**fields, **further})

    def begin(self: AsyncEndpointMethods, *args: Any, **opts: Any) -> Any:
        return self._begin(name, *args, **opts)

    for owner, method in ((EndpointMethods, send), (AsyncEndpointMethods, begin)):
        method.__name__ = name
        method.__qualname__ = f"{owner.__name__}.{name}"
        method.__doc__ = f"{endpoint.summary}\n\n``{endpoint.method} {endpoint.path}``"
        method.__signature__ = signature  # type: ignore[attr-defined]
        setattr(owner, name, method)


for _name, _endpoint in ENDPOINTS.items():
    if _name not in BY_HAND:
        _add_methods(_name, _endpoint)
