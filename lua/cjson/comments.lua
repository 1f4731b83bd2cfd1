--- Takes the comments out of JSON text before it is decoded, so that decoding without comments costs nothing more.

local buffer = require("string.buffer")

local byte, find, rep, sub = string.byte, string.find, string.rep, string.sub

local QUOTE, BACKSLASH = 34, 92

local comments = {}

---@param text string
---@param pos integer past an opening quote
---@return integer? past the closing quote; nil when there is none
local function skip_string(text, pos)
  while true do
    local at = find(text, '["\\]', pos)
    if not at then
      return nil
    elseif byte(text, at) ~= BACKSLASH then
      return at + 1
    end
    pos = at + 2
  end
end

---@param text string
---@param at integer where a slash stands
---@return integer? past the comment; nil when the slash begins none, or one that nothing closes
---@return boolean? unclosed
local function skip_comment(text, at)
  local kind = sub(text, at + 1, at + 1)
  if kind == "/" then
    return find(text, "\n", at + 2, true) or #text + 1
  elseif kind == "*" then
    local _, close = find(text, "*/", at + 2, true)
    return close and close + 1, not close
  end
end

--- Replaces every comment by spaces, so that the rest stays at its position. In a text that ends inside
--- of a comment, `/*` stands where the end was.
---@param text string
---@return string
function comments.blank(text)
  local out = buffer.new()
  local written, pos = 1, 1
  while true do
    local at = find(text, '["/]', pos)
    if not at then
      break
    elseif byte(text, at) == QUOTE then
      pos = skip_string(text, at + 1)
      if not pos then
        break
      end
    else
      local past, unclosed = skip_comment(text, at)
      if unclosed then
        return out:put(sub(text, written, at - 1), rep(" ", #text + 1 - at), "/*"):get()
      elseif past then
        out:put(sub(text, written, at - 1), rep(" ", past - at))
        written = past
      end
      pos = past or at + 1
    end
  end
  return out:put(sub(text, written)):get()
end

--- Returns whether this is the end of a text from `blank` that ended inside of a comment.
---@param text string
---@param pos integer
---@return boolean
function comments.is_unclosed(text, pos)
  return sub(text, pos, pos + 1) == "/*"
end

return comments
