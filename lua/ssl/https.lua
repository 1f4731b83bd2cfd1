-- LuaSec's `ssl.https`: `socket.http` under the name that scripts ask for when they want TLS.

local _, bridge = ...
local http = bridge.bundled("socket.http")

return setmetatable({ request = http.request, own_request = http.request }, { __index = http })
