#!/usr/bin/env bash
# xlmrun runs: the runs below a folder and their checkpoints, as a table and as JSON.
. "$(dirname "$0")/xlmrun_lib.sh"
export TZ=UTC
train=("$run" train "$model" --data corpus.txt "${tiny[@]}" --eval-interval 10 --save-interval 10)
expect 0 'checkpoint' "${train[@]}" --max-steps 30 --keep-best --output-dir all/first
expect 0 'checkpoint' "${train[@]}" --max-steps 10 --pp 2 --learning-rate 2e-2 --output-dir all/deeper/second
expect 0 'checkpoint' "${train[@]}" --max-steps 20 --metrics elsewhere.jsonl --output-dir all/third
mkdir -p all/empty all/.hidden all/broken && cp -r all/first all/.hidden/ && echo '{"model": ' >all/broken/run.json

expect 0 'all/deeper/second' "$run" runs all
cut -d ' ' -f 1 out.txt | grep '^all' | tr '\n' ' ' >names.txt
[ "$(cat names.txt)" = 'all/deeper/second all/first all/third ' ] || fail "the runs $(cat names.txt): $(cat out.txt)"
grep -q "^xlmrun: note: .*all/broken/run.json" out.txt || fail "no word about what cannot be read: $(cat out.txt)"
row() { grep "^$1 " out.txt | tr -s ' '; }
loss=$(column loss all/first/metrics.jsonl | tail -n 1) best=$(column val_loss all/first/metrics.jsonl | sort -g | head -n 1)
case "$(row all/first)" in
  "all/first llama 13.4 k 30/30 done $(printf %.4f "$loss") $(printf %.4f "$best") at "*" 3 "*) ;;
  *) fail "the row of the first: $(row all/first); loss $loss, best $best" ;;
esac
row all/third | grep -q ' 20/20 done ' || fail "metrics elsewhere: $(row all/third)"
row all/first | grep -qE ' 2[0-9]{3}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}$' || fail "no time: $(row all/first)"
# Columns stand below each other.
[ "$(grep -v '^xlmrun' out.txt | awk '{ print index($0, " llama ") ? index($0, " llama ") : index($0, " model ") }' | sort -u | wc -l)" = 1 ] ||
  fail "columns: $(cat out.txt)"

# A single run with its checkpoints, newest first.
expect 0 'all/first/step-00000030' "$run" runs all/first/
grep -o '^all/first/step-[0-9]*' out.txt | tr '\n' ' ' >names.txt
[ "$(cat names.txt)" = 'all/first/step-00000030 all/first/step-00000020 all/first/step-00000010 ' ] || fail "checkpoints: $(cat out.txt)"
grep "^all/first/$(readlink all/first/best) .* $(printf %.4f "$best") .* best$" out.txt >names.txt || fail "the best: $(cat out.txt)"
[ "$(grep -c ' best$' out.txt)" = 1 ] || fail "several are the best: $(cat out.txt)"

"$run" runs all --format json 2>err.txt >runs.json || fail "json: $(cat err.txt)"
bytes=$(find all/first/step-00000010 -type f -printf '%s\n' | awk '{ n += $1 } END { print n }')
grep -qF "\"path\": \"all/first/step-00000010\", \"step\": 10, \"bytes\": $bytes," runs.json || fail "bytes $bytes: $(cat runs.json)"
[ "$(grep -c '"best": true' runs.json)" = 1 ] && [ "$(grep -c '"path": "all/[a-z/]*",' runs.json)" = 3 ] || fail "json: $(cat runs.json)"
grep -q '"layout": "pp 2"' runs.json || fail "layout: $(cat runs.json)"
(cd all && "$run" runs >../here.txt 2>/dev/null) && grep -q '^\./first ' here.txt || fail "the current folder: $(cat here.txt)"
expect 0 '[]' "$run" runs all/empty --format json
expect 1 "there is no training run in 'all/empty' or below it" "$run" runs all/empty
expect 1 "cannot read the folder 'nowhere'" "$run" runs nowhere
expect 1 "--format: 'html' is neither text nor json" "$run" runs all --format html
exit $failed
