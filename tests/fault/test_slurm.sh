#!/usr/bin/env bash
# Under Slurm: a private controller and node in a temporary folder, on this machine (as root, without munge).
# srun starts the ranks; the results are those of threads of one process; a rank that dies ends the step; the
# launch script stops in order and resumes; srun without an MPI plugin is reported. Skipped without slurmctld,
# slurmd or mpirun.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
. "$source_dir/tests/layouts/mpi_lib.sh"
if [ "$(id -u)" != 0 ] || ! command -v slurmctld slurmd srun sbatch >/dev/null; then
  echo "skipped: there is no slurmctld, slurmd and srun here (Debian: slurm-wlm), or this is not root"
  exit 77
fi

# ---- a cluster of one node ----

export SLURM_CONF=$work/slurm.conf
node=$(hostname -s) port=$((20000 + RANDOM % 10000))
mkdir state spool
cat >"$SLURM_CONF" <<END
ClusterName=xlm
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort=$port
SlurmdPort=$((port + 1))
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/controller.pid
SlurmdPidFile=$work/node.pid
SlurmctldLogFile=$work/controller.log
SlurmdLogFile=$work/node.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/linear
MpiDefault=none
NodeName=$node NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=all Nodes=$node Default=YES MaxTime=INFINITE State=UP
END
stop_slurm() {
  for part in node controller; do [ -f "$work/$part.pid" ] && kill "$(cat "$work/$part.pid")" 2>/dev/null; done
  sleep 0.5
}
trap 'stop_slurm; rm -rf "$work"' EXIT
slurmctld -c >slurm.txt 2>&1
sleep 0.5
slurmd -N "$node" >>slurm.txt 2>&1
for _ in $(seq 50); do
  [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && break
  sleep 0.2
done
if ! timeout 300 srun -n 4 true >>slurm.txt 2>&1 || ! srun --mpi=list 2>&1 | grep -q pmix; then
  echo "skipped: Slurm does not come up here: $(tail -n 3 slurm.txt)"
  exit 77
fi

# ---- runs ----

train=("$run" train "$model" --data corpus.txt --hidden-size 32 --set layers=4 --set heads=4 --intermediate-size 40
  --vocab-size 256 --seq-length 32 --global-batch-size 8 --micro-batch-size 1 --learning-rate 1e-2 --log-interval 1
  --eval-interval 0 --save-interval 2 --keep-checkpoints 0 --lr-schedule constant --warmup-steps 2 --seed 5 --threads 1
  --pp 2 --tp 2)
expect 0 'ranks = ' "${train[@]}" --max-steps 4 --output-dir threads
expect 0 '4 ranks = pp 2 x tp 2 (mpi)' timeout 300 srun --mpi=pmix -n 4 "${train[@]}" --max-steps 4 --output-dir tasks
for step in 2 4; do same_weights threads/step-0000000$step tasks/step-0000000$step; done
for key in step loss grad_norm; do
  [ "$(column $key threads/metrics.jsonl)" = "$(column $key tasks/metrics.jsonl)" ] || fail "$key differs: $(cat tasks/metrics.jsonl)"
done

# Unconnected tasks would be four runs that write to one folder.
timeout 300 srun --mpi=none -n 4 "${train[@]}" --max-steps 1 --output-dir none >out.txt 2>&1 && fail 'four runs instead of one'
[ "$(grep -c '^xlmrun: .*srun --mpi=pmix' out.txt)" = 1 ] || fail "no word about --mpi=pmix: $(cat out.txt)"
[ ! -d none ] || fail 'something was written'

timeout 300 srun --mpi=pmix -n 4 "${train[@]}" --max-steps 3000 --output-dir killed >log.txt 2>&1 &
pid=$!
wait_for 'saved killed/step-00000004' log.txt
kill -9 "$(ranks_of killed | shuf -n 1)"
begin=$SECONDS
wait $pid && fail 'a run that lost a rank ends well'
[ $((SECONDS - begin)) -le 10 ] || fail "it took $((SECONDS - begin)) s"
[ "$(grep -c '^xlmrun: ' log.txt)" = 1 ] || fail "not one message: $(grep -v '^step' log.txt)"
grep -qE '^xlmrun: rank [0-3] has died while rank [0-3] was in ' log.txt || fail "no word about who died: $(grep -v '^step' log.txt)"
expect 0 'resumed from killed/' timeout 300 srun --mpi=pmix -n 2 "$run" train --resume killed --tp 2 --max-steps 1 --overwrite

# ---- the launch script ----

submit() { # STEPS FLAGS...
  XLMRUN=$run OUTPUT=$work/batch sbatch --parsable --nodes=1 --ntasks-per-node=4 --cpus-per-task=1 --time=5 --output="$work/batch-%j.txt" \
    --chdir="$work" "$source_dir/tools/launch/slurm.sh" "${train[@]:2}" --max-steps "$@"
}
job=$(submit 100000)
wait_for 'saved ' "batch-$job.txt"
scancel --signal=USR1 "$job" # as --signal=USR1@180 does before the time is up
wait_for 'stopped at step' "batch-$job.txt"
step=$(sed -n 's/^stopped at step \([0-9]*\).*/\1/p' "batch-$job.txt")
for _ in $(seq 100); do [ -z "$(squeue -h)" ] || sleep 0.1; done
job=$(submit $((step + 2)))
wait_for 'loss curve' "batch-$job.txt"
grep -q "resumed from .*batch/step-.* at step $step" "batch-$job.txt" || fail "no resume: $(cat "batch-$job.txt")"

# A rank dies, and the job goes on with half of them.
rm -r batch
job=$(submit 100000 --min-ranks 2)
wait_for 'saved ' "batch-$job.txt"
kill -9 "$(pgrep -f "^$program train .* $work/batch\$" | shuf -n 1)"
wait_for 'resumed from' "batch-$job.txt"
grep -qE '2 ranks = (tp|pp) 2 ' "batch-$job.txt" || fail "not with two ranks: $(cat "batch-$job.txt")"
scancel --signal=USR1 "$job"
wait_for 'stopped at step' "batch-$job.txt"
exit $failed
