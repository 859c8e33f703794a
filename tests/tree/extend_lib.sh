# What tests of docs/extending.md share: a scratch copy of the sources to which a toy is added, and programs built
# of it. Only what the change touches is compiled, with the flags of the build at hand; the rest is linked from it.
#
#   . tests/tree/extend_lib.sh SOURCE_DIR BINARY_DIR
#   (in $copy, change and add files)
#   extend_files FILE...        the copy differs from the sources in exactly these files
#   extend_build TARGET...      builds them into $programs
source_dir=$(cd "$1" && pwd)
binary_dir=$(cd "$2" && pwd)
[ -f "$binary_dir/build.ninja" ] || { echo 'not a build by ninja'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
copy=$work/source programs=$work/programs
mkdir "$copy" "$programs" "$work/objects"
(cd "$source_dir" && tar c CMakeLists.txt compiler grammar ops runtime tools tests models docs) | tar x -C "$copy"
# flags may name the build by its place among the sources
case $binary_dir in "$source_dir"/*) ln -s "$binary_dir" "$copy/${binary_dir#"$source_dir"/}" ;; esac

complain() {
  echo "FAILED: $*" >&2
  exit 1
}

differing() {
  local part
  for part in CMakeLists.txt compiler grammar ops runtime tools tests models docs; do
    diff -rq "$source_dir/$part" "$copy/$part"
  done | sed -E "s#^Only in $copy/?([^:]*): (.*)#\1/\2#; s#^Files $source_dir/(.*) and .* differ#\1#" | sort
}

extend_files() {
  local want
  want=$(printf '%s\n' "$@" | sort)
  [ "$(differing)" = "$want" ] || complain "the copy differs in other files than: $want: $(differing)"
}

# object COMMAND FILE: compiles FILE of the copy by a command that ninja gives
object() {
  local to=$work/objects/$(printf '%s' "$2" | tr / _).$3.o
  (cd "$binary_dir" && bash -c "$(printf '%s' "$1" | sed -E "s#$source_dir(/| |\"|$)#$copy\\1#g; s# -o [^ ]+# -o $to#; s# -MF [^ ]+# -MF $to.d#")") ||
    complain "$2 does not compile"
}

extend_build() {
  local target file obj command n=0
  differing > "$work/changed"
  # objects that read a changed file, by the dependencies ninja has noted
  ninja -C "$binary_dir" -t deps | awk -v list="$work/changed" '
    BEGIN { while ((getline f < list) > 0) changed[n++] = "/" f }
    /^[^ ].*: #deps/ { object = $1; sub(/:$/, "", object); next }
    NF == 1 { for (i = 0; i < n; i++) if (substr("/" $1, length("/" $1) - length(changed[i]) + 1) == changed[i]) print object }' |
    sort -u > "$work/stale"
  for target in "$@"; do
    ninja -C "$binary_dir" -t commands "$target" > "$work/commands" || complain "there is no $target"
    command=$(tail -n 1 "$work/commands")
    while read -r obj; do
      grep -F -- " -o $obj " "$work/commands" > "$work/one" || continue
      file=$(sed -E 's#.* -c ([^ ]+).*#\1#' "$work/one")
      object "$(cat "$work/one")" "${file#"$source_dir"/}" "$((n++))"
      command=${command// $obj / }
    done < "$work/stale"
    # new files are compiled as those beside them are: once for each set of flags
    while read -r file; do
      [[ $file == *.c && ! -e $source_dir/$file ]] || continue
      grep -E -- " -c $source_dir/$(dirname "$file")/[^ /]+\.c" "$work/commands" > "$work/beside" ||
        complain "$file stands in a folder of which $target has nothing"
      while read -r beside; do
        object "$(printf '%s' "$beside" | sed -E "s# -c [^ ]+# -c $copy/$file#")" "$file" "$((n++))"
      done < <(awk '{ flags = $0; gsub(/ -(MT|MF|o|c) [^ ]+/, "", flags); if (!seen[flags]++) print }' "$work/beside")
    done < "$work/changed"
    command=$(printf '%s' "$command" | sed -E "s# -o [^ ]+# -o $programs/$(basename "$target") $work/objects/*.o#")
    (cd "$binary_dir" && bash -c "$command") || complain "$target does not link"
    rm -f "$work"/objects/*
  done
}
