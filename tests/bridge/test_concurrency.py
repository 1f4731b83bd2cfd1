"""Lua's tasks from the outside: in a Python program, under `luaopenai run`, and what they leave."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from luaopenai import LuaError, OpenAI, Runtime
from support.children import child
from support.crowd_server import CrowdServer
from support.tasks import CHATTING
from support.waiting import GENEROUS, eventually, waiting_threads

RUN = [sys.executable, "-m", "luaopenai", "run"]


# --- What a script leaves behind ---


def test_after_a_gather_no_thread_is_left_and_no_connection_after_close(
    runtime: Runtime,
    crowd_client: OpenAI,
    crowd: CrowdServer,
    open_sockets: Callable[[], int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    code = (
        "local list = {} for n = 1, 40 do list[n] = function() return chat('meet-32', 'c') end end"
    )
    assert len(runtime.run_string(f"{CHATTING} {code} return openai.gather(list)")) == 40
    eventually(lambda: not waiting_threads())
    assert crowd.count.most == 32
    assert 1 <= open_sockets() <= 10, "no more are kept than the pool holds"
    assert caplog.messages == [], "which is no cause for a warning"
    crowd_client.close()
    assert open_sockets() == 0
    eventually(lambda: crowd.count.connections == 0)


def test_after_cancels_no_thread_and_no_connection_is_left(
    runtime: Runtime, crowd: CrowdServer, open_sockets: Callable[[], int]
) -> None:
    runtime.run_string(
        CHATTING
        + """
        local tasks = {}
        for n = 1, 5 do
          tasks[n] = openai.spawn(chat, "wait-9000", "c")
          tasks[n + 5] = openai.spawn(function()
            stream("drip-999-10")
          end)
        end
        openai.sleep(0.2)
        for _, task in ipairs(tasks) do task:cancel() end
        """
    )
    eventually(lambda: not waiting_threads())
    eventually(lambda: open_sockets() == 0)
    eventually(lambda: (crowd.count.now, crowd.count.connections) == (0, 0))


def test_after_a_failure_in_the_midst_no_thread_and_no_answer_is_left(
    runtime: Runtime, open_sockets: Callable[[], int]
) -> None:
    with pytest.raises(SystemExit) as caught:
        runtime.run_string(
            CHATTING
            + """
            openai.gather({
              function() chat("wait-9000", "a") end,
              function()
                stream("drip-999-10")
              end,
              function() openai.sleep(0.2) pcall(os.exit, 3) end,
            })
            """
        )
    assert caught.value.code == 3
    eventually(lambda: not waiting_threads())
    eventually(lambda: open_sockets() == 0)
    assert runtime.run_string(CHATTING + "return openai.gather({ function() return 7 end })") == [7]
    assert runtime.run_string(CHATTING + "return chat('wait-1', 'as before')") == "as before"


def test_ended_tasks_are_collected(runtime: Runtime) -> None:
    grown = runtime.run_string(
        CHATTING
        + """
        local function some()
          for _ = 1, 200 do
            openai.gather({ function() return ("x"):rep(1000) end, function() openai.sleep(0) end })
          end
          collectgarbage() collectgarbage()
          return collectgarbage("count")
        end
        some()
        local before = some()
        return some() - before
        """
    )
    assert grown < 50, "kilobytes, of 400 tasks with 200 kilobytes in results"


def test_a_script_without_tasks_loads_nothing_for_them(crowd: CrowdServer) -> None:
    code = f"""
import sys, threading
from luaopenai import Runtime
runtime = Runtime(base_url={crowd.url!r}, api_key="k", rocks=False)
resume = runtime.run_string("return coroutine.resume")
print(runtime.run_string({CHATTING!r} + '''
    local resume, wrap = coroutine.resume, coroutine.wrap
    local reply = coroutine.wrap(function()
      openai.sleep(0.001)
      return chat("wait-1", "hello")
    end)()
    assert(resume == coroutine.resume and wrap == coroutine.wrap)
    return reply'''))
print("luaopenai.bridge.threads" in sys.modules, threading.active_count())
print(runtime.run_string('''
    local resume = coroutine.resume
    require("openai").gather({{}})
    return resume == coroutine.resume'''))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("hello\nFalse 1\nFalse\n", "")


# --- Errors ---


def test_an_error_in_a_task_names_its_line_and_shows_where_it_came_from(runtime: Runtime) -> None:
    code = CHATTING + "\nopenai.gather({ function()\nopenai.sleep(0)\nerror('deep') end })"
    line = CHATTING.count("\n") + 4
    with pytest.raises(LuaError) as caught:
        runtime.run_string(code, "script.lua")
    assert caught.value.message == f"script.lua:{line}: deep"
    assert (caught.value.chunk, caught.value.line) == ("script.lua", line)
    assert f"script.lua:{line}: in function <script.lua:{line - 2}>" in caught.value.traceback


def test_a_network_failure_in_a_task_keeps_its_cause(refusing_url: str) -> None:
    runtime = Runtime(base_url=refusing_url, api_key="k", rocks=False)
    code = """
        local client = require("openai").new(nil, { max_retries = 0 })
        require("openai").gather({ function() client:models() end })
    """
    with pytest.raises(LuaError, match="connection refused") as caught:
        runtime.run_string(code)
    assert type(caught.value.__cause__).__name__ == "APIConnectionError"


def test_our_socket_sleep_lets_the_others_go_on(runtime: Runtime) -> None:
    code = """
        local openai, socket = require("openai"), require("socket")
        local list, asleep = {}, 0
        for n = 1, 10 do
          list[n] = function()
            asleep = asleep + 1
            socket.sleep(0.05)
            return asleep
          end
        end
        return openai.gather(list)
    """
    assert runtime.run_string(code) == [10] * 10


def test_an_error_behind_a_tail_call_names_the_line_of_that_call(runtime: Runtime) -> None:
    code = """local openai = require("openai")
        openai.gather({
          function()
            return error("deep", 0)
          end,
        })
    """
    with pytest.raises(LuaError, match="deep") as caught:
        runtime.run_string(code, "script.lua")
    assert (caught.value.chunk, caught.value.line) == ("script.lua", 4)
    assert "script.lua:4: in function <script.lua:3>" in caught.value.traceback


def test_what_ends_one_threads_call_is_not_raised_in_another(runtime: Runtime) -> None:
    sleep = runtime.run_string("return require('openai').sleep")
    five = runtime.run_string("return function() return 5 end")

    async def main() -> None:
        for _ in range(30):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(runtime.call_async(sleep, 60), 0.005)
            assert five() == 5

    asyncio.run(main())


# --- Under `luaopenai run` ---


def run(code: str, crowd: CrowdServer, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*RUN, "--base-url", crowd.url, *options, "-e", CHATTING + code]
    environment = {**os.environ, "OPENAI_API_KEY": "k"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def test_a_script_ends_when_its_tasks_have_ended(crowd: CrowdServer) -> None:
    done = run(
        """
        openai.spawn(function()
          print(chat("wait-100", "first"))
          openai.spawn(function() print(chat("wait-50", "second")) end)
        end)
        print("the last line")
        """,
        crowd,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "the last line\nfirst\nsecond\n", "")


def test_a_task_that_failed_unseen_fails_the_script_at_its_end(crowd: CrowdServer) -> None:
    done = run(
        """
        openai.spawn(function() openai.sleep(0.01) error("unseen") end)
        openai.spawn(function() openai.sleep(0.05) print("goes on") end)
        local seen = openai.spawn(function() error("seen") end)
        print(pcall(seen.wait, seen))
        """,
        crowd,
    )
    assert done.returncode == 1
    assert done.stdout.endswith("seen\ngoes on\n")
    assert done.stderr.startswith("luaopenai: (command line):")
    assert "unseen" in done.stderr.splitlines()[0]


@pytest.mark.parametrize("where", ["os.exit(5)", "openai.spawn(os.exit, 5)"])
def test_os_exit_cancels_the_tasks(crowd: CrowdServer, where: str) -> None:
    code = "openai.spawn(chat, 'wait-900000', 'a') chat('meet-2', 'b')"
    done = run(f"{code} {where} print('went on')", crowd)
    assert (done.returncode, done.stdout, done.stderr) == (5, "", "")
    eventually(lambda: crowd.count.lost == 1)


def test_ctrl_c_cancels_the_tasks(crowd: CrowdServer) -> None:
    code = CHATTING + "openai.spawn(chat, 'wait-900000', 'a') io.write('here') io.flush()"
    with child(
        [*RUN, "--base-url", crowd.url, "-e", code],
        env={**os.environ, "OPENAI_API_KEY": "k"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        eventually(lambda: crowd.count.now == 1)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=GENEROUS) == ("here", "")
        assert process.returncode == 130
    eventually(lambda: crowd.count.lost == 1)


def test_an_interrupt_in_a_python_program_ends_the_tasks(
    runtime: Runtime, crowd: CrowdServer
) -> None:
    def interrupt() -> None:
        eventually(lambda: crowd.count.now == 2)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=interrupt)
    presser.start()
    code = "local function f() return chat('wait-900000', 'a') end openai.gather({ f, f })"
    with pytest.raises(KeyboardInterrupt):
        runtime.run_string(CHATTING + code)
    presser.join()
    eventually(lambda: crowd.count.lost == 2)
    eventually(lambda: not waiting_threads())


def test_finish_tasks_runs_what_a_program_s_script_has_spawned(runtime: Runtime) -> None:
    runtime.run_string(CHATTING + "openai.spawn(function() said = chat('wait-30', 'later') end)")
    assert runtime.run_string("return said") is None
    runtime.finish_tasks()
    assert runtime.run_string("return said") == "later"
