#!/usr/bin/env bash
# The HTML pages of `xlmc plan` and `xlmc graph`: self-contained, not too large, with data that agrees with
# the JSON plan; and, where there is a browser, every part is drawn without an error, readably, in light and dark, on a
# screen and on a phone (html_probe.js).
set -u
source_dir=$1 xlmc=$2/xlmc
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$source_dir" || exit 1
failed=0
fail() {
  echo "FAILED: $*"
  failed=1
}

# page NAME COMMAND...: makes the page and checks what every page must be.
page() {
  local name=$1 file=$work/$1.html
  shift
  "$xlmc" "$@" --format html --output "$file" || { fail "$name: xlmc $*"; return; }
  [ "$(wc -c < "$file")" -lt 5000000 ] || fail "$name: larger than 5 MB"
  # Nothing is fetched: the one address in it is the name of SVG.
  grep -oE '(https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^"]*' "$file" | grep -v '^http://www.w3.org/2000/svg$' && fail "$name: an address"
  grep -nE '<(link|img|iframe)|<script[^>]* src=|@import|url\(["'\'' ]*[^#"'\'' ]' "$file" && fail "$name: something from outside"
  grep -q '"source":\["#@file models/' "$file" && grep -q '"files":\[\["models/' "$file" || fail "$name: no model text"
  [ "$(grep -c '</script>' "$file")" = 2 ] || fail "$name: the data ends a script"
}

# has NAME TEXT...: the texts stand in the page's data.
has() {
  local name=$1
  shift
  for text in "$@"; do grep -qF -- "$text" "$work/$name.html" || fail "$name: no '$text'"; done
}

# draws NAME ID...: a browser draws the page, with these elements and no error.
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
draws() {
  local name=$1
  shift
  [ -n "$browser" ] || return
  timeout 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" --window-size=1400,2000 --virtual-time-budget=3000 \
    --enable-logging=stderr --dump-dom "file://$work/$name.html" > "$work/dom" 2> "$work/log"
  grep -E 'Uncaught|CONSOLE.*[Ee]rror' "$work/log" && fail "$name: an error in the browser"
  sed '/<script/,/<\/script>/d' "$work/dom" | grep -oE '.{0,60}(>undefined<|NaN).{0,60}' && fail "$name: shows undefined or NaN"
  for part in "$@"; do grep -q "$part" "$work/dom" || fail "$name: the browser shows no $part"; done
}

# probes NAME WIDTH: a browser finds nothing wrong with the page's looks in a window of this width.
probes() {
  [ -n "$browser" ] || return
  { sed '/<\/body>/,$d' "$work/$1.html" && echo "<script>" && cat tests/layouts/html_probe.js && echo "</script></body></html>"; } > "$work/probe.html"
  timeout 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" --window-size="$2,2000" --virtual-time-budget=8000 \
    --dump-dom "file://$work/probe.html" 2> "$work/log" | sed -n '/<pre id="probe">/,/<\/pre>/p' > "$work/probe"
  grep -q '<pre id="probe">probe: ok</pre>' "$work/probe" || { fail "$1, $2 pixels wide:"; cat "$work/probe"; }
}

page one plan models/llama.xlm --preset nano --layers 2
page many plan models/llama.xlm --preset nano --layers 4 --pp 4 --dp 2 --tp 2 --zero 1
page moe plan models/mixtral.xlm --preset nano --layers 2 --ep 2
page decode plan models/gemma3.xlm --preset nano --layers 2 --pp 2 --program decode --seq-length 128 --micro-batch-size 4
page large plan models/llama.xlm --preset large --pp 8 --num-microbatches 32
page wide plan models/llama.xlm --preset l3_405b --tp 8 --pp 16 --dp 4 --zero 1 --dtype bf16 --num-microbatches 16 --micro-batch-size 1 --recompute full --cluster h100
[ "$(wc -c < "$work/wide.html")" -lt 3000000 ] || fail "512 ranks: larger than 3 MB"
page graph graph models/llama.xlm --preset nano --layers 2 --tp 2 --dp 2 --level partition
page model graph models/gpt2.xlm --level model

has one '"ranks":1' '"mesh":[]'
has many '"mesh":[["pp",4],["dp",2],["tp",2]]' 'all_reduce' 'reduce_scatter' 'all_gather' 'heads/tp 3' '"bubble":0.'
has moe '"mesh":[["ep",2]]' 'send_rows' 'collect_rows' 'experts/ep 2'
has decode '"program":"decode"' '"caches":{"sequence":65536,"token":1024,"rank":131072,'
has graph 'reduce_scatter' 'heads/tp 3' 'batch/dp'

# What the page says of memory is what the plan says.
"$xlmc" plan models/llama.xlm --preset nano --layers 4 --pp 4 --dp 2 --tp 2 --zero 1 --format json --output "$work/plan.json"
arenas=$(grep -oE '"arena_bytes": [0-9]+' "$work/plan.json" | grep -oE '[0-9]+')
[ -n "$arenas" ] || fail "the plan has no arenas"
for bytes in $arenas; do has many "\"arena\":$bytes"; done

# The unfused graph of a rank, in the other forms: collectives are nodes of their own, dims show their axes.
for format in dot json text; do
  "$xlmc" graph models/llama.xlm --preset nano --layers 2 --tp 2 --dp 2 --level partition --format $format --output "$work/graph.$format"
done
shows() { grep -qE "$2" "$work/graph.$1" || fail "$1: $3"; }
shows dot 'label="all_gather over tp\\n[0-9.]+ [KM]iB sent", shape=hexagon' "no collective"
shows dot 'heads/tp 3' "no axes"
shows json '"op": "all_gather".*"over": "tp", "sent": [0-9]+' "no collective"
shows text '^fwd +contract wq +f32\[batch/dp [0-9]+, seq 256, heads/tp 3, head 64\] +layers\.0\.attention' "no wq"
shows text '^step +all_reduce over dp' "gradients are not reduced over dp"

# Another rank, another stage: the last has the head, the first the lookup; of 25 heads the last rank has fewer.
graph() { "$xlmc" graph models/llama.xlm --preset nano --layers 2 --format text "$@" > "$work/rank.text" 2>&1; }
graph --pp 2 --dp 2 --level partition --stage 1 || fail "--stage 1 is refused"
grep -qE "^fwd +recv" "$work/rank.text" || fail "stage 1 receives nothing"
if grep -qE "^fwd +lookup" "$work/rank.text"; then fail "stage 1 has the lookup"; fi
cp "$work/rank.text" "$work/stage.text"
graph --pp 2 --dp 2 --level partition --rank 2 && cmp -s "$work/rank.text" "$work/stage.text" || fail "rank 2 is not stage 1"
graph --pp 2 --dp 2 --level partition --rank 1 && grep -qE "^fwd +lookup" "$work/rank.text" || fail "rank 1 lacks the lookup"
graph --tp 4 --heads 25 --hidden 400 --level plan --rank 3 && grep -q "heads/tp 6" "$work/rank.text" || fail "rank 3 has not 6 heads"
graph --tp 4 --heads 25 --hidden 400 --level plan --rank 0 && grep -q "heads/tp 7" "$work/rank.text" || fail "rank 0 has not 7 heads"
if graph --tp 2 --level partition --rank 2; then fail "rank 2 of 2"; fi
grep -q "there is 0 to 1" "$work/rank.text" || fail "rank 2 of 2: no reason"
if graph --tp 2 --level train --rank 1; then fail "a rank of a graph that has none"; fi
if graph --pp 2 --level plan --rank 1 --stage 1; then fail "--rank and --stage"; fi

draws one 'id="memory"' 'id="parameters"' 'id="graph"' 'id="pipeline"' 'id="time"' 'id="kernels"' 'id="communication"' 'layers.0' 'One rank: nothing is sent'
draws many 'stage 3' 'layers.0' '>all-gather<' '>reduce-scatter<'
draws moe 'all-to-all (rows)'
draws decode 'id="caches"' 'cache/layers' 'f32\[past.64 64, kv_heads 1, head 64\]' '64.0 KiB per sequence, 1.00 KiB per token, over all ranks' \
  'Memory over one token' 'tokens of each in a run' '>cache_put<'
[ -n "$browser" ] && grep -qE 'id="(updates|pipeline)"' "$work/dom" && fail "decode: parts of training"
draws large 'stage 7'
draws wide 'prologue' 'show all 16 stages' 'layers.1–5  × 5' 'exposed communication'
draws graph 'all-gather tp' 'layers.0'
probes wide 1280
probes moe 390
probes decode 390
probes graph 390
exit $failed
