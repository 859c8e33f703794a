#!/usr/bin/env bash
# The Debian packages: what they depend on, and that their programs run from where they are unpacked, with and
# without the one for MPI.
#   test_deb.sh SOURCE_DIR BINARY_DIR
set -u
binary_dir=$(cd "$2" && pwd)
for tool in cpack dpkg-deb dpkg-shlibdeps; do command -v $tool > /dev/null || { echo "no $tool"; exit 77; }; done
grep -q __asan_init "$binary_dir/xlmrun" && exit 77 # no package has sanitizers
export LC_ALL=C XLM_CPU_ISA=base OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
unset XLM_MODELS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() {
  echo "FAILED: $*"
  failed=1
}

(cd "$binary_dir" && cpack -G DEB -D CPACK_DEBIAN_COMPRESSION_TYPE=gzip -B "$work/made") > "$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
xlm=$(ls "$work"/made/xlm_*.deb)
mpi=$(ls "$work"/made/xlm-mpi_*.deb 2> /dev/null)
depends=$(dpkg-deb -f "$xlm" Depends)
for library in libc6 libjansson4 libyaml-0-2 libxxhash0; do
  [[ $depends == *$library* ]] || fail "xlm does not depend on $library: $depends"
done
[[ $depends =~ mpi|cuda|nvidia ]] && fail "xlm depends on $depends"
dpkg-deb -x "$xlm" "$work/root"
cd "$work" || exit 2
yes 'a line of text' | head -c 20000 > text.txt
train=("$work/root/usr/bin/xlmrun" train llama --preset nano --hidden-size 48 --num-layers 2 --seq-length 16 --global-batch-size 4
  --data text.txt --max-steps 2 --eval-interval 0 --overwrite --threads 2)
root/usr/bin/xlmc plan llama --preset nano > log 2>&1 || { cat log; fail 'xlmc plan'; }
"${train[@]}" --pp 2 --output-dir threads > log 2>&1 || { cat log; fail 'xlmrun train'; }
for page in usr/share/man/man1/xlmc.1.gz usr/share/doc/xlm/copyright usr/share/doc/xlm/changelog.gz; do
  gzip -dcf "root/$page" | grep -q xlm || fail "no $page"
done
if [ -n "${XLM_EXHAUSTIVE:-}" ] && command -v lintian > /dev/null; then
  lintian --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog,custom-library-search-path "$xlm" $mpi > log 2>&1
  grep '^E:' log && fail lintian
fi

if [ -n "$mpi" ] && command -v mpirun > /dev/null; then
  [[ $(dpkg-deb -f "$mpi" Depends) == *"xlm (="*mpi* ]] || fail "xlm-mpi depends on $(dpkg-deb -f "$mpi" Depends)"
  mpirun -n 2 "${train[@]}" --pp 2 --output-dir without > log 2>&1 && fail 'two processes without xlm-mpi'
  grep -q 'install xlm-mpi' log || fail "no word of xlm-mpi: $(cat log)"
  dpkg-deb -x "$mpi" "$work/root"
  root/usr/bin/xlmrun --version | grep -q 'MPI .*in .*/libexec/xlm/xlmrun' || fail 'xlmrun --version does not name the program for MPI'
  mpirun -n 2 "${train[@]}" --pp 2 --output-dir processes > log 2>&1 || { cat log; fail 'mpirun xlmrun'; }
  grep -q '2 ranks = pp 2 (mpi)' log || fail 'no ranks under MPI'
  cmp threads/step-00000002/model.safetensors processes/step-00000002/model.safetensors || fail 'other weights under MPI'
fi
exit $failed
