#!/usr/bin/env bash
# From a clone to a trained model in a few minutes: installs missing packages, builds, trains a byte-level
# Llama of 3.3 M parameters for about two minutes on the text of this repository, evaluates it and generates
# text.
#
#   tools/quickstart.sh
#
# Everything it creates is in build/. It can be run again and then replaces the previous run. Environment, for
# tests: QUICKSTART_STEPS (steps instead of two minutes), QUICKSTART_BUILD (folder of a finished build),
# QUICKSTART_OUT (folder of the run).
set -eu
cd "$(dirname "$0")/.."
build=${QUICKSTART_BUILD:-build}
out=${QUICKSTART_OUT:-build/quickstart}
seconds=115

if [ -z "${QUICKSTART_BUILD:-}" ]; then
  tools/deps.sh
  echo "== building (two to three minutes on two cores; log: build/build.log)"
  mkdir -p build
  log=build/build.log
  compile() { # ninja's progress is one line on a terminal
    cmake -G Ninja -S . -B build -DCMAKE_BUILD_TYPE=Release > $log 2>&1 || return 1
    if [ -t 1 ]; then ninja -C build xlmc xlmrun; else ninja -C build xlmc xlmrun >> $log 2>&1; fi
  }
  if ! compile; then
    [ -t 1 ] || tail -n 30 $log >&2
    echo "quickstart.sh: the build failed; see above and $log" >&2
    exit 2
  fi
fi

# A smaller version of the nano preset, using its public names as flags.
model=(models/llama.xlm --preset nano --hidden-size 256 --num-layers 4 --heads 4 --intermediate-size 704 --seq-length 128)
tokens_per_step=$((16 * 128))

steps=${QUICKSTART_STEPS:-}
batches=2 length=20
if [ -z "$steps" ]; then
  batches=40 length=300
  echo "== measuring this machine"
  speed=$("$build/xlmrun" bench "${model[@]}" --steps 8 --warmup 2 --profile=false | sed -n 's/^\([0-9]*\) tokens\/s.*/\1/p')
  steps=$((${speed:-1000} * seconds / tokens_per_step))
  [ "$steps" -ge 30 ] || steps=30
  [ "$steps" -le 3000 ] || steps=3000
  echo "${speed:-?} tokens/s: $steps steps take about two minutes"
fi

echo "== training on the text of this repository"
"$build/xlmrun" train "${model[@]}" --data docs grammar models compiler runtime ops tools tests README.md \
  --max-steps "$steps" --learning-rate 3e-3 --min-lr 3e-4 --eval-interval $((steps > 4 ? steps / 4 : 1)) --eval-batches $((batches / 2)) \
  --log-interval $((steps > 20 ? steps / 20 : 1)) --output-dir "$out" --overwrite

echo "== evaluating"
"$build/xlmrun" eval "$out" --eval-batches $batches

prompt='static void '
echo "== what it writes after \"$prompt\""
"$build/xlmrun" generate "$out" --prompt "$prompt" --max-tokens $length --temperature 0.7

cat <<END

== done
checkpoints   $out/step-*
metrics       $out/metrics.jsonl
loss curve    $out/loss.svg

to type xlmc and xlmrun alone:  export PATH="$(cd "$build" && pwd):\$PATH"
go on         $build/xlmrun generate $out --prompt '// ' --max-tokens 500
              $build/xlmc plan models/llama.xlm --preset nano
              docs/tutorial.md: write a model of your own
END
