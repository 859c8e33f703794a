#!/usr/bin/env bash
# The commands of `A first real run` in docs/data.md, on small files of the same names and forms and a small model.
. "$(dirname "$0")/xlmrun_lib.sh"
binary_dir=$(cd "$(dirname "$program")" && pwd)

# What the downloads would bring.
cp "$source_dir/tests/tokenizer/gpt2.json" tokenizer.json
ln -s "$source_dir/models" models
sed 's/$/<|endoftext|>/' corpus.txt >TinyStoriesV2-GPT4-train.txt
tail -n 150 TinyStoriesV2-GPT4-train.txt >TinyStoriesV2-GPT4-valid.txt
sed 's/\\/\\\\/g; s/"/\\"/g; s/\t/\\t/g; s/.*/{"text": "&", "url": "x"}/' corpus.txt | gzip >c4-train.00000-of-01024.json.gz
cp "$source_dir/tests/train/parquet/snappy.parquet" 000_00000.parquet
cp "$source_dir/tests/train/parquet/zstd.parquet" train-00000-of-00080.parquet

# The commands as they stand there; models are made small behind them.
mkdir bin
cat >bin/small <<END
#!/bin/sh
tool=\$1
shift
case "\$2" in
  *.xlm) exec "$binary_dir/\$tool" "\$@" --vocab 400 --hidden 16 --layers 1 --heads 2 --seq-length 16 --global-batch-size 4 --micro-batch-size 2 ;;
  --resume) exec "$binary_dir/\$tool" "\$@" --max-steps 4 ;;
  *) exec "$binary_dir/\$tool" "\$@" ;;
esac
END
for tool in xlmrun xlmc; do printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$work/bin/small" $tool >bin/$tool; done
chmod +x bin/*
export PATH=$work/bin:$PATH
awk '/^## /{ on = $0 == "## A first real run" } on && /^```/ { block = !block; next } on && block' "$source_dir/docs/data.md" |
  grep -v '^wget ' | sed 's/--max-steps 5000/--max-steps 2 --eval-batches 1/' >commands
[ "$(grep -c '^xlmrun \|^xlmc ' commands)" -ge 10 ] || fail "the commands of docs/data.md: $(cat commands)"
if xlmrun data 000_00000.parquet >out.txt 2>&1; then
  grep -q 'Parquet, 1 file' out.txt || fail "$(cat out.txt)"
else
  grep -q 'built without Arrow' out.txt || fail "$(cat out.txt)"
  grep -v parquet commands >rest && mv rest commands
fi
bash -e commands >log.txt 2>&1 </dev/null || fail "the commands: $(tail -n 5 log.txt)"

grep -q 'resumed from run/step-00000002' log.txt || fail "no resume: $(cat log.txt)"
grep -q ' 50.0% of the samples: c4/' log.txt || fail "no mixture: $(cat log.txt)"
for folder in $(sed -n 's/.*--output \([a-z0-9]*\)\/.*/\1/p' commands); do
  expect 0 'tokenizer.json, 400 ids, 0 ends a document' xlmrun data "$folder/"
done
for step in run/step-00000004 mixed/step-00000002; do [ -d $step ] || fail "no $step: $(cat log.txt)"; done
exit $failed
