--- Returns the module `cjson` with an encode and a decode that return nil and an error instead of raising it.

return require("cjson.instance").safe()
