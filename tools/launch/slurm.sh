#!/usr/bin/env bash
#SBATCH --job-name=xlm
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@180
#SBATCH --requeue
#SBATCH --no-kill
#
# Several hosts with Slurm, one rank per task: sbatch tools/launch/slurm.sh --config configs/sixteen.yaml --data corpus/*.txt
#
# Three minutes before the time limit Slurm sends USR1: the step is finished, a checkpoint written, and the
# run ends. The next job with the same output folder continues from there, in the same mesh or in another. To
# stop a job by hand in the same way: scancel --signal=USR1 JOB. A plain scancel sends TERM, which has the
# same effect if Slurm's KillWait (30 s) is long enough.
#
# MPI: use the srun plugin that the MPI library was built for (`srun --mpi=list`): pmix for Open MPI, pmi2 for
# MPICH. With pmix the death of a rank ends the step at once; do not use srun's --kill-on-bad-exit, with which
# the others wait for KillWait.
#
# --restarts N and --min-ranks N: a job whose rank died goes on, see restart.sh. With --no-kill the allocation
# survives the loss of a node.
set -eu
cd "${SLURM_SUBMIT_DIR:-.}"
submitted=$(scontrol show job "$SLURM_JOB_ID" | sed -n 's/^ *Command=\([^ ]*\).*/\1/p') # $0 is Slurm's copy of it
. "$(dirname "$submitted")/restart.sh"
xlmrun=${XLMRUN:-build/xlmrun} # of the source tree, else the installed one
[ -x "$xlmrun" ] || [ -n "${XLMRUN:-}" ] || xlmrun=xlmrun
ranks=$SLURM_NTASKS
output=${OUTPUT:-checkpoints}
take_flags "$@"

start() {
  local n=$1
  shift
  code=0
  srun --mpi="${MPI:-pmix}" -n "$n" "$xlmrun" train "${train[@]}" "$@" --threads "${SLURM_CPUS_PER_TASK:-1}" "$(where)" "$output" || code=$?
}

# Nodes of the job that Slurm still has.
count_room() {
  local up
  up=$(sinfo -h -N -n "$SLURM_JOB_NODELIST" -o %t | grep -cE '^(alloc|mix|idle|comp)[a-z]*$' || true)
  room=$((up * SLURM_NTASKS / SLURM_JOB_NUM_NODES))
}
run_job
