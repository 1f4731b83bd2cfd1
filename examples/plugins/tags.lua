-- Finds the #tags of a note, for its keeper and for models; asks nobody.

local openai = require("openai")
local types = require("tableshape").types

local function find_tags(text)
  local tags, seen = setmetatable({}, require("cjson").array_mt), {}
  for tag in text:gmatch("#([%w_-]+)") do
    tag = tag:lower()
    if not seen[tag] then
      seen[tag] = true
      tags[#tags + 1] = tag
    end
  end
  return tags
end

local tool = openai.tool({
  name = "find_tags",
  description = "Returns the #tags in a text.",
  parameters = types.shape({ text = types.string }),
  call = function(arguments)
    return find_tags(arguments.text)
  end,
})

local function on_note(note)
  return { tags = find_tags(note.text) }
end

return { on_note = on_note, tools = { tool } }
