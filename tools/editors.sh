#!/usr/bin/env bash
# Keeps the words in editors/ those of the language: renews the lists from `xlmc lsp --words`.
#   tools/editors.sh BINARY_DIR            updates the files
#   tools/editors.sh BINARY_DIR --check    changes nothing; shows differences and exits with 1 if there are any
set -eu
source_dir=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 1 ] && [ -x "$1/xlmc" ] || { sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 1; }
check=${2:-}
export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
"$1/xlmc" lsp --words > "$work/words"

# of SEPARATOR KIND...: the words of these kinds
of() {
  local separator=$1
  shift
  awk -v kinds=" $* " -v s="$separator" 'index(kinds, " " $1 " ") && !seen[$2]++ { printf "%s%s", n++ ? s : "", $2 }' "$work/words"
}

keep() { # NEW FILE
  cmp -s "$1" "$2" && return
  if [ "$check" = --check ]; then
    echo "FAILED: $2 is not up to date; tools/editors.sh BINARY_DIR renews it" >&2
    diff -u "$2" "$1" | head -n 20
    failed=1
  else
    cp "$1" "$2"
    echo "renewed ${2#"$source_dir"/}"
  fi
}

# between FILE: replaces what is between its marks by stdin
between() {
  cat > "$work/list"
  awk -v list="$work/list" '
    /xlm words end/ { while ((getline line < list) > 0) print line; skip = 0 }
    !skip { print }
    /xlm words begin/ { skip = 1 }' "$1" > "$work/new"
  keep "$work/new" "$1"
}

between "$source_dir/editors/vim/syntax/xlm.vim" << END
syntax match xlmStatement /\(^\|{\)\s*\zs\<\($(of '\|' statement)\)\>\(\s*[=\[]\)\@!/
syntax match xlmClause /\<\($(of '\|' clause)\)\>\(\s*=\)\@!/
syntax match xlmConstant /\<\($(of '\|' constant)\)\>/
syntax match xlmFunction /\<\($(of '\|' op function)\)\>\ze\s*(/
syntax match xlmValue /\([~=]\s*\)\@<=\<\($(of '\|' value)\)\>/
syntax match xlmAttribute /[(,{]\s*\zs\<\($(of '\|' attribute)\)\>\ze\s*=[^=]/
syntax match xlmAttribute /[(,]\s*\zs\<\($(of '\|' flag)\)\>\ze\s*[,)]/
END

between "$source_dir/editors/tree-sitter-xlm/queries/highlights.scm" << END
[$(grep -E '^(statement|clause) ' "$work/words" | grep -vE ' (free|none)$' | awk '{ printf " \"%s\"", $2 }') ] @keyword
((call function: (name) @function.builtin)
 (#any-of? @function.builtin "$(of '" "' op function)"))
END

# TextMate: the value of "match" of a rule
rule() { # NAME REGEX, escaped for JSON
  name=$1 regex=$2 awk '
    index($0, "\"" ENVIRON["name"] "\": {") && match($0, /"match": "[^"]*"/) {
      $0 = substr($0, 1, RSTART - 1) "\"match\": \"" ENVIRON["regex"] "\"" substr($0, RSTART + RLENGTH)
    }
    { print }' "$work/grammar" > "$work/next"
  mv "$work/next" "$work/grammar"
}
grammar=$source_dir/editors/vscode/syntaxes/xlm.tmLanguage.json
cp "$grammar" "$work/grammar"
rule statement "(?:^|(?<=\\\\{))\\\\s*(?:$(of '|' statement))\\\\b(?!\\\\s*[=\\\\[])"
rule argument "(?<=[(,{])\\\\s*(?:($(of '|' attribute))(?=\\\\s*=[^=])|($(of '|' flag))(?=\\\\s*[,)]))"
rule clause "\\\\b(?:$(of '|' clause))\\\\b(?!\\\\s*=)"
rule constant "\\\\b(?:$(of '|' constant))\\\\b"
rule call "\\\\b(?:$(of '|' op function))\\\\b(?=\\\\s*\\\\()"
rule value "(?<=[~=])\\\\s*(?:$(of '|' value))\\\\b"
keep "$work/grammar" "$grammar"

# every word of a statement has a rule of the tree-sitter grammar
for word in $(of ' ' statement clause); do
  case $word in free | none) continue ;; esac
  grep -q "'$word'" "$source_dir/editors/tree-sitter-xlm/grammar.js" || { echo "FAILED: editors/tree-sitter-xlm/grammar.js lacks '$word'" >&2; failed=1; }
done
exit $failed
