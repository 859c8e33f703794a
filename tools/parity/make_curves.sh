#!/usr/bin/env bash
# Makes the golden curves of tests/train/test_hundred_steps.c: make_curves.sh BINARY_DIR PYTHON [MODEL...]
# PYTHON has torch (CPU) and transformers; ordinary tests need none of them.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd) build=$1 python=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$build"/tests/test_hundred_steps export "$work" > /dev/null
mkdir -p "$here/tests/train/curves"
[ $# -gt 0 ] || set -- $(cd "$work" && ls)
for model in "$@"; do
  HF_HUB_OFFLINE=1 "$python" "$here/tools/parity/curve.py" "$work" "$model" "$here/tests/train/curves"
done
