#!/usr/bin/env bash
# `xlmc graph` as DOT, SVG and text: nothing is lost by folding equal blocks, a model of 126 layers is one box for them,
# products are named by their weights, colours are those of the pages, and Graphviz draws what the text says.
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

graph() { "$xlmc" graph "$@" || fail "xlmc graph $*"; }

# ops: how many ops the boxes of a DOT text stand for. A box and the frames around it are one line; "  × 6" counts, and
# collectives that stand alone have no number of ops.
ops() {
  awk '/^ .*n[0-9]+ \[label=/ {
    n = 0
    if (match($0, /[0-9,]+ ops?"/)) { n = substr($0, RSTART, RLENGTH); gsub(/[^0-9]/, "", n) }
    else if (/hexagon/) n = 1
    rest = $0
    while (match(rest, /  × [0-9]+/)) { n *= substr(rest, RSTART + 2 + length("×") + 1, RLENGTH - 3 - length("×")); rest = substr(rest, RSTART + RLENGTH) }
    if (!/ellipse/) sum += n
  } END { print sum + 0 }' "$1"
}

# whole NAME FLAGS...: folded and each, the graph has the same ops.
whole() {
  local name=$1
  shift
  graph "$@" --output "$work/$name.dot"
  graph "$@" --each --output "$work/$name.each"
  local folded each
  folded=$(ops "$work/$name.dot") each=$(ops "$work/$name.each")
  [ "$folded" -gt 0 ] && [ "$folded" = "$each" ] || fail "$name: $folded ops in the boxes, $each if each is drawn"
}

for model in models/*.xlm; do
  name=$(basename "$model" .xlm)
  whole "$name" "$model"
  whole "$name-plan" "$model" --level plan
  whole "$name-open" "$model" --open
done
whole ranks models/llama.xlm --preset nano --tp 2 --dp 2 --zero 3 --level partition
whole ranks-open models/llama.xlm --preset nano --tp 2 --dp 2 --level partition --open

# boxes FILE TEXT: how many boxes have the text.
boxes() { grep -cE "^ .*n[0-9]+ \[label=\"[^\"]*$2" "$1"; }

graph models/llama.xlm --preset l3_405b --output "$work/405.dot"
[ "$(boxes "$work/405.dot" 'layers')" = 1 ] && [ "$(boxes "$work/405.dot" 'layers\.0–125  × 126')" = 1 ] || fail "126 equal layers are not one box"
graph models/llama.xlm --preset l3_405b --each --output "$work/405.dot"
[ "$(boxes "$work/405.dot" 'layers\.[0-9]+\\n')" = 126 ] || fail "--each does not draw 126 layers"
grep -q 'label="layers.0–25  × 13 patterns"' "$work/gemma2.dot" || fail "a pattern of two layers is not folded"
[ "$(boxes "$work/diffllama-plan.dot" 'layers\.[0-9]+\\n')" -ge 16 ] || fail "layers with different constants are folded"
for weight in wq wk wv wo gate up down; do
  [ "$(boxes "$work/llama-open.dot" "contract $weight\\\\n")" = 1 ] || fail "no product named $weight"
done
graph models/llama.xlm --preset nano --level train --open --output "$work/train.dot"
[ "$(boxes "$work/train.dot" 'contract d/wq')" = 1 ] || fail "no product of a gradient is named by its weight"

# One colour for an axis: in DOT, and in the page of the same graph.
graph models/llama.xlm --preset nano --tp 2 --dp 2 --level partition --format html --output "$work/ranks.html"
for axis in dp tp; do
  drawn=$(grep -oE "over $axis[^\"]*\", shape=hexagon[^]]*fillcolor=\"#[0-9a-f]+" "$work/ranks-open.dot" | grep -oE '#[0-9a-f]+$' | sort -u)
  index=$([ $axis = dp ] && echo 0 || echo 1)
  page=$(grep -m1 -oE -- "--axis-$index: #[0-9a-f]+" "$work/ranks.html" | grep -oE '#[0-9a-f]+')
  [ -n "$drawn" ] && [ "$drawn" = "$page" ] || fail "$axis is $drawn in DOT and $page in the page"
done

# Text: a line that says so before the first of equal blocks, and as many ops in it as in one of them.
graph models/llama.xlm --preset nano --format text --output "$work/text"
graph models/llama.xlm --preset nano --format text --each --output "$work/each"
grep -qxF 'fwd  layers.0–5: 6 equal blocks, the first follows; --each lists all' "$work/text" || fail "the text does not say that blocks are equal"
[ "$(grep -c 'layers\.0[.,]' "$work/text")" = "$(grep -c 'layers\.3[.,]' "$work/each")" ] && ! grep -q 'layers\.[1-5][.,]' "$work/text" ||
  fail "the text lists other layers than the first"

# SVG: Graphviz draws every box and every edge of the text.
if command -v dot > /dev/null; then
  for name in llama-plan ranks mixtral; do
    dot -Tsvg "$work/$name.dot" > "$work/svg" || fail "$name: dot"
    for kind in node edge; do
      wanted=$([ $kind = node ] && grep -v -- '->' "$work/$name.dot" | grep -cE '^ .*n[0-9]+ \[label=' || grep -c -- '->' "$work/$name.dot")
      [ "$(grep -c "class=\"$kind\"" "$work/svg")" = "$wanted" ] || fail "$name: $wanted ${kind}s, not as many in the picture"
    done
  done
  graph models/llama.xlm --preset nano --format svg --output "$work/own.svg"
  grep -q '>layers.0–5 .*× 6<' "$work/own.svg" || fail "the SVG has no box for the layers"
fi
exit $failed
