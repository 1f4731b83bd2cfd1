"""Any JSON value survives from Lua to a server and back, and from Python to Lua and back."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaopenai import Runtime
from support.openai_server import OpenAIServer

EXACT = 2**53

NUMBERS = st.integers(-EXACT, EXACT) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)

# Compares as Lua sees it: nil is not null, and an empty array is no empty object.
SCRIPT = """
local array_mt = require("cjson").array_mt
local client = require("openai").new()

local function is_array(value)
  return #value > 0 or getmetatable(value) == array_mt
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return rawequal(a, b) and (a ~= 0 or 1 / a == 1 / b)
  end
  if is_array(a) ~= is_array(b) then
    return false
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then
      return false
    end
  end
  return true
end

-- Sends a value to a server, which sends it back as it came.
local function mirror(value)
  local status, body = client:request("POST", "/mirror", { value = value })
  assert(status == 200)
  return body.value
end

return {
  same = same,
  mirror = mirror,
  survives = function(value) return same(value, mirror(value)) end,
  itself = function(value) return value end,
}
"""


@pytest.fixture(scope="module")
def script() -> Iterator[dict[str, Any]]:
    with OpenAIServer() as server:
        runtime = Runtime(base_url=server.address + "/v1", rocks=False)
        yield runtime.run_string(SCRIPT, "script.lua")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([None], [False]),
        ([], {}),
        ({"a": []}, {"a": {}}),
        ([0.0], [-0.0]),
        ([0.1], [0.1 + 2**-56]),
        ([EXACT], [EXACT - 1]),
        (["é"], ["e\u0301"]),
        ({"a": None}, {}),
        ([1], [1, 2]),
    ],
    ids=repr,
)
def test_the_comparison_tells_values_apart(script: dict[str, Any], a: object, b: object) -> None:
    assert script["same"](a, a)
    assert not script["same"](a, b)
    assert not script["same"](b, a)


@given(JSON)
def test_any_value_survives_from_lua_to_the_wire_and_back(
    script: dict[str, Any], value: object
) -> None:
    assert script["survives"]([value])


@given(JSON)
def test_any_value_survives_from_python_through_lua_and_the_wire(
    script: dict[str, Any], value: object
) -> None:
    assert script["mirror"](["held", value]) == ["held", value]


@given(JSON)
def test_any_value_survives_from_python_to_lua_and_back(
    script: dict[str, Any], value: object
) -> None:
    assert script["itself"]([value]) == [value]


@given(NUMBERS)
def test_numbers_come_back_bit_for_bit(script: dict[str, Any], number: float) -> None:
    back = script["mirror"]([number])[0]
    # Zero comes back as the int that it is: adding 0.0 takes the sign from -0.0.
    assert struct.pack("d", back) == struct.pack("d", number + 0.0)
