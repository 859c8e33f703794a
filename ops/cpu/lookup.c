// lookup on the CPU. A row of the table consists of pieces of b elements that are neighbours in memory;
// dimensions that table and tokens share say where a token's table begins.
//
// lookup_bwd: the tokens of every row of the table are listed in their order. Every worker owns a block of
// columns of the table's gradient; it sums the rows of dy of a list, from zero, and adds the sum to the
// table. So an element's bits depend neither on the number of workers nor on whether the gradient is added
// here or by `accumulate`. The table is zeroed first, unless the gradient is added to what it holds.
//
// Workspace: for every row of the table its first token, for every token the next of its row, each + 1, 0:
// none.
#include <string.h>

#include "ops/cpu/places_priv.h"
#include "runtime/device/over.h"

enum {
  COLUMNS = 16,
  SMALL = 1 << 14,
  SUMS = 256
}; // elements: granularity of a worker's block; below SMALL one worker does everything; sums at once

typedef struct job {
  const int32_t *tokens;
  const char *src;
  char *dst;
  xlm_dtype dtype;         // of the rows read
  int64_t n, vocab, first; // tokens; rows of a table; global index of the first row here
  int64_t b;               // neighbours in memory that are copied or added at once
  // lookup
  int64_t row;      // elements from row to row
  over_dims tables; // by token: where its table begins
  over_dims rest;   // by index of the other dimensions: where their b elements begin
  int64_t n_rest;
  int64_t panel; // columns of the table's panels, which are its rows; 0: it is dense
  // lookup_bwd
  over_dims sums;       // by token: the first row of the sums that it belongs to
  int64_t rows;         // of all sums
  int32_t *head, *next; // lists of tokens, by row and by token
} job;

// Elements of t, a table, from one token's to another's along the tokens' dims; 0 along those that t lacks.
static over_dims steps_of(const xlm_call *c, const xlm_type *tokens, const xlm_type *t) {
  over_dims d = {0};
  for (int i = 0; i < tokens->rank; i++)
    over_add(&d, xlm_call_size(c, tokens, i), xlm_call_stride(c, t, tokens->dim[i]));
  return d;
}

// The rows read are operand `rows`, the tokens follow.
static job job_of(const xlm_call *c, const xlm_type *table, int rows) {
  xlm_dim vocab = xlm_call_dim(c, XLM_A_vocab, 0);
  const xlm_dim_info *v = &c->dims[vocab];
  return (job){.tokens = c->in[rows + 1],
               .src = c->in[rows],
               .dst = c->out[0],
               .dtype = c->in_type[rows]->dtype,
               .n = xlm_call_elements(c, c->in_type[rows + 1]),
               .vocab = v->size,
               .row = xlm_call_stride(c, table, vocab),
               .tables = steps_of(c, c->in_type[rows + 1], table),
               .first = v->offset};
}

// Row `row` of a table whose rows are the columns of panels: every element is in another row of a panel, or
// two in one of pairs.
static void gather_column(const job *j, int64_t row, char *to) {
  const int64_t first = row - row % j->panel, n = j->b,
                columns = j->vocab - first < j->panel ? j->vocab - first : j->panel;
  if (j->dtype == XLM_F32) {
    const uint32_t *at = (const uint32_t *)j->src + first * n + row - first;
    for (int64_t i = 0; i < n; i++) ((uint32_t *)to)[i] = at[i * columns];
    return;
  }
  const uint16_t *panel = (const uint16_t *)j->src + first * n, *at = panel + 2 * (row - first);
  for (int64_t i = 0; i < n - n % 2; i += 2, at += 2 * columns)
    ((uint16_t *)to)[i] = at[0], ((uint16_t *)to)[i + 1] = at[1];
  if (n % 2) ((uint16_t *)to)[n - 1] = panel[(n - 1) * columns + row - first];
}

static void gather(void *arg, int worker, int workers) {
  const job *j = arg;
  size_t element = xlm_dtype_bytes(j->dtype), piece = (size_t)j->b * element;
  int64_t begin, end;
  xlm_pool_range(j->n, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    int64_t row = j->tokens[t] - j->first;
    bool inside = row >= 0 && row < j->vocab;
    char *to = j->dst + (size_t)(t * j->n_rest) * piece;
    int64_t from = over_offset(&j->tables, t) + row * j->row;
    if (!inside) memset(to, 0, (size_t)j->n_rest * piece);
    if (inside && j->panel) {
      gather_column(j, row, to);
      continue;
    }
    for (int64_t i = 0; inside && i < j->n_rest; i++)
      memcpy(to + (size_t)i * piece, j->src + (size_t)(from + over_offset(&j->rest, i)) * element, piece);
  }
}

// The table's dims that neither choose nor are chosen along, but for the innermost if they are neighbours in
// memory.
static void find_rest(const xlm_call *c, job *j) {
  const xlm_type *table = c->in_type[0], *tokens = c->in_type[1];
  j->n_rest = j->b = 1;
  for (int i = 0; i < table->rank; i++) {
    if (table->dim[i] == xlm_call_dim(c, XLM_A_vocab, 0) || xlm_type_find(tokens, table->dim[i]) >= 0)
      continue;
    over_add(&j->rest, xlm_call_size(c, table, i), xlm_call_inner(c, table, i));
  }
  int last = j->rest.n - 1;
  if (last >= 0 && j->rest.stride[last] == 1) j->b = j->rest.size[last], j->rest.n--;
  for (int i = 0; i < j->rest.n; i++) j->n_rest *= j->rest.size[i];
}

static xlm_status run(const xlm_call *c) {
  job j = job_of(c, c->in_type[0], 0);
  find_rest(c, &j);
  j.panel = c->in_type[0]->panels.width;
  if (xlm_call_elements(c, c->out_type[0]) == 0) return XLM_OK;
  xlm_pool_run(j.n * j.n_rest * j.b < SMALL ? NULL : xlm_cpu_pool(c), gather, &j);
  return XLM_OK;
}

// A table [vocab, width] of which each row is a column of the panels.
static xlm_panel_use panels(const xlm_call *c, const xlm_target *t, int operand, xlm_panels *p) {
  const xlm_type *table = c->in_type[0];
  (void)t;
  if (operand || table->rank != 2 || table->dim[0] != xlm_call_dim(c, XLM_A_vocab, 0) ||
      xlm_type_find(c->in_type[1], table->dim[1]) >= 0 ||
      (table->dtype != XLM_F32 && table->dtype != XLM_BF16))
    return XLM_PANELS_NEVER;
  return !p->width || (p->split == 1 && p->columns_first) ? XLM_PANELS_ALSO : XLM_PANELS_NEVER;
}

const xlm_kernel XLM_KERNEL(lookup) = {.op = XLM_OP_LOOKUP, .panels = panels, .run = run};

static void clear(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->rows * j->b, worker, workers, &begin, &end);
  memset((float *)j->dst + begin, 0, (size_t)(end - begin) * sizeof(float));
}

static void add_row(float *to, const job *j, int64_t at, int64_t n) {
  if (j->dtype == XLM_F32) {
    const float *from = (const float *)j->src + at;
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
  } else {
    const uint16_t *from = (const uint16_t *)j->src + at;
    for (int64_t i = 0; i < n; i++) to[i] += xlm_bf16_to_f32(from[i]);
  }
}

static void list_tokens(const job *j) {
  memset(j->head, 0, (size_t)j->rows * sizeof *j->head);
  for (int64_t t = j->n; t-- > 0;) {
    int64_t row = j->tokens[t] - j->first;
    if (row < 0 || row >= j->vocab) continue;
    row += over_offset(&j->sums, t);
    j->next[t] = j->head[row];
    j->head[row] = (int32_t)t + 1;
  }
}

// Columns [begin, end) of a row of the table, at most SUMS.
static void add_sum(const job *j, int64_t row, int64_t begin, int64_t end) {
  float sum[SUMS] = {0}, *to = (float *)j->dst + row * j->b + begin;
  for (int32_t t = j->head[row]; t; t = j->next[t - 1]) add_row(sum, j, (t - 1) * j->b + begin, end - begin);
  for (int64_t i = 0; i < end - begin; i++) to[i] += sum[i];
}

static void scatter(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range((j->b + COLUMNS - 1) / COLUMNS, worker, workers, &begin, &end);
  begin *= COLUMNS;
  end = end * COLUMNS < j->b ? end * COLUMNS : j->b;
  for (int64_t row = 0; begin < end && row < j->rows; row++)
    for (int64_t at = begin; j->head[row] && at < end; at += SUMS)
      add_sum(j, row, at, at + SUMS < end ? at + SUMS : end);
}

// The result is [kept dims of the tokens .., vocab, rest ..].
static job sums_of(const xlm_call *c, int rows) {
  const xlm_type *sums = c->out_type[0];
  job j = job_of(c, sums, rows);
  j.b = j.row;
  j.sums = j.tables;
  for (int i = 0; i < j.sums.n && j.b; i++) j.sums.stride[i] /= j.b;
  j.rows = xlm_call_outer(c, sums, xlm_type_find(sums, xlm_call_dim(c, XLM_A_vocab, 0))) * j.vocab;
  return j;
}

static void add_gradient(const xlm_call *c, int rows, bool clears) {
  job j = sums_of(c, rows);
  j.head = c->workspace;
  j.next = j.head + j.rows;
  list_tokens(&j);
  if (clears) xlm_pool_run(j.rows * j.b < SMALL ? NULL : xlm_cpu_pool(c), clear, &j);
  xlm_pool_run(j.n * j.b < SMALL ? NULL : xlm_cpu_pool(c), scatter, &j);
}

static size_t lists(const xlm_call *c, int rows) {
  job j = sums_of(c, rows);
  return (size_t)(j.rows + j.n) * sizeof(int32_t);
}

static size_t workspace_bwd(const xlm_call *c, const xlm_target *t) {
  (void)t;
  return lists(c, 0);
}

static size_t workspace_bwd_acc(const xlm_call *c, const xlm_target *t) {
  (void)t;
  return lists(c, 1);
}

static xlm_status run_bwd(const xlm_call *c) {
  add_gradient(c, 0, true);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(lookup_bwd) = {
    .op = XLM_OP_LOOKUP_BWD, .workspace = workspace_bwd, .run = run_bwd};

static xlm_status run_bwd_acc(const xlm_call *c) {
  add_gradient(c, 1, xlm_attr_int(&c->instr->attrs, XLM_A_store, 0));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(lookup_bwd_acc) = {
    .op = XLM_OP_LOOKUP_BWD_ACC, .workspace = workspace_bwd_acc, .run = run_bwd_acc};
