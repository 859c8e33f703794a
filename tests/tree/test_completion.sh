#!/usr/bin/env bash
# Completion in bash, and in zsh and fish where they are installed, with the scripts that are installed.
#   test_completion.sh SOURCE_DIR BINARY_DIR
set -u
scripts=$1/packaging/completion
PATH=$2:$PATH
export LC_ALL=C
unset XLM_MODELS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
mkdir folder
touch mine.xlm text.txt
printf 'model mine\npreset tiny { hidden = 4 }\ndim hidden = 8 as hidden_size\n' > mine.xlm
failed=0

# completes SHELL "WORD.. WORD" WANTED...: the last word (empty after a blank) has these completions, among others
completes() {
  local shell=$1 line=$2 want
  shift 2
  "by_$shell" "$line" > found
  for want; do
    grep -qxF -e "$want" found && continue
    echo "FAILED: $shell does not complete '$line' to '$want', but to: $(tr '\n' ' ' < found)"
    failed=1
  done
}

by_bash() {
  bash -c '. "$1/xlm.bash"; read -ra COMP_WORDS <<< "${2//=/ = }"; case $2 in *" " | *=) COMP_WORDS+=("") ;; esac
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _xlm "${COMP_WORDS[0]}"; printf "%s\n" "${COMPREPLY[@]}"' - "$scripts" "$1"
}

by_zsh() { # with the two functions of its completion that the script calls
  zsh -f -c '
    compdef() { :; }
    _describe() { print -l -- ${(P)2} | sed -e "s/:.*//"; }
    _files() { case $1 in -/) print -l -- *(/:s/%/\\//) ;; -g) eval print -l -- "$2(N)" "*(/N)" ;; *) print -l -- * ;; esac }
    . "$1/xlm.zsh"; words=(${(z)2}); [[ $2 == *" " ]] && words+=(""); CURRENT=$#words; _xlm' - "$scripts" "$1"
}

by_fish() {
  fish --no-config -c 'source $argv[1]/xlm.fish; complete -C $argv[2]' -- "$scripts" "$1" | cut -f 1
}

for shell in bash zsh fish; do
  command -v $shell > /dev/null || continue
  completes $shell 'xlmc pl' plan
  completes $shell 'xlmrun ' train generate help
  completes $shell 'xlmc plan ' llama mine.xlm
  completes $shell 'xlmc plan llama --pres' --preset
  completes $shell 'xlmc plan llama --preset na' nano
  completes $shell 'xlmc plan mine.xlm --preset ' tiny
  completes $shell 'xlmc plan mine.xlm --hid' --hidden-size
  completes $shell 'xlmc plan llama --format re' report-json
  completes $shell 'xlmc plan llama --cluster h1' h100
  completes $shell 'xlmrun train llama --optimizer mu' muon
  completes $shell 'xlmrun train llama --data te' text.txt
  completes $shell 'xlmrun tokenize te' text.txt
  completes $shell 'xlmrun tokenizer tr' train
  completes $shell 'xlmrun export --format g' gguf
done
completes bash 'xlmc plan ' folder/
completes bash 'xlmrun report fo' folder/
completes bash 'xlmrun train llama --tokenizer by' bytes
completes bash 'xlmc plan llama --format=js' json
completes bash 'xlmrun train llama --output-dir ' folder/
command -v zsh > /dev/null && completes zsh 'xlmc plan llama --format=js' --format=json
command -v fish > /dev/null && completes fish 'xlmc plan llama --format=js' --format=json
by_bash 'xlmrun train llama --output-dir ' | grep -q text && { echo 'FAILED: a file as a folder'; failed=1; }
by_bash 'xlmc plan llama --preset nosuch' | grep -q . && { echo 'FAILED: a completion from nowhere'; failed=1; }
exit $failed
