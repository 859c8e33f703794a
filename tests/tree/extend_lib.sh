# What the parts of test_extend.sh share: a scratch copy of the sources to which toys are added, and a build of it.
#
#   . tests/tree/extend_lib.sh SOURCE_DIR BINARY_DIR
#   (in $copy, change and add files)
#   extend_by CHAPTER NAME      docs/extending.md, in this chapter, lists exactly the files changed since the last call
#   extend_build TARGET...      builds them into $programs
source_dir=$(cd "$1" && pwd)
binary_dir=$(cd "$2" && pwd)
[ -f "$binary_dir/build.ninja" ] || { echo 'not a build by ninja'; exit 77; }
if grep -qE '^XLM_SANITIZE(_THREAD)?:BOOL=ON' "$binary_dir/CMakeCache.txt"; then
  echo 'the copy is built without sanitizers'
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
copy=$work/source programs=$work/build
mkdir "$copy"
(cd "$source_dir" && tar c CMakeLists.txt compiler grammar ops runtime tools tests models docs packaging LICENSE README.md clusters tasks) | tar x -C "$copy"

complain() {
  echo "FAILED: $*" >&2
  exit 1
}

state_of_copy() {
  (cd "$copy" && find . -type f -exec cksum {} + | sed 's# \./# #' | sort)
}
state_of_copy > "$work/state"

# The files of a chapter: a paragraph "Files: `a`, `b`, ..", in which NAME stands for the toy's name and * for any text.
listed_files() { # CHAPTER NAME
  awk -v chapter="## $1" '$0 == chapter { on = 1; next } /^## / { on = 0 } on && /^Files: / { files = 1 } /^$/ { files = 0 } on && files' \
    "$source_dir/docs/extending.md" | grep -oE '`[^`]+`' | tr -d '`' | sed "s#NAME#$2#g"
}

extend_by() { # CHAPTER NAME
  local pattern file found
  listed_files "$1" "$2" > "$work/listed"
  [ -s "$work/listed" ] || complain "docs/extending.md lists no files under '$1'"
  state_of_copy > "$work/now"
  comm -3 "$work/state" "$work/now" | awk '{ print $3 }' | sort -u > "$work/changed"
  mv "$work/now" "$work/state"
  while read -r file; do
    found=''
    while read -r pattern; do
      case $file in $pattern) found=1 ;; esac
    done < "$work/listed"
    [ "$found" ] || complain "'$1' in docs/extending.md does not list $file"
  done < "$work/changed"
  while read -r pattern; do
    found=''
    while read -r file; do
      case $file in $pattern) found=1 ;; esac
    done < "$work/changed"
    [ "$found" ] || complain "'$1' in docs/extending.md lists $pattern, which was not needed"
  done < "$work/listed"
}

# insert FILE before|after REGEX: the text of stdin at the first line that matches
insert() {
  text=$(cat) pattern=$3 awk -v place="$2" '
    !done && $0 ~ ENVIRON["pattern"] && place == "before" { print ENVIRON["text"] }
    { print }
    !done && $0 ~ ENVIRON["pattern"] { if (place == "after") print ENVIRON["text"]; done = 1 }
    END { exit !done }' "$copy/$1" > "$work/inserted" || complain "$1 has no line like $3"
  cp "$work/inserted" "$copy/$1"
}

extend_build() {
  local compiler launcher
  compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$binary_dir/CMakeCache.txt")
  launcher=$(sed -n 's/^CMAKE_C_COMPILER_LAUNCHER:[A-Z]*=//p' "$binary_dir/CMakeCache.txt")
  # files of this copy as such of the last one, for ccache
  export CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1
  if [ ! -f "$programs/build.ninja" ]; then
    cmake -G Ninja -S "$copy" -B "$programs" -DCMAKE_C_COMPILER="$compiler" ${launcher:+-DCMAKE_C_COMPILER_LAUNCHER="$launcher"} \
 -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O0 -DXLM_KERNEL_OPTIMIZATION=-O0 > "$work/cmake.log" 2>&1 || complain "cmake: $(tail -n 20 "$work/cmake.log")"
  fi
  ninja -C "$programs" "$@" > "$work/build.log" 2>&1 || complain "$(grep -A 20 -m 1 FAILED "$work/build.log" || tail -n 5 "$work/build.log")"
}

# The losses of a run, and that two runs have the same: to the bit, or to 5 digits where sums have another order.
train() { # OUT FLAGS...
  "$programs/xlmrun" train "${model:-$source_dir/models/llama.xlm}" "${nano[@]}" --data "$source_dir/docs" --max-steps 3 --global-batch-size 4 --micro-batch-size 2 --eval-interval 0 \
    --save-interval 0 --log-interval 1 --output-dir "$@" > "$1.txt" 2>&1 || complain "$*: $(tail -n 5 "$1.txt")"
  grep -o '"loss": *[0-9.]*' "$1/metrics.jsonl" > "$1.loss"
  [ "$(wc -l < "$1.loss")" = 3 ] || complain "$1: not three losses: $(cat "$1/metrics.jsonl")"
}
same_losses() { # OUT OUT
  cmp -s "$1.loss" "$2.loss" || complain "$1 and $2 differ: $(paste "$1.loss" "$2.loss")"
}
near_losses() { # OUT OUT
  paste "$1.loss" "$2.loss" | awk '{ d = $2 - $4; if (d < 0) d = -d; if (d > 1e-5 * $2) exit 1 }' ||
    complain "$1 and $2 differ: $(paste "$1.loss" "$2.loss")"
}
