"""The Python functions that our Lua files may call under a plugin: none reaches past the host."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from luaopenai.bridge.exports import Exports
from luaopenai.bridge.marks import export, find_marks, operation
from luaopenai.bridge.network import Defaults, Pause
from luaopenai.bridge.tickets import Tickets
from luaopenai.bridge.work import Work
from luaopenai.client.servers import PROVIDERS
from luaopenai.host.clock import Clock
from luaopenai.host.held import HeldEvents, HeldMemory
from luaopenai.host.operations import Part, Results, Services
from luaopenai.host.setup import BASE_URL, Setup

if TYPE_CHECKING:
    from luaopenai.bridge.marks import Mark
    from luaopenai.bridge.threads import Outcome
    from luaopenai.bridge.values import Values


class PluginExports(Exports):
    """The exports of a plugin's Lua state.

    Args:
        values: converts Lua's values.
        defaults: what clients start from.
        clock: the plugin's.
        held: counts what Python holds for the plugin.
        services: the way to the host.
        setup: what the plugin finds.
    """

    def __init__(
        self,
        values: Values,
        defaults: Defaults,
        clock: Clock,
        held: HeldMemory,
        services: Services,
        setup: Setup,
    ) -> None:
        super().__init__(values, defaults)
        self._clock = clock
        self._held = held
        self._services = services
        self._setup = setup

    @operation(plugins=True)
    def open(
        self, method: bytes, url: bytes, headers: bytes, body: Part, given: object = None
    ) -> Work:
        """Has the host send a request; headers and settings are the host's own."""
        return self._ask("open", method, url, body, finish=self._head)

    @operation(plugins=True)
    def read(self, number: int) -> Work:
        """Reads the next piece of a response's body, nil at the end."""
        return self._ask("read", b"%d" % number, finish=_single)

    @export(plugins=True)
    def close(self, number: int) -> None:
        """Closes a response that was not read to its end."""
        self._ask("close", b"%d" % number).do()

    @operation(plugins=True)
    def host(self, name: bytes, arguments: Part = None) -> Work:
        """Calls a function of the host."""
        return self._ask("host", name, arguments, finish=_single)

    @operation(plugins=True)
    def sleep(self, seconds: float) -> Work:
        """Waits on the plugin's own time."""
        return Pause(self._clock.pause, seconds)

    @export(plugins=True)
    def write(self, text: bytes) -> None:
        """Hands output to the host."""
        self._ask("write", text).do()

    @export(plugins=True)
    def module(self, name: bytes) -> object:
        """Returns the source of one of the plugin's modules."""
        return self._ask("module", name, finish=_single).do()

    @export(plugins=True)
    def explain(self, value: object, where: bytes) -> str:
        """Returns nothing: looking through a plugin's value takes time that no hook can end."""
        return ""

    @export(plugins=True)
    def now(self) -> float:
        """Returns the seconds of the plugin's own running."""
        return self._clock.now()

    @export(plugins=True)
    def held(self) -> int:
        """Returns the bytes of Python's memory that the plugin takes."""
        return self._held.size

    @export(plugins=True, needs="client.streams encodings.utf_16_le")
    def odd_event_reader(self) -> Callable[[bytes | None], tuple[object, ...]]:
        """Returns the reader of ``Exports``, whose memory counts as the plugin's."""
        return HeldEvents(self._held, super().odd_event_reader()).read

    def _exported(self, name: str, mark: Mark) -> Callable[..., object]:
        """Returns a method that is for plugins; a function that refuses in place of any other."""
        return super()._exported(name, mark) if mark.is_for_plugins else _refuse(name)

    def _ask(self, name: str, *args: Part, finish: Callable[[Any], Any] | None = None) -> _Ask:
        return _Ask(self._clock, self._services, name, args, finish or _nothing)

    def _make_tickets(self) -> Tickets:
        return _PluginTickets(self._clock, self._services)

    def _head(self, results: Results) -> tuple[object, ...]:
        """Returns a response's head for Lua, and its body where that is whole."""
        head, body = results
        number, status, reason, headers = json.loads(head or b"")
        return status, reason, self._values.texts(headers), number, body

    def _gather_constants(self) -> dict[str, object]:
        """Leaves out the accounts in the host's environment; the host is the only company."""
        found = super()._gather_constants()
        found |= {"account_headers": {}, "company": False, "providers": {}}
        company = self._setup.company
        if company:
            model = self._setup.company_model or self._defaults.default_model
            name = PROVIDERS[company].class_name
            provider = {"class_name": name, "api_base": BASE_URL, "default_model": model}
            found |= {"company": company, "providers": {company: provider}}
        return found


def needed_modules() -> set[str]:
    """Returns the modules that exports for plugins import when they are called."""
    marks = find_marks(PluginExports).values()
    return {name for mark in marks if mark.is_for_plugins for name in mark.needs}


class _Ask(Work):
    """An operation that the host does."""

    def __init__(
        self,
        clock: Clock,
        services: Services,
        name: str,
        args: tuple[Part, ...],
        finish: Callable[[Results], Any],
    ) -> None:
        super().__init__(lambda: clock.outside(services.perform, name, *args), finish)
        self.name = name
        self.args = args


class _Host:
    """The executor of a plugin's work: its host.

    While the host does something, time is free.
    """

    def __init__(self, clock: Clock, services: Services) -> None:
        self._clock = clock
        self._services = services

    def submit(self, ticket: int, work: Work) -> None:
        """Has the host begin an operation."""
        assert isinstance(work, _Ask)
        self._clock.outside(self._services.begin, ticket, work.name, *work.args)

    def next_done(self, timeout: float | None = None) -> Outcome | None:
        """Waits for an operation of the host's; None when the seconds are over."""
        done: Outcome | None = self._clock.outside(self._services.next_done, timeout)
        return done

    def cancel(self, ticket: int) -> None:
        """Has the host end an operation."""
        self._services.cancel(ticket)

    def stop(self) -> None:
        """Does nothing: work ends with the call, and a ticket of it may soon be asked for again."""


class _PluginTickets(Tickets):
    """The tickets of a plugin's Lua state: a mere pause is the plugin's own time."""

    def __init__(self, clock: Clock, services: Services) -> None:
        super().__init__(_Host(clock, services))
        self._clock = clock

    def _wait(self, timeout: float | None) -> Any:
        if self._work:
            return super()._wait(timeout)
        if timeout is None:
            raise ValueError("there is nothing to wait for")
        self._clock.pause(timeout)
        return None


def _single(results: Results) -> Part:
    (result,) = results
    return result


def _nothing(_: Results) -> None:
    pass


def _refuse(name: str) -> Callable[..., object]:
    def refuse(*_: object) -> None:
        raise ValueError(f"{name} is not for plugins")

    return refuse
