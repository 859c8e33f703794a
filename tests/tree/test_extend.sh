#!/usr/bin/env bash
# An operation, a collective, a backend and an optimizer are added by exactly the files that docs/extending.md lists,
# and work. One scratch copy takes them all, since it is compiled from scratch.
#   test_extend.sh SOURCE_DIR BINARY_DIR
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/extend_lib.sh" "$1" "$2"
for part in op collective backend optimizer; do . "$here/extend_$part.sh"; done

add_op
extend_by 'An operation' center
add_collective
extend_by 'A collective' all_reduce_rounds
add_backend
extend_by 'A backend' toy
add_optimizer
extend_by 'An optimizer' signum
extend_build xlmc xlmrun test_ops test_complete test_fact_sums test_fact_places test_collectives test_device test_optimizers

cd "$work" || exit 1
nano=(--preset nano --hidden 32 --layers 2 --intermediate-size 48 --num-attention-heads 2 --num-key-value-heads 2 --seq-length 16 --threads 1)
check_op
check_collective
check_backend
check_optimizer
