#!/bin/sh
# Makes sure that a Lua tool is there: lua_tool.sh TOOL COMMAND-THAT-SHOWS-IT...
# Installs it with apt where that is possible, else with LuaRocks into lua_modules, else says so and fails.
# The tool `rocks` stands for the C rocks that our own modules are compared with.

tool=$1
shift
case $tool in
  busted) packages=lua-busted rocks=busted ;;
  luacheck) packages=lua-check rocks=luacheck ;;
  rocks) packages="lua-cjson lua-filesystem lua-lpeg lua-socket" rocks="lua-cjson luafilesystem lpeg luasocket" ;;
esac

PATH=$PATH:$PWD/lua_modules/bin

works() {
  "$@" >/dev/null 2>&1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

works "$@" && exit 0

if command -v apt-get >/dev/null; then
  echo "installing $packages with apt"
  {
    as_root apt-get update &&
      DEBIAN_FRONTEND=noninteractive as_root apt-get install -y --no-install-recommends $packages
  } >/dev/null 2>&1
  works "$@" && exit 0
fi

if command -v luarocks >/dev/null; then
  echo "installing $rocks with LuaRocks into lua_modules"
  for rock in $rocks; do
    luarocks --lua-version 5.1 --tree lua_modules install "$rock" >/dev/null 2>&1
  done
  works "$@" && exit 0
fi

echo "$tool is missing, and neither apt nor LuaRocks could install it; install it by hand" >&2
exit 1
