#!/usr/bin/env bash
# The files in editors/: their words are those of the language, and the editors and tools that are installed read them.
#   test_editors.sh SOURCE_DIR BINARY_DIR
set -u
source_dir=$(cd "$1" && pwd) binary_dir=$(cd "$2" && pwd)
export LC_ALL=C.UTF-8
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
  echo "FAILED: $*" >&2
  failed=1
}

bash "$source_dir/tools/editors.sh" "$binary_dir" --check || failed=1

# Vim: what a word is at its place. A line of `places`: line, column, group; `-`: none.
cat > "$work/m.xlm" << 'END'
model state  # a model
param w[a over tp] ~ normal(0.02)
state = rope(w, base = 3, causal) + f(w, "a {i}")
repeat 3 as i over pp shared { output = true }
sum = if a then b else sum
END
cat > "$work/places" << 'END'
1 1 xlmStatement
1 7 xlmDefined
1 16 xlmComment
2 1 xlmStatement
2 7 xlmDefined
2 11 xlmClause
2 22 xlmValue
2 29 xlmNumber
3 1 -
3 9 xlmFunction
3 17 xlmAttribute
3 27 xlmAttribute
3 37 -
3 45 xlmIndex
3 43 xlmString
4 1 xlmStatement
4 10 xlmClause
4 24 xlmClause
4 32 -
4 41 xlmConstant
5 1 -
5 7 xlmClause
5 24 -
END
cat > "$work/look.vim" << 'END'
set runtimepath^=$EDITORS/vim
filetype plugin on
syntax on
execute 'edit' $WORK . '/m.xlm'
let seen = [&filetype . ' ' . &commentstring]
for place in readfile($WORK . '/places')
  let [line, column; _] = split(place)
  let name = synIDattr(synID(line, column, 1), 'name')
  call add(seen, line . ' ' . column . ' ' . (name ==# '' ? '-' : name))
endfor
call writefile(seen, $WORK . '/seen')
quitall!
END
for vim in nvim vim; do
  command -v $vim > /dev/null || continue
  rm -f "$work/seen"
  case $vim in nvim) flags='--headless' ;; *) flags='-e -s -N' ;; esac
  EDITORS=$source_dir/editors WORK=$work HOME=$work timeout 60 $vim $flags -u NONE -i NONE -n -S "$work/look.vim" > "$work/log" 2>&1 < /dev/null
  [ -f "$work/seen" ] || { [ $vim = vim ] && vim --version | grep -q -- '-eval' && continue; complain "$vim: $(head -n 5 "$work/log")"; continue; }
  { echo 'xlm # %s'; cat "$work/places"; } | diff - "$work/seen" || complain "$vim shows other groups"
done

# VS Code and tree-sitter: the tables are JSON, the expressions compile and find their words, the grammar accepts every model
if command -v node > /dev/null; then
  node "$source_dir/tests/lsp/editors.js" "$source_dir" || failed=1
fi
exit $failed
