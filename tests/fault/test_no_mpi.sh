#!/usr/bin/env bash
# An xlmrun built without MPI: started by a launcher it names the missing packages, and alone it trains.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
run=$2/without_mpi/xlmrun
train=("$run" train "$model" --data corpus.txt "${sizes[@]}" --global-batch-size 4 --tp 2 --max-steps 2 --eval-interval 0)
as() { # RANK SIZE: what mpirun tells a process
  OMPI_COMM_WORLD_RANK=$1 OMPI_COMM_WORLD_SIZE=$2 "${train[@]}" --output-dir started
}
expect 1 'built without MPI: install libopenmpi-dev and openmpi-bin' as 0 2
grep -q 'pmix' out.txt && fail "another reason, too: $(cat out.txt)"
as 1 2 >out.txt 2>&1 && fail 'the second process goes on'
[ ! -s out.txt ] || fail "every process says it: $(cat out.txt)"
[ ! -e started ] || fail 'a run was begun'
expect 0 'checkpoint alone/' "${train[@]}" --output-dir alone
exit $failed
