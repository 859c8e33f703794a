// The graphs of attention as cuDNN's fused engines recognise them.
//
// The pattern is the library's: operations, their order, and which tensors are virtual (never in memory). It
// is the one that NVIDIA's cudnn-frontend builds (SDPA, SDPA backward). The product for dq is written
// directly, not by way of sums in f32 that are added by atomics.
//
// All tensors are [batch, heads, rows, columns]; with strides, any order in memory.
#include "ops/cuda/attend_cudnn_priv.h"

typedef struct builder {
  dnn_builder *to;
  const xlm_cudnn_attend *a;
  dnn_desc op[32];
  int64_t n_ops, n_virtual;
} builder;

// ---- tensors ----

typedef struct dims {
  int64_t at[4];
} dims;

typedef enum storage { IN_MEMORY, VIRTUAL, BY_VALUE } storage;

static dnn_desc tensor(builder *b, int type, dims sizes, dims strides, storage where, int64_t id) {
  dnn_desc t = dnn_create(b->to, DNN_TENSOR);
  bool is_virtual = where == VIRTUAL, is_value = where == BY_VALUE;
  dnn_set_int(b->to, t, DNN_TENSOR_ID, is_virtual ? XLM_CUDNN_TENSORS + b->n_virtual++ : id);
  dnn_set_type(b->to, t, DNN_TENSOR_TYPE, type);
  dnn_set(b->to, t, DNN_TENSOR_SIZES, DNN_T_INT64, 4, sizes.at);
  dnn_set(b->to, t, DNN_TENSOR_STRIDES, DNN_T_INT64, 4, strides.at);
  dnn_set_int(b->to, t, DNN_TENSOR_ALIGNMENT, where == IN_MEMORY ? 16 : 4);
  dnn_set(b->to, t, DNN_TENSOR_IS_VIRTUAL, DNN_T_BOOLEAN, 1, &is_virtual);
  dnn_set(b->to, t, DNN_TENSOR_IS_VALUE, DNN_T_BOOLEAN, 1, &is_value);
  dnn_finalize(b->to, t, "a tensor");
  return t;
}

static dims dense(int64_t heads, int64_t rows, int64_t cols) {
  return (dims){{heads * rows * cols, rows * cols, cols, 1}};
}

static dims swapped(dims d) { // rows and columns
  return (dims){{d.at[0], d.at[1], d.at[3], d.at[2]}};
}

static bool is_of_keys(int id) {
  return id == XLM_CUDNN_K || id == XLM_CUDNN_V || id == XLM_CUDNN_DK || id == XLM_CUDNN_DV;
}

static dims operand_sizes(const xlm_cudnn_attend *a, int id) {
  bool keys = is_of_keys(id);
  return (dims){
      {a->part_batches, keys ? a->part_kv_heads : a->part_heads, keys ? a->keys : a->queries, a->features}};
}

static dims operand_strides(const xlm_cudnn_attend *a, int id) {
  return (dims){{a->at[id].batch, a->at[id].head, a->at[id].row, 1}};
}

static dnn_desc operand(builder *b, int id) { // rows of queries or keys, columns of features
  return tensor(b, DNN_BFLOAT16, operand_sizes(b->a, id), operand_strides(b->a, id), IN_MEMORY, id);
}

static dnn_desc operand_transposed(builder *b, int id) {
  return tensor(b, DNN_BFLOAT16, swapped(operand_sizes(b->a, id)), swapped(operand_strides(b->a, id)),
                IN_MEMORY, id);
}

static dims score_sizes(const xlm_cudnn_attend *a) {
  return (dims){{a->part_batches, a->part_heads, a->queries, a->keys}};
}

static dnn_desc scores(builder *b, int type) {
  return tensor(b, type, score_sizes(b->a), dense(b->a->part_heads, b->a->queries, b->a->keys), VIRTUAL, 0);
}

static dnn_desc per_query(builder *b, storage where, int64_t id) {
  const xlm_cudnn_attend *a = b->a; // several batches: of all heads
  dims sizes = {{a->part_batches, a->part_heads, a->queries, 1}};
  return tensor(b, DNN_FLOAT, sizes, dense(a->part_heads, a->queries, 1), where, id);
}

static dnn_desc scalar(builder *b, int type, int64_t id) {
  const dims one = {{1, 1, 1, 1}};
  return tensor(b, type, one, one, BY_VALUE, id);
}

// ---- operations; each returns its result ----

static dnn_desc add_operation(builder *b, dnn_desc op, dnn_desc result) {
  dnn_finalize(b->to, op, "an operation");
  b->op[b->n_ops++] = op;
  return result;
}

static dnn_desc product(builder *b, dnn_desc x, dnn_desc y, dnn_desc out) {
  dnn_desc how = dnn_create(b->to, DNN_MATMUL), op = dnn_create(b->to, DNN_OPERATION_MATMUL);
  dnn_set_type(b->to, how, DNN_MATMUL_TYPE, DNN_FLOAT);
  dnn_finalize(b->to, how, "a product");
  dnn_set_desc(b->to, op, DNN_OPERATION_MATMUL_A, x);
  dnn_set_desc(b->to, op, DNN_OPERATION_MATMUL_B, y);
  dnn_set_desc(b->to, op, DNN_OPERATION_MATMUL_C, out);
  dnn_set_desc(b->to, op, DNN_OPERATION_MATMUL_DESC, how);
  return add_operation(b, op, out);
}

typedef struct pointwise { // y = mode(x, b), or where t then x else b
  int mode, type;
  dnn_desc x, b, t;
  int64_t axis; // of DNN_GEN_INDEX
} pointwise;

static dnn_desc apply(builder *b, pointwise p, dnn_desc out) {
  dnn_desc how = dnn_create(b->to, DNN_POINTWISE), op = dnn_create(b->to, DNN_OPERATION_POINTWISE);
  dnn_set(b->to, how, DNN_POINTWISE_MODE, DNN_T_POINTWISE_MODE, 1, &p.mode);
  dnn_set_type(b->to, how, DNN_POINTWISE_TYPE, p.type);
  if (p.mode == DNN_GEN_INDEX) dnn_set_int(b->to, how, DNN_POINTWISE_AXIS, p.axis);
  dnn_finalize(b->to, how, "an elementwise function");
  dnn_set_desc(b->to, op, DNN_OPERATION_POINTWISE_DESC, how);
  dnn_set_desc(b->to, op, DNN_OPERATION_POINTWISE_X, p.x);
  if (p.b) dnn_set_desc(b->to, op, DNN_OPERATION_POINTWISE_B, p.b);
  if (p.t) dnn_set_desc(b->to, op, DNN_OPERATION_POINTWISE_T, p.t);
  dnn_set_desc(b->to, op, DNN_OPERATION_POINTWISE_Y, out);
  return add_operation(b, op, out);
}

static dnn_desc map(builder *b, int mode, dnn_desc x, dnn_desc y) { // of scores
  return apply(b, (pointwise){.mode = mode, .type = DNN_FLOAT, .x = x, .b = y}, scores(b, DNN_FLOAT));
}

static dnn_desc reduce(builder *b, int how_to, dnn_desc x, dnn_desc out) {
  dnn_desc how = dnn_create(b->to, DNN_REDUCTION), op = dnn_create(b->to, DNN_OPERATION_REDUCTION);
  dnn_set(b->to, how, DNN_REDUCTION_OPERATOR, DNN_T_REDUCTION, 1, &how_to);
  dnn_set_type(b->to, how, DNN_REDUCTION_TYPE, DNN_FLOAT);
  dnn_finalize(b->to, how, "a reduction");
  dnn_set_desc(b->to, op, DNN_OPERATION_REDUCTION_X, x);
  dnn_set_desc(b->to, op, DNN_OPERATION_REDUCTION_Y, out);
  dnn_set_desc(b->to, op, DNN_OPERATION_REDUCTION_DESC, how);
  return add_operation(b, op, out);
}

static dnn_desc reshape(builder *b, dnn_desc x, dnn_desc out) {
  dnn_desc op = dnn_create(b->to, DNN_OPERATION_RESHAPE);
  dnn_set_desc(b->to, op, DNN_RESHAPE_X, x);
  dnn_set_desc(b->to, op, DNN_RESHAPE_Y, out);
  return add_operation(b, op, out);
}

static dnn_desc transposed(builder *b, dnn_desc x) { // scores, rounded, keys as rows
  const xlm_cudnn_attend *a = b->a;
  dims strides = dense(a->part_heads, a->queries, a->keys);
  return reshape(b, x, tensor(b, DNN_BFLOAT16, swapped(score_sizes(a)), swapped(strides), VIRTUAL, 0));
}

// ---- masks ----

static dnn_desc index_of(builder *b, dnn_desc x, int64_t axis) {
  pointwise p = {.mode = DNN_GEN_INDEX, .type = DNN_FLOAT, .x = x, .axis = axis};
  return apply(b, p, scores(b, DNN_INT32));
}

static dnn_desc keep_where(builder *b, int compare, dnn_desc left, dnn_desc right, dnn_desc x) {
  pointwise p = {.mode = compare, .type = DNN_BOOLEAN, .x = left, .b = right};
  pointwise choose = {.mode = DNN_BINARY_SELECT,
                      .type = DNN_FLOAT,
                      .x = x,
                      .b = scalar(b, DNN_FLOAT, XLM_CUDNN_MASKED),
                      .t = apply(b, p, scores(b, DNN_BOOLEAN))};
  return apply(b, choose, scores(b, DNN_FLOAT));
}

enum { ROW = 2, COLUMN = 3 }; // axes

static dnn_desc masked(builder *b, dnn_desc x) { // row >= column, and column + window > row
  if (!b->a->causal) return x;
  dnn_desc row = index_of(b, x, ROW);
  x = keep_where(b, DNN_CMP_GE, row, index_of(b, x, COLUMN), x);
  if (!b->a->window) return x;
  row = index_of(b, x, ROW);
  pointwise later = {.mode = DNN_ADD, .type = DNN_INT32, .x = index_of(b, x, COLUMN)};
  later.b = scalar(b, DNN_INT32, XLM_CUDNN_WINDOW);
  return keep_where(b, DNN_CMP_GT, apply(b, later, scores(b, DNN_INT32)), row, x);
}

// ---- the graphs ----

static void build_forward(builder *b) {
  dnn_desc x = product(b, operand(b, XLM_CUDNN_Q), operand_transposed(b, XLM_CUDNN_K), scores(b, DNN_FLOAT));
  x = masked(b, map(b, DNN_MUL, x, scalar(b, DNN_FLOAT, XLM_CUDNN_SCALE)));
  dnn_desc top = reduce(b, DNN_REDUCE_MAX, x, per_query(b, VIRTUAL, 0));
  x = map(b, DNN_EXP, map(b, DNN_SUB, x, top), NULL);
  dnn_desc sum = reduce(b, DNN_REDUCE_ADD, x, per_query(b, VIRTUAL, 0));
  pointwise log = {.mode = DNN_LOG, .type = DNN_FLOAT, .x = sum};
  pointwise lse = {
      .mode = DNN_ADD, .type = DNN_FLOAT, .x = top, .b = apply(b, log, per_query(b, VIRTUAL, 0))};
  apply(b, lse, per_query(b, IN_MEMORY, XLM_CUDNN_STATS));
  pointwise divide = {.mode = DNN_DIV, .type = DNN_FLOAT, .x = x, .b = sum};
  dnn_desc p = apply(b, divide, scores(b, DNN_BFLOAT16));
  product(b, p, operand(b, XLM_CUDNN_V), operand(b, XLM_CUDNN_OUT));
}

// The product of transposed scores x with y, added over the heads of each group.
static void product_of_keys(builder *b, dnn_desc x, dnn_desc y, int id) {
  const xlm_cudnn_attend *a = b->a;
  dnn_desc transpose = transposed(b, x);
  if (a->heads == a->kv_heads) {
    product(b, transpose, y, operand(b, id));
    return;
  }
  dims sizes = {{a->part_batches, a->part_heads, a->keys, a->features}};
  dims strides = dense(a->part_heads, a->keys, a->features);
  dnn_desc each = tensor(b, DNN_BFLOAT16, sizes, strides, VIRTUAL, 0);
  reduce(b, DNN_REDUCE_ADD, product(b, transpose, y, each), operand(b, id));
}

static dnn_desc sums_of_rows(builder *b, dnn_desc dout) { // of dout * out
  const xlm_cudnn_attend *a = b->a;
  dims strides = dense(a->part_heads, a->queries, a->features);
  dnn_desc each = tensor(b, DNN_FLOAT, operand_sizes(a, XLM_CUDNN_DOUT), strides, VIRTUAL, 0);
  pointwise multiply = {.mode = DNN_MUL, .type = DNN_FLOAT, .x = dout, .b = operand(b, XLM_CUDNN_OUT)};
  dnn_desc sum = reduce(b, DNN_REDUCE_ADD, apply(b, multiply, each), per_query(b, VIRTUAL, 0));
  pointwise keep = {.mode = DNN_MUL, .type = DNN_FLOAT, .x = sum, .b = scalar(b, DNN_FLOAT, XLM_CUDNN_ONE)};
  return apply(b, keep, per_query(b, IN_MEMORY, XLM_CUDNN_SUMS));
}

static void build_backward(builder *b) {
  const xlm_cudnn_attend *a = b->a;
  dnn_desc dout = operand(b, XLM_CUDNN_DOUT), q = operand(b, XLM_CUDNN_Q),
           k = operand_transposed(b, XLM_CUDNN_K), scale = scalar(b, DNN_FLOAT, XLM_CUDNN_SCALE);
  dnn_desc sums = sums_of_rows(b, dout);
  dnn_desc x = map(b, DNN_MUL, product(b, q, k, scores(b, DNN_FLOAT)), scale);
  x = map(b, DNN_SUB, x, per_query(b, IN_MEMORY, XLM_CUDNN_STATS));
  dnn_desc p = map(b, DNN_EXP, masked(b, x), NULL);
  product_of_keys(b, p, dout, XLM_CUDNN_DV);
  dnn_desc dx = product(b, dout, operand_transposed(b, XLM_CUDNN_V), scores(b, DNN_FLOAT));
  dx = map(b, DNN_MUL, map(b, DNN_MUL, map(b, DNN_SUB, dx, sums), p), scale);
  product_of_keys(b, dx, q, XLM_CUDNN_DK);
  dims sizes = operand_sizes(a, XLM_CUDNN_K), strides = operand_strides(a, XLM_CUDNN_K);
  dnn_desc rows = reshape(b, k, tensor(b, DNN_FLOAT, sizes, strides, VIRTUAL, 0));
  product(b, dx, rows, operand(b, XLM_CUDNN_DQ));
}

dnn_desc xlm_cudnn_graph(dnn_builder *to, const xlm_cudnn_attend *a, dnn_handle handle) {
  builder b = {.to = to, .a = a};
  if (a->backward)
    build_backward(&b);
  else
    build_forward(&b);
  dnn_desc g = dnn_create(to, DNN_GRAPH);
  if (handle) dnn_set(to, g, DNN_GRAPH_HANDLE, DNN_T_HANDLE, 1, &handle);
  dnn_set(to, g, DNN_GRAPH_OPERATIONS, DNN_T_DESCRIPTOR, b.n_ops, b.op);
  dnn_finalize(to, g, "the graph");
  return g;
}
