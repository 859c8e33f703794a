#!/usr/bin/env bash
# The launch script for mpirun leaves out hosts that do not answer: with --min-ranks a job that lost one goes on from its last
# checkpoint on the others, in a smaller layout. There is no MPI here: a program of that name notes how it was called, and
# ends as the one of a job that lost a host does.
. "$(dirname "$0")/../train/xlmrun_lib.sh"

mkdir bin
cat >bin/mpirun <<END
#!/usr/bin/env bash
while [ \$# -gt 0 ]; do
  case \$1 in
    -n) ranks=\$2 && shift 2 ;;
    --host) host=\$2 && shift 2 ;;
    *) break ;;
  esac
done
if [ "\$1" = true ]; then # does the host answer?
  echo "ask \$host" >>"$work/calls"
  grep -qxF "\${host%%:*}" "$work/silent" && { [ -n "\${limited:-}" ] || sleep 100; exit 124; }
  ! grep -qxF "\${host%%:*}" "$work/down"
  exit
fi
echo "start \$ranks on \$host \${*: -6:2} \${*: -2:1}" >>"$work/calls"
mkdir -p "$work/out/step-00000005"
[ "\$(grep -c '^start' "$work/calls")" = 1 ] || exit 0
cp "$work/next_down" "$work/down" && cp "$work/next_silent" "$work/silent"
exit "\$(cat "$work/code")"
END
printf '#!/bin/sh\nshift\nlimited=1 exec "$@"\n' >bin/timeout # the script waits for a minute: a silent host then ends at once
chmod +x bin/mpirun bin/timeout

# job CODE DOWN SILENT FLAGS...: with those hosts lost when the first start ends with that code; sets code.
job() {
  rm -rf out calls
  echo "$1" >code
  echo "$2" >next_down
  echo "$3" >next_silent
  : >down
  : >silent
  PATH=$work/bin:$PATH XLMRUN=$run HOSTS=node1:2,node2:2,node3 RANKS=4 OUTPUT=$work/out bash "$source_dir/tools/launch/mpirun.sh" \
    "$model" --data "$work/corpus.txt" "${@:4}" >log.txt 2>&1
  code=$?
}
# calls LINE...: the starts, and what was asked, in order.
calls() {
  [ "$(cat calls)" = "$(printf '%s\n' "$@")" ] || fail "calls: $(cat calls log.txt)"
}
first='start 4 on node1:2,node2:2,node3 --dp 4 --output-dir'
all=('ask node1:2' 'ask node2:2' 'ask node3')

job 134 node2 '' --dp 4 --min-ranks 2
[ $code = 0 ] || fail "a host is down: exit code $code: $(cat log.txt)"
calls "$first" "${all[@]}" 'start 3 on node1:2,node3 --dp 3 --resume'
grep -q 'the job ended with code 134; restart 1' log.txt || fail "no word about it: $(cat log.txt)"

# It hangs, and the code is that of mpirun, which may also be of a mistake: then all hosts answer, and the job ends.
job 1 '' node1 --dp 4 --min-ranks 2
[ $code = 0 ] || fail "a host is silent: exit code $code: $(cat log.txt)"
calls "$first" "${all[@]}" 'ask node2:2' 'ask node3' 'start 3 on node2:2,node3 --dp 3 --resume'
job 1 '' '' --dp 4 --min-ranks 2
[ $code = 1 ] || fail "a mistake: exit code $code: $(cat log.txt)"
calls "$first" "${all[@]}"

# Too few are left: the end, with the code of the job.
job 134 node2 '' --dp 4 --min-ranks 4
[ $code = 134 ] || fail "too few hosts: exit code $code: $(cat log.txt)"
calls "$first" "${all[@]}"
grep -qx 'no layout of 4 to 3 ranks is possible' log.txt || fail "no word about it: $(cat log.txt)"

# Without --min-ranks the same hosts are tried again.
job 134 node2 '' --dp 4 --restarts 1
calls "$first" 'start 4 on node1:2,node2:2,node3 --dp 4 --resume'
exit $failed
