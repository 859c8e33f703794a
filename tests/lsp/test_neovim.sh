#!/usr/bin/env bash
# A real client: Neovim, headless, with the file type of editors/vim and `xlmc lsp`.
#   test_neovim.sh SOURCE_DIR BINARY_DIR
set -u
source_dir=$(cd "$1" && pwd) binary_dir=$(cd "$2" && pwd)
command -v nvim > /dev/null || { echo 'Neovim is not installed'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work XDG_CONFIG_HOME=$work XDG_DATA_HOME=$work XDG_STATE_HOME=$work XDG_CACHE_HOME=$work
export XLMC=$binary_dir/xlmc MODEL=$work/llama.xlm LC_ALL=C.UTF-8
cp "$source_dir/tests/lsp/llama.xlm" "$MODEL"
cd "$work" || exit 2
timeout 300 nvim --headless -u NONE -i NONE -n --cmd "set runtimepath^=$source_dir/editors/vim" --cmd 'filetype plugin on' \
  -c "luafile $source_dir/tests/lsp/neovim.lua" > out 2>&1 < /dev/null
code=$?
sed 's/\r//g' out
echo
[ $code = 0 ] && grep -q '^ok.*the server ends with 0' out && ! grep -q 'FAILED' out && exit 0
echo "FAILED: nvim exits with $code"
cat "$work"/nvim/lsp.log 2> /dev/null | tail -n 5
exit 1
