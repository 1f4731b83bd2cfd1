--- Takes URLs and paths apart, puts them together, and resolves relative ones, with the fields and rules of LuaSocket.

local find, gsub, match, sub = string.find, string.gsub, string.match, string.sub

---@class socket.url
local M = { _VERSION = "URL 1.0.3" }

---@class socket.url.Parts
---@field scheme? string
---@field authority? string
---@field userinfo? string
---@field user? string
---@field password? string
---@field host? string without the brackets of an IPv6 address
---@field port? string|number
---@field path? string with its leading slash
---@field params? string
---@field query? string
---@field fragment? string

---@class socket.url.Path
---@field [integer] string the segments, unescaped
---@field is_absolute? 1
---@field is_directory? 1

---@param text string
---@return string # with every byte but ASCII letters, digits and `_` as %xx
function M.escape(text)
  return (gsub(text, "[^A-Za-z0-9_]", function(char)
    return ("%%%02x"):format(char:byte())
  end))
end

---@param text string
---@return string # with every %xx as the byte it stands for
function M.unescape(text)
  return (gsub(text, "%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end

---@param text string
---@param separator string a single character
---@return string before
---@return string? after nil when there is no separator
local function cut(text, separator)
  local at = find(text, separator, 1, true)
  if not at then return text, nil end
  return sub(text, 1, at - 1), sub(text, at + 1)
end

---@param parts socket.url.Parts its `authority` is split into the finer fields
local function split_authority(parts)
  local userinfo, address = match(parts.authority, "^([^@]*)@(.*)$")
  parts.userinfo = userinfo or parts.userinfo
  address = address or parts.authority

  -- A colon inside brackets belongs to an IPv6 address.
  local host, port = match(address, "^(.*):([^:%]]*)$")
  parts.port = port or parts.port
  host = host or address
  if host ~= "" then parts.host = match(host, "^%[(.+)%]$") or host end

  if parts.userinfo then
    local user, password = match(parts.userinfo, "^(.*):([^:]*)$")
    parts.password = password or parts.password
    parts.user = user or parts.userinfo
  end
end

---@param url string?
---@param default socket.url.Parts? fields to use where the URL has none
---@return socket.url.Parts? # nil for nil or an empty text
---@return string? message
function M.parse(url, default)
  if not url or url == "" then return nil, "invalid url" end
  local parts = {}
  for field, value in pairs(default or parts) do parts[field] = value end

  local scheme, after_scheme = match(url, "^(%w[%w+.-]*):(.*)$")
  parts.scheme = scheme or parts.scheme
  local authority, after_authority = match(after_scheme or url, "^//([^/]*)(.*)$")
  parts.authority = authority or parts.authority

  local rest, fragment, query, params
  rest, fragment = cut(after_authority or after_scheme or url, "#")
  rest, query = cut(rest, "?")
  rest, params = cut(rest, ";")
  parts.fragment = fragment or parts.fragment
  parts.query = query or parts.query
  parts.params = params or parts.params
  if rest ~= "" then parts.path = rest end

  if parts.authority then split_authority(parts) end
  return parts
end

---@param parts socket.url.Parts
---@return string?
local function build_authority(parts)
  local host = parts.host
  if not host then return parts.authority end
  if find(host, ":", 1, true) then host = "[" .. host .. "]" end
  local userinfo = parts.userinfo
  if parts.user then
    userinfo = parts.password and parts.user .. ":" .. parts.password or parts.user
  end
  return (userinfo and userinfo .. "@" or "") .. host .. (parts.port and ":" .. parts.port or "")
end

--- Puts a URL together; the finer fields go before `userinfo` and `authority`.
---@param parts socket.url.Parts
---@return string
function M.build(parts)
  local authority = build_authority(parts)
  return (parts.scheme and parts.scheme .. ":" or "")
    .. (authority and "//" .. authority or "")
    .. (parts.path or "")
    .. (parts.params and ";" .. parts.params or "")
    .. (parts.query and "?" .. parts.query or "")
    .. (parts.fragment and "#" .. parts.fragment or "")
end

---@param path string
---@return string # with `.` and `..` segments worked off
local function remove_dots(path)
  if not find(path, "/.", 1, true) then return path end
  local segments = {}
  for segment in (path .. "/"):gmatch("([^/]*)/") do
    segments[#segments + 1] = segment
  end

  local kept = {}
  local root = segments[1] == "" and 1 or 0
  for index, segment in ipairs(segments) do
    local is_last = index == #segments
    local climbs = segment == ".." and #kept > 0
    local stays = segment == "." and index > 1 and (#kept > 0 or not is_last)
    if climbs and #kept > root then kept[#kept] = nil end
    if not (climbs or stays) then
      kept[#kept + 1] = segment
    elseif is_last then
      kept[#kept + 1] = ""
    end
  end
  return table.concat(kept, "/")
end

---@param base string
---@param relative string
---@return string
local function resolve_path(base, relative)
  if sub(relative, 1, 1) == "/" then return remove_dots(relative) end
  local folder = match(base, "^.*/") or "/"
  return remove_dots(folder .. relative)
end

---@param base socket.url.Parts
---@param parts socket.url.Parts what a relative URL says; filled in from the base
local function resolve(base, parts)
  parts.scheme = base.scheme
  if parts.authority then return end
  parts.authority = base.authority
  if parts.path then
    parts.path = resolve_path(base.path or "", parts.path)
    return
  end
  parts.path = base.path
  if parts.params then return end
  parts.params = base.params
  parts.query = parts.query or base.query
end

---@param base string|socket.url.Parts
---@param relative string
---@return string # the absolute URL that the relative one means where the base is
function M.absolute(base, relative)
  local base_parts = base
  if type(base) == "table" then
    base = M.build(base)
  else
    base_parts = M.parse(base)
  end
  local parts = M.parse(relative)
  if not parts and base_parts then return remove_dots(base) end
  if not base_parts or parts.scheme then return remove_dots(relative) end
  resolve(base_parts, parts)
  return remove_dots(M.build(parts))
end

---@param path string?
---@return socket.url.Path
function M.parse_path(path)
  path = path or ""
  local segments = {}
  for segment in path:gmatch("[^/]+") do
    segments[#segments + 1] = M.unescape(segment)
  end
  if sub(path, 1, 1) == "/" then segments.is_absolute = 1 end
  if sub(path, -1) == "/" then segments.is_directory = 1 end
  return segments
end

---@param segment string
---@return string # with the bytes that a path segment cannot carry as %XX
local function protect(segment)
  return (gsub(segment, "[^A-Za-z0-9_.!~*'():@&=+$,-]", function(char)
    return ("%%%02X"):format(char:byte())
  end))
end

---@param segments socket.url.Path
---@param unsafe? boolean true: the segments are escaped already
---@return string
function M.build_path(segments, unsafe)
  local written = {}
  for index, segment in ipairs(segments) do
    written[index] = unsafe and segment or protect(segment)
  end
  local closing = segments.is_directory and #written > 0 and "/" or ""
  return (segments.is_absolute and "/" or "") .. table.concat(written, "/") .. closing
end

return M
