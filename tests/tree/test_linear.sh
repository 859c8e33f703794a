#!/usr/bin/env bash
# Work is proportional to the size of the input: texts, whether correct or not, plans by the number of rounds, and
# JSON that breaks off. Counted in instructions by valgrind, so the machine does not matter.
#   test_linear.sh SOURCE_DIR BINARY_DIR
set -u
source_dir=$(cd "$1" && pwd) xlmc=$(cd "$2" && pwd)/xlmc xlmrun=$(cd "$2" && pwd)/xlmrun
export LC_ALL=C NO_COLOR=1
# valgrind counts a copy by `rep movsb` once per byte; so the C library is to copy by vectors, whatever the size
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000
command -v valgrind > /dev/null || { echo "needs valgrind"; exit 77; }
grep -q __asan_init "$xlmc" && { echo "sanitizers and valgrind do not go together"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
failed=0

instructions() { # ARGUMENTS...: how many xlmc runs with them
  instructions_of "$xlmc" "$@"
}

instructions_of() { # PROGRAM ARGUMENTS...
  valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null "$@" 2>&1 > /dev/null | sed -n 's/.*I *refs: *//p' | tr -d ,
}

# compare WHAT TIMES FEW MANY: at most TIMES as many, and a tenth more
compare() {
  [ -n "$3" ] && [ -n "$4" ] || { echo "FAILED: valgrind does not run xlmc $1"; failed=1; return; }
  [ $(($4 * 10)) -le $(($3 * $2 * 11)) ] && return
  echo "FAILED: $1: $3 instructions, and $4 for $2 times the size"
  failed=1
}

# ---- plans

. "$source_dir/tools/bench/rounds.sh"
for n in 500 4000; do rounds $n > $n.xlm; done

plan() { # ARGUMENTS...
  compare "plan $*" 8 "$(instructions plan 500.xlm "$@")" "$(instructions plan 4000.xlm "$@")"
}

plan --micro-batch-size 4
plan --micro-batch-size 4 --tp 2
plan --micro-batch-size 4 --pp 2 --dp 2 --zero 3 --num-microbatches 2 --recompute full

# ---- JSON: what was read before the mistake is released

broken_off() { # VALUES
  printf '{"xlm_plan": 5, "rank_plans": [' && yes '{"a": [1, "x"]},' | head -n "$1" && printf '}'
}

for n in 1000 4000; do broken_off $n > $n.json; done
compare 'a broken plan' 4 "$(instructions_of "$xlmrun" train 1000.json --data 1000.json)" \
  "$(instructions_of "$xlmrun" train 4000.json --data 4000.json)"

# ---- texts

echo 'model m' > one.xlm
start=$(instructions check one.xlm)

repeated() { # BYTES HEAD UNIT END
  local text=$3
  while [ ${#text} -lt "$1" ]; do text+=$text; done
  printf '%s%s%s' "$2" "${text:0:$1}" "$4"
}

text() { # COMMAND HEAD UNIT [END]
  repeated 8192 "$2" "$3" "${4-}" > few.xlm
  repeated 32768 "$2" "$3" "${4-}" > many.xlm
  local few many
  few=$(instructions "$1" few.xlm) many=$(instructions "$1" many.xlm)
  compare "$1 $2$3..." 4 "${few:+$((few - start))}" "${many:+$((many - start))}"
}

text check '' '('
text check 'x=' '-'
text check 'x=' 'not '
text check 'x=' 'a + '
text check '' '{'
text check '' 'repeat 3 {'
text check '' $'x = f(\n'
text check '' $'x = 3 4\n'
text check '' '$ '
text check '' $'}\n'
text check '' 'if a {} else x '
text check '' '/*'
text check 'x=' '9'
text check 'x = "' '\q'
text check 'preset p {' 'a 3 '
text check '' $'\xFF'
text check '' $'a b {\n}\n'

text fmt 'x = f(' 'aaaa, ' 'a)'
text fmt '' $'x = f(a, b, c)  # d\n'
text fmt '' $'param w[a, b] ~ normal(0.02)\n'
text fmt $'weights w {\n' $'  a.b = "c"\n' '}'
text fmt '' $'if a {\n  x = 1\n} else {\n  x = 2\n}\n'
text fmt 'output a' ', a'
text fmt '' $'# c\n\n'
text fmt 'preset p {' ' a = 1' '}'
exit $failed
