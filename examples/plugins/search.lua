-- Lets a model look through the notes: two tools, each a few lines of Lua.

local openai = require("openai")
local types = require("tableshape").types

local find = openai.tool({
  name = "find_notes",
  description = "Returns the titles of the notes that contain a word; of all notes without one.",
  parameters = types.shape({ word = types.string:is_optional() }),
  call = function(arguments)
    local word = (arguments.word or ""):lower()
    local found = setmetatable({}, require("cjson").array_mt)
    for _, title in ipairs(host.titles()) do
      if (title .. " " .. host.read(title)):lower():find(word, 1, true) then
        found[#found + 1] = title
      end
    end
    return found
  end,
})

local read = openai.tool({
  name = "read_note",
  description = "Returns the text of a note.",
  parameters = types.shape({ title = types.string }),
  call = function(arguments)
    local text = host.read(arguments.title)
    if not text then
      return nil, "there is no such note; find_notes tells the titles"
    end
    return text
  end,
})

return { tools = { find, read } }
