"""The methods that the table of endpoints makes, and the files that are made from it."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from luaopenai import AsyncOpenAI, OpenAI
from luaopenai.client.endpoints import METHODS
from luaopenai.client.methods import BY_HAND
from luaopenai.client.multipart import choose_boundary, join, parts
from luaopenai.client.urls import add_query
from support import exactly
from support.forms import read_form

ROOT = Path(__file__).parents[2]
MADE = [name for name in METHODS if name not in BY_HAND]


def vectors(name: str) -> list[dict[str, Any]]:
    """The cases that the Lua specs read too."""
    text = (ROOT / "tests" / "vectors" / f"{name}.json").read_text(encoding="utf-8")
    cases: list[dict[str, Any]] = json.loads(text)
    return cases


class Recorder(OpenAI):
    """A client that keeps what it would send."""

    def _request(self, method: str, path: str, payload: Any, more_headers: Any, *_: Any) -> Any:
        self.form: list[str] | None = None
        if isinstance(payload, bytes):
            names = re.findall(rb'form-data; name="([^"]+)"', payload)
            self.form, payload = [name.decode() for name in names], None
        sent: list[Any] = [method, path] if payload is None else [method, path, payload]
        self.sent: Any = sent, more_headers.get("OpenAI-Beta")


@pytest.mark.parametrize("case", vectors("endpoints"), ids=lambda case: json.dumps(case["call"]))
def test_a_method_sends_or_refuses(case: dict[str, Any]) -> None:
    name, *arguments = case["call"]
    client = Recorder("key")
    if "fails" in case:
        with pytest.raises(ValueError, match=exactly(case["fails"])):
            getattr(client, name)(*arguments, **case.get("options", {}))
    else:
        getattr(client, name)(*arguments, **case.get("options", {}))
        assert client.sent == (case["sends"], case.get("beta"))
        assert client.form == case.get("form")


def test_every_endpoint_has_a_case() -> None:
    assert {case["call"][0] for case in vectors("endpoints")} == set(MADE)


@pytest.mark.parametrize("case", vectors("forms"), ids=lambda case: json.dumps(case["params"]))
def test_a_form_is_encoded_or_refused(case: dict[str, Any]) -> None:
    if "fails" in case:
        with pytest.raises(ValueError, match=exactly(case["fails"])):
            parts(case["params"])
    elif "boundary" in case:
        assert choose_boundary(parts(case["params"])) == case["boundary"]
    else:
        assert join(parts(case["params"]), b"B") == "\r\n".join(case["lines"]).encode()


def test_forms_go_out_with_the_files_that_their_paths_name(
    client: OpenAI, httpserver: HTTPServer, tmp_path: Path
) -> None:
    httpserver.expect_request("/v1/images/edits").respond_with_json({})
    (tmp_path / "a.png").write_bytes(b"A")
    image = {"filename": "b.png", "content": b"B", "content_type": "image/png"}
    client.image_edit([tmp_path / "a.png", image], "blue", mask=tmp_path / "a.png", n=2)
    request = httpserver.log[-1][0]
    form = read_form(request.get_data(), request.headers["Content-Type"])
    assert form.fields == {"prompt": ["blue"], "n": ["2"]}
    assert form.files["mask"] == ("a.png", b"A")
    assert request.get_data().count(b'name="image[]"') == 2


def test_what_is_in_a_file_is_bytes_though_it_may_look_like_json_but_not_a_failure(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/v1/files/a/content").respond_with_data(
        "[1]", content_type="application/json"
    )
    httpserver.expect_request("/v1/files/b/content").respond_with_json({"error": "gone"}, 404)
    assert client.file_content("a").body == b"[1]"
    assert client.file_content("b").body == {"error": "gone"}


@pytest.mark.parametrize(
    ("name", "arguments", "request_line"),
    [
        ("create_audio_transcription", [("a.mp3", b"A"), "m"], "POST /v1/audio/transcriptions"),
        ("generate_image", [], "POST /v1/images/generations"),
        ("retrieve_response", ["r"], "GET /v1/responses/r"),
    ],
)
def test_what_can_be_streamed_is_an_iterator_of_events(
    client: OpenAI, httpserver: HTTPServer, name: str, arguments: list[Any], request_line: str
) -> None:
    method, path = request_line.split()
    stream = httpserver.expect_request(path, method=method)
    stream.respond_with_data(
        'data: {"n": 1}\n\ndata: {"n": 2}\n\n', content_type="text/event-stream"
    )
    assert list(getattr(client, name)(*arguments, stream=True)) == [{"n": 1}, {"n": 2}]
    request = httpserver.log[-1][0]
    assert b"true" in request.get_data() + request.query_string


def test_a_method_has_a_signature_and_says_what_it_does() -> None:
    signature = inspect.signature(OpenAI("key").image_edit)
    assert str(signature) == "(image, prompt, **opts)"
    assert OpenAI.image_edit.__name__ == "image_edit"
    assert "``POST /images/edits``" in (OpenAI.image_edit.__doc__ or "")


@pytest.mark.parametrize(
    ("name", "args", "opts", "text"),
    [
        ("file", [], {}, "file(): missing a required argument: 'file_id'"),
        ("file", ["a", "b"], {}, "file(): too many positional arguments"),
        ("file", ["a"], {"limit": 1}, "file(): got an unexpected keyword argument 'limit'"),
        ("embedding", ["a"], {"input": "b"}, "embedding(): multiple values for argument 'input'"),
    ],
)
def test_arguments_that_do_not_fit_are_a_type_error_that_names_the_method(
    name: str, args: list[str], opts: dict[str, Any], text: str
) -> None:
    with pytest.raises(TypeError, match=exactly(text)):
        getattr(OpenAI("key"), name)(*args, **opts)


@pytest.mark.parametrize("name", MADE)
def test_the_client_for_asyncio_has_the_same_methods(name: str) -> None:
    made, own = getattr(AsyncOpenAI, name), getattr(OpenAI, name)
    assert inspect.signature(made) == inspect.signature(own)
    assert made.__doc__ == own.__doc__


def test_the_client_for_asyncio_sends_the_same(httpserver: HTTPServer, base_url: str) -> None:
    httpserver.expect_request("/v1/batches").respond_with_json({"data": []})

    async def ask() -> Any:
        async with AsyncOpenAI("key", base_url) as client:
            return await client.batches(limit=5)

    assert asyncio.run(ask()).body == {"data": []}
    assert httpserver.log[-1][0].full_path == "/v1/batches?limit=5"


def test_a_query_is_added_to_one_that_is_there() -> None:
    assert add_query("/x?a=1", {"c": None, "b": "+ "}) == "/x?a=1&b=%2B%20"
    assert add_query("/x", {}) == add_query("/x", None) == "/x"


def test_what_is_made_from_the_table_is_fresh() -> None:
    command = [sys.executable, "-m", "tools.stubs", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
