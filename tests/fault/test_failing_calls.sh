#!/usr/bin/env bash
# Every call of the system and of the C library that can fail does so once, in turn: while planning, at the start of
# a run, in its saves, when it resumes, in eval and generate. Each time the result is the usual one, or there is one
# line that says what failed and a proper exit code; nothing that was there is lost, a folder named
# like a checkpoint is one, what is said to be saved is saved, and the next run removes what was left behind. A file that
# ends too early is damage, for which an older checkpoint is taken; that a device cannot read it is none, and exit code 2.
# Ordinarily a sample; XLM_EXHAUSTIVE=1: all. XLM_SCENES='plan save' chooses what is walked.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
nm "$program" 2>/dev/null | grep -qE '__(a|t)san_init' && { echo "skipped: a sanitizer must come first"; exit 77; }
"${CC:-cc}" -shared -fPIC -O1 -D_GNU_SOURCE -o fail_call.so "$source_dir/tests/fault/fail_call.c" -ldl || exit 77
xlmc=$(dirname "$program")/xlmc
export LC_ALL=C NO_COLOR=1
small=(--hidden-size 16 --set layers=1 --set heads=2 --intermediate-size 32 --vocab-size 256 --seq-length 16)
train=("$run" train "$model" --data corpus.txt "${small[@]}" --micro-batch-size 1 --global-batch-size 2 --dp 2 --threads 2 --max-steps 4
  --save-interval 2 --eval-interval 0 --checkpoint-shards 2 --output-dir run)
cp "$source_dir/models/llama.xlm" model.xlm

# ---- what is walked: a command, and what it finds ----

scene() {
  rm -rf run plan.json
  case $1 in
    plan)
      command=("$xlmc" plan model.xlm --preset nano --layers 1 --format json --output plan.json)
      echo old >plan.json ;;
    start) command=("${train[@]}" --keep-checkpoints 2) ;;
    save)
      command=("${train[@]}" --keep-checkpoints 1 --overwrite)
      mkdir run && cp -r first/step-00000001 run/ ;;
    async)
      command=("${train[@]}" --keep-checkpoints 1 --async-save true --resume run)
      cp -r first run ;;
    resume)
      command=("$run" train --resume run --max-steps 4 --save-interval 2 --keep-checkpoints 3)
      cp -r first run && cp -r right/step-00000002 run/ ;;
    eval)
      command=("$run" eval run --eval-batches 1 --threads 1)
      mkdir run && cp -r right/step-00000002 right/step-00000004 run/ ;;
    generate)
      command=("$run" generate run --prompt a --max-tokens 4 --temperature 0 --threads 1)
      mkdir run && cp -r right/step-00000004 run/ ;;
  esac
}

# The calls that a scene must come to for its walk to mean anything.
least() {
  case $1 in
    plan) echo "memory 100 open 3 write 1 sync 1 rename 1" ;;
    start | save | async) echo "memory 100 open 10 read 4 write 20 sync 5 rename 2 mkdir 2 stat 5 list 5 thread 1" ;;
    resume) echo "memory 500 open 20 read 30 write 10 sync 5 truncate 1 stat 20 list 5" ;;
    *) echo "memory 500 open 10 read 5 stat 10" ;;
  esac
}

# ---- one run ----

# complain TEXT: this run was not right; shows what it said.
complain() {
  fail "$name: $kind $n of $total as $as ($(cat failed 2>/dev/null)): $1: $(tail -n 4 err.txt out.txt 2>/dev/null)"
}

# Only what says that the run ended.
errors() {
  grep -E '^xlm(run|c): |^error' err.txt | grep -vE '^xlm(run|c): (note|skipped)'
}

check_saved() {
  local folder last
  for folder in run/step-*; do
    [ -d "$folder" ] || continue
    same_checkpoint "$folder" "right/${folder#run/}" || same_checkpoint "$folder" "first/${folder#run/}" ||
      complain "$folder is not a checkpoint: $(cat differs.txt)"
  done
  last=$(sed -n 's/^saved run\///p' out.txt | tail -n 1)
  [ -z "$last" ] || [ -f "run/$last/manifest.json" ] || complain "'saved' run/$last, and it is not there"
  [ ! -d first ] || [ "$name" = start ] || [ "$name" = save ] || [ -n "$(ls -d run/step-* 2>/dev/null)" ] ||
    complain "no checkpoint is left"
}

# Leftovers are removed by a run that nothing happens to, which goes on to the right weights.
check_next() {
  local more=()
  [ -n "$(find run -name '.writing-*' -o -name '*.partial' 2>/dev/null)" ] || return 0
  [ -n "$(ls -d run/step-* 2>/dev/null)" ] && more=(--resume run)
  "${train[@]}" --max-steps 6 "${more[@]}" >next.txt 2>&1 || complain "no run after it: $(cat next.txt)"
  [ -z "$(find run -name '.writing-*' -o -name '*.partial')" ] || complain "leftovers stay: $(find run)"
}

is_older() {
  [ "$as" = end ] && grep -q '^xlmrun: skipped run/step-00000004' err.txt && cmp -s out.txt right-older.txt
}

check_result() {
  case $name in
    plan) cmp -s plan.json right.json || complain "another plan" ;;
    eval | generate) cmp -s out.txt "right-$name.txt" || is_older || complain "another result" ;;
    *) same_checkpoint run/step-00000004 right/step-00000004 || complain "another checkpoint: $(cat differs.txt)" ;;
  esac
}

one() {
  local code how=(FAIL_AS="$as")
  [ "$as" = full ] && how=(FAIL_AS=ENOSPC FAIL_STAYS=1)
  scene "$name"
  rm -f failed
  runs=$((runs + 1))
  { timeout 300 env FAIL_CALL="$kind" FAIL_AT="$n" "${how[@]}" FAILED_FILE="$work/failed" LD_PRELOAD="$work/fail_call.so" \
    "${command[@]}" >out.txt 2>err.txt </dev/null; } 2>/dev/null
  code=$?
  [ -f failed ] && met=$((met + 1))
  case $code in
    0) check_result ;;
    1 | 2)
      [ -f failed ] || complain "it fails by itself"
      refused=$((refused + 1))
      case $name in
        resume | eval | generate) # which word of the command is a folder is asked before
          [ "$as$code" != EIO1 ] || [ "$(cat failed)" = run ] || complain "a mistake of the user" ;;
      esac
      [ "$(errors | wc -l)" = 1 ] || complain "$(errors | wc -l) errors"
      [ "$name" != plan ] || grep -qx old plan.json || complain "the earlier plan is gone" ;;
    124) complain "it hangs" ;;
    *) complain "exit code $code" ;;
  esac
  [ "$name" != plan ] || return 0
  check_saved
  check_next
}

# ---- all of them ----

# The ways in which a call fails; full: and all after it.
ways() {
  case $1 in
    memory) echo ENOMEM ;;
    open) echo EIO EMFILE ;;
    read) echo EIO EINTR short end ;;
    write) echo ENOSPC full EINTR short ;;
    map) echo ENOMEM ;;
    mkdir | truncate) echo ENOSPC ;;
    thread) echo EAGAIN ;;
    *) echo EIO ;;
  esac
}

# Of the calls of a kind, in all scenes and ways one after another, every so many; primes follow no pattern of the
# program.
declare -A passed
stride() {
  [ -z "${XLM_EXHAUSTIVE:-}" ] || { echo 1; return; }
  if [ "$1" = memory ]; then echo 1499; else echo 113; fi
}

walk() {
  local name=$1 kind total as n every runs=0 met=0 refused=0
  scene "$name"
  COUNT_FILE=$work/count LD_PRELOAD=$work/fail_call.so "${command[@]}" >out.txt 2>err.txt || fail "$name: $(cat err.txt)"
  [ ! -f plan.json ] || cp plan.json right.json
  cp out.txt "right-$name.txt"
  cp count "count-$name"
  # shellcheck disable=SC2046
  set -- $(least "$name")
  while [ $# -gt 0 ]; do
    [ "$(sed -n "s/^$1 //p" count)" -ge "$2" ] || fail "$name: only $(grep "^$1 " count)"
    shift 2
  done
  while read -r kind total; do
    every=$(stride "$kind")
    for as in $(ways "$kind"); do
      for ((n = 1; n <= total; n++)); do
        passed[$kind]=$((${passed[$kind]:--1} + 1))
        [ $((passed[$kind] % every)) = 0 ] && one
      done
    done
  done <"count-$name"
  echo "$name: $runs calls failed, of which $met were reached and $refused ended it with an error"
}

# A run of one step to begin with, and one of four.
"${train[@]}" --max-steps 1 --output-dir first >out.txt 2>&1 || fail "$(cat out.txt)"
"${train[@]}" --output-dir right >out.txt 2>&1 || fail "$(cat out.txt)"
"$run" eval right/step-00000002 --eval-batches 1 --threads 1 >right-older.txt 2>err.txt || fail "$(cat err.txt)"
for each in ${XLM_SCENES:-plan start save async resume eval generate}; do walk "$each"; done
exit $failed
