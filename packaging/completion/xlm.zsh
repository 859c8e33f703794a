#compdef xlmc xlmrun
# Completion of xlmc and xlmrun for zsh; the programs say what fits (tools/common/complete.c).
_xlm() {
  local line tab=$'\t' name
  local -a found endings
  while IFS= read -r line; do
    case $line in
      :folders) _files -/ ;;
      :files) _files ;;
      :files*) endings=(${=line#:files}); _files -g "*.(${(j:|:)endings})" ;;
      *) name=${line%%$tab*}
         if [[ $line == *$tab* ]]; then found+=("${name//:/\\:}:${line#*$tab}"); else found+=("${name//:/\\:}"); fi ;;
    esac
  done < <("$words[1]" complete "${(@Q)words[2,CURRENT]}" 2> /dev/null)
  (( $#found )) && _describe "$words[1]" found
}
if [ "$funcstack[1]" = _xlm ]; then _xlm "$@"; else compdef _xlm xlmc xlmrun; fi
