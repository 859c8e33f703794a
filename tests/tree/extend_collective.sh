# A collective by the files that docs/extending.md lists: `all_reduce_rounds`, `all_reduce` on another schedule: in many
# small rounds. It adds in the same order, so it gives the same bits.
add_collective() {
  cat > "$copy/ops/all_reduce_rounds.c" <<'C'
// all_reduce_rounds: all_reduce on another schedule.
#include "compiler/ir/op.h"

static bool infer(xlm_infer *x) {
  x->out[0] = *xlm_infer_type(x, 0);
  return true;
}

const xlm_op xlm_op_all_reduce_rounds = {.name = "all_reduce_rounds",
                                        .facts = {.comm = XLM_COMM_REDUCE, .converts_layout = true},
                                        .flags = XLM_OPF_INTERNAL | XLM_OPF_OFFSETS,
                                        .min_in = 1,
                                        .max_in = 1,
                                        .n_out = 1,
                                        .in_place = 1,
                                        XLM_TAKES({XLM_A_kind, .may = true, .unset = XLM_REDUCTION_SUM,
                                                   .among = 1 << XLM_REDUCTION_SUM | 1 << XLM_REDUCTION_MAX | 1 << XLM_REDUCTION_LSE},
                                                  {XLM_A_axes, .low = 0, .high = 255}),
                                        .layout = "[*] -> [*]",
                                        .infer = infer,
                                        .no_grad = "made after differentiation",
                                        .doc = "`all_reduce` in many small rounds."};
C
  cat > "$copy/ops/ref/all_reduce_rounds.c" <<'C'
// all_reduce_rounds in a group of one: a copy.
#include <string.h>

#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  if (c->out[0] != c->in[0]) memcpy(c->out[0], c->in[0], xlm_type_bytes(c->out_type[0], c->dims));
  return XLM_OK;
}

const xlm_kernel xlm_ref_all_reduce_rounds = {.op = XLM_OP_ALL_REDUCE_ROUNDS, .run = run};
C
  # the kernel of all_reduce in smaller rounds
  sed 's/\<all_reduce\>/all_reduce_rounds/g; s/XLM_OP_ALL_REDUCE/&_ROUNDS/; s/(count + n - 1) \/ n, elem/16, elem/' \
    "$copy/ops/cpu/communicate/all_reduce.c" > "$copy/ops/cpu/communicate/all_reduce_rounds.c"
  grep -q 'collect_room(n, 16, elem' "$copy/ops/cpu/communicate/all_reduce_rounds.c" || complain 'all_reduce has no such rounds any more'
  insert ops/ops.def after '^XLM_OP\(all_reduce,' <<< 'XLM_OP(all_reduce_rounds, ALL_REDUCE_ROUNDS, "communication", kernel)'
  # the pass that emits it, here where the environment asks for it, so that both can be compared
  sed -i 's/collective(c, XLM_OP_ALL_REDUCE,/collective(c, getenv("XLM_ROUNDS") ? XLM_OP_ALL_REDUCE_ROUNDS : XLM_OP_ALL_REDUCE,/' \
    "$copy/compiler/pass/partition_convert.c"
  insert compiler/pass/partition_convert.c before '^#include <string.h>' <<< '#include <stdlib.h>'
  insert tests/ops/cases_collectives.c before '^static const op_case table' <<'C'
static void reduce_rounds(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 3, hidden 70]");
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_axes, 1);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_ALL_REDUCE_ROUNDS, &x, 1, &l));
}
C
  insert tests/ops/cases_collectives.c after '^static const op_case table' <<< '    {"rounds", XLM_OP_ALL_REDUCE_ROUNDS, reduce_rounds, .bf16 = true, .no_grad = true},'
}

check_collective() {
  "$programs/tests/test_ops" all_reduce_rounds > ops.txt 2>&1 || complain "test_ops: $(tail -n 5 ops.txt)"
  "$programs/tests/test_collectives" > collectives.txt 2>&1 || complain "test_collectives: $(tail -n 20 collectives.txt)"
  train usual --tp 2 --dp 2
  XLM_ROUNDS=1 train rounds --tp 2 --dp 2
  same_losses usual rounds
  "$programs/xlmc" dump "$source_dir/models/llama.xlm" "${nano[@]}" --tp 2 --after partition > usual.ir 2>&1
  XLM_ROUNDS=1 "$programs/xlmc" dump "$source_dir/models/llama.xlm" "${nano[@]}" --tp 2 --after partition > rounds.ir 2>&1
  grep -q '= all_reduce_rounds' usual.ir && complain 'all_reduce_rounds without being asked for'
  grep -q 'all_reduce_rounds' rounds.ir || complain "no all_reduce_rounds: $(head -n 3 rounds.ir)"
}
