#!/usr/bin/env bash
# No two calls that make nodes stand in one argument list or initialiser: see argument_order.awk.
#   test_argument_order.sh SOURCE_DIR BINARY_DIR
set -u
awk=$(cd "$(dirname "$0")" && pwd)/argument_order.awk
cd "$1" || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sources() { find compiler ops tools -name '*.c' ! -path '*/cpu/*' ! -path '*/ref/*' | sort; }

mapfile -t files < <(sources)
[ "${#files[@]}" -gt 100 ] || { echo "only ${#files[@]} sources" >&2; exit 1; }
found=$(awk -f "$awk" "${files[@]}") || { printf '%s\n' "$found" "  ^ two calls that make nodes: give them an order" >&2; exit 1; }

# it finds planted ones, through functions of the file and of others, and nothing in what is in order
cat > "$work/planted.c" <<'C'
static xlm_val half(xlm_build *b, xlm_val x) { // it makes a node
  return xlm_scale(b, x, 0.5);
}
static int64_t size(xlm_val x) { return x; }
static void planted(xlm_build *b, xlm_val x, xlm_val y) {
  xlm_op2(b, XLM_OP_ADD, half(b, x), xlm_op1(b, XLM_OP_NEG, y)); /* line 6 */
  xlm_val in[] = {half(b, x), half(b, y)};                       // line 7
  give(b, (xlm_val[]){x, half(b, x), half(b, y)}, 3);            // line 8
}
static void in_order(xlm_build *b, xlm_val x, xlm_val y) {
  xlm_op2(b, XLM_OP_ADD, half(b, half(b, x)), y);
  xlm_op2(b, XLM_OP_ADD, size(x), size(y));
  if (half(b, x) && half(b, y)) give(b, "half(b, x), half(b, y)", half(b, x));
  for (x = half(b, x); x < half(b, y); x = half(b, x)) give(b, x, 'x');
  x = half(b, x), y = half(b, y);
}
C
awk -f "$awk" "${files[@]}" "$work/planted.c" > "$work/found" && { echo 'the planted calls are not found' >&2; exit 1; }
lines=$(sed -E "s#^$work/planted.c:([0-9]+):.*#\1#" "$work/found" | sort -un | tr '\n' ' ')
[ "$lines" = '6 7 8 ' ] || { echo "found other lines than 6 7 8: $(cat "$work/found")" >&2; exit 1; }
