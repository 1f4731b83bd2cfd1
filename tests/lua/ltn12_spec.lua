--- What data meets on its way from an ltn12 source to a sink, in our module and in LuaSocket's.

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or ""
local implementations = dofile(here .. "support/implementations.lua")

---@return table handle a stand-in for an open file that holds `text`
local function file_with(text)
  local handle = { written = {}, is_closed = false }
  function handle:read(size)
    assert(not self.is_closed, "attempt to use a closed file")
    local chunk = text:sub(1, size)
    text = text:sub(size + 1)
    return chunk ~= "" and chunk or nil
  end
  function handle:write(chunk)
    self.written[#self.written + 1] = chunk
    return true
  end
  function handle:close() self.is_closed = true end
  return handle
end

---@return string[] chunks
---@return any err
local function drain(source)
  local chunks = {}
  while true do
    local chunk, err = source()
    if not chunk then return chunks, err end
    chunks[#chunks + 1] = chunk
  end
end

--- A filter that gives its input back in pieces of `size`, keeping what does not fill a piece until the end.
local function in_pieces_of(size)
  local kept = ""
  return function(chunk)
    kept = kept .. (chunk or "")
    if chunk and #kept < size then return "" end
    if kept == "" then return nil end
    local piece = kept:sub(1, size)
    kept = kept:sub(size + 1)
    return piece
  end
end

local function in_capitals(chunk)
  return chunk and chunk:upper()
end

local function never_ready(chunk)
  return chunk and ""
end

local function ends_too_soon()
  return nil
end

for _, implementation in ipairs(implementations("ltn12")) do
  describe("ltn12, " .. implementation.name .. ",", function()
    local ltn12 = implementation.module
    if not ltn12 then
      pending("is not checked: " .. implementation.absent)
      return
    end
    local filter, source, sink, pump = ltn12.filter, ltn12.source, ltn12.sink, ltn12.pump

    it("names its version", function()
      assert.equal("LTN12 1.0.3", ltn12._VERSION)
    end)

    describe("as a source,", function()
      it("an empty one ends at once", function()
        assert.same({}, drain(source.empty()))
      end)

      it("a failing one gives only its message", function()
        local chunks, err = drain(source.error("no luck"))
        assert.same({}, chunks)
        assert.equal("no luck", err)
      end)

      it("a list gives its items", function()
        assert.same({ "a", "b" }, drain(source.table({ "a", "b" })))
      end)

      it("something other than a list is refused", function()
        assert.has_error(function() source.table("a") end)
      end)

      it("a text comes in blocks", function()
        local text = ("x"):rep(ltn12.BLOCKSIZE) .. "y"
        assert.same({ ("x"):rep(2048), "y" }, drain(source.string(text)))
      end)

      it("an empty text or none ends at once", function()
        assert.same({}, drain(source.string("")))
        assert.same({}, drain(source.string(nil)))
      end)

      it("a file comes in blocks and is closed at its end", function()
        local handle = file_with(("x"):rep(2048) .. "y")
        assert.same({ ("x"):rep(2048), "y" }, drain(source.file(handle)))
        assert.is_true(handle.is_closed)
      end)

      it("the module's block size may be changed", function()
        ltn12.BLOCKSIZE = 2
        finally(function() ltn12.BLOCKSIZE = 2048 end)
        assert.same({ "ab", "c" }, drain(source.string("abc")))
        assert.same({ "ab", "c" }, drain(source.file(file_with("abc"))))
      end)

      it("a file that could not be opened fails with the reason", function()
        local _, err = drain(source.file(nil, "no such file"))
        assert.equal("no such file", err)
        _, err = drain(source.file(nil))
        assert.equal("unable to open file", err)
      end)

      it("several may be read one after the other", function()
        local joined = source.cat(source.table({ "a", "b" }), source.empty(), source.string("c"))
        assert.same({ "a", "b", "c" }, drain(joined))
      end)

      it("several stop at the first failure", function()
        local chunks, err = drain(source.cat(source.string("a"), source.error("broken"), source.string("b")))
        assert.same({ "a" }, chunks)
        assert.equal("broken", err)
      end)

      it("a rewindable one takes chunks back, the last first", function()
        local rewindable = source.rewind(source.table({ "a", "b" }))
        assert.equal("a", rewindable())
        rewindable("a")
        rewindable("before a")
        assert.same({ "before a", "a", "b" }, drain(rewindable))
      end)

      it("a simplified one goes on with the source it was handed", function()
        local function second() return nil end
        local function first() return "a", second end
        assert.same({ "a" }, drain(source.simplify(first)))
      end)

      it("a simplified one keeps its failure", function()
        local _, err = source.simplify(source.error("broken"))()
        assert.equal("broken", err)
      end)

      it("a chained one gives what its filter makes of it, all of a chunk before the next", function()
        local chained = source.chain(source.table({ "ab", "cdefg" }), in_pieces_of(3))
        assert.same({ "abc", "def", "g" }, drain(chained))
      end)

      it("a chained one takes several filters", function()
        local chained = source.chain(source.table({ "ab", "cdefg" }), in_pieces_of(3), in_capitals)
        assert.same({ "ABC", "DEF", "G" }, drain(chained))
      end)

      it("a chained one passes failures on", function()
        local chunks, err = drain(source.chain(source.error("broken"), in_capitals))
        assert.same({}, chunks)
        assert.equal("broken", err)
      end)

      it("a chained one is not to be called after its end", function()
        local chained = source.chain(source.empty(), in_capitals)
        assert.is_nil(chained())
        assert.has_error(chained, "source is empty!")
      end)

      it("a filter in it may not end before the data", function()
        local chained = source.chain(source.string("a"), ends_too_soon)
        assert.error_matches(chained, "filter returned inappropriate nil$")
      end)

      it("a filter in it may not ask for more when there is no more", function()
        local answers = { "a", "b", "" }
        local chained = source.chain(source.empty(), function() return table.remove(answers, 1) end)
        assert.equal("a", chained())
        assert.equal("b", chained())
        assert.error_matches(chained, 'filter returned ""$')
      end)

      it("it must be given", function()
        assert.has_error(function() source.chain(nil, in_capitals) end)
        assert.has_error(function() source.chain(source.empty()) end)
        assert.has_error(function() source.simplify(nil) end)
        assert.has_error(function() source.rewind(nil) end)
      end)
    end)

    describe("as a sink,", function()
      it("a list takes the chunks, its own or a given one", function()
        local collect, chunks = sink.table()
        assert.equal(1, collect("a"))
        assert.equal(1, collect(nil))
        assert.same({ "a" }, chunks)

        local given = { "before" }
        sink.table(given)("a")
        assert.same({ "before", "a" }, given)
      end)

      it("nothing takes everything", function()
        assert.equal(1, sink.null()("a"))
      end)

      it("a failing one takes nothing", function()
        local ok, err = sink.error("full")("a")
        assert.is_nil(ok)
        assert.equal("full", err)
      end)

      it("a file is written and closed at the end of the data", function()
        local handle = file_with("")
        local write = sink.file(handle)
        assert.is_true(write("a"))
        assert.is_false(handle.is_closed)
        assert.equal(1, write(nil))
        assert.same({ "a" }, handle.written)
        assert.is_true(handle.is_closed)
      end)

      it("a file that could not be opened fails with the reason", function()
        assert.equal("denied", select(2, sink.file(nil, "denied")("a")))
        assert.equal("unable to open file", select(2, sink.file(nil)("a")))
      end)

      it("a simplified one goes on with the sink it was handed", function()
        local taken = {}
        local function second(chunk) taken[#taken + 1] = "second " .. chunk return 1 end
        local function first(chunk) taken[#taken + 1] = "first " .. chunk return 1, second end
        local simple = sink.simplify(first)
        assert.equal(1, simple("a"))
        assert.equal(1, simple("b"))
        assert.same({ "first a", "second b" }, taken)
      end)

      it("a simplified one keeps its failure", function()
        local ok, err = sink.simplify(sink.error("full"))("a")
        assert.is_nil(ok)
        assert.equal("full", err)
      end)

      it("a chained one takes what its filters make of the chunks", function()
        local collect, chunks = sink.table()
        local chained = sink.chain(in_pieces_of(3), in_capitals, collect)
        assert.equal(1, chained("abcd"))
        assert.equal("ABC", table.concat(chunks))
        assert.equal(1, chained(nil))
        assert.equal("ABCD", table.concat(chunks))
      end)

      it("a chained one does not see empty chunks", function()
        local chained = sink.chain(function() error("called") end, sink.null())
        assert.equal(1, chained(""))
      end)

      it("a chained one hands on why the data ended", function()
        local reason
        local chained = sink.chain(in_capitals, function(_, err) reason = err return 1 end)
        chained(nil, "timeout")
        assert.equal("timeout", reason)
      end)

      it("a chained one fails with its sink", function()
        local ok, err = sink.chain(in_capitals, sink.error("full"))("a")
        assert.is_nil(ok)
        assert.equal("full", err)
      end)

      it("it must be given", function()
        assert.has_error(function() sink.chain(in_capitals) end)
        assert.has_error(function() sink.simplify(nil) end)
      end)
    end)

    describe("as a filter,", function()
      it("a cycle threads a context through calls of a function", function()
        local function numbered(count, chunk, mark)
          return chunk and count .. mark .. chunk, count + 1
        end
        local number = filter.cycle(numbered, 1, ": ")
        assert.equal("1: a", number("a"))
        assert.equal("2: b", number("b"))
      end)

      it("a cycle needs a function", function()
        assert.has_error(function() filter.cycle(nil) end)
      end)

      it("a chain passes chunks through left to right", function()
        local function in_brackets(chunk) return chunk and "[" .. chunk .. "]" end
        local function doubled(chunk) return chunk and chunk .. chunk end
        assert.equal("[aa]", filter.chain(doubled, in_brackets)("a"))
        assert.equal("aa", filter.chain(doubled)("a"))
      end)

      it("a chain wants more input as long as any of its filters does", function()
        assert.equal("", filter.chain(in_capitals, never_ready)("a"))
        assert.equal("", filter.chain(never_ready, in_capitals)("a"))
      end)

      it("a chain gives what its filters still hold when asked with an empty chunk", function()
        local chain = filter.chain(in_pieces_of(4), in_pieces_of(2))
        assert.equal("ab", chain("abcdefgh"))
        assert.equal("cd", chain(""))
        assert.equal("ef", chain(""))
        assert.equal("gh", chain(""))
        assert.equal("", chain(""))
      end)

      it("a chain asks each filter just once whether that was all", function()
        local calls = {}
        local function logged(name, inner)
          return function(chunk)
            calls[#calls + 1] = name .. " " .. tostring(chunk)
            return inner(chunk)
          end
        end
        local chain = filter.chain(logged("first", in_pieces_of(1)), logged("second", in_pieces_of(1)))
        assert.equal("a", chain("a"))
        assert.equal("", chain(""))
        assert.equal("b", chain("b"))
        assert.same({ "first a", "second a", "second ", "first ", "first b", "second b" }, calls)

        calls = {}
        assert.is_nil(chain(nil))
        assert.is_nil(chain(nil))
        assert.same({ "second ", "first nil", "second nil", "second nil" }, calls)
      end)

      it("a chain lets every filter finish at the end", function()
        local chain = filter.chain(in_pieces_of(4), in_pieces_of(3), in_capitals)
        assert.equal("", chain("ab"))
        assert.equal("AB", chain(nil))
        assert.is_nil(chain(nil))
      end)

      it("a chain refuses a filter that ends before the data", function()
        assert.error_matches(function() filter.chain(in_capitals, ends_too_soon)("a") end, "inappropriate nil$")
        local answers = { "a" }
        local ends_while_asked = filter.chain(in_capitals, function() return table.remove(answers) end)
        ends_while_asked("a")
        assert.error_matches(function() ends_while_asked("") end, "inappropriate nil$")
      end)
    end)

    describe("as a pump,", function()
      it("a step moves one chunk", function()
        local collect, chunks = sink.table()
        assert.equal(1, pump.step(source.table({ "a", "b" }), collect))
        assert.same({ "a" }, chunks)
      end)

      it("a step at the end of the data tells the sink", function()
        local told
        local ok, err = pump.step(source.empty(), function(chunk) told = chunk == nil return 1 end)
        assert.is_nil(ok)
        assert.is_nil(err)
        assert.is_true(told)
      end)

      it("a step tells the sink why the source failed", function()
        local reason
        local _, err = pump.step(source.error("broken"), function(_, why) reason = why return 1 end)
        assert.equal("broken", reason)
        assert.equal("broken", err)
      end)

      it("all the data moves", function()
        local collect, chunks = sink.table()
        assert.equal(1, pump.all(source.table({ "a", "b" }), collect))
        assert.same({ "a", "b" }, chunks)
      end)

      it("either end's failure stops it", function()
        local ok, err = pump.all(source.error("broken"), sink.null())
        assert.is_nil(ok)
        assert.equal("broken", err)
        ok, err = pump.all(source.string("a"), sink.error("full"))
        assert.is_nil(ok)
        assert.equal("full", err)
      end)

      it("the step may be one's own", function()
        local steps = 0
        assert.equal(1, pump.all(source.string("a"), sink.null(), function(...)
          steps = steps + 1
          return pump.step(...)
        end))
        assert.equal(2, steps)
      end)

      it("both ends must be given", function()
        assert.has_error(function() pump.all(nil, sink.null()) end)
        assert.has_error(function() pump.all(source.empty(), nil) end)
      end)
    end)
  end)
end
