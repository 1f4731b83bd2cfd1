--- The same as `cjson`, but encode and decode return nil and an error instead of raising it.

return require("cjson.instance").safe()
