--- JSON for scripts that expect lua-cjson, for when they have no lua-cjson: errors are raised.

return require("cjson.instance").raising()
