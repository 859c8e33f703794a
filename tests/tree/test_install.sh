#!/usr/bin/env bash
# What `cmake --install` makes works elsewhere: moved to another folder, run in an empty one.
#   test_install.sh SOURCE_DIR BINARY_DIR
set -u
source_dir=$(cd "$1" && pwd) binary_dir=$(cd "$2" && pwd)
export LC_ALL=C NO_COLOR=1 XLM_CPU_ISA=base
unset XLM_MODELS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() {
  echo "FAILED: $*"
  failed=1
}

cmake --install "$binary_dir" --prefix "$work/staged/usr" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
mv "$work/staged" "$work/moved"
usr=$work/moved/usr
for file in bin/xlmc bin/xlmrun share/xlm/models/llama.xlm share/xlm/models/blocks/attention.xlm share/xlm/clusters/h100.yaml share/xlm/tasks/hellaswag.yaml \
  share/doc/xlm/LICENSE share/doc/xlm/docs/language.md share/man/man1/xlmc.1.gz share/man/man1/xlmrun-train.1.gz \
  share/bash-completion/completions/xlmrun share/zsh/site-functions/_xlm share/fish/vendor_completions.d/xlmc.fish; do
  [ -s "$usr/$file" ] || fail "no $file"
done
mkdir "$work/empty" && cd "$work/empty" || exit 2
PATH=$usr/bin:$PATH

# the plan is that of the built program, by any of a model's names
(cd "$source_dir" && "$binary_dir/xlmc" plan models/llama.xlm --preset nano --tp 2 --format json) > "$work/built.json"
for name in llama llama.xlm models/llama models/llama.xlm; do
  xlmc plan $name --preset nano --tp 2 --format json > "$work/installed.json" || fail "xlmc plan $name"
  cmp "$work/built.json" "$work/installed.json" || fail "the installed program's plan of $name is another"
done
xlmc plan llama --preset nano --cluster h100 > /dev/null || fail 'no cluster'
xlmc check lama 2>&1 | grep -qF 'did you mean `llama`?' || fail 'no suggestion for lama'
xlmc fmt llama --write 2>&1 | grep -q 'does not change the shipped model' || fail 'fmt --write of a shipped model'

# what --version says
for tool in xlmc xlmrun; do
  $tool --version > "$work/version" || fail "$tool --version"
  version=$(sed -n 's/^project(xlm VERSION \([0-9.]*\).*/\1/p' "$source_dir/CMakeLists.txt")
  for line in "$tool $version" 'build      ' 'CPU        plans for base' 'libraries  .*jansson [0-9]' "files      $(cd "$usr" && pwd -P)/share/xlm"; do
    grep -q "^$line" "$work/version" || fail "$tool --version does not say '$line': $(cat "$work/version")"
  done
done

# a run
yes 'a line of text' | head -c 20000 > text.txt
xlmrun train llama --preset nano --hidden-size 48 --num-layers 1 --seq-length 16 --global-batch-size 4 --data text.txt \
  --max-steps 2 --eval-batches 1 --output-dir run > "$work/log" 2>&1 || { cat "$work/log"; fail 'training'; }
xlmrun eval run --eval-batches 1 > "$work/log" 2>&1 || { cat "$work/log"; fail 'evaluation'; }

# a file here comes before the shipped one, a folder of its name does not
mkdir llama
xlmc check llama > "$work/log" 2>&1 || fail 'a folder hides the shipped model'
sed 's/^model llama/model mine/' "$usr/share/xlm/models/llama.xlm" > llama.xlm
xlmc check llama | grep -q mine || fail 'the shipped model hides a file'

# the shared files are those beside the programs, not those of the source tree
mv "$usr/share/xlm/models/gpt2.xlm" "$usr/share/xlm/models/other.xlm"
xlmc check other > /dev/null || fail 'a file added to the shared folder is not found'
xlmc check gpt2 > /dev/null 2>&1 && fail 'a shared file that was removed is found'
rm "$usr/share/xlm/models/blocks/layernorm.xlm"
xlmc check other > /dev/null 2>&1 && fail 'a block comes from elsewhere'
exit $failed
