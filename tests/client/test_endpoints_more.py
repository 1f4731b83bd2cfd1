"""Uploads, bodies that are bytes, endpoints without a method of their own, other companies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request

from luaopenai import (
    Anthropic,
    DeepSeek,
    Gemini,
    MiMo,
    Mistral,
    Moonshot,
    OpenAI,
    OpenRouter,
)
from support.forms import read_form

BYTES = bytes(range(256)) + b'{"a": 1}'


def respond(server: HTTPServer, body: object = None) -> None:
    server.expect_request(re.compile("/v1/.*")).respond_with_json(body or {})


def last_request(server: HTTPServer) -> Request:
    return server.log[-1][0]


# --- Uploads ---


def test_create_file_uploads_a_form_to_files(
    client: OpenAI, httpserver: HTTPServer, tmp_path: Path
) -> None:
    (tmp_path / "batch.jsonl").write_bytes(BYTES)
    respond(httpserver, {"id": "file-1"})
    answer = client.create_file(tmp_path / "batch.jsonl", "batch", expires_after=60)
    assert (answer.status, answer.body) == (200, {"id": "file-1"})
    request = last_request(httpserver)
    assert (request.method, request.path) == ("POST", "/v1/files")
    form = read_form(request.get_data(), request.headers["Content-Type"])
    assert form.fields == {"purpose": ["batch"], "expires_after": ["60"]}
    assert form.files == {"file": ("batch.jsonl", BYTES)}
    assert request.headers["Authorization"].startswith("Bearer sk-")


def test_transcription_uploads_speech_with_its_model(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    respond(httpserver, {"text": "hello"})
    answer = client.transcription(("speech.wav", BYTES), "whisper-1", language="en")
    assert answer.body == {"text": "hello"}
    request = last_request(httpserver)
    assert request.path == "/v1/audio/transcriptions"
    form = read_form(request.get_data(), request.headers["Content-Type"])
    assert form.fields == {"model": ["whisper-1"], "language": ["en"]}
    assert form.files == {"file": ("speech.wav", BYTES)}


# --- Any other endpoint ---


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_request_sends_any_method_to_any_path(
    client: OpenAI, httpserver: HTTPServer, method: str
) -> None:
    respond(httpserver, {"object": "list"})
    answer = client.request(method, "/vector_stores?limit=2")
    assert (answer.status, answer.body) == (200, {"object": "list"})
    request = last_request(httpserver)
    assert (request.method, request.full_path) == (method, "/v1/vector_stores?limit=2")
    assert request.get_data() == b""


def test_request_sends_a_payload_as_json(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver)
    client.request("POST", "/batches", {"endpoint": "/v1/responses"})
    assert json.loads(last_request(httpserver).get_data()) == {"endpoint": "/v1/responses"}
    assert last_request(httpserver).headers["Content-Type"] == "application/json"


def test_request_sends_bytes_as_they_are(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver)
    client.request("POST", "/uploads", BYTES, {"Content-Type": "application/octet-stream"})
    assert last_request(httpserver).get_data() == BYTES
    assert last_request(httpserver).headers["Content-Type"] == "application/octet-stream"


def test_headers_of_a_request_go_over_the_clients_in_any_case(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    respond(httpserver)
    client.request("GET", "/x", headers={"authorization": "Bearer other", "OpenAI-Beta": "x=v2"})
    headers = last_request(httpserver).headers
    assert headers.getlist("Authorization") == ["Bearer other"]
    assert headers["OpenAI-Beta"] == "x=v2"


def test_request_hands_over_the_events_of_a_stream(client: OpenAI, httpserver: HTTPServer) -> None:
    body = b'data: {"n": 1}\n\ndata: {"n": 2}\n\n'
    httpserver.expect_request("/v1/x").respond_with_data(body, content_type="text/event-stream")
    events: list[dict[str, Any]] = []
    answer = client.request("POST", "/x", {"stream": True}, stream_callback=events.append)
    assert events == [{"n": 1}, {"n": 2}]
    assert answer.body == body.decode()


# --- Bodies that are bytes ---


@pytest.mark.parametrize(
    "content_type",
    [
        "application/octet-stream",
        "audio/mpeg",
        "image/png",
        "video/mp4",
        "application/pdf",
        "Audio/WAV; rate=8000",
    ],
)
def test_a_binary_body_comes_back_as_its_exact_bytes(
    client: OpenAI, httpserver: HTTPServer, content_type: str
) -> None:
    content = httpserver.expect_request("/v1/files/file-1/content")
    content.respond_with_data(BYTES, content_type=content_type)
    assert client.request("GET", "/files/file-1/content").body == BYTES


def test_a_file_is_not_decoded_though_it_may_look_like_json(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    content = httpserver.expect_request("/v1/files/file-1/content")
    content.respond_with_data(b"[1]", content_type="application/octet-stream")
    assert client.request("GET", "/files/file-1/content").body == b"[1]"


def test_an_error_in_place_of_a_file_is_decoded(client: OpenAI, httpserver: HTTPServer) -> None:
    content = httpserver.expect_request("/v1/files/file-1/content")
    content.respond_with_json({"error": {"message": "gone"}}, 404)
    answer = client.request("GET", "/files/file-1/content")
    assert (answer.status, answer.body) == (404, {"error": {"message": "gone"}})


# --- Other companies ---


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "variable"),
    [
        (
            Gemini,
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "gemini-2.5-flash",
            "GEMINI_API_KEY",
        ),
        (Anthropic, "https://api.anthropic.com/v1", "claude-sonnet-4-6", "ANTHROPIC_API_KEY"),
        (DeepSeek, "https://api.deepseek.com/v1", "deepseek-chat", "DEEPSEEK_API_KEY"),
        (MiMo, "https://api.xiaomimimo.com/v1", "mimo-v2.5-pro", "MIMO_API_KEY"),
        (Mistral, "https://api.mistral.ai/v1", "mistral-large-3-25-12", "MISTRAL_API_KEY"),
        (Moonshot, "https://api.moonshot.ai/v1", "kimi-k2.6", "MOONSHOT_API_KEY"),
        (OpenRouter, "https://openrouter.ai/api/v1", "openai/gpt-5.4", "OPENROUTER_API_KEY"),
    ],
)
def test_a_companys_client_has_its_server_model_and_key(
    kind: type[OpenAI],
    base_url: str,
    model: str,
    variable: str,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("OPENAI_MODEL", "of-openai")
    monkeypatch.setenv(variable, "sk-company")
    with kind() as client:
        assert (client.base_url, client.default_model) == (base_url, model)
        assert repr(client) == f"<{kind.__name__} {base_url}>"
    respond(httpserver)
    with kind(base_url=httpserver.url_for("/v1")) as client:
        client.chat([{"role": "user", "content": "Hello"}])
    request = last_request(httpserver)
    assert json.loads(request.get_data())["model"] == model
    assert request.headers["Authorization"] == "Bearer sk-company"


@pytest.mark.parametrize("kind", [Gemini, OpenRouter])
def test_a_companys_client_never_sends_openais_key(
    kind: type[OpenAI], httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    for name in ("GEMINI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    respond(httpserver)
    with kind(base_url=httpserver.url_for("/v1")) as client:
        client.models()
    assert "Authorization" not in last_request(httpserver).headers
