#!/usr/bin/env bash
#SBATCH --job-name=xlm
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@180
#SBATCH --requeue
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
set -eu
cd "${SLURM_SUBMIT_DIR:-.}"
xlmrun=${XLMRUN:-build/xlmrun} # of the source tree, else the installed one
[ -x "$xlmrun" ] || [ -n "${XLMRUN:-}" ] || xlmrun=xlmrun
output=${OUTPUT:-checkpoints}
if ls -d "$output"/step-* >/dev/null 2>&1; then more=(--resume "$output"); else more=(--output-dir "$output"); fi
exec srun --mpi="${MPI:-pmix}" "$xlmrun" train "$@" --threads "${SLURM_CPUS_PER_TASK:-1}" "${more[@]}"
