#!/bin/sh
# Brings what the Makefile needs and pip cannot install: bring.sh NAME CHECK...
#
# NAME is busted, luacheck, rocks (the C rocks that our own modules are compared with) or openmp (the library that
# llama.cpp needs). CHECK is a command that succeeds when it is there: then nothing is done. Everything is put into
# this checkout, out of Debian's packages or with LuaRocks, so that no superuser is needed; only openmp is installed
# into the system, and only when the superuser runs this.

name=$1
shift
tree=lua_modules
case $name in
  busted) packages=lua-busted rocks=busted ;;
  luacheck) packages=lua-check rocks=luacheck ;;
  rocks) packages="lua-cjson lua-filesystem lua-lpeg lua-socket" rocks="lua-cjson luafilesystem lpeg luasocket" ;;
  openmp) packages=libgomp1 rocks="" tree=.venv ;;
  *) echo "bring.sh: what is $name?" >&2; exit 2 ;;
esac

works() {
  "$@" >/dev/null 2>&1
}

# Fetches the packages, and what they depend on, into the current folder: with the system's lists of packages, else
# with lists of our own, because only the superuser may renew the system's.
fetch_packages() {
  download "$@" && return
  mkdir -p lists/partial cache/archives/partial
  set -- -o "Dir::State::Lists=$PWD/lists" -o "Dir::Cache=$PWD/cache" "$@"
  apt-get "$@" update && download "$@"
}

download() {
  names=$(apt-get "$@" --simulate --no-install-recommends install $packages | sed -n 's/^Inst \([^ ]*\).*/\1/p')
  [ -n "$names" ] && apt-get "$@" download $names
}

unpack_packages() {
  scratch=$(mktemp -d) || return
  (
    cd "$scratch" && fetch_packages -o Debug::NoLocking=1 &&
      for package in *.deb; do dpkg -x "$package" files || exit; done
  ) >"$scratch/log" 2>&1
  mkdir -p "$tree/share" "$tree/lib"
  # Links in these folders are relative; the folders of libraries are named for the machine, as in x86_64-linux-gnu.
  [ -d "$scratch/files/usr/share/lua" ] && cp -a "$scratch/files/usr/share/lua" "$tree/share/"
  for folder in "$scratch"/files/usr/lib/*-*; do
    [ -d "$folder" ] && cp -a "$folder/." "$tree/lib/"
  done
  rm -rf "$scratch"
}

works "$@" && exit 0

if [ "$name" = openmp ] && [ "$(id -u)" = 0 ]; then
  command=$(.venv/bin/python -c 'from luaopenai.local import library_remedy; print(library_remedy() or "")')
  if [ -n "$command" ]; then
    echo "installing into the system what llama.cpp needs: $command"
    case $command in apt-get*) apt-get update >/dev/null 2>&1 ;; esac
    DEBIAN_FRONTEND=noninteractive sh -c "$command" >/dev/null 2>&1
    works "$@" && exit 0
  fi
fi

if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
  echo "fetching $name: unpacking Debian's packages into $tree (the system stays as it is)"
  unpack_packages
  works "$@" && exit 0
fi

if [ -n "$rocks" ] && command -v luarocks >/dev/null; then
  echo "fetching $name: building rocks with LuaRocks into $tree"
  for rock in $rocks; do
    luarocks --lua-version 5.1 --tree "$tree" install "$rock" >/dev/null 2>&1
  done
  works "$@" && exit 0
fi

case $name in
  openmp) .venv/bin/python -c 'from luaopenai.local import import_llama; import_llama()' 2>&1 | sed -n '$s/^[^ ]* //p' >&2 ;;
  *) echo "$name is missing, and neither Debian's packages nor LuaRocks could bring it" >&2 ;;
esac
exit 1
