"""Stops the profiler of Dask's workers where it may lock a process for ever."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Worker

_MAY_LOCK = (3, 11) <= sys.version_info < (3, 11, 9)
"""Whether ``sys._current_frames``, which the profiler calls a hundred times a second, may never
return where another thread ends at that moment: CPython's issue 106883.
"""


def stop_profiler(worker: Worker) -> None:
    """Stops a worker's profiler for good: threads of a job's may end after the job."""
    profiler = worker.periodic_callbacks.get("profile")
    if _MAY_LOCK and profiler is not None:
        worker.loop.add_callback(profiler.stop)


def stop_profiler_here() -> None:
    """Does so in the worker whose task this is, if it is one's."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        with suppress(ValueError):
            stop_profiler(distributed.get_worker())
