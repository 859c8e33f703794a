# Completion of xlmc and xlmrun for bash; the programs say what fits (tools/common/complete.c).
_xlm() {
  local line word=${COMP_WORDS[COMP_CWORD]}
  [ "$word" = = ] && word=
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :folders) _xlm_files "$word" '' ;;
      :files*) _xlm_files "$word" "${line#:files}" ;;
      *) COMPREPLY+=("${line%%$'\t'*}") ;;
    esac
  done < <("$1" complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null)
  [[ ${COMPREPLY[0]:-} == */ ]] && compopt -o nospace 2> /dev/null
  return 0
}

# _xlm_files WORD ENDINGS: files whose names begin with WORD and end so (none given: all), and folders. For
# `:folders` there is no file that ends with a slash.
_xlm_files() {
  local path ending
  while IFS= read -r path; do
    if [ -d "$path" ]; then
      COMPREPLY+=("$path/")
      continue
    fi
    [ "$line" = :files ] && COMPREPLY+=("$path")
    for ending in $2; do [[ $path == *."$ending" ]] && COMPREPLY+=("$path"); done
  done < <(compgen -f -- "$1")
}
complete -F _xlm xlmc xlmrun
