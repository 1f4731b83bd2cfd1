"""The examples do what they say, against canned answers and against the embedded model."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from luaopenai.local import LocalServer

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.lua"))
COMPANIES = {"gemini": "Gemini", "openrouter": "OpenRouter"}
BEYOND_THE_MODEL = {"batch", "images", "responses_session", "upload", "vision", *COMPANIES}


def run_example(
    name: str, base_url: str, *args: str, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run an example as a user would, against this server whichever company's it is for."""
    options = ["--base-url", base_url]
    if name in COMPANIES:
        company = f'require("openai.compat.{name}").{COMPANIES[name]}'
        options += ["-e", f'{company}.__base.api_base = "{base_url}"']
    script = str(ROOT / "examples" / f"{name}.lua")
    return start([sys.executable, "-m", "luaopenai", "run", *options, script, *args], folder)


def start(
    command: list[str], folder: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def output_of(name: str, base_url: str, *args: str, folder: Path = ROOT) -> str:
    done = run_example(name, base_url, *args, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def answer(server: HTTPServer, method: str, path: str, body: object) -> None:
    """Lay the next answer ready; bytes are sent as they are, lists as a stream."""
    expected = server.expect_ordered_request("/v1" + path, method=method)
    if isinstance(body, bytes):
        expected.respond_with_data(body, content_type="application/octet-stream")
    elif isinstance(body, list):
        events = "".join(f"data: {json.dumps(event)}\n\n" for event in body)
        expected.respond_with_data(events + "data: [DONE]\n\n", content_type="text/event-stream")
    else:
        expected.respond_with_json(body)


def payloads(server: HTTPServer) -> list[Any]:
    return [json.loads(request.get_data()) for request, _ in server.log]


def reply(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}


def deltas(*found: dict[str, Any]) -> list[dict[str, Any]]:
    kind = "chat.completion.chunk"
    return [{"object": kind, "choices": [{"index": 0, "delta": delta}]} for delta in found]


def response(name: str, *output: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "object": "response", "output": list(output)}


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text}]}


# --- Against canned answers ---


def test_vision_sends_a_picture_with_its_question(httpserver: HTTPServer, base_url: str) -> None:
    answer(httpserver, "POST", "/chat/completions", reply("A red dot."))
    assert output_of("vision", base_url) == "A red dot.\n"
    url = payloads(httpserver)[0]["messages"][0]["content"][1]["image_url"]["url"]
    assert base64.b64decode(url.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_vision_takes_a_picture_of_the_users(
    httpserver: HTTPServer, base_url: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.png").write_bytes(bytes(range(256)))
    answer(httpserver, "POST", "/chat/completions", reply("Noise."))
    assert output_of("vision", base_url, "mine.png", folder=tmp_path) == "Noise.\n"
    url = payloads(httpserver)[0]["messages"][0]["content"][1]["image_url"]["url"]
    assert base64.b64decode(url.partition(",")[2]) == bytes(range(256))


def test_images_writes_the_picture_to_a_file(
    httpserver: HTTPServer, base_url: str, tmp_path: Path
) -> None:
    picture = bytes(range(256))
    data = [{"b64_json": base64.b64encode(picture).decode()}]
    answer(httpserver, "POST", "/images/generations", {"data": data})
    assert output_of("images", base_url, folder=tmp_path) == "fox.png: 256 bytes\n"
    assert (tmp_path / "fox.png").read_bytes() == picture


def test_tools_runs_what_the_model_calls(httpserver: HTTPServer, base_url: str) -> None:
    head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "temperature"}}
    rest = [{"index": 0, "function": {"arguments": part}} for part in ('{"city":', '"Rome"}')]
    calls = deltas(*({"tool_calls": [piece]} for piece in (head, *rest)))
    answer(httpserver, "POST", "/chat/completions", calls)
    answer(httpserver, "POST", "/chat/completions", deltas({"content": "It is 19."}))
    shown = output_of("tools", base_url)
    assert shown == 'temperature{"city":"Rome"} = {"celsius":19}\nIt is 19.\n'
    assert payloads(httpserver)[1]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": '{"celsius":19}',
    }


def test_tools_tells_the_model_what_is_wrong_with_a_call(
    httpserver: HTTPServer, base_url: str
) -> None:
    function = {"name": "temperature", "arguments": '{"city":"Bonn"}'}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    answer(httpserver, "POST", "/chat/completions", deltas({"tool_calls": [call]}))
    answer(httpserver, "POST", "/chat/completions", deltas({"content": "I cannot tell."}))
    line = 'arguments.city: expected one of "Oslo", "Rome", "Cairo", got "Bonn"'
    shown = output_of("tools", base_url)
    assert shown == f'temperature{{"city":"Bonn"}} = {json.dumps(line)}\nI cannot tell.\n'
    assert payloads(httpserver)[1]["messages"][-1]["content"] == line


def test_typed_asks_again_for_an_answer_that_fits(httpserver: HTTPServer, base_url: str) -> None:
    city: dict[str, Any] = {
        "name": "Paris",
        "country": "France",
        "is_capital": "yes",
        "continent": None,
    }
    answer(httpserver, "POST", "/chat/completions", reply(json.dumps(city)))
    city["is_capital"] = True
    answer(httpserver, "POST", "/chat/completions", reply(json.dumps(city)))
    assert output_of("typed", base_url) == "Paris lies in FRANCE and is its capital.\n"
    first, second = payloads(httpserver)
    assert first["response_format"]["json_schema"]["strict"] is True
    assert 'is_capital: expected type "boolean", got "string"' in second["messages"][-1]["content"]


def test_responses_tools_runs_what_the_model_calls(httpserver: HTTPServer, base_url: str) -> None:
    arguments = '{"city":"Rome"}'
    call = {"type": "function_call", "call_id": "c1", "name": "temperature", "arguments": arguments}
    answer(httpserver, "POST", "/responses", response("r1", call))
    answer(httpserver, "POST", "/responses", response("r2", said("It is 19.")))
    shown = output_of("responses_tools", base_url)
    assert shown == 'temperature{"city":"Rome"} = {"celsius":19}\nIt is 19.\n'
    output = {"type": "function_call_output", "call_id": "c1", "output": '{"celsius":19}'}
    assert payloads(httpserver)[1]["input"][1:] == [call, output]


def test_responses_session_continues_and_cleans_up(httpserver: HTTPServer, base_url: str) -> None:
    answer(httpserver, "POST", "/responses", response("r1", said("Paris.")))
    answer(httpserver, "POST", "/responses", response("r2", said("The Seine.")))
    answer(httpserver, "DELETE", "/responses/r1", {"deleted": True})
    answer(httpserver, "DELETE", "/responses/r2", {"deleted": True})
    shown = output_of("responses_session", base_url).splitlines()
    assert shown[1::3] == ["Paris.", "The Seine."]
    assert shown[-1] == "2 responses, the last is r2"
    assert len(httpserver.log) == 4
    assert json.loads(httpserver.log[1][0].get_data())["previous_response_id"] == "r1"


def test_gemini_streams_an_answer(httpserver: HTTPServer, base_url: str) -> None:
    answer(httpserver, "POST", "/chat/completions", deltas({"content": "Par"}, {"content": "is."}))
    assert output_of("gemini", base_url) == "Paris.\n"
    assert payloads(httpserver)[0]["model"].startswith("gemini")


def test_openrouter_asks_two_models(httpserver: HTTPServer, base_url: str) -> None:
    answer(httpserver, "POST", "/chat/completions", reply("Paris"))
    answer(httpserver, "POST", "/chat/completions", reply("Paris!"))
    first, second = (line.split(": ") for line in output_of("openrouter", base_url).splitlines())
    assert (first[1], second[1]) == ("Paris", "Paris!")
    assert [payload["model"] for payload in payloads(httpserver)] == [first[0], second[0]]


def test_summaries_shows_its_progress_and_each_texts_summary(
    httpserver: HTTPServer, base_url: str, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(f"The text {name}.")
    path = "/v1/chat/completions"
    httpserver.expect_request(path).respond_with_json(reply("It is short."))
    shown = output_of("summaries", base_url, str(tmp_path))
    assert shown == (
        "\n1 of 2 texts\n2 of 2 texts\n\none.txt\n  It is short.\n\ntwo.txt\n  It is short.\n"
    )
    texts = sorted(payload["messages"][1]["content"] for payload in payloads(httpserver))
    assert texts == ["The text one.", "The text two."]


def test_dataframe_labels_each_ticket(httpserver: HTTPServer, base_url: str) -> None:
    pytest.importorskip("dask.dataframe")
    path = "/v1/chat/completions"
    httpserver.expect_request(path).respond_with_json(reply('{"label":"invoice"}'))
    command = [sys.executable, "examples/map/dataframe.py"]
    done = start(command, OPENAI_BASE_URL=base_url, OPENAI_API_KEY="sk-test")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows == [["id", "label"], *([str(number), "invoice"] for number in range(1, 13))]


def test_upload_sends_reads_back_and_deletes(httpserver: HTTPServer, base_url: str) -> None:
    content = (
        b'{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}\n'
    )
    answer(httpserver, "POST", "/files", {"id": "file-1", "bytes": len(content)})
    answer(httpserver, "GET", "/files/file-1/content", content)
    answer(httpserver, "DELETE", "/files/file-1", {"deleted": True})
    shown = output_of("upload", base_url)
    assert shown == f"file-1: {len(content)} bytes\ncame back as it went\ndeleted\n"
    assert content in httpserver.log[0][0].get_data()


def test_batch_uploads_waits_and_prints_the_answers(httpserver: HTTPServer, base_url: str) -> None:
    batch = {"id": "batch_1", "status": "validating"}
    done = {**batch, "status": "completed", "output_file_id": "file-2"}
    answers = [
        {"custom_id": f"question-{number}", "response": {"status_code": 200, "body": reply(text)}}
        for number, text in ((1, "Paris."), (2, "Rome."))
    ]
    lines = "".join(json.dumps(line) + "\n" for line in answers)
    answer(httpserver, "POST", "/files", {"id": "file-1"})
    answer(httpserver, "POST", "/batches", batch)
    waiting = httpserver.expect_ordered_request("/v1/batches/batch_1")
    waiting.respond_with_json(batch, headers={"openai-poll-after-ms": "1"})
    answer(httpserver, "GET", "/batches/batch_1", done)
    answer(httpserver, "GET", "/files/file-2/content", lines.encode())
    answer(httpserver, "GET", "/batches", {"data": [done], "has_more": True, "last_id": "batch_1"})
    answer(httpserver, "GET", "/batches", {"data": [{"id": "batch_0"}], "has_more": False})
    assert output_of("batch", base_url).splitlines() == [
        "batch_1: validating",
        "batch_1: completed",
        "question-1: Paris.",
        "question-2: Rome.",
        "there is batch_1",
        "there is batch_0",
    ]
    sent = httpserver.log[0][0].get_data()
    assert b"What is the capital of Italy?" in sent
    assert httpserver.log[-1][0].args["after"] == "batch_1"


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_fails_with_the_status_when_the_server_refuses(
    httpserver: HTTPServer, base_url: str, name: str, tmp_path: Path
) -> None:
    refusal = {"error": {"message": "no such key", "code": "invalid_api_key"}}
    httpserver.expect_request(re.compile("/v1/.*")).respond_with_json(refusal, 401)
    done = run_example(name, base_url, folder=tmp_path)
    assert done.returncode == 1
    assert "401: no such key" in done.stderr.splitlines()[0]


def test_the_note_keeper_shows_what_its_plugins_say(
    httpserver: HTTPServer, base_url: str, tmp_path: Path
) -> None:
    (tmp_path / "One.md").write_text("See [[Two]] and [[Three]]. #Red #red #blue")
    (tmp_path / "Two.md").write_text("Nothing.")
    whole = reply("A note.") | {"usage": {"total_tokens": 12}}
    httpserver.expect_request("/v1/chat/completions").respond_with_json(whole)
    done = start([sys.executable, "examples/notes.py", str(tmp_path)], OPENAI_BASE_URL=base_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "# One",
        "  links says: One links to what is not there: Three",
        "  missing: 1",
        "  summary: A note.",
        "  tags: ['red', 'blue']",
        "# Two",
        "  missing: 0",
        "  summary: A note.",
        "  tags: []",
        "links: 0 requests, 0 tokens",
        "summary: 2 requests, 24 tokens",
        "tags: 0 requests, 0 tokens",
    ]


def test_the_note_keeper_passes_over_a_plugin_that_fails(
    httpserver: HTTPServer, base_url: str
) -> None:
    refusal = {"error": {"message": "no", "code": "busy"}}
    httpserver.expect_request("/v1/chat/completions").respond_with_json(refusal, 400)
    done = start([sys.executable, "examples/notes.py"], OPENAI_BASE_URL=base_url)
    assert done.returncode == 0
    assert "  summary failed: plugin summary:" in done.stdout
    assert "  tags: ['travel', 'france']" in done.stdout


def ask_for(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    found = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for number, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": found}
    return {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}


def told(payload: dict[str, Any]) -> list[str]:
    return [one["content"] for one in payload["messages"] if one["role"] == "tool"]


def test_the_agent_has_a_tool_of_each_plugin_that_offers_one(
    httpserver: HTTPServer, base_url: str
) -> None:
    calls = ask_for(
        ("find_notes", {"word": "seine"}),
        ("read_note", {"title": "Trip"}),
        ("read_note", {"title": "Rome"}),
        ("find_tags", {"text": "#One #two #one"}),
        ("find_tags", {}),
    )
    answer(httpserver, "POST", "/chat/completions", calls)
    answer(httpserver, "POST", "/chat/completions", reply("In May."))
    done = start([sys.executable, "examples/agent.py", "When?"], OPENAI_BASE_URL=base_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "In May."
    first, second = payloads(httpserver)
    names = [tool["function"]["name"] for tool in first["tools"]]
    assert names == ["find_notes", "read_note", "find_tags"]
    assert told(second) == [
        '["Paris"]',
        "We go to [[Paris]] in May, and perhaps to [[Lyon]]. #Travel #todo",
        "error: there is no such note; find_notes tells the titles",
        '["one","two"]',
        'arguments.text: expected type "string", got "nil"',
    ]
    assert "→ find_notes {'word': 'seine'} = ['Paris']" in done.stdout


def test_the_agent_goes_on_from_question_to_question(httpserver: HTTPServer, base_url: str) -> None:
    for text in ("One.", "Two."):
        answer(httpserver, "POST", "/chat/completions", reply(text))
    command = [sys.executable, "examples/agent.py", "First?", "Second?"]
    done = start(command, OPENAI_BASE_URL=base_url)
    assert (done.stdout, done.stderr) == ("One.\nTwo.\n", "")
    assert len(payloads(httpserver)[1]["messages"]) == 4


def test_the_code_of_a_model_is_run_and_mended(httpserver: HTTPServer, base_url: str) -> None:
    wrong, right = "local a\nreturn a.b", "host.sales('pears')[3] / 2, #host.sales()"
    for code in (wrong, right):
        answer(httpserver, "POST", "/chat/completions", ask_for(("run_lua", {"code": code})))
    answer(httpserver, "POST", "/chat/completions", reply("Apples: 98.33."))
    done = start([sys.executable, "examples/code_tool.py"], OPENAI_BASE_URL=base_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Apples: 98.33."
    first, _, third = payloads(httpserver)
    (tool,) = first["tools"]
    assert "host.sales(fruit: str = '')" in tool["function"]["description"]
    failed, worked = map(json.loads, told(third))
    assert failed["error"].startswith("line 2: attempt to index local 'a'")
    assert worked == {"result": [30, 3], "output": "", "error": None}


@pytest.mark.parametrize("name", ["agent", "code_tool"])
def test_each_program_with_tools_fails_with_the_status_when_the_server_refuses(
    httpserver: HTTPServer, base_url: str, name: str
) -> None:
    refusal = {"error": {"message": "no such key"}}
    httpserver.expect_request("/v1/chat/completions").respond_with_json(refusal, 401)
    done = start([sys.executable, f"examples/{name}.py", "Who?"], OPENAI_BASE_URL=base_url)
    assert done.returncode == 1
    assert "no such key" in done.stderr
    assert "Traceback" not in done.stderr


# --- In the sandbox ---

OUT_OF_BOUNDS = {
    "batch": "multipart is not for plugins",
    "images": "POST /images/generations is not for plugins",
    "responses_session": "DELETE /responses/r1 is not for plugins",
    "summaries": "attempt to call field 'popen' (a nil value)",
    "upload": "multipart is not for plugins",
}
"""What stops those examples in the sandbox that need more than a model."""


def answer_anything(server: HTTPServer) -> None:
    """Answer chats, responses and embeddings, whatever is asked."""
    text = '{"name":"Paris","country":"France","is_capital":true}'
    usage = {"usage": {"total_tokens": 12}}

    def events(*found: dict[str, Any]) -> Response:
        lines = "".join(f"data: {json.dumps(event)}\n\n" for event in found)
        return Response(lines + "data: [DONE]\n\n", content_type="text/event-stream")

    def chat(request: Request) -> Response:
        if request.get_json().get("stream"):
            return events(*deltas({"content": text[:9]}, {"content": text[9:]}))
        return Response(json.dumps(reply(text) | usage), content_type="application/json")

    def respond(request: Request) -> Response:
        whole = response("r1", said(text)) | usage | {"status": "completed"}
        if request.get_json().get("stream"):
            delta = {"type": "response.output_text.delta", "delta": text}
            return events(delta, {"type": "response.completed", "response": whole})
        return Response(json.dumps(whole), content_type="application/json")

    def embed(request: Request) -> Response:
        vectors = [{"embedding": [index, 1]} for index in range(len(request.get_json()["input"]))]
        return Response(json.dumps({"data": vectors} | usage), content_type="application/json")

    for path, handler in (
        ("chat/completions", chat),
        ("responses", respond),
        ("embeddings", embed),
    ):
        server.expect_request(f"/v1/{path}", method="POST").respond_with_handler(handler)


def run_in_sandbox(name: str, base_url: str) -> subprocess.CompletedProcess[str]:
    """Run an example behind walls, with a client of its company where it is for one."""
    path = f"examples/{name}.lua"
    if name not in COMPANIES:
        options = ["--sandbox", "--base-url", base_url]
        return start([sys.executable, "-m", "luaopenai", "run", *options, path])
    program = (
        f"from luaopenai import {COMPANIES[name]} as Client, PluginHost\n"
        "show = lambda _, text: print(text, end='')\n"
        f"host = PluginHost(Client('k', {base_url!r}), output=show)\n"
        f"host.run_script(open({path!r}, 'rb').read(), {path!r})"
    )
    return start([sys.executable, "-c", program])


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in OUT_OF_BOUNDS])
def test_each_example_that_needs_but_a_model_does_the_same_in_the_sandbox(
    httpserver: HTTPServer, base_url: str, name: str
) -> None:
    answer_anything(httpserver)
    outside, inside = run_example(name, base_url), run_in_sandbox(name, base_url)
    assert (inside.stderr, inside.returncode) == (outside.stderr, outside.returncode) == ("", 0)
    assert inside.stdout == outside.stdout


@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_an_example_that_needs_more_is_stopped_by_the_sandbox_in_words(
    httpserver: HTTPServer, base_url: str, name: str
) -> None:
    answer_anything(httpserver)
    done = run_in_sandbox(name, base_url)
    assert done.returncode == 1
    assert OUT_OF_BOUNDS[name] in done.stderr.splitlines()[0]


# --- Against the embedded model ---


@pytest.mark.model
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in BEYOND_THE_MODEL])
def test_each_example_works_with_the_embedded_model(
    model_server: LocalServer, name: str, tmp_path: Path
) -> None:
    # Of all that there is to summarise, the model reads two short texts: it takes long.
    (tmp_path / "one.txt").write_text("The ferry leaves at noon.")
    (tmp_path / "two.txt").write_text("The orchard is closed.")
    args = [str(tmp_path)] if name == "summaries" else []
    assert output_of(name, model_server.base_url, *args).strip()


@pytest.mark.model
def test_the_host_program_works_with_the_embedded_model(model_server: LocalServer) -> None:
    command = [sys.executable, "examples/host.py"]
    done = start(command, OPENAI_BASE_URL=model_server.base_url)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "CALLED FROM PYTHON!"
    assert re.fullmatch(r"line \d+ of script\.lua failed: .+", lines[-1])


@pytest.mark.model
def test_the_note_keeper_works_with_the_embedded_model(model: Path) -> None:
    done = start([sys.executable, "examples/locally.py", "examples/notes.py"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "summary: 2 requests" in done.stdout
    assert "failed" not in done.stdout


@pytest.mark.model
def test_tickets_are_sorted_by_the_embedded_model(model: Path, tmp_path: Path) -> None:
    output, tickets = tmp_path / "labelled.jsonl", tmp_path / "tickets.jsonl"
    lines = (ROOT / "examples/map/tickets.jsonl").read_text().splitlines(keepends=True)
    tickets.write_text("".join(lines[:3]))
    command = [sys.executable, "-m", "luaopenai", "map", "--local", "--workers", "1"]
    files = ["examples/map/classify.lua", str(tickets), "-o", str(output)]
    done = start([*command, *files])
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert {row["label"] for row in rows} <= {"delivery", "invoice", "other"}


@pytest.mark.model
def test_the_asyncio_program_works_with_the_embedded_model(model_server: LocalServer) -> None:
    command = [sys.executable, "examples/async_chats.py"]
    done = start(command, OPENAI_BASE_URL=model_server.base_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) >= 4
