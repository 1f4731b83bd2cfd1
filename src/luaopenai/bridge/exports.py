"""The Python functions that our Lua files call.

Each takes and returns values that are cheap to hand over: numbers, byte strings, JSON text.
Decisions are the client's; these functions only make them callable. Those for what a script sends
are in ``payloads``, those for what a server sends in ``bodies``, those for tools and typed answers
in ``tools``, those that wait in ``network``.
"""

from __future__ import annotations

from luaopenai._version import __version__
from luaopenai.bridge.bodies import Bodies, text_of
from luaopenai.bridge.marks import export, find_marks
from luaopenai.bridge.payloads import Payloads, loads
from luaopenai.bridge.tools import Tools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from luaopenai.bridge.marks import Mark
    from luaopenai.bridge.network import Defaults
    from luaopenai.bridge.values import Values
    from luaopenai.bridge.work import Work
    from luaopenai.client.endpoints import Endpoint


class Exports(Payloads, Bodies, Tools):
    """One Lua state's functions for Lua: all marked methods, by their own names."""

    def __init__(self, values: Values, defaults: Defaults) -> None:
        super().__init__(values, defaults)
        self._constants: object = None

    def functions(self) -> dict[bytes, tuple[Callable[..., object], bool]]:
        """Returns the exported functions by name, each with whether it fails softly."""
        marks = find_marks(type(self))
        return {
            name.encode(): (self._exported(name, marks[name]), marks[name].is_soft)
            for name in marks
        }

    def _exported(self, name: str, mark: Mark) -> Callable[..., object]:
        """Returns a marked method as Lua calls it."""
        method: Callable[..., Any] = getattr(self, name)
        if not mark.is_operation:
            return method

        def wait_or_begin(callback: int | bool, *args: object) -> object:
            work: Work = method(*args)
            return work.do() if callback is False else self.begin(work, callback)

        return wait_or_begin

    @export(plugins=True, needs="client.chat client.endpoints client.responses_chat client.servers")
    def constants(self) -> object:
        """Returns version, endpoints, defaults and the names of options, as one Lua table."""
        if self._constants is None:
            self._constants = self._values.to_lua(self._gather_constants())
        return self._constants

    def _gather_constants(self) -> dict[str, object]:
        from luaopenai.client.chat import OWN_OPTIONS
        from luaopenai.client.endpoints import METHODS
        from luaopenai.client.responses_chat import OWN_OPTIONS as OWN_RESPONSE_OPTIONS
        from luaopenai.client.servers import (
            CONFIG_NAMES,
            PROVIDERS,
            SETTING_NAMES,
            environment_accounts,
            environment_base_url,
            environment_model,
            read_base_url,
        )
        from luaopenai.client.sse import LONGEST_EVENT

        given = self._defaults.base_url
        return {
            "version": __version__,
            "api_base": read_base_url(given) if given else environment_base_url(),
            "api_key": self._defaults.api_key or False,
            "default_model": self._defaults.default_model or environment_model(),
            "account_headers": environment_accounts(),
            "setting_names": SETTING_NAMES,
            "config_names": CONFIG_NAMES,
            "longest_event": LONGEST_EVENT,
            "own_options": OWN_OPTIONS,
            "own_response_options": OWN_RESPONSE_OPTIONS,
            "providers": {
                name: {
                    "class_name": provider.class_name,
                    "api_base": provider.base_url,
                    "default_model": provider.default_model,
                }
                for name, provider in PROVIDERS.items()
            },
            "methods": " ".join(METHODS),
        }

    @export(plugins=True, needs="client.endpoints")
    def endpoint(self, name: bytes) -> object:
        """Returns the endpoint of a client's method, as a Lua table."""
        from luaopenai.client.endpoints import METHODS

        return self._values.to_lua(_constants_of(METHODS[name.decode()]))

    @export(plugins=True, needs="client.lists difflib")
    def find_list(self, name: bytes) -> tuple[object, ...]:
        """Returns how many ids a list method takes, and which field asks for the next page."""
        from luaopenai.client.lists import find_list

        endpoint = find_list(name.decode("utf-8", "replace"))
        return len(endpoint.ids), endpoint.pages

    @export(plugins=True, needs="client.polling difflib")
    def find_polled(self, name: bytes) -> int:
        """Returns how many ids a method takes; raises unless it may be called again and again."""
        from luaopenai.client.polling import find_polled

        return len(find_polled(name.decode("utf-8", "replace")).ids)

    @export(plugins=True, needs="client.polling")
    def check_seconds(self, name: bytes, value: object) -> None:
        """Raises unless an option is a number of seconds."""
        from luaopenai.client.polling import check_seconds

        check_seconds(name.decode(), value)

    @export(plugins=True, needs="client.polling")
    def is_final(self, name: bytes, status: bytes | None) -> bool:
        """Returns whether a status will not change any more."""
        from luaopenai.client.polling import is_final

        return is_final(name.decode(), text_of(status))

    @export(plugins=True, needs="client.polling client.payload")
    def next_pause(self, polls: int, interval: float | None, headers: bytes) -> float:
        """Returns the seconds to wait before the next poll."""
        from luaopenai.client.polling import next_pause

        return next_pause(polls, interval, loads(headers, "headers") or {})

    @export(plugins=True, needs="client.polling")
    def too_late(self, name: bytes, timeout: float, status: bytes | None) -> str:
        """Returns the error text for a wait that ran out of time."""
        from luaopenai.client.polling import too_late

        return too_late(name.decode(), timeout, text_of(status))

    @export(plugins=True, needs="client.servers")
    def account_headers(self, organization: object, project: object) -> object:
        """Returns the headers that name an organization and a project."""
        from luaopenai.client.servers import account_headers

        named = self._values.to_python(organization), self._values.to_python(project)
        return self._values.to_lua(account_headers(*named))

    @export(plugins=True, needs="client.servers")
    def read_base_url(self, url: bytes, name: bytes) -> str:
        """Returns a base URL as the client keeps it; raises where its scheme is missing."""
        from luaopenai.client.servers import read_base_url

        return read_base_url(url.decode("utf-8", "replace"), name.decode())

    @export()
    def warn_of_setting(self, name: bytes) -> None:
        """Warns on standard error of an unknown setting whose name is close to a known one."""
        import sys

        from luaopenai.client.servers import near_miss

        text = name.decode("utf-8", "replace")
        meant = near_miss(text)
        if meant:
            print(f"luaopenai: config.{text} is not known; did you mean {meant}?", file=sys.stderr)

    @export()
    def heed_signals(self) -> None:
        """Does nothing: on the way, Python runs the handlers of signals that came meanwhile."""

    @export()
    def execute(self, command: bytes) -> int:
        """Runs a command of the shell; returns its status as C's ``system`` does.

        While that waits, Ctrl-C is for the command alone; here it is for this program too.
        """
        import subprocess

        words: list[str | bytes] = ["sh", "-c", command]
        code = subprocess.Popen(words, executable="/bin/sh", close_fds=False).wait()
        return -code if code < 0 else code << 8

    @export()
    def exit(self, code: object = None, *_: object) -> None:
        """Leaves Lua, then Python, as ``os.exit`` does; whether to close the state is not asked."""
        if isinstance(code, bool) or not isinstance(code, int):
            code = 1 if code is False else 0
        raise SystemExit(code)


def _constants_of(endpoint: Endpoint) -> dict[str, object]:
    """Returns an endpoint as a table for Lua, which holds only the fields that are set."""
    names = ("argument", "binary", "chat_model", "files", "options", "required", "ids")
    given = {name: getattr(endpoint, name) for name in names if getattr(endpoint, name)}
    if endpoint.defaults:
        given["defaults"] = dict(endpoint.defaults)
    if endpoint.headers:
        given["headers"] = dict(endpoint.headers)
    return {"method": endpoint.method, "path": endpoint.path, **given}
