"""Makes the methods of both Python clients from the table of endpoints; methods.pyi has types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luaopenai.client.endpoints import METHODS, Endpoint

if TYPE_CHECKING:
    from inspect import Signature

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
    """Returns the names of the parameters of a Python method before its options."""
    own = [endpoint.argument] if endpoint.argument else []
    return [*endpoint.ids, *own, *(name for name in endpoint.required if name not in own)]


def _signature(endpoint: Endpoint) -> Signature:
    from inspect import Parameter, Signature  # takes 4 ms, which every program's start would

    names = ["self", *parameter_names(endpoint)]
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    if endpoint.options:
        parameters.append(Parameter("opts", Parameter.VAR_KEYWORD))
    return Signature(parameters)


def _sender(name: str, signature: Signature) -> Any:
    def send(self: EndpointMethods, *args: Any, **opts: Any) -> Any:
        try:
            fields = signature.bind(self, *args, **opts).arguments
        except TypeError as error:
            raise TypeError(f"{name}(): {error}") from None
        del fields["self"]
        further = fields.pop("opts", {})
        return self._send(name, {**fields, **further})

    return send


def _beginner(name: str, _: Signature) -> Any:
    def begin(self: AsyncEndpointMethods, *args: Any, **opts: Any) -> Any:
        return self._begin(name, *args, **opts)

    return begin


class _Method:
    """Stands for a method until it is first asked for, and is then replaced by it.

    Signatures take 10 µs each, and most programs use a few of the methods.
    """

    def __init__(self, owner: type, name: str, make: Any) -> None:
        self._owner = owner
        self._name = name
        self._make = make

    def __get__(self, instance: object, kind: type) -> Any:
        endpoint, signature = METHODS[self._name], _signature(METHODS[self._name])
        method = self._make(self._name, signature)
        method.__name__ = self._name
        method.__qualname__ = f"{self._owner.__name__}.{self._name}"
        method.__doc__ = f"{endpoint.summary}\n\n``{endpoint.method} {endpoint.path}``"
        method.__signature__ = signature
        setattr(self._owner, self._name, method)
        return method if instance is None else method.__get__(instance, kind)


for _name in METHODS:
    if _name not in BY_HAND:
        setattr(EndpointMethods, _name, _Method(EndpointMethods, _name, _sender))
        setattr(AsyncEndpointMethods, _name, _Method(AsyncEndpointMethods, _name, _beginner))
