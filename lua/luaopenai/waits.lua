-- Lets Python's signal handlers run where Lua waits for input or for another program: after Ctrl-C such a wait returns
-- half of a result, and the script must not go on with it.

local _, bridge = ...
local heed = bridge.heed_signals

local debug, io, jit, os = debug, io, jit, os
local error, pcall, select, setmetatable, tostring, type = error, pcall, select, setmetatable, tostring, type

local files = debug.getmetatable(io.stdout).__index

-- Remembers whether reading a file may wait: all but those on disk do, which are also those that have a position.
local waits = setmetatable({}, { __mode = "k" })

local function can_wait(file)
  if waits[file] == nil then
    waits[file] = io.type(file) == "file" and not files.seek(file, "cur")
  end
  return waits[file]
end

-- Returns the results of a function of C's, or raises its error with the position of the script's line.
local function finish(name, is_wait, ok, ...)
  if is_wait then
    heed()
  end
  if not ok then
    local message = ...
    error(type(message) == "string" and message:gsub("'%?'", "'" .. name .. "'", 1) or message, 2)
  end
  return ...
end

local function wrap_iterator(ok, iterator)
  -- The file of an iterator is C's to keep; this is the one way to it.
  local file = ok and select(2, debug.getupvalue(iterator, 1))
  if not (file and can_wait(file)) then
    return ok, iterator
  end
  return true, function(...)
    return finish("lines", true, pcall(iterator, ...))
  end
end

local function wrap_file_functions()
  local read, lines, close = files.read, files.lines, files.close
  local io_read, io_lines, io_close, io_input = io.read, io.lines, io.close, io.input

  function files.read(...)
    local file = ...
    return finish("read", file ~= nil and can_wait(file), pcall(read, ...))
  end
  function io.read(...) -- luacheck: ignore 122
    return finish("read", can_wait(io_input()), pcall(io_read, ...))
  end
  function files.lines(...)
    return finish("lines", false, wrap_iterator(pcall(lines, ...)))
  end
  function io.lines(...) -- luacheck: ignore 122
    return finish("lines", false, wrap_iterator(pcall(io_lines, ...)))
  end
  function files.close(...)
    local file = ...
    return finish("close", file ~= nil and can_wait(file), pcall(close, ...))
  end
  function io.close(...) -- luacheck: ignore 122
    local file = ...
    return finish("close", file ~= nil and can_wait(file), pcall(io_close, ...))
  end
end

-- Replaces os.execute: C's own `system` shuts signals out while it waits.
local function wrap_execute()
  local execute = os.execute
  function os.execute(...) -- luacheck: ignore 122
    local command = ...
    if type(command) ~= "string" and type(command) ~= "number" then
      return finish("execute", false, pcall(execute, ...))
    end
    local status = bridge.execute(tostring(command))
    heed()
    return status
  end
end

wrap_file_functions()
if jit.os ~= "Windows" then
  wrap_execute()
end

return true
