rockspec_format = "3.0"
package = "luaopenai"
version = "dev-1"
source = { url = "git+file://." }
description = {
  summary = "The Lua side of luaopenai, for `luarocks test`: the package itself is installed with pip",
  license = "MIT",
}
dependencies = { "lua == 5.1" }
build = { type = "none" }
test = { type = "command", command = "busted" }
