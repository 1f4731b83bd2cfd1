-- Checks a note's [[links]] against the notes that the keeper has.

local function on_note(note)
  local missing = {}
  for title in note.text:gmatch("%[%[(.-)%]%]") do
    if not host.has_note(title) then
      missing[#missing + 1] = title
    end
  end
  if #missing > 0 then
    print(("%s links to what is not there: %s"):format(note.title, table.concat(missing, ", ")))
  end
  return { missing = #missing }
end

return { on_note = on_note }
