#!/usr/bin/env bash
# Two hosts: network namespaces joined by a pair of virtual interfaces, each with its own host name and
# process ids; mpirun starts its second half through an agent instead of ssh, and all communication goes over
# TCP. The results equal those of threads of one process, bit for bit; a rank that dies on the other host ends
# the run within 10 seconds with a message that names it, the operation and the model line; its checkpoint can
# be resumed.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
. "$source_dir/tests/layouts/mpi_lib.sh"

# ---- the hosts ----

here=xlm-a-$$ there=xlm-b-$$
remove_hosts() {
  for name in $here $there; do ip netns del $name 2>/dev/null; done
}
trap 'remove_hosts; rm -rf "$work"' EXIT

make_hosts() {
  ip netns add $here && ip netns add $there &&
    ip link add name xa$$ netns $here type veth peer name xb$$ netns $there &&
    ip -n $here address add 10.77.0.1/24 dev xa$$ && ip -n $there address add 10.77.0.2/24 dev xb$$ &&
    ip -n $here link set lo up && ip -n $there link set lo up &&
    ip -n $here link set xa$$ up && ip -n $there link set xb$$ up &&
    ip netns exec $there unshare --uts --pid --fork hostname host-b
}
if ! make_hosts >hosts.txt 2>&1; then
  echo "skipped: two network namespaces cannot be made here (this takes iproute2 and root): $(tail -n 1 hosts.txt)"
  exit 77
fi

cat >agent.sh <<END # called as ssh is: HOST COMMAND...
#!/usr/bin/env bash
shift
exec ip netns exec $there unshare --uts --pid --fork --kill-child bash -c 'hostname host-b; exec bash -c "\$0"' "\$*"
END
chmod +x agent.sh

# on_hosts HERE THERE COMMAND...: that many ranks on each.
on_hosts() {
  local n=$1 m=$2
  shift 2
  ip netns exec $here unshare --uts bash -c 'hostname host-a; exec "$@"' - timeout 300 mpirun --mca plm rsh --mca plm_rsh_agent "$work/agent.sh" \
    --mca btl tcp,self --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 \
    --host 10.77.0.1:"$n",10.77.0.2:"$m" -n $((n + m)) "$@"
}
[ "$(on_hosts 2 2 hostname | sort | tr '\n' ' ')" = 'host-a host-a host-b host-b ' ] || fail 'not two hosts of two ranks'

# ---- the same numbers ----

train=("$run" train "$model" --data corpus.txt --hidden-size 32 --set layers=4 --set heads=4 --intermediate-size 40
  --vocab-size 256 --seq-length 32 --global-batch-size 8 --micro-batch-size 1 --learning-rate 1e-2 --log-interval 1
  --eval-interval 2 --eval-batches 2 --save-interval 2 --keep-checkpoints 0 --lr-schedule constant --warmup-steps 2 --seed 5 --threads 1)

same() { # HERE THERE FLAGS...
  rm -rf threads hosts
  expect 0 'ranks = ' "${train[@]}" --max-steps 4 "${@:3}" --output-dir threads
  on_hosts "$1" "$2" "${train[@]}" --max-steps 4 "${@:3}" --output-dir hosts >out.txt 2>&1 || fail "${*:3}: $(cat out.txt)"
  grep -qF '(mpi)' out.txt || fail "not under MPI: $(cat out.txt)"
  for step in 2 4; do same_weights threads/step-0000000$step hosts/step-0000000$step; done
  for key in step loss grad_norm val_loss; do
    [ "$(column $key threads/metrics.jsonl)" = "$(column $key hosts/metrics.jsonl)" ] || fail "${*:3}: $key differs: $(cat hosts/metrics.jsonl)"
  done
}
same 2 2 --pp 2 --tp 2                # the stages' border is the hosts' border
same 2 2 --dp 2 --tp 2 --zero 3       # gradients and parameters cross it
same 1 3 --dp 2 --pp 2 --pipeline-schedule zero-bubble  # and so does everything

# ---- a rank of the other host dies ----

network=$(ip netns exec $there readlink /proc/self/ns/net)
ranks_there() { # those that write into a folder and live on the other host
  for pid in $(ranks_of "$1"); do
    [ "$(readlink "/proc/$pid/ns/net")" = "$network" ] && echo "$pid"
  done
}

# dies HERE THERE FLAGS...: the log is left in log.txt.
dies() {
  rm -rf killed log.txt
  on_hosts "$1" "$2" "${train[@]}" --max-steps 3000 --eval-interval 0 "${@:3}" --output-dir killed >log.txt 2>&1 &
  local pid=$! victim
  wait_for 'saved killed/step-00000004' log.txt
  for _ in $(seq 50); do # on a busy machine a look at all processes may miss one
    victim=$(ranks_there killed | shuf -n 1)
    [ -z "$victim" ] || break
    sleep 0.1
  done
  [ -n "$victim" ] || fail "no rank on the other host: $(ranks_of killed) $(cat log.txt)"
  kill -9 "$victim" || fail "cannot kill $victim"
  for _ in $(seq 200); do
    kill -0 $pid 2>/dev/null || break
    sleep 0.05
  done
  kill -0 $pid 2>/dev/null && fail "still there after 10 s: $(tail -n 5 log.txt)" && kill $pid
  wait $pid && fail 'a run that lost a rank ends well'
  all_gone killed
}
# Another rank on its host detects it and notifies all others.
dies 2 2 --pp 2 --tp 2
[ "$(grep -c '^xlmrun: ' log.txt)" = 1 ] || fail "not one message: $(grep -v '^step' log.txt)"
grep -qE '^xlmrun: rank ([23]) has died while rank [23] was in ([a-z_]+ of [a-z0-9.]+ \(.*\.xlm:[0-9]+\)|writing a checkpoint)' log.txt ||
  fail "no word about who died: $(grep -v '^step' log.txt)"
# Its checkpoint is resumed on both hosts, with the results of an uninterrupted run.
step=$((10#$(ls -d killed/step-* | tail -n 1 | sed 's/.*step-//') + 2))
on_hosts 2 2 "$run" train --resume killed --max-steps $step --eval-interval 2 >log.txt 2>&1 || fail "no resume: $(cat log.txt)"
expect 0 'ranks = ' "${train[@]}" --pp 2 --tp 2 --max-steps $step --eval-interval 0 --save-interval $step --output-dir whole
last=$(printf 'step-%08d' $step)
same_weights whole/$last killed/$last
# Alone on its host: mpirun detects it and names it; the first rank reports where the run is.
dies 3 1 --pp 2 --tp 2
grep -qE 'rank 3 .*on node 10.77.0.2 exited on signal 9' log.txt || fail "no word about who died: $(grep -v '^step' log.txt)"
grep -qE '^(this step goes on: rank 0:|stopping after this step; rank 0 is at) ([a-z_]+ of [a-z0-9.]+ \(.*\.xlm:[0-9]+\)|writing a checkpoint)' log.txt ||
  fail "no word about where the run stands: $(grep -v '^step' log.txt)"
exit $failed
