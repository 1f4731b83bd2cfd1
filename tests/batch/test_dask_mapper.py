"""``luaopenai.dask.mapper``: a Lua script as a function of a partition, here and elsewhere."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import luaopenai.dask
from luaopenai import BatchError, RowsFailedError
from support.pace_server import PaceServer

KEY = "sk-secret-of-the-mappers-0123456789"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "f.lua") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_a_list_gives_the_results_in_its_order_without_rows_left_out(write: Any) -> None:
    double = luaopenai.dask.mapper(
        write("return function(row) if row % 3 > 0 then return { row * 2 } end end")
    )
    assert double(iter(range(1000))) == [[row * 2] for row in range(1000) if row % 3]
    assert double([]) == []


def test_it_can_be_pickled_and_needs_no_file_then(write: Any, tmp_path: Path) -> None:
    write("return { name = ... }", "other.lua")
    script = write(
        """
        local other, given = require("other"), ...
        return { setup = function(args) given = args[1] .. given end,
                 map = function(row) return { row, other.name, given } end }
        """
    )
    made = pickle.dumps(luaopenai.dask.mapper(script, args=["x"]))
    for path in tmp_path.iterdir():
        path.unlink()
    assert pickle.loads(made)([1]) == [[1, "other", "xx"]]


def test_its_key_reaches_the_server_and_is_not_shown(write: Any) -> None:
    script = write(
        """
        local client = require("openai").new()
        return function(row)
          local status, body = client:chat({ { role = "user", content = row } })
          assert(status == 200, body)
          return { said = body.choices[1].message.content }
        end
        """
    )
    with PaceServer(key=KEY) as server:
        ask = luaopenai.dask.mapper(script, api_key=KEY, base_url=server.url)
        made = pickle.dumps(ask)
        assert pickle.loads(made)(["a", "b"]) == [{"said": "a"}, {"said": "b"}]
    assert KEY not in f"{ask!r} {ask.__dask_tokenize__()}"
    assert KEY.encode() not in made
    assert KEY not in str(vars(ask)["_begin"]["files"])


def test_rows_that_fail_are_tried_again_and_raised_together(write: Any) -> None:
    script = write(
        """
        local times = {}
        return function(row)
          times[row] = (times[row] or 0) + 1
          if row == 2 or times[row] < 2 then error("no " .. row) end
          return times[row]
        end
        """
    )
    with pytest.raises(RowsFailedError, match=r"1 rows have failed: f\.lua:5: no 2") as caught:
        luaopenai.dask.mapper(script)(range(1, 4))
    assert [failure["row"] for failure in caught.value.failures] == [2]


def test_a_script_that_is_wrong_or_ends_the_process_is_told(write: Any) -> None:
    with pytest.raises(BatchError, match=r"^f\.lua:1: "):
        luaopenai.dask.mapper(write("x x"))([1])
    with pytest.raises(BatchError, match=r"called os\.exit"):
        luaopenai.dask.mapper(write("return function() os.exit(3) end"))([1])
    with pytest.raises(BatchError, match="cannot be read"):
        luaopenai.dask.mapper("no.lua")
    with pytest.raises(TypeError, match="no option 'rpm'"):
        luaopenai.dask.mapper(write("return print"), rpm=True)


def test_names_of_tasks_tell_scripts_and_arguments_apart(write: Any) -> None:
    one, two = write("return function() end", "1.lua"), write("return print", "2.lua")
    tokens = [
        luaopenai.dask.mapper(path, args=args).__dask_tokenize__()
        for path, args in ((one, []), (two, []), (one, ["x"]), (one, []))
    ]
    assert len(set(map(str, tokens))) == 3
    assert tokens[0] == tokens[3]


def test_a_dataframe_gives_one_with_the_index_of_its_rows(write: Any) -> None:
    pandas = pytest.importorskip("pandas")
    script = write(
        """
        return function(row)
          if row.id ~= 2 then
            return { id = row.id, label = tostring(row.price), when = row.at }
          end
        end
        """
    )
    ask = luaopenai.dask.mapper(script, columns=["label", "id", "when"])
    frame = pandas.DataFrame(
        {
            "id": [1, 2, 3],
            "price": [0.1, None, None],
            "at": pandas.to_datetime(["2026-01-02"] * 3),
        },
        index=["a", "b", "c"],
    )
    found = ask(frame)
    assert list(found.index) == ["a", "c"]
    assert list(found.columns) == ["label", "id", "when"]
    assert list(found["label"]) == ["0.1", "userdata: NULL"]
    assert list(found["id"]) == [1, 3]
    assert all(when.startswith("2026-01-02T00:00") for when in found["when"])
    empty = ask(frame.iloc[:0])
    assert len(empty) == 0
    assert list(empty.columns) == ["label", "id", "when"]


def test_partitions_of_bags_and_dataframes_go_through_it(write: Any) -> None:
    dask_bag = pytest.importorskip("dask.bag")
    dataframe = pytest.importorskip("dask.dataframe")
    pandas = pytest.importorskip("pandas")
    plain = write("return function(row) return { n = row * 2 } end", "plain.lua")
    script = write("return function(row) return { n = row.n * 2 } end")
    double = luaopenai.dask.mapper(script, columns=["n"])
    bag = dask_bag.from_sequence(list(range(10)), npartitions=3).map_partitions(
        luaopenai.dask.mapper(plain)
    )
    assert bag.compute(scheduler="threads") == [{"n": 2 * number} for number in range(10)]
    frame = dataframe.from_pandas(pandas.DataFrame({"n": range(10)}), npartitions=3)
    found = frame.map_partitions(double, meta={"n": "int64"}).compute(scheduler="threads")
    assert list(found["n"]) == [2 * number for number in range(10)]
    assert list(found.index) == list(range(10))
