"""Connects to a cluster of Dask's, or starts one on this machine, and checks what is there."""

from __future__ import annotations

import logging
import os
import platform
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from luaopenai._version import __version__
from luaopenai.batch.options import BatchError

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"
CONNECT_SECONDS = 20.0


def check_dask() -> None:
    """Raises ``BatchError`` where Dask is not installed."""
    if find_spec("distributed") is None:
        raise BatchError("Dask is not installed: pip install 'luaopenai[dask]'")


class Connection:
    """A client of a cluster; ``close`` lets go of what was opened for it.

    Args:
        where: a scheduler's address; ``local``, for processes of this machine; or a client, which
            stays open.
        workers: how many processes of this machine.

    Attributes:
        client: Dask's.
        shown: what messages call the cluster.
        is_own: whether the cluster is there for this job only.

    Raises ``BatchError``.
    """

    def __init__(self, where: str | Client, workers: int | None) -> None:
        check_dask()
        from distributed import Client

        self._closing = ExitStack()
        self.is_own = where == LOCAL
        try:
            if isinstance(where, Client):
                self.client = where
                self.shown = _address_of(where)
            elif self.is_own:
                self.client = self._start(workers or os.cpu_count() or 1)
                self.shown = "Dask's scheduler"
            else:
                self.client = self._connect(where)
                self.shown = f"Dask's scheduler at {where}"
            _check(self.client, self.shown)
        except BaseException:
            self.close()
            raise

    @property
    def is_lost(self) -> bool:
        """Whether the scheduler has gone."""
        return bool(self.client.status != "running")

    def close(self) -> None:
        """Lets go of the client and the cluster, unless they were given."""
        self._closing.close()

    def _connect(self, address: Any) -> Client:
        from distributed import Client
        from distributed.comm.addressing import resolve_address

        try:
            # A client that an address has kept from beginning waits for ever when it is dropped.
            if isinstance(address, str):
                resolve_address(address)
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError, ImportError) as error:
            what = str(error).partition("\n")[0]
            raise BatchError(f"no scheduler of Dask's answers at {address}: {what}") from None
        self._closing.callback(self._close_client, client)
        return client

    def _start(self, workers: int) -> Client:
        from distributed import LocalCluster

        try:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                # Without a dashboard there still is a port, which others may have.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
        except (OSError, RuntimeError) as error:
            what = str(error).partition("\n")[0]
            raise BatchError(f"Dask starts no workers here: {what}") from None
        self._closing.callback(cluster.close, timeout=10)
        return self._connect(cluster)

    def _close_client(self, client: Any) -> None:
        client.close(timeout=5)


def _address_of(client: Client) -> str:
    found = client.scheduler
    if found is None or client.asynchronous:
        raise BatchError("a client of Dask's must be connected, and not asynchronous")
    return f"Dask's scheduler at {found.address}"


def _check(client: Client, shown: str) -> None:
    """Raises ``BatchError`` where a worker lacks something, or has another version of it."""
    try:
        versions: Any = client.get_versions(packages=["luaopenai"])
    except Exception as error:
        raise BatchError(f"{shown} does not answer: {type(error).__name__}") from None
    for address, found in versions["workers"].items():
        lack = check_worker(found["packages"])
        if lack is not None:
            raise BatchError(f"the worker {address} {lack}")
    lack = check_python(versions["scheduler"]["packages"]["python"])
    if lack is not None:
        raise BatchError(f"{shown} {lack}")


def check_python(version: str) -> str | None:
    """Returns what is wrong with a Python, whose code must be ours too; None if nothing is."""
    ours = ".".join(map(str, sys.version_info[:2]))
    if ".".join(version.split(".")[:2]) != ours:
        short = ".".join(version.split(".")[:3])
        return f"has Python {short}, and this command {platform.python_version()}"
    return None


def check_worker(packages: dict[str, str | None]) -> str | None:
    """Returns what a worker's packages lack, in a few words; None if they lack nothing."""
    version = packages.get("luaopenai")
    if version is None:
        return "lacks luaopenai: pip install luaopenai there"
    if version != __version__:
        return f"has luaopenai {version}, and this command {__version__}"
    return check_python(packages["python"] or "")
