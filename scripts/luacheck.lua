-- Runs luacheck under the interpreter that runs this, wherever its modules have been found.
require("luacheck.main")
