#!/usr/bin/env bash
# xlmc out of memory: the n-th request fails, for n spread over all requests. Either the output is the usual
# one, or there is one line that reports it and exit code 2; never a crash, never incomplete output.
#   test_xlmc_memory.sh SOURCE_DIR BINARY_DIR
set -u
source_dir=$(cd "$1" && pwd) xlmc=$(cd "$2" && pwd)/xlmc
export LC_ALL=C NO_COLOR=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
ldd "$xlmc" | grep -qE 'lib(a|t|ub)san' && { echo "sanitizers bring their own malloc"; exit 77; }
nm "$xlmc" 2> /dev/null | grep -q __asan_init && { echo "sanitizers bring their own malloc"; exit 77; }
"${CC:-cc}" -shared -fPIC -O1 -D_GNU_SOURCE -o fail_call.so "$source_dir/tests/fault/fail_call.c" -ldl || exit 77
cp "$source_dir/models/llama.xlm" model.xlm
mkdir clusters && cp "$source_dir/clusters/h100.yaml" clusters
failed=0

# walk POINTS ARGUMENTS...: xlmc with these arguments, with about so many of its requests refused in turn
walk() {
  local points=$1 n code
  shift
  COUNT_FILE=$work/count LD_PRELOAD=$work/fail_call.so "$xlmc" "$@" > right 2> right.err || { echo "FAILED: xlmc $*"; failed=1; return; }
  local requests step
  requests=$(sed -n "s/^memory //p" count)
  [ "$requests" -ge 5 ] || { echo "FAILED: xlmc $* asks for memory only $requests times"; failed=1; return; }
  step=$((requests / points + 1))
  for ((n = 1; n <= requests; n += step)); do
    code=0
    { FAIL_CALL=memory FAIL_AT=$n LD_PRELOAD=$work/fail_call.so "$xlmc" "$@" > out 2> err; } 2> /dev/null || code=$?
    [ $code = 0 ] && cmp -s out right && continue
    [ $code = 2 ] && [ "$(wc -l < err)" = 1 ] && [ ! -s out ] && grep -q memory err && continue
    echo "FAILED: xlmc $*: request $n of $requests refused: exit $code"
    head -n 3 err
    failed=1
  done
}

# The whole of planning for two rank plans and two stages, of a model of two layers.
tiny="--preset nano --layers 2 --hidden 32 --heads 2 --kv-heads 2 --ffn 64 --vocab 64 --seq 32"
# shellcheck disable=SC2086
{
  walk 400 plan model.xlm $tiny --tp 2 --pp 2
  walk 60 plan model.xlm $tiny --tp 2 --cluster h100
  walk 60 plan model.xlm $tiny --format json
  walk 60 plan model.xlm $tiny --format html
  walk 40 dump model.xlm $tiny --after fuse
  walk 20 graph model.xlm $tiny --level train
  walk 20 check model.xlm $tiny
  walk 20 fmt model.xlm
}

# The same at once: an address space too small for the model.
(ulimit -v 20000; "$xlmc" plan model.xlm --preset l3_405b > out 2> err) || code=$?
[ "${code:-0}" = 2 ] && grep -q memory err || { echo "FAILED: ulimit -v 20000: exit ${code:-0}"; head -n 3 err; failed=1; }
exit $failed
