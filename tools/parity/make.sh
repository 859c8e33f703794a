#!/usr/bin/env bash
# Makes the golden files of tests/train/test_parity.c: make.sh BINARY_DIR PYTHON [MODEL...]
# PYTHON has torch (CPU), transformers and safetensors; ordinary tests need none of them.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd) build=$1 python=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$build"/tests/test_parity export "$work" > /dev/null
mkdir -p "$here/tests/train/parity"
[ $# -gt 0 ] || set -- $(cd "$work" && ls)
for model in "$@"; do
  HF_HUB_OFFLINE=1 "$python" "$here/tools/parity/reference.py" "$work" "$model" "$here/tests/train/parity/$model.txt"
done
