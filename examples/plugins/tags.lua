-- Finds the #tags of a note; asks nobody.

local function on_note(note)
  local tags, seen = setmetatable({}, require("cjson").array_mt), {}
  for tag in note.text:gmatch("#([%w_-]+)") do
    tag = tag:lower()
    if not seen[tag] then
      seen[tag] = true
      tags[#tags + 1] = tag
    end
  end
  return { tags = tags }
end

return { on_note = on_note }
