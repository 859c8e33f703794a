// The collectives in a group of one, the only group in a reference run: copies. `local_slice` alone does
// more, since the dimensions define this rank's piece.
#include <string.h>

#include "ops/ref/ref_priv.h"

static xlm_status copy(const xlm_call *c) {
  size_t n = xlm_type_bytes(c->out_type[0], c->dims);
  if (c->out[0] != c->in[0]) memcpy(c->out[0], c->in[0], n);
  return XLM_OK;
}

const xlm_kernel xlm_ref_all_reduce = {.op = XLM_OP_ALL_REDUCE, .run = copy};
const xlm_kernel xlm_ref_reduce_scatter = {.op = XLM_OP_REDUCE_SCATTER, .run = copy};
const xlm_kernel xlm_ref_all_gather = {.op = XLM_OP_ALL_GATHER, .run = copy};
const xlm_kernel xlm_ref_all_to_all = {.op = XLM_OP_ALL_TO_ALL, .run = copy};

static xlm_status run_local_slice(const xlm_call *c) {
  xlm_dim from = xlm_call_dim(c, XLM_A_from, 0), to = xlm_call_dim(c, XLM_A_to, 0);
  const xlm_type *x = c->in_type[0], *y = c->out_type[0];
  size_t elem = xlm_dtype_bytes(x->dtype);
  int64_t size = c->dims[to].size, inner = xlm_call_stride(c, y, to), n = xlm_call_elements(c, y);
  for (int64_t i = 0; i < n; i++) {
    int64_t outer = i / inner / size,
            at = xlm_dim_local(&c->dims[from], xlm_dim_global(&c->dims[to], i / inner % size));
    int64_t source = (outer * c->dims[from].size + at) * inner + i % inner;
    memcpy((char *)c->out[0] + (size_t)i * elem, (char *)c->in[0] + (size_t)source * elem, elem);
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_local_slice = {.op = XLM_OP_LOCAL_SLICE, .run = run_local_slice};

// Copies the rows in use and zeroes the others.
static void copy_rows(const xlm_call *c, const int32_t *offsets, int64_t experts) {
  size_t row = (size_t)xlm_call_inner(c, c->out_type[0], 1) * xlm_dtype_bytes(c->out_type[0]->dtype);
  size_t used = (size_t)offsets[experts] * row, all = xlm_type_bytes(c->out_type[0], c->dims);
  memcpy(c->out[0], c->in[0], used);
  memset((char *)c->out[0] + used, 0, all - used);
}

static xlm_status run_send_rows(const xlm_call *c) {
  int64_t experts = xlm_call_size(c, c->in_type[0], 0);
  copy_rows(c, c->in[1], experts);
  memcpy(c->out[1], c->in[1], (size_t)(experts + 1) * sizeof(int32_t));
  return XLM_OK;
}

const xlm_kernel xlm_ref_send_rows = {.op = XLM_OP_SEND_ROWS, .run = run_send_rows};

static xlm_status run_collect_rows(const xlm_call *c) {
  copy_rows(c, c->in[2], xlm_call_size(c, c->out_type[0], 0));
  return XLM_OK;
}

const xlm_kernel xlm_ref_collect_rows = {.op = XLM_OP_COLLECT_ROWS, .run = run_collect_rows};

static xlm_status run_send(const xlm_call *c) {
  (void)c; // no other ranks
  return XLM_OK;
}

const xlm_kernel xlm_ref_send = {.op = XLM_OP_SEND, .run = run_send};

static xlm_status run_recv(const xlm_call *c) {
  memset(c->out[0], 0, xlm_type_bytes(c->out_type[0], c->dims));
  return XLM_OK;
}

const xlm_kernel xlm_ref_recv = {.op = XLM_OP_RECV, .run = run_recv};
