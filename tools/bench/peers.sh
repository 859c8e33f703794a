#!/usr/bin/env bash
# Training steps of xlm beside PyTorch (eager and torch.compile) and JAX on this CPU: the rows of peer_rows.txt, f32
# and, where the CPU has bf16 products, bf16. Each round runs every program once, so that a drift of the machine's speed
# meets all alike; the table has the medians over the rounds of tokens/s, of the ratio to the fastest peer of the same
# round, and of the peak memory of the processes.
#
#   tools/bench/peers.sh BUILD [--rounds N] [--threads N] [--python PYTHON] [--only PATTERN] [--steps N] [--isa avx2]
#
# PYTHON has torch and jax (pip install torch jax); one that is missing is left out of the table. --threads also
# binds the process to as many processors, because JAX takes all that it may run on. --isa avx2: all programs do
# without AVX-512, as on a processor that has none.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
models=$(realpath --relative-to=. "$here/../../models")
usage() { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 1; }
[ $# -ge 1 ] && [ -x "$1/xlmrun" ] || usage
build=$1 rounds=5 threads=2 python=python3 only=. steps=10 isa=
shift
while [ $# -gt 1 ]; do
  case $1 in
  --rounds) rounds=$2 ;;
  --threads) threads=$2 ;;
  --python) python=$2 ;;
  --only) only=$2 ;;
  --steps) steps=$2 ;;
  --isa) isa=$2; [ "$isa" = avx2 ] || usage ;;
  *) usage ;;
  esac
  shift 2
done
[ $# = 0 ] || usage
has() { "$python" -c "import $1" 2>/dev/null; }
peers=()
if has torch; then peers+=(eager compile); else echo "peers.sh: $python has no torch" >&2; fi
if has jax; then peers+=(jax); else echo "peers.sh: $python has no jax" >&2; fi
[ ${#peers[@]} -gt 0 ] || exit 1
dtypes=(f32)
if [ -n "$isa" ]; then
  export XLM_CPU_ISA=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
  export XLA_FLAGS="${XLA_FLAGS:-} --xla_cpu_max_isa=AVX2"
elif grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then
  dtypes+=(bf16)
fi
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
cpus=$(nproc --all)
[ "$threads" -lt "$cpus" ] && cpus=$threads
bind=(taskset -c "0-$((cpus - 1))")

# measured COMMAND...: its output, and a line with the peak memory of its processes
measured() {
  "$python" -c 'import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
if done.returncode: sys.exit(done.stderr[-2000:])
print(done.stdout, end="")
print("\npeak %.3f GiB" % (resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20))' "${bind[@]}" "$@"
}

# one PROGRAM DTYPE ROW: "tokens/s GiB"
one() {
  local dtype=$2 ours=$3 theirs=$4 out
  case $1 in
  xlm) out=$(measured "$build/xlmrun" bench $models/${ours# } --dtype "$dtype" --threads "$threads" --profile=false --steps "$steps") ;;
  eager) out=$(measured "$python" "$here/torch_train.py" $theirs --dtype "$dtype" --device cpu --threads "$threads" --steps "$steps") ;;
  compile) out=$(measured "$python" "$here/torch_train.py" $theirs --dtype "$dtype" --device cpu --threads "$threads" --steps "$steps" --compile) ;;
  jax) out=$(measured "$python" "$here/jax_train.py" $theirs --dtype "$dtype" --steps "$steps") ;;
  esac
  printf '%s\n' "$out" | sed -n 's/^\([0-9.,]*\) tokens\/s.*/\1/p; s/^peak \(.*\) GiB/\1/p' | tr -d , | tr '\n' ' '
}

median() { sort -n | awk '{ r[NR] = $1 } END { m = NR % 2 ? r[(NR + 1) / 2] : (r[NR / 2] + r[NR / 2 + 1]) / 2; print m }'; }

grep -m 1 'model name' /proc/cpuinfo | sed "s/.*: /CPU: /; s/\$/${isa:+ with $isa alone}, $threads threads, $rounds rounds/"
"$python" -c 'import importlib.metadata as m
for p in ("torch", "jax"):
    try: print(p, m.version(p), end="  ")
    except m.PackageNotFoundError: pass
print()'
while IFS='|' read -r name ours theirs; do
  name=${name// /}
  [[ $name =~ $only ]] || continue
  for dtype in "${dtypes[@]}"; do
    rm -f "$log"/*
    for _ in $(seq "$rounds"); do
      best=0
      for program in xlm "${peers[@]}"; do
        read -r speed memory <<< "$(one "$program" "$dtype" "$ours" "$theirs")"
        [ -n "${memory:-}" ] || { echo "peers.sh: no figure of $program for $name $dtype" >&2; exit 1; }
        echo "$speed" >> "$log/$program.speed"
        echo "$memory" >> "$log/$program.memory"
        if [ "$program" = xlm ]; then x=$speed; elif awk -v a="$speed" -v b="$best" 'BEGIN { exit !(a > b) }'; then best=$speed; fi
      done
      awk -v x="$x" -v b="$best" 'BEGIN { print x / b }' >> "$log/ratio"
      { printf '%s %s, a round:' "$name" "$dtype" && for program in xlm "${peers[@]}"; do printf '  %s %.0f' "$program" "$(tail -n 1 "$log/$program.speed")"; done; } >&2
      echo >&2
    done
    printf '%s %s: %.3fx of the fastest peer (%s)\n' "$name" "$dtype" "$(median < "$log/ratio")" "$(sort -n "$log/ratio" | sed -n '1p;$p' | paste -sd' ' | sed 's/ / to /')"
    for program in xlm "${peers[@]}"; do
      printf '  %-8s %8.0f tokens/s  %6.3f GiB\n' "$program" "$(median < "$log/$program.speed")" "$(median < "$log/$program.memory")"
    done
  done
done < <(grep -v '^#' "$here/peer_rows.txt")
