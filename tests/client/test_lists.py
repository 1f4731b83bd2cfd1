"""Lists that come in pages, followed by ``each``: what is asked for, and what ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

import luaopenai
from luaopenai import APIError, AsyncOpenAI, LuaError, NotFoundError, OpenAI, PluginHost
from luaopenai.client.lists import next_cursor
from support import exactly

ITEMS = [{"id": f"batch_{number}"} for number in range(5)]


def serve_pages(server: HTTPServer, path: str = "/v1/batches") -> None:
    """Answers as the API does: two items at a time when nothing else is asked for."""

    def answer(request: Request) -> Response:
        ids = [item["id"] for item in ITEMS]
        start = ids.index(request.args["after"]) + 1 if "after" in request.args else 0
        page = ITEMS[start : start + int(request.args.get("limit", 2))]
        last = page[-1]["id"]
        more = last != ids[-1]
        body = {"object": "list", "data": page, "last_id": last, "has_more": more}
        return Response(json.dumps(body), content_type="application/json")

    server.expect_request(path).respond_with_handler(answer)


def asked(server: HTTPServer) -> list[str]:
    return [request.query_string.decode() for request, _ in server.log]


def test_each_yields_the_items_of_all_pages(client: OpenAI, httpserver: HTTPServer) -> None:
    serve_pages(httpserver)
    assert list(client.each("list_batches")) == ITEMS
    assert asked(httpserver) == ["", "after=batch_1", "after=batch_3"]


def test_each_goes_on_with_the_callers_query(client: OpenAI, httpserver: HTTPServer) -> None:
    serve_pages(httpserver)
    assert list(client.each("list_batches", limit=3, after="batch_0")) == ITEMS[1:]
    assert asked(httpserver) == ["after=batch_0&limit=3", "after=batch_3&limit=3"]


def test_each_takes_ids_and_an_earlier_name(client: OpenAI, httpserver: HTTPServer) -> None:
    serve_pages(httpserver, "/v1/conversations/conv_1/items")
    assert list(client.each("conversation_items", "conv_1", limit=5)) == ITEMS


def test_each_takes_a_query_with_a_name(client: OpenAI, httpserver: HTTPServer) -> None:
    serve_pages(httpserver, "/v1/containers")
    assert list(client.each("list_containers", name="x", limit=5)) == ITEMS
    assert asked(httpserver) == ["limit=5&name=x"]


def test_each_asks_for_a_page_only_when_its_first_item_is_due(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    serve_pages(httpserver)
    items = client.each("list_batches")
    assert not httpserver.log
    assert [next(items), next(items)] == ITEMS[:2]
    assert len(httpserver.log) == 1


def test_each_calls_the_clients_method_so_that_a_subclass_may_replace_it() -> None:
    class Mine(OpenAI):
        def list_batches(self, **query: Any) -> luaopenai.Response:
            return luaopenai.Response(200, {"data": [1, 2]}, {})

    with Mine("key") as client:
        assert list(client.each("list_batches")) == [1, 2]


def test_each_raises_the_error_of_a_pages_status_after_the_items_before(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    first = {"data": ITEMS[:1], "has_more": True}
    httpserver.expect_ordered_request("/v1/batches").respond_with_json(first)
    gone = {"error": {"message": "gone"}}
    httpserver.expect_ordered_request("/v1/batches").respond_with_json(gone, 404)
    items = client.each("list_batches")
    assert next(items) == ITEMS[0]
    with pytest.raises(NotFoundError, match=exactly("Bad status: 404: gone")):
        next(items)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"object": "list"}, "The answer is not a page of a list"),
        ({"error": {"message": "no"}}, "The answer is not a page of a list: no"),
        ([1], "The answer is not a page of a list"),
    ],
)
def test_each_refuses_an_answer_that_is_no_page(
    client: OpenAI, httpserver: HTTPServer, body: Any, text: str
) -> None:
    httpserver.expect_request("/v1/files").respond_with_json(body)
    with pytest.raises(APIError, match=exactly(text)) as caught:
        list(client.each("list_files"))
    assert (caught.value.status, caught.value.body) == (200, body)


def test_each_does_not_ask_a_server_that_knows_no_pages_for_the_same_one_for_ever(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    same = {"data": ITEMS[:1], "has_more": True}
    httpserver.expect_request("/v1/files").respond_with_json(same)
    items = client.each("list_files")
    assert [next(items), next(items)] == ITEMS[:1] * 2
    with pytest.raises(APIError, match="does not tell how to go on"):
        next(items)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "list_batchs",
            'each: no endpoint is called "list_batchs"; did you mean list_batches?',
        ),
        ("zzz", 'each: no endpoint is called "zzz"'),
        ("create_batch", "each: create_batch does not return a list"),
    ],
)
def test_each_refuses_what_does_not_list_before_anything_is_sent(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=exactly(text)):
        OpenAI("key").each(name)
    with pytest.raises(ValueError, match=exactly(text)):
        AsyncOpenAI("key").each(name)


# --- The next page ---


@pytest.mark.parametrize(
    ("page", "cursor"),
    [
        ({"data": [{"id": "a"}], "has_more": False, "last_id": "a"}, None),
        ({"data": [{"id": "a"}]}, None),
        ({"data": [], "has_more": True}, None),
        ({"data": [{"id": "a"}], "has_more": True}, "a"),
        ({"data": [{"id": "a"}], "has_more": True, "last_id": "b"}, "b"),
        ({"data": [{"id": "a"}], "has_more": True, "next": "c"}, "c"),
        ({"data": [{"text": "a"}], "has_more": True, "next_page": "p2"}, "p2"),
        ({"data": [{"text": "a"}], "has_more": False, "next_page": None}, None),
    ],
)
def test_a_page_tells_how_the_next_one_is_asked_for(page: Any, cursor: str | None) -> None:
    assert next_cursor(200, page, "before") == cursor


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
FIELDS = ("has_more", "last_id", "next", "next_page")


@given(
    st.lists(json_values, max_size=2),
    st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, json_values)),
    st.none() | st.text(max_size=2),
)
def test_whatever_a_page_says_the_next_is_asked_for_by_a_new_text_or_not_at_all(
    data: list[Any], fields: dict[str, Any], last: str | None
) -> None:
    try:
        cursor = next_cursor(200, {"data": data, **fields}, last)
    except APIError:
        assert fields.get("has_more") is not False
        return
    assert cursor is None or (isinstance(cursor, str) and cursor != last)


# --- asyncio ---


def test_each_of_the_client_for_asyncio_is_iterated_with_async_for(
    httpserver: HTTPServer, base_url: str
) -> None:
    serve_pages(httpserver)

    async def collect() -> list[Any]:
        async with AsyncOpenAI("key", base_url) as client:
            return [item async for item in client.each("list_batches", limit=2)]

    assert asyncio.run(collect()) == ITEMS


def test_an_async_loop_that_is_left_asks_for_no_further_page(
    httpserver: HTTPServer, base_url: str
) -> None:
    serve_pages(httpserver)

    async def take_one() -> list[Any]:
        found = []
        async with AsyncOpenAI("key", base_url) as client:
            async for item in client.each("list_batches"):
                found.append(item)
                break
        return found

    assert asyncio.run(take_one()) == ITEMS[:1]
    assert len(httpserver.log) == 1


# --- Plugins ---

EACH = """
return { run = function(name)
  local ids = {}
  for item in require("openai").new():each(name) do
    ids[#ids + 1] = item.id
  end
  return ids
end }
"""


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_plugin_may_list_what_is_for_plugins_and_nothing_else(
    httpserver: HTTPServer, isolation: str, load_plugin: Callable[..., Any]
) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"object": "list", "data": ITEMS})
    plugin = load_plugin(EACH, isolation)
    assert plugin.call("run", "list_models") == [item["id"] for item in ITEMS]
    with pytest.raises(LuaError, match="GET /batches is not for plugins"):
        plugin.call("run", "list_batches")


@pytest.fixture
def load_plugin(client: OpenAI, request: pytest.FixtureRequest) -> Callable[..., Any]:
    def load(source: str, isolation: Any) -> Any:
        host = PluginHost(client=client, isolation=isolation)
        request.addfinalizer(host.close)
        return host.load_string(source, "lister")

    return load
