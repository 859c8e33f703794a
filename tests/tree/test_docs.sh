#!/usr/bin/env bash
# The documents agree with the programs: generated pages are up to date, marked blocks work, shown output is
# current, and no link is broken.
#   test_docs.sh SOURCE_DIR BINARY_DIR
set -u
source_dir=$(cd "$1" && pwd)
failed=0
bash "$source_dir/tools/docs.sh" "$2" --check || failed=1

cd "$source_dir" || exit 1
while IFS=: read -r file link; do
  target=$(dirname "$file")/${link%%#*}
  [ -e "$target" ] || { echo "FAILED: $file links to $link, which does not exist"; failed=1; }
done < <(grep -oE '\]\([^)#: ]+[^): ]*\)' README.md docs/*.md | sed -E 's/\]\((.*)\)$/\1/')

# the index has every document
for page in docs/*.md; do
  [ $page = docs/README.md ] || grep -qF "](${page#docs/})" docs/README.md || { echo "FAILED: docs/README.md does not list $page"; failed=1; }
done

# every field of the plan's JSON is documented
fields=$(grep -ohE '(xlm_json_(put_[a-z]+|array|object)\(j, |XLM_JSON_LIST\()"[a-z_]+"' runtime/plan/json_write*.c | sed -E 's/.*"(.*)"/\1/' | sort -u)
[ "$(wc -w <<< "$fields")" -gt 80 ] || { echo "FAILED: the fields of a plan are not found in runtime/plan/json_write*.c"; failed=1; }
for field in $fields; do
  grep -qF "\`$field\`" docs/plan.md || { echo "FAILED: docs/plan.md does not explain the field $field"; failed=1; }
done

# every field of the metrics is documented, and no other
diff <(grep -oE '(put_(int|rounded)|array)\(j, "[a-z_]+"' runtime/train/metrics.c | sed -E 's/.*"(.*)"/\1/' | sort) \
  <(sed -nE 's/^\| `([a-z_]+)` \|.*/\1/p' docs/metrics.md | sort) || { echo 'FAILED: docs/metrics.md has other fields than metrics.c'; failed=1; }
exit $failed
