// fused: an elementwise program in one pass over memory.
//
// The result is cut into blocks of BLOCK elements. For each block the whole program runs function by function
// on registers of BLOCK floats, which stay in the L1 cache; a register is reused after its last reader.
// Contiguous f32 operands are read and results written in place; everything else (bf16, broadcast, other
// orders, ends of blocks) is copied through a register. Dims that are contiguous in all operands are merged
// first, so most calls are one or two loops. Blocks are independent and every function computes whole
// vectors: bits depend neither on the threads nor on an element's position in its block.
#include "ops/cpu/fused_fn_priv.h"
#include "ops/cpu/fused_priv.h"
#include "ops/cpu/kernel_priv.h"

enum { BLOCK = 512, MAX_VALUES = XLM_CODE_MAX_IN + 2 * XLM_CODE_MAX, SHORT_ROW = 256, SERIAL = 1 << 14 };

typedef struct step { // load operand a[0], or run fn
  bool load;
  uint16_t fn, a[3], out; // values
} step;

// Values: operands, then the program's results, then its immediates.
typedef struct program {
  int n_in, n_steps, n_values, n_slots, n_out;
  int first_number; // values from here on are immediates
  step steps[XLM_CODE_MAX_IN + XLM_CODE_MAX];
  uint16_t slot[MAX_VALUES]; // register of each value
  float number[XLM_CODE_MAX];
  uint16_t out[XLM_CODE_MAX_OUT];
  int16_t stored_by[MAX_VALUES]; // f32 result into which a value is computed directly; -1 = none
  bool scalar[XLM_CODE_MAX_IN];  // the same for all elements: loaded once
  int n_dims;                    // after merging; at least 1
  int64_t size[XLM_MAX_RANK], total;
  int64_t stride[XLM_CODE_MAX_IN][XLM_MAX_RANK];
} program;

// ---- geometry

static void add_dim(program *p, const xlm_call *c, int i) {
  const xlm_type *t = c->out_type[0];
  int64_t size = xlm_call_size(c, t, i);
  bool packed = i + 1 < t->rank && c->dims[t->dim[i + 1]].ragged;
  p->total *= packed ? 1 : size;
  if (packed || size == 1) return;
  bool merge = p->n_dims > 0;
  for (int k = 0; k < p->n_in; k++) {
    int64_t s = xlm_call_stride(c, c->in_type[k], t->dim[i]);
    merge = merge && p->stride[k][p->n_dims - 1] == s * size;
  }
  if (!merge) p->size[p->n_dims++] = 1;
  p->size[p->n_dims - 1] *= size;
  for (int k = 0; k < p->n_in; k++)
    p->stride[k][p->n_dims - 1] = xlm_call_stride(c, c->in_type[k], t->dim[i]);
}

static void set_geometry(program *p, const xlm_call *c) {
  p->total = 1;
  for (int i = 0; i < c->out_type[0]->rank; i++) add_dim(p, c, i);
  if (p->n_dims == 0) p->size[p->n_dims++] = 1;
  for (int k = 0; k < p->n_in; k++) {
    p->scalar[k] = true;
    for (int d = 0; d < p->n_dims; d++) p->scalar[k] &= p->stride[k][d] == 0;
  }
}

// ---- registers

typedef struct registers {
  int last_use[MAX_VALUES]; // step of the program; INT32_MAX: never freed
  bool placed[MAX_VALUES];
  uint16_t free[MAX_VALUES];
  int n_free;
} registers;

static void place(program *p, registers *r, int value) {
  if (r->placed[value]) return;
  r->placed[value] = true;
  p->slot[value] = r->n_free ? r->free[--r->n_free] : (uint16_t)p->n_slots++;
}

static void load_operand(program *p, registers *r, int value) {
  if (r->placed[value]) return;
  place(p, r, value);
  p->steps[p->n_steps++] = (step){.load = true, .a = {(uint16_t)value}};
}

static int value_of(program *p, const xlm_code_instr *at, int i) { // immediates become values
  if (i >= xlm_fn_arity((xlm_fn)at->fn)) return -1;
  if (at->a[i] != XLM_CODE_IMM) return at->a[i];
  p->number[p->n_values - p->first_number] = (float)at->imm;
  return p->n_values++;
}

static void translate(program *p, const xlm_code *code, step *steps) {
  for (int k = 0; k < code->n; k++) {
    bool rounds = code->at[k].fn == XLM_FN_CAST && code->at[k].imm == XLM_BF16;
    steps[k] = (step){.fn = rounds ? FN_ROUND : code->at[k].fn, .out = (uint16_t)(code->n_in + k)};
    for (int i = 0; i < 3; i++) {
      int v = value_of(p, &code->at[k], i);
      steps[k].a[i] = v < 0 ? steps[k].a[0] : (uint16_t)v; // a valid index; not read
    }
  }
}

static void find_last_uses(const program *p, const xlm_code *code, const step *steps, registers *r) {
  for (int k = 0; k < code->n; k++)
    for (int i = 0; i < 3; i++) r->last_use[steps[k].a[i]] = k;
  for (int i = 0; i < code->n_out; i++) r->last_use[code->out[i]] = INT32_MAX;
  for (int v = p->first_number; v < p->n_values; v++) r->last_use[v] = INT32_MAX;
  for (int v = 0; v < p->n_in; v++)
    if (p->scalar[v]) r->last_use[v] = INT32_MAX;
}

static void release(const program *p, registers *r, const step *s, int k) {
  for (int i = 0; i < 3; i++) {
    int v = s->a[i];
    bool again = i > 0 && (v == s->a[0] || (i > 1 && v == s->a[1]));
    if (!again && r->last_use[v] == k) r->free[r->n_free++] = p->slot[v];
  }
}

static void assign_registers(program *p, const xlm_code *code, const step *steps) {
  registers r = {0};
  find_last_uses(p, code, steps, &r);
  for (int v = p->first_number; v < p->n_values; v++) place(p, &r, v);
  for (int v = 0; v < p->n_in; v++)
    if (p->scalar[v]) place(p, &r, v);
  for (int k = 0; k < code->n; k++) {
    for (int i = 0; i < 3; i++)
      if (steps[k].a[i] < p->n_in) load_operand(p, &r, steps[k].a[i]);
    place(p, &r, steps[k].out);
    p->steps[p->n_steps++] = steps[k];
    release(p, &r, &steps[k], k);
  }
  for (int i = 0; i < code->n_out; i++)
    if (code->out[i] < p->n_in) load_operand(p, &r, code->out[i]);
}

static const xlm_code copy = {.n_in = 1, .n_out = 1, .out = {0}}; // `broadcast` has no program: it copies

static void compile(const xlm_call *c, program *p) {
  const xlm_attr *attr = xlm_attr_find(&c->instr->attrs, XLM_A_code);
  const xlm_code *code = attr ? attr->code : &copy;
  step steps[XLM_CODE_MAX];
  *p = (program){.n_in = code->n_in, .n_out = code->n_out, .first_number = code->n_in + code->n};
  p->n_values = p->first_number;
  set_geometry(p, c);
  translate(p, code, steps);
  assign_registers(p, code, steps);
  for (int v = 0; v < p->n_values; v++) p->stored_by[v] = -1;
  for (int i = 0; i < code->n_out; i++) {
    p->out[i] = code->out[i];
    if (code->out[i] >= p->n_in && c->out_type[i]->dtype == XLM_F32) p->stored_by[code->out[i]] = (int16_t)i;
  }
}

static size_t slot_bytes(const program *p) {
  return (size_t)p->n_slots * BLOCK * sizeof(float);
}

size_t XLM_ISA_NAME(fused_workspace)(const xlm_call *c, const xlm_target *t) {
  program p;
  compile(c, &p);
  return slot_bytes(&p) * (size_t)t->threads;
}

xlm_status XLM_ISA_NAME(fused_prepare)(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  (void)err;
  program *p = XLM_NEW(a, program);
  compile(c, p);
  *prepared = p;
  return XLM_OK;
}

// ---- running

typedef struct block {
  int64_t at, n;               // elements of the result
  int64_t index[XLM_MAX_RANK]; // of its first element
} block;

typedef struct lane { // state of one worker
  const xlm_call *c;
  const program *p;
  float *slots;
  float *value[MAX_VALUES];      // address of each value of the current block
  bool direct[XLM_CODE_MAX_OUT]; // result i is written directly
} lane;

static void locate(const program *p, int64_t at, int64_t *index) {
  for (int d = p->n_dims - 1; d >= 0; d--) index[d] = at % p->size[d], at /= p->size[d];
}

static int64_t operand_at(const program *p, int k, const int64_t *index) {
  int64_t at = 0;
  for (int d = 0; d < p->n_dims; d++) at += index[d] * p->stride[k][d];
  return at;
}

// n elements along the innermost dim.
static void load_run(const lane *l, int k, int64_t at, int64_t n, float *dst) {
  xlm_dtype t = l->c->in_type[k]->dtype;
  int64_t stride = l->p->stride[k][l->p->n_dims - 1];
  if (stride == 1) {
    vec_read(t, l->c->in[k], at, n, dst);
  } else if (stride == 0) {
    float x = vec_read_one(t, l->c->in[k], at);
    for (int64_t i = 0; i < n; i++) dst[i] = x;
  } else {
    for (int64_t i = 0; i < n; i++) dst[i] = vec_read_one(t, l->c->in[k], at + i * stride);
  }
}

static void load(lane *l, int k, const block *b) {
  const program *p = l->p;
  int last = p->n_dims - 1;
  int64_t index[XLM_MAX_RANK];
  bool within = b->index[last] + b->n <= p->size[last];
  if (within && p->stride[k][last] == 1 && l->c->in_type[k]->dtype == XLM_F32 && b->n % VEC_PAD == 0) {
    l->value[k] = (float *)l->c->in[k] + operand_at(p, k, b->index);
    return;
  }
  float *dst = l->value[k] = l->slots + (int64_t)p->slot[k] * BLOCK;
  memcpy(index, b->index, sizeof index);
  for (int64_t done = 0; done < b->n;) {
    int64_t left = b->n - done, run = p->size[last] - index[last] < left ? p->size[last] - index[last] : left;
    load_run(l, k, operand_at(p, k, index), run, dst + done);
    done += run;
    index[last] += run;
    for (int d = last; d > 0 && index[d] == p->size[d]; d--) index[d] = 0, index[d - 1]++;
  }
}

static void point_results(lane *l, const block *b) {
  const program *p = l->p;
  for (int v = p->n_in; v < p->first_number; v++) {
    int i = p->stored_by[v];
    bool direct = i >= 0 && l->direct[i] && b->n % VEC_PAD == 0;
    l->value[v] = direct ? (float *)l->c->out[i] + b->at : l->slots + (int64_t)p->slot[v] * BLOCK;
  }
}

static void run_block(lane *l, const block *b) {
  const program *p = l->p;
  int64_t n = vec_pad(b->n);
  point_results(l, b);
  for (int k = 0; k < p->n_steps; k++) {
    const step *s = &p->steps[k];
    if (s->load)
      load(l, s->a[0], b);
    else
      fused_fns[s->fn](l->value[s->out], l->value[s->a[0]], l->value[s->a[1]], l->value[s->a[2]], n);
  }
  for (int i = 0; i < p->n_out; i++) { // after all loads, since a result may use an operand's memory
    const float *src = l->value[p->out[i]];
    bool is_there = l->c->out_type[i]->dtype == XLM_F32 && src == (float *)l->c->out[i] + b->at;
    if (!is_there) vec_write(l->c->out_type[i]->dtype, l->c->out[i], b->at, b->n, src);
  }
}

static void fill_numbers(lane *l) {
  const program *p = l->p;
  for (int v = 0; v < p->n_values; v++) {
    bool number = v >= p->first_number;
    if (!number && !(v < p->n_in && p->scalar[v])) continue;
    float x = number ? p->number[v - p->first_number] : vec_read_one(l->c->in_type[v]->dtype, l->c->in[v], 0);
    l->value[v] = l->slots + (int64_t)p->slot[v] * BLOCK;
    for (int i = 0; i < BLOCK; i++) l->value[v][i] = x;
  }
}

static bool shares_memory(const xlm_call *c, int out) {
  for (int k = 0; k < c->instr->n_in; k++)
    if (c->in[k] == c->out[out]) return true;
  return false;
}

// Blocks per innermost run; 0: rows are short and blocks span several.
static int64_t blocks_per_row(const program *p) {
  int64_t row = p->size[p->n_dims - 1];
  return row >= SHORT_ROW || p->n_dims == 1 ? (row + BLOCK - 1) / BLOCK : 0;
}

static int64_t count_blocks(const program *p) {
  int64_t row = p->size[p->n_dims - 1], per_row = blocks_per_row(p);
  return per_row ? p->total / row * per_row : (p->total + BLOCK - 1) / BLOCK;
}

static block block_at(const program *p, int64_t i) {
  int64_t row = p->size[p->n_dims - 1], per_row = blocks_per_row(p);
  block b = {.at = per_row ? i / per_row * row + i % per_row * BLOCK : i * BLOCK};
  int64_t left = per_row ? row - i % per_row * BLOCK : p->total - b.at;
  b.n = left < BLOCK ? left : BLOCK;
  locate(p, b.at, b.index);
  return b;
}

static void work(void *arg, int worker, int workers) {
  const xlm_call *c = arg;
  const program *p = c->prepared;
  int64_t begin, end;
  xlm_pool_range(count_blocks(p), worker, workers, &begin, &end);
  if (begin == end) return;
  lane l = {.c = c, .p = p, .slots = (float *)c->workspace + (int64_t)worker * p->n_slots * BLOCK};
  for (int i = 0; i < p->n_out; i++) l.direct[i] = !shares_memory(c, i);
  fill_numbers(&l);
  for (int64_t i = begin; i < end; i++) {
    block b = block_at(p, i);
    run_block(&l, &b);
  }
}

xlm_status XLM_ISA_NAME(fused_run)(const xlm_call *c) {
  const program *p = c->prepared;
  if (p->total == 0) return XLM_OK;
  if (p->total * (p->n_steps + 1) < SERIAL)
    work((void *)c, 0, 1);
  else
    xlm_pool_run(xlm_cpu_pool(c), work, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(fused) = {.op = XLM_OP_FUSED,
                                      .workspace = XLM_ISA_NAME(fused_workspace),
                                      .prepare = XLM_ISA_NAME(fused_prepare),
                                      .run = XLM_ISA_NAME(fused_run)};
