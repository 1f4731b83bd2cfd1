"""``Runtime``: how values, functions and failures cross between Python and Lua, both ways."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaopenai import LuaError, Runtime
from support import exactly


@pytest.fixture(scope="module")
def shared() -> Runtime:
    """A runtime with the bundled modules alone, whatever rocks this machine has."""
    return Runtime(rocks=False)


@pytest.fixture
def lua(shared: Runtime) -> Iterator[Runtime]:
    """A runtime that works, and still works after whatever the test does to it."""
    yield shared
    loop = "local sum = 0 for n = 1, 1000 do sum = sum + n end return sum"
    assert shared.run_string(loop) == 500500
    assert shared.run_string("return (select(2, pcall(error, 'caught')))") == "caught"


def through_lua(lua: Runtime, value: object) -> Any:
    return lua.run_string("return ...", "code", value)


# --- Values that cross ---

EXACT = 2**53

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-EXACT, EXACT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def canonical(value: Any) -> str:
    """Text that is equal for equal JSON values alone: 1 and 1.0 are equal, 1 and True are not."""
    return json.dumps(_with_whole_floats_as_integers(value), sort_keys=True, allow_nan=False)


def _with_whole_floats_as_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_whole_floats_as_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_whole_floats_as_integers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@given(JSON)
def test_a_json_value_survives_the_way_through_lua(shared: Runtime, value: object) -> None:
    assert canonical(through_lua(shared, value)) == canonical(value)


@given(st.binary())
def test_bytes_come_back_as_they_were_or_as_the_text_they_are(shared: Runtime, data: bytes) -> None:
    back = through_lua(shared, data)
    assert (back.encode() if isinstance(back, str) else back) == data
    assert shared.run_string("return #...", "code", data) == len(data)


@pytest.mark.parametrize(
    ("value", "lua_type"),
    [
        (None, "nil"),
        (True, "boolean"),
        (1, "number"),
        (0.5, "number"),
        ("x", "string"),
        (b"\xff", "string"),
        ([], "table"),
        ((), "table"),
        ({}, "table"),
        (len, "function"),
    ],
    ids=repr,
)
def test_each_python_type_has_its_lua_type(lua: Runtime, value: object, lua_type: str) -> None:
    assert lua.run_string("return type(...)", "code", value) == lua_type


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("nil", None),
        ("true", True),
        ("1", 1),
        ("2^53", EXACT),
        ("2^53 + 2", float(EXACT + 2)),
        ("0.5", 0.5),
        ("1/0", math.inf),
        ("'é'", "é"),
        (r"'\255'", b"\xff"),
        (r"'a\0b'", "a\0b"),
        ("{}", {}),
        ("{1, {2}}", [1, [2]]),
        ("{1, nil, 3}", {1: 1, 3: 3}),
        ("{[1.5] = 'x'}", {1.5: "x"}),
        ("{[0] = 'x', 'y'}", {0: "x", 1: "y"}),
        ("{['1'] = 'x'}", {"1": "x"}),
        (r"{['\255'] = 'x'}", {b"\xff": "x"}),
        ("require('cjson').null", None),
        ("{require('cjson').null}", [None]),
        ("{a = require('cjson').null}", {"a": None}),
        ("setmetatable({}, require('cjson').array_mt)", []),
        ("setmetatable({1}, {__index = {b = 2}})", [1]),
    ],
)
def test_each_lua_value_has_its_python_value(lua: Runtime, code: str, value: object) -> None:
    result = lua.run_string(f"return {code}")
    assert (type(result), result) == (type(value), value)


def test_what_is_no_number_is_still_a_float(lua: Runtime) -> None:
    assert math.isnan(lua.run_string("return 0/0"))
    assert math.isnan(through_lua(lua, math.nan))


def test_none_inside_a_container_is_cjsons_null(lua: Runtime) -> None:
    code = "local value, null = ..., require('cjson').null return value[2] == null, #value"
    assert lua.run_string(code, "code", ["x", None, "y"]) == (True, 3)


def test_an_empty_list_is_an_array_to_cjson(lua: Runtime) -> None:
    code = "return require('cjson').encode(...)"
    assert lua.run_string(code, "code", {"list": []}) == '{"list":[]}'
    assert lua.run_string(code, "code", {"dict": {}}) == '{"dict":{}}'


def test_several_results_come_as_a_tuple(lua: Runtime) -> None:
    assert lua.run_string("return 1, nil, 'x', nil") == (1, None, "x", None)
    assert lua.run_string("return") is None


def test_arguments_keep_their_places(lua: Runtime) -> None:
    assert lua.run_string("return select('#', ...), ...", "code", None, 1, None) == (
        3,
        None,
        1,
        None,
    )


# --- Values that are refused ---


def itself(make: Callable[[Any], Any]) -> object:
    """A list that holds what ``make`` makes of it."""
    value: list[Any] = []
    value.append(make(value))
    return value


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (EXACT + 1, ValueError, f"argument 1: {EXACT + 1} is too large for an exact Lua number"),
        (
            {"a": [-EXACT - 1]},
            ValueError,
            f"argument 1['a'][0]: {-EXACT - 1} is too large for an exact Lua number",
        ),
        ("\ud800", ValueError, "argument 1: the string is not valid Unicode"),
        ({"a": {1, 2}}, TypeError, "argument 1['a']: Lua has no set"),
        ([object()], TypeError, "argument 1[0]: Lua has no object"),
        ({None: 1}, TypeError, "argument 1[None]: a Lua key is a string or a number"),
        ({True: 1}, TypeError, "argument 1[True]: a Lua key is a string or a number"),
        ({math.nan: 1}, ValueError, "argument 1[nan]: a Lua key cannot be NaN"),
        (
            {2**60: 1},
            ValueError,
            f"argument 1[{2**60}]: {2**60} is too large for an exact Lua number",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "argument" in value else "",
)
def test_a_python_value_that_lua_has_not_is_refused_by_its_place(
    lua: Runtime, value: object, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=exactly(text)):
        through_lua(lua, value)


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        ("io.stdout", TypeError, "result: Python has no Lua userdata"),
        ("{a = {io.stdout}}", TypeError, "result.a[1]: Python has no Lua userdata"),
        ("coroutine.create(print)", TypeError, "result: Python has no Lua thread"),
        ("coroutine.wrap(coroutine.running)()", TypeError, "result: Python has no Lua thread"),
        ("{1, x = 2}", ValueError, "result: the table mixes list items and named fields"),
        (
            "{a = {{1, x = 2}}}",
            ValueError,
            "result.a[1]: the table mixes list items and named fields",
        ),
        ("{[true] = 1}", TypeError, "result: a key is a boolean"),
        ("{[{}] = 1}", TypeError, "result: a key is a table"),
        ("{[print] = 1}", TypeError, "result: a key is a function"),
    ],
)
def test_a_lua_value_that_python_has_not_is_refused_by_its_place(
    lua: Runtime, code: str, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=exactly(text)):
        lua.run_string(f"return {code}")


@pytest.mark.parametrize("make", [lambda whole: whole, lambda whole: {"a": (whole,)}])
def test_a_python_container_that_holds_itself_is_refused(
    lua: Runtime, make: Callable[[Any], Any]
) -> None:
    with pytest.raises(ValueError, match=r"^argument 1\[0\].*; does it contain itself\?$"):
        through_lua(lua, itself(make))


def test_a_lua_table_that_holds_itself_is_refused(lua: Runtime) -> None:
    with pytest.raises(ValueError, match=r"^result\.self\.self.*; does it contain itself\?$"):
        lua.run_string("local t = {} t.self = t return t")


# --- Functions ---


def test_a_lua_function_can_be_called_from_python(lua: Runtime) -> None:
    swap = lua.run_string("return function(a, b) return b, a end")
    assert swap([1], None) == (None, [1])


def test_a_lua_function_goes_back_as_itself(lua: Runtime) -> None:
    is_print = lua.run_string("return function(f) return f == print end")
    assert is_print(lua.run_string("return print")) is True


def test_a_python_function_can_be_called_from_lua(lua: Runtime) -> None:
    calls: list[tuple[object, ...]] = []

    def note(*arguments: object) -> tuple[object, ...]:
        calls.append(arguments)
        return "one", None, {"three": [3]}

    code = "local f = ... local a, b, c = f(1, nil, {x = 'y'}) return a, b, c.three[1]"
    assert lua.run_string(code, "code", note) == ("one", None, 3)
    assert calls == [(1, None, {"x": "y"})]


def test_a_python_function_inside_a_table_can_be_called_from_lua(lua: Runtime) -> None:
    code = "local library = ... return library.double(21)"
    assert lua.run_string(code, "code", {"double": lambda number: 2 * number}) == 42


def test_calls_nest_both_ways(lua: Runtime) -> None:
    down = lua.run_string("return function(down, n) return n == 0 and 0 or 1 + down(n - 1) end")

    def step(n: int) -> object:
        return down(step, n)

    assert step(20) == 20


def test_a_python_function_can_be_called_inside_a_coroutine(lua: Runtime) -> None:
    code = """
      local f = ...
      local resume = coroutine.wrap(function() coroutine.yield(f(1)) coroutine.yield(f(2)) end)
      return resume(), resume()
    """
    assert lua.run_string(code, "code", lambda n: n * 10) == (10, 20)


# --- Exceptions of Python in Lua ---


class TroubleError(Exception):
    pass


TROUBLE = TroubleError("it broke")


def fail(*_: object) -> None:
    raise TROUBLE


def test_a_python_exception_is_a_string_to_lua(lua: Runtime) -> None:
    code = "local ok, message = pcall(...) return ok, type(message), message"
    assert lua.run_string(code, "code", fail) == (False, "string", "TroubleError: it broke")


@pytest.mark.parametrize(
    "code",
    [
        "local f = ... f()",
        "local f = ... local ok, message = pcall(f) error(message, 0)",
        "local f = ... local ok, message = pcall(f) error('on the way: ' .. message)",
        "local f = ... coroutine.wrap(function() f() end)()",
        "local f = ... assert(pcall(f))",
    ],
)
def test_an_exception_that_lua_lets_through_is_the_cause(lua: Runtime, code: str) -> None:
    with pytest.raises(LuaError, match=r"TroubleError: it broke$") as caught:
        lua.run_string(code, "code", fail)
    assert caught.value.__cause__ is TROUBLE


def test_an_exception_that_lua_caught_is_not_the_cause_of_a_later_error(lua: Runtime) -> None:
    with pytest.raises(LuaError, match=r"^something else$") as caught:
        lua.run_string("pcall(...) error('something else', 0)", "code", fail)
    assert caught.value.__cause__ is None


def test_an_exception_passes_through_both_languages_twice(lua: Runtime) -> None:
    call = lua.run_string("return function(f, ...) f(...) end")
    with pytest.raises(LuaError) as caught:
        call(call, call, fail)
    assert str(caught.value) == "TroubleError: it broke"
    assert caught.value.__cause__ is TROUBLE


def test_a_lua_error_through_python_keeps_its_text(lua: Runtime) -> None:
    bad = lua.run_string("return function() error('deep') end", "deep.lua")
    with pytest.raises(LuaError) as caught:
        lua.run_string("local f = ... f()", "outer.lua", lambda: bad())
    assert caught.value.message == "deep.lua:1: deep"
    assert isinstance(caught.value.__cause__, LuaError)
    assert caught.value.__cause__.chunk == "deep.lua"


def test_a_result_that_lua_has_not_is_an_error_in_lua(lua: Runtime) -> None:
    code = "return select(2, pcall(...))"
    assert lua.run_string(code, "code", lambda: {1}) == "TypeError: result: Lua has no set"


# --- Errors of Lua in Python ---


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        ("'text', 0", "text"),
        ("'text'", "code:1: text"),
        ("{code = 42, reason = 'x'}", '{code = 42, reason = "x"}'),
        ("{}", "{}"),
        ("setmetatable({}, {__tostring = function() return 'shown' end})", "shown"),
        (
            "setmetatable({}, {__tostring = function() error('no') end})",
            "(error object is a table)",
        ),
        ("nil", "nil"),
        ("42", "code:1: 42"),
        ("true", "true"),
        (r"'\255', 0", "\ufffd"),
    ],
)
def test_any_error_value_has_a_message(lua: Runtime, raised: str, message: str) -> None:
    with pytest.raises(LuaError) as caught:
        lua.run_string(f"error({raised})")
    assert caught.value.message == str(caught.value) == message


def test_an_error_tells_chunk_line_and_traceback(lua: Runtime) -> None:
    code = "local function inner()\n  local x = nil + 1\nend\n\ninner()\n"
    with pytest.raises(LuaError) as caught:
        lua.run_string(code, "plugin.lua")
    error = caught.value
    assert error.message == "plugin.lua:2: attempt to perform arithmetic on a nil value"
    assert (error.chunk, error.line) == ("plugin.lua", 2)
    assert error.traceback.startswith("stack traceback:\n\tplugin.lua:2: in function 'inner'")
    assert error.traceback.endswith("plugin.lua:5: in main chunk")


@pytest.mark.parametrize(
    "code",
    [
        "\n\nreturn error('no luck', 0)",
        "local function f()\nreturn error('no luck', 0) end\nlocal x = f()",
        "local openai = require('openai')\nopenai.spawn(function()\nerror('no luck') end)",
        "\nlocal f = coroutine.wrap(function()\nerror('no luck') end)\nf()",
        "\n\nrequire('openai').new():chat('no luck')",
        "\n\nrequire('no luck')",
    ],
)
def test_an_error_names_the_scripts_line_wherever_it_was_raised(lua: Runtime, code: str) -> None:
    def run() -> None:
        lua.run_string(code, "script.lua")
        lua.finish_tasks()

    with pytest.raises(LuaError) as caught:
        run()
    assert (caught.value.chunk, caught.value.line) == ("script.lua", 3)


def test_a_full_stack_names_the_line_or_at_least_the_chunk_that_was_run(lua: Runtime) -> None:
    """Lua has no room to ask for the line, unless the recursion was compiled."""
    with pytest.raises(LuaError, match="stack overflow") as caught:
        lua.run_string("\n\nlocal function f() local x = f() return x end f()", "script.lua")
    assert (caught.value.chunk, caught.value.line) in (("script.lua", 1), ("script.lua", 3))


def test_a_traceback_reads_as_if_our_files_were_written_in_c(lua: Runtime) -> None:
    code = "local function ask()\n  require('openai').new():chat('Hi')\nend\nask()\n"
    with pytest.raises(LuaError) as caught:
        lua.run_string(code, "script.lua")
    assert caught.value.traceback.split("\n\t") == [
        "stack traceback:",
        "[C]: in function 'chat'",
        "script.lua:2: in function 'ask'",
        "script.lua:4: in main chunk",
    ]


def test_a_scripts_own_traceback_is_that_of_lua_without_our_files(lua: Runtime) -> None:
    code = """
        local function culprit() error("here") end
        local told = select(2, xpcall(culprit, debug.traceback))
        local thread = coroutine.create(function() coroutine.yield() end)
        coroutine.resume(thread)
        local t = {}
        return told, debug.traceback("a", 1), debug.traceback(thread, "b"), debug.traceback(t) == t
    """
    told, here, other, same = lua.run_string(code, "script.lua")
    assert told.split("\n\t") == [
        "script.lua:2: here\nstack traceback:",
        "[C]: in function 'error'",
        "script.lua:2: in function <script.lua:2>",
        "[C]: in function 'xpcall'",
        "script.lua:3: in main chunk",
    ]
    assert here == "a\nstack traceback:\n\tscript.lua:7: in main chunk"
    assert other.split("\n\t") == [
        "b\nstack traceback:",
        "[C]: in function 'yield'",
        "script.lua:4: in function <script.lua:4>",
    ]
    assert same


@pytest.mark.parametrize(
    ("raised", "value"),
    [
        ("{ code = 7, list = { 1, 2 } }", {"code": 7, "list": [1, 2]}),
        ("12, 0", 12),
        ("false", False),
        ("'text'", None),
        ("{ f = print }", None),
        ("(function() local t = {} t.t = t return t end)()", None),
    ],
)
def test_an_error_value_that_is_plain_data_reaches_python(
    lua: Runtime, raised: str, value: object
) -> None:
    with pytest.raises(LuaError) as caught:
        lua.run_string(f"error({raised})")
    assert (caught.value.value, type(caught.value.value)) == (value, type(value))


def test_an_error_can_be_pickled(lua: Runtime) -> None:
    with pytest.raises(LuaError) as caught:
        lua.run_string("error({ code = 7 })")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), vars(copy)) == (str(caught.value), vars(caught.value))


def test_an_error_of_a_builtin_blames_the_scripts_line(lua: Runtime) -> None:
    with pytest.raises(LuaError) as caught:
        lua.run_string("\n\nstring.rep()", "plugin.lua")
    assert (caught.value.chunk, caught.value.line) == ("plugin.lua", 3)


def test_an_error_in_a_file_tells_the_files_name(lua: Runtime, tmp_path: Path) -> None:
    script = tmp_path / "script.lua"
    script.write_text("\nerror('in the file')\n")
    with pytest.raises(LuaError, match=r":2: in the file$") as caught:
        lua.run_file(str(script))
    assert caught.value.line == 2
    assert str(caught.value.chunk).endswith("script.lua")


@pytest.mark.parametrize(
    ("code", "line"), [("x =", 1), ("\n\nreturn = 1", 3), ("return 'open", 1), ("goto nowhere", 1)]
)
def test_a_syntax_error_tells_chunk_and_line_and_has_no_traceback(
    lua: Runtime, code: str, line: int
) -> None:
    with pytest.raises(LuaError, match=f"^plugin.lua:{line}: ") as caught:
        lua.run_string(code, "plugin.lua")
    error = caught.value
    assert (error.chunk, error.line, error.traceback) == ("plugin.lua", line, "")


def test_a_file_that_is_not_there_is_an_error(lua: Runtime, tmp_path: Path) -> None:
    with pytest.raises(LuaError, match=r"absent\.lua: No such file or directory$"):
        lua.run_file(str(tmp_path / "absent.lua"))


def test_a_stack_overflow_is_an_error(lua: Runtime) -> None:
    with pytest.raises(LuaError, match=r"stack overflow"):
        lua.run_string("local function f() return 1 + f() end f()")


# --- Leaving Lua ---

LEAVING = {
    "plainly": "f(...)",
    "out of pcall": "pcall(f, ...)",
    "out of nested pcalls": "pcall(pcall, pcall, f, ...)",
    "out of xpcall": "xpcall(f, function() return 'handled' end, ...)",
    "out of a coroutine": "coroutine.wrap(f)(...)",
    "out of pcall in a coroutine": "coroutine.wrap(function(...) pcall(f, ...) end)(...)",
    "out of a resumed coroutine": "coroutine.resume(coroutine.create(f), ...)",
    "out of a metamethod": "local n = ... pcall(setmetatable({}, {__call = function() f(n) end}))",
    "out of a sort": "local n = ... pcall(table.sort, {3, 1, 2}, function() f(n) end)",
    "out of a hot loop": "local n = ... for i = 1, 5000 do pcall(i == 4999 and f or type, n) end",
}
leaving = pytest.mark.parametrize("code", LEAVING.values(), ids=LEAVING)


@leaving
def test_os_exit_leaves_lua_with_its_code(lua: Runtime, code: str) -> None:
    with pytest.raises(SystemExit) as caught:
        lua.run_string(f"local f = os.exit {code} while true do end", "code", 7)
    assert caught.value.code == 7


@pytest.mark.parametrize(
    ("argument", "code"), [("", 0), ("true", 0), ("false", 1), ("0", 0), ("3", 3)]
)
def test_os_exit_takes_what_luas_does(lua: Runtime, argument: str, code: int) -> None:
    with pytest.raises(SystemExit) as caught:
        lua.run_string(f"os.exit({argument})")
    assert caught.value.code == code


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@leaving
def test_an_interrupt_in_a_callback_is_not_swallowed(lua: Runtime, code: str) -> None:
    function = lua.run_string(
        f"return function(f) return (function(...) {code} while true do end end)() end"
    )
    with pytest.raises(KeyboardInterrupt):
        function(interrupt)


def test_os_exit_leaves_every_level_of_nested_calls(lua: Runtime) -> None:
    def inner() -> None:
        lua.run_string("pcall(os.exit, 5)")

    with pytest.raises(SystemExit) as caught:
        lua.run_string("pcall(...) while true do end", "code", inner)
    assert caught.value.code == 5


# --- What of Python a script can reach ---

WALK = r"""
-- Everything within reach of _G: fields, keys, metatables, environments and, on request, upvalues.
local through_c, visit = ...
local seen, waiting = {}, {{_G, "_G"}}
local function add(value, path)
  local kind = type(value)
  local is_object = kind == "table" or kind == "function" or kind == "userdata" or kind == "thread"
  if is_object and not seen[value] then
    seen[value] = true
    waiting[#waiting + 1] = {value, path}
  end
end
local function add_upvalues(f, path)
  for index = 1, 255 do
    local name, value = debug.getupvalue(f, index)
    if not name then break end
    if name ~= "" or through_c then add(value, path .. "^" .. name) end
  end
end
local found = {}
while #waiting > 0 do
  local value, path = unpack(table.remove(waiting))
  if type(value) == "userdata" then found[path] = tostring(value) end
  if type(value) == "table" then
    for key, item in next, value do
      add(key, path .. "[key]")
      add(item, path .. "." .. tostring(key))
    end
  elseif type(value) == "function" then
    add_upvalues(value, path)
  end
  add(debug.getmetatable(value), path .. "<meta>")
  add(debug.getfenv(value), path .. "<env>")
end
local count = 0
for _ in pairs(seen) do count = count + 1 end
return found, count
"""


@pytest.fixture(scope="module")
def well_used(shared: Runtime) -> Runtime:
    """A runtime in which a script has loaded every module and made a client."""
    shared.run_string(
        """
        local names = "openai cjson tableshape ltn12 mime socket.url socket.http ssl.https"
        for name in names:gmatch("%S+") do require(name) end
        client = require("openai").new("sk-test")
        session = client:new_chat_session()
        """
    )
    return shared


def userdata_within_reach(lua: Runtime, *, through_c_functions: bool) -> dict[str, str]:
    found, count = lua.run_string(WALK, "walk", through_c_functions)
    assert count > 500
    assert any(shown.startswith("file (") for shown in found.values())
    return dict(found)


def is_pythons(shown: str) -> bool:
    """Whether ``tostring`` showed a Python object: lupa does by its ``repr``; Lua's own have none.

    Lua's own userdata are files, string buffers, FFI's namespace, the state of ``math.random`` and
    the sentinels of cjson.
    """
    return shown.startswith("<")


def test_no_python_object_is_within_a_scripts_reach(well_used: Runtime) -> None:
    found = userdata_within_reach(well_used, through_c_functions=False)
    assert {path: shown for path, shown in found.items() if is_pythons(shown)} == {}


def test_debug_getupvalue_finds_only_the_bridges_own_functions(well_used: Runtime) -> None:
    """The Python function under each bridge function is there for a script that digs for it."""
    found = userdata_within_reach(well_used, through_c_functions=True)
    pythons = [shown for shown in found.values() if is_pythons(shown)]
    assert pythons
    assert {shown.partition(" at 0x")[0] for shown in pythons} == {
        "<function LuaState.guard.<locals>.guarded"
    }


@pytest.mark.parametrize(
    "use", ["f.__globals__", "f['__class__']", "f[1]", "f.x == nil", "(function() f.x = 1 end)()"]
)
def test_a_python_function_that_a_script_dug_out_is_closed(lua: Runtime, use: str) -> None:
    code = f"""
      local function dig(f)
        for index = 1, 9 do
          local name, value = debug.getupvalue(f, index)
          if tostring(value):find("^<function") then return value end
          local found = type(value) == "function" and dig(value)
          if found then return found end
        end
      end
      local f = assert(dig(os.exit), "nothing found")
      return {use}
    """
    with pytest.raises(LuaError, match=r"^Python objects are closed to Lua$"):
        lua.run_string(code)


def test_there_is_no_global_named_python(lua: Runtime) -> None:
    assert lua.run_string("return python, package.loaded.python") == (None, None)
    with pytest.raises(LuaError, match=r"module 'python' not found"):
        lua.run_string("require('python')")
