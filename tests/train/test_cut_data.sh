#!/usr/bin/env bash
# Data that is truncated while a run reads it: an error that names the file, not a signal.
. "$(dirname "$0")/xlmrun_lib.sh"

head -c 400000 /dev/zero | tr '\0' 'x' >long.txt
"$run" train "$model" --data long.txt --hidden-size 16 --set layers=1 --set heads=4 --intermediate-size 32 --vocab-size 256 \
  --seq-length 32 --global-batch-size 64 --micro-batch-size 64 --max-steps 1000000 --log-interval 1 --output-dir cut --overwrite >out.txt 2>&1 &
pid=$!
for _ in $(seq 600); do
  grep -q '^step 2/' out.txt && break
  kill -0 $pid 2>/dev/null || break
  sleep 0.1
done
truncate -s 1000 long.txt
wait $pid
code=$?
[ $code = 2 ] || fail "exit code $code, not 2: $(tail -n 3 out.txt)"
grep -q "long.txt' was truncated while it was in use" out.txt || fail "$(tail -n 3 out.txt)"
exit $failed
