#!/usr/bin/env bash
# The emulated tests find mistakes: each line below breaks one kernel in one place, and a case must fail, saying why.
# broken_kernels.sh SOURCE BUILD COMPILER: BUILD has test_cuda_ops, _asan and _races, which take the broken kernel from
# a library instead of their own. Every fourth; XLM_EXHAUSTIVE=1: all.
set -u
source_dir=$1 build=$2 cxx=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$source_dir" || exit 1

# FILE of ops/cuda | sed expression | .cu files to compile, others as NAME.c, FUSED: what makes kernels | plain, asan or races | case | what its failure says
list() {
  cat <<'EOF'
reduce_priv.h|/all warps' sums are there/d|sum|races|sum.long_columns|race at
reduce_priv.h|/before the next tile/d|sum|races|sum.wide_columns|race at
reduce_priv.h|s/int64_t begin = part \* s.per, end = begin + s.per < len ? begin + s.per : len;/int64_t begin = part * s.per, end = begin + s.per;/|sum|asan|sum.odd_parts|heap-buffer-overflow
reduce_priv.h|/before the last row's are overwritten/d|logsumexp|races|logsumexp.long_rows|race at
reduce_priv.h|s/int d = XLM_WARP \/ 2; d;/int d = XLM_WARP \/ 4; d;/|sum|plain|sum.even_rows|expected
reduce_priv.h|s/if constexpr (Team::size > 1)/if (Team::lane() % 2)/|amax|plain|amax.even_rows|but is in the mask of
lang.h|/before the last sum's scratch is overwritten/d|rmsnorm|races|rmsnorm.wide_rows|race at
norm_priv.h|s/if (at(k) >= a.r.len) continue;//|layernorm|asan|layernorm.even_rows|heap-buffer-overflow
copy.cu|/all of the tile is there/d|copy permute|races|permute.tiles|race at
copy.cu|/before the next tile/d|copy permute|races|permute.large|race at
copy.cu|s/j + r < n_last \&\& //|copy permute|asan|permute.one_more|heap-buffer-overflow
rope.cu|/all turns are there/d|rope|races|rope.even|race at
sort.cu|/all warps have counted/d|lookup sort|races|lookup.often|race at
sort.cu|/all places are there/d|lookup sort|races|lookup.often|race at
sort.cu|/all lanes have read their place/d|lookup sort|races|lookup.often|race at
sort.cu|/all of the tile is counted/d|dispatch routing sort|races|dispatch.even|race at
sort.cu|s/same \&= digit >> b \& 1 ? set : ~set/same \&= set/|lookup sort|plain|lookup.rows|expected
lookup.cu|s/i + TILE <= end; i += TILE/i < end; i += TILE/|lookup sort|plain|lookup.often|expected
cross_entropy.cu|/all warps' totals are there/d|cross_entropy|races|cross_entropy.simple|race at
cross_entropy_priv.h|s/head + (n - head) \/ pack<T>::n \* pack<T>::n/n/|cross_entropy|asan|cross_entropy.odd|heap-buffer-overflow
cross_entropy_priv.h|s/r.sum \*= exp_of(r.most - most), //|cross_entropy|plain|cross_entropy.large|expected
cross_entropy_grad.cu|/copy_wait<AHEAD - 1>/d|cross_entropy cross_entropy_grad|plain|cross_entropy_grad.prime|asynchronous copies
cross_entropy_grad.cu|s/at < held \&\& at < packs/at < packs/|cross_entropy cross_entropy_grad|asan|cross_entropy_grad.longer_than_room|overflow
cross_entropy_grad.cu|s/i + k == g.place/i == g.place/|cross_entropy cross_entropy_grad|plain|cross_entropy_grad.simple|expected
norm_sq.cu|/all warps' digits are there/d|norm_sq|races|norm_sq.many|race at
norm_sq.cu|s/aligned \&\& i + N <= n/aligned/|norm_sq|asan|norm_sq.many|heap-buffer-overflow
adamw.cu|/the factors are there/d|adamw|races|adamw.first|race at
expert_count.cu|/before the next expert's/d|expert_count|races|expert_count.many|race at
dispatch.cu|s/to\[i\] = some ? /to[i] = true ? /|dispatch routing sort|plain|dispatch.missing|expected
attend_simt_priv.h|/what is in the room is read no more/d|attend attend_bwd|races|attend_bwd.tiles_grouped|race at
attend_simt_priv.h|/the pairs are there, the last rows are read no more/d|attend attend_bwd|races|attend_bwd.tiles_grouped|race at
attend_simt_priv.h|s/row0 + row < t.rows \&\& //|attend attend_bwd|asan|attend_bwd.tiles_one_head|heap-buffer-overflow
attend_bwd.cu|/the probabilities are read no more/d|attend attend_bwd|races|attend_bwd.tiles_grouped|race at
attend.cu|s/out\[i\]\[j\] \*= keep\[i\]/(void)0/|attend attend_bwd|plain|attend_bwd.tiles_causal|expected
attend_priv.h|s/k->n - 1 + s->window, end/k->n, end/|attend attend_bwd|plain|attend_bwd.tiles_window|expected
attend_priv.h|s/tile < tiles ? s->at : s->tail_at/s->at/|attend attend_bwd|plain|attend_bwd.tiles_both_ends|expected
attend_tensor.cu|/the keys are there, the last values are read no more/d|attend attend_tensor|races|attend_bwd.head_40|race at
attend_tensor.cu|/the values are there, the keys are read no more/d|attend attend_tensor|races|attend_bwd.head_40|race at
attend_tensor.cu|s/if (attend_sees_all(&band)) return/return/|attend attend_tensor|plain|attend_bwd.head_40|expected
attend_tensor_priv.h|s/row0 + row < from.n \&\& //|attend_bwd attend_bwd_tensor|asan|attend_bwd.head_40|heap-buffer-overflow
attend_tensor_priv.h|s/f + lane \/ 8 % 2 \* 8/f + lane \/ 16 * 8/|attend attend_tensor|plain|attend_bwd.head_40|expected
attend_bwd_tensor.cu|/the first columns are read no more/d|attend_bwd attend_bwd_tensor|races|attend_bwd.tiles_grouped|race at
attend_bwd_tensor.cu|/the second columns are there/d|attend_bwd attend_bwd_tensor|races|attend_bwd.tiles_grouped|race at
attend_bwd_tensor.cu|/if there was nothing to see/d|attend_bwd attend_bwd_tensor|plain|attend_bwd.unseeing|asynchronous copies
attend_bwd_tensor.cu|s/col0 += N, find/col0 += ATTEND_TILE, find/|attend_bwd attend_bwd_tensor|plain|attend_bwd.head_256|expected
scan_priv.h|/all warps' pairs are there/d|scan|races|scan.long|race at
scan_priv.h|/the pairs are read no more/d|scan|races|scan.long|race at
scan_priv.h|s/mine \&\& first + i < s.steps;/mine;/|scan|asan|scan.long|heap-buffer-overflow
scan_priv.h|s/if (w == warp) at_mine = before;//|scan|plain|scan.long|expected
linear_attend_tile_priv.h|/all logarithms are there/d|linear_attend linear_attend_chunks|races|linear_attend.retention|race at
linear_attend_tile_priv.h|/all decays are there/d|linear_attend linear_attend_chunks|races|linear_attend.mixed|race at
linear_attend_tile_priv.h|s/row < p.rows \&\& //|linear_attend linear_attend_chunks|asan|linear_attend.retention|heap-buffer-overflow
linear_attend_tile_priv.h|s/a\[k + high + low\]\[row0() + odd\]/a[k + odd + low][row0() + high]/|linear_attend_bwd linear_attend_chunks|plain|linear_attend_bwd.tiles_wide_keys|expected
linear_attend_chunks.cu|/both tiles are there/d|linear_attend_bwd linear_attend_chunks|races|linear_attend_bwd.tiles_wide_keys|race at
linear_attend_chunks.cu|/the last tiles are read no more/d|linear_attend_bwd linear_attend_chunks|races|linear_attend_bwd.tiles_wide_keys|race at
linear_attend_chunks.cu|/the weights and the values are there/d|linear_attend linear_attend_chunks|races|linear_attend.retention|race at
linear_attend_chunks.cu|s/(a.back ? 1 : 0)/0/|linear_attend_bwd linear_attend_chunks|plain|linear_attend_bwd.tiles|expected
linear_attend_bwd.cu|/the products are there/d|linear_attend_bwd linear_attend_chunks|races|linear_attend_bwd.tiles_wide_keys|race at
linear_attend_bwd.cu|/all sums are there/d|linear_attend_bwd linear_attend_chunks|races|linear_attend_bwd.tiles_wide_keys|race at
linear_attend_channels.cu|/the decays of all parts are there/d|linear_attend_bwd linear_attend_chunks linear_attend_channels|races|linear_attend_bwd.tiles_channels|race at
linear_attend_channels.cu|/they are read no more as they were/d|linear_attend linear_attend_chunks linear_attend_channels|races|linear_attend.channels|race at
linear_attend_channels.cu|/the weights are done/d|linear_attend_bwd linear_attend_chunks linear_attend_channels|races|linear_attend_bwd.tiles_channels|race at
linear_attend_channels.cu|s/key \*= room.whole\[a\]\[i\];//|linear_attend_bwd linear_attend_chunks linear_attend_channels|plain|linear_attend_bwd.tiles_channels|expected
linear_attend_channels_bwd.cu|/the state is read no more/d|linear_attend_bwd linear_attend_channels_bwd|races|linear_attend_bwd.tiles_channels|race at
linear_attend_channels_bwd.cu|/D, queries and keys by their decays are there/d|linear_attend_bwd linear_attend_channels_bwd|races|linear_attend_bwd.tiles_channels|race at
linear_attend_channels_bwd.cu|s/float later = room.through\[c.channel\];/float later = 0;/|linear_attend_bwd linear_attend_channels_bwd|plain|linear_attend_bwd.tiles_channels|expected
linear_attend_from.cu|/weights and the decayed query are there/d|linear_attend_from|races|linear_attend_from.retention_one|race at
linear_attend_from.cu|/before the next row's/d|linear_attend_from|races|linear_attend_from.state_space_some|race at
linear_attend_from.cu|/the keys up to the chunk's end are there/d|linear_attend_from|races|linear_attend_put.channels_some|race at
linear_attend_from.cu|/they are read no more$/d|linear_attend_from|races|linear_attend_put.channels_some|race at
linear_attend_from.cu|s/place % x.ring \* x.past.step/0 * x.past.step/|linear_attend_from|plain|linear_attend_from.retention_one|expected
linear_attend_from.cu|s/tile ? (float \*)a.state.data/h.start ? (float *)a.state.data/|linear_attend_from|plain|linear_attend_from.channels_one|expected
linear_attend_columns_priv.h|s/bool there = c.row(t) < c.rows \&\& /bool there = /|linear_attend linear_attend_chunks linear_attend_channels|asan|linear_attend.channels|heap-buffer-overflow
linear_attend_columns_priv.h|s/ \&\& c.channel < c.channels)/)/|linear_attend_bwd linear_attend_channels_bwd linear_attend_channels linear_attend_chunks|asan|linear_attend_bwd.tiles_channels|heap-buffer-overflow
top_k.cu|s/a.index < b.index/a.index > b.index/|top_k|plain|top_k.ties|expected
product.c|s/add ? moved(add, i \* x->d.loop, x->out) : out/add/|product.c blas.c|plain|contract_acc.batches|expected
product.c|s/align \/= 2/break/|product.c blas.c|plain|contract_acc.batches|less aligned
product.c|s/i \* x->bias_loop/0/|product.c blas.c|plain|contract_bias.heads_and_batch|expected
product.c|s/aligned(p->blas.bias_batch, p->blas.bias_loop, p->blas.out)/256/|product.c blas.c|plain|contract_bias.heads_and_batch|the bias is less aligned
fused_rows_source.c|/all warps' sums are there/d|FUSED|races|fused.layernorm 9x4099|race at
fused_rows_source.c|/the tile is read no more/d|FUSED|races|fused.layernorm 1000x64|race at
fused_rows_source.c|/all teams' sums are there/d|FUSED|races|fused.sums 65x700|race at
fused_rows_source.c|s/^      half_of_scratch(w));/      n * warps);/|FUSED|races|fused.different_norms|race at
fused_rows_source.c|s/ADD(w, "mine")/ADD(w, "1")/|FUSED|asan|fused.rmsnorm 65x17|heap-buffer-overflow
fused_rows_source.c|s/if (has_part_chunk(s)) ADD(w, " \&\& column/if (0) ADD(w, " \&\& column/|FUSED|asan|fused.sums 65x700|heap-buffer-overflow
fused_source.c|s/high ? pair \& 0xffff0000u : pair << 16/high ? pair << 16 : pair/|FUSED|plain|fused.rmsnorm 63x768|expected
fused_steps.c|s/p->step_of\[at->a\[i\]\] + 1/p->step_of[at->a[i]]/|FUSED|plain|fused.layernorm 17x768|cannot prepare
fused_sums.cu|/all warps' sums are there/d|fused.c fused_sums|races|fused.layernorm 1000x64|race at
fused_sums.cu|/before the next columns/d|fused.c fused_sums|races|fused.layernorm 1000x64|race at
fused_sums.cu|s/if (column < s.len) {/{/|fused.c fused_sums|asan|fused.sums 1000x17|heap-buffer-overflow
product.cu|s/bias\[to % p.bias\]/bias[0]/|product product_tensor product.c blas.c|plain|contract_bias.end|expected
product_tensor.cu|s/copy_wait<STAGES - 2>/copy_wait<STAGES - 1>/|product.c product product_tensor|plain|contract.ragged_tiles|expected
product_tensor.cu|/the first step's operands are there/d|product.c product product_tensor|races|contract.loose_transposed|race at
product_tensor.cu|/the next step's operands are there/d|product.c product product_tensor|races|contract.loose_transposed|race at
product_tensor.cu|s/(step + STAGES - 1) % STAGES/(step + STAGES - 2) % STAGES/|product.c product product_tensor|races|contract.loose_transposed|race at
product_tensor.cu|s/row(i) < left ? there\[i\] : 0/there[i]/|product.c product product_tensor|asan|contract.ragged_sums|heap-buffer-overflow
product_tensor.cu|s/if (row >= w.e.m) continue;//|product.c product product_tensor|asan|contract.loose_rows|heap-buffer-overflow
product_tensor.cu|s/while (left <= 0/if (left <= 0/|product.c product product_tensor|plain|contract.ragged_sums|expected
product_tensor.cu|s/(band + t % high)/(t % high)/|product.c product product_tensor|plain|contract.ragged_bands|expected
EOF
}
fused="fused.c fused_shape.c fused_source.c fused_rows_source.c fused_steps.c"

# One line: NUMBER FILE SED UNITS BUILD CASE SAYS; prints what is wrong with it.
check() {
  local dir=$work/$1 file=$2 sed=$3 units=$4 kind=$5 name=$6 says=$7 suffix="" unit
  local flags=(-O1 -g1 -fPIC -shared -Wl,-Bsymbolic -w -fno-math-errno -ffp-contract=off -DXLM_EMULATE -DXLM_CUDA_KERNELS=1)
  local link=()
  case $kind in
    asan) suffix=_asan flags+=(-fsanitize=address,undefined -fno-sanitize-recover=all -DEMULATE_ASAN) ;;
    races) suffix=_races flags+=(-DEMULATE_RACES) ;;
  esac
  mkdir -p "$dir/ops"
  cp -r ops/cuda "$dir/ops/cuda"
  sed -i "$sed" "$dir/ops/cuda/$file"
  cmp -s "ops/cuda/$file" "$dir/ops/cuda/$file" && { echo "$file: nothing matches '$sed'"; return; }
  for unit in ${units/FUSED/$fused}; do
    # Instrumented for races when compiled, but linked without the sanitizer's own runtime.
    local instrument=() language=(-std=gnu++17 -x c++) source=$dir/ops/cuda/$unit.cu
    [ "$kind" = races ] && instrument=(-fsanitize=thread)
    case $unit in *.c) source=$dir/ops/cuda/$unit language=(-std=gnu11 -x c) ;; esac
    "$cxx" "${flags[@]}" "${instrument[@]}" -I"$dir" -I. "${language[@]}" -c "$source" -o "$dir/$unit.o" || { echo "$file: '$sed' does not compile"; return; }
    link+=("$dir/$unit.o")
  done
  "$cxx" "${flags[@]}" "${link[@]}" -o "$dir/broken.so" || { echo "$file: does not link"; return; }
  "$build/test_cuda_ops$suffix" "$name" "$dir/broken.so" >"$dir/log" 2>&1 && { echo "$file: '$sed' is not found by $name, $kind"; return; }
  grep -q "$says" "$dir/log" || { echo "$file: '$sed': $name, $kind does not say '$says':"; tail -5 "$dir/log"; }
}

number=0 tried=0
while IFS='|' read -r file sed units kind name says; do
  number=$((number + 1))
  [ $((number % 4)) != 0 ] && [ -z "${XLM_EXHAUSTIVE:-}" ] && continue
  tried=$((tried + 1))
  check "$number" "$file" "$sed" "$units" "$kind" "$name" "$says" >"$work/wrong.$number" &
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
done < <(list)
wait
cat "$work"/wrong.*
[ -z "$(cat "$work"/wrong.*)" ] && echo "$tried of $number broken kernels, all found"
