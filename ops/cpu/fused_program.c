// Builds the program of `fused` that the CPU runs (fused_program_priv.h): dims that are contiguous in all
// operands are merged, so most spaces have one or two; the space is cut into blocks; a register is reused
// after its last reader.
#include "ops/cpu/fused_program_priv.h"

#include "ops/cpu/vec_priv.h"
#include "runtime/device/fused.h"

enum { SHORT_ROW = 256 };

// ---- geometry

static void add_dim(fused_program *p, const xlm_call *c, const xlm_type *t, int i) {
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

static void set_geometry(fused_program *p, const xlm_call *c) {
  xlm_type space = xlm_code_space(&c->instr->attrs);
  p->total = 1;
  for (int i = 0; i < space.rank; i++) add_dim(p, c, &space, i);
  if (p->n_dims == 0) p->size[p->n_dims++] = 1;
}

// ---- blocks

static int64_t quotient_up(int64_t n, int64_t by) {
  return (n + by - 1) / by;
}

// Blocks begin with runs along the innermost dim, unless these are short.
static void cut_elements(fused_program *p) {
  int64_t inner = p->size[p->n_dims - 1];
  p->cut = (fused_cut){.run = inner >= SHORT_ROW ? inner : p->total, .block = FUSED_BLOCK, .unit = 1};
}

// Blocks of whole rows for functions of rows, and where rows are short.
static void cut_rows(fused_program *p) {
  int64_t tile = p->len * REDUCE_TILE_ROWS, group = p->len < FUSED_BLOCK ? FUSED_BLOCK / p->len : 1;
  bool whole = p->whole_rows || p->len <= FUSED_BLOCK, sums = p->n_whole < p->n_out;
  p->cut = (fused_cut){.run = p->len, .block = FUSED_BLOCK, .unit = 1};
  if (whole) p->cut.run = sums ? tile : p->total, p->cut.block = group * p->len;
  if (sums) p->cut.unit = tile / p->cut.run * quotient_up(p->cut.run, p->cut.block);
}

static void cut_space(fused_program *p, const xlm_call *c, const xlm_code *code) {
  for (int i = 0; i < code->n; i++) p->whole_rows |= xlm_fn_is_row(code->at[i].fn);
  p->slot_len = FUSED_BLOCK;
  if (p->whole_rows || code->n_summed) {
    xlm_fused_rows f = xlm_fused_rows_of(c);
    p->len = f.len;
    p->sums = reduce_tiles_of(f.rows, f.len, code->row > 0);
  }
  if (p->total == 0) return;
  if (p->len)
    cut_rows(p);
  else
    cut_elements(p);
  p->cut.per_run = quotient_up(p->cut.run, p->cut.block);
  p->cut.count = quotient_up(p->total, p->cut.run) * p->cut.per_run;
  if (p->cut.block > p->slot_len) p->slot_len = vec_pad(p->cut.block);
}

// An operand that has only the last dims is the same in all blocks if these begin at multiples of its size.
static void find_fixed(fused_program *p) {
  for (int k = 0; k < p->n_in; k++) {
    int64_t inner = 1, dense = 1;
    p->dense[k] = true;
    for (int d = p->n_dims - 1; d >= 0; d--) {
      p->dense[k] &= p->stride[k][d] == dense || p->size[d] == 1;
      dense *= p->size[d];
      if (p->stride[k][d]) inner = dense;
    }
    p->fixed[k] = inner == 1 || (inner < p->total && p->cut.block % inner == 0 && p->cut.run % inner == 0);
    p->walks |= !p->dense[k] && !p->fixed[k];
  }
}

// ---- registers

typedef struct registers {
  int last_use[FUSED_MAX_VALUES]; // step of the program; INT32_MAX: never freed
  bool placed[FUSED_MAX_VALUES];
  uint16_t free[FUSED_MAX_VALUES];
  int n_free;
} registers;

static void place(fused_program *p, registers *r, int value) {
  if (r->placed[value]) return;
  r->placed[value] = true;
  p->slot[value] = r->n_free ? r->free[--r->n_free] : (uint16_t)p->n_slots++;
}

static void load_operand(fused_program *p, registers *r, int value) {
  if (r->placed[value]) return;
  place(p, r, value);
  p->steps[p->n_steps++] = (fused_step){.load = true, .a = {(uint16_t)value}};
}

static int value_of(fused_program *p, const xlm_code_instr *at, int i) { // immediates become values
  if (i >= xlm_fn_arity((xlm_fn)at->fn)) return -1;
  if (at->a[i] != XLM_CODE_IMM) return at->a[i];
  p->number[p->n_values - p->first_number] = (float)at->imm;
  return p->n_values++;
}

static void translate(fused_program *p, const xlm_code *code, fused_step *steps) {
  for (int k = 0; k < code->n; k++) {
    bool rounds = code->at[k].fn == XLM_FN_CAST && code->at[k].imm == XLM_BF16;
    steps[k] = (fused_step){.fn = rounds ? FUSED_TO_BF16 : code->at[k].fn, .out = (uint16_t)(code->n_in + k)};
    if (xlm_fn_is_row(code->at[k].fn)) steps[k].attribute = (float)code->at[k].imm;
    for (int i = 0; i < 3; i++) {
      int v = value_of(p, &code->at[k], i);
      steps[k].a[i] = v < 0 ? steps[k].a[0] : (uint16_t)v; // a valid index; not read
    }
  }
}

static void find_last_uses(const fused_program *p, const xlm_code *code, const fused_step *steps,
                           registers *r) {
  for (int k = 0; k < code->n; k++)
    for (int i = 0; i < 3; i++) r->last_use[steps[k].a[i]] = k;
  for (int i = 0; i < code->n_out; i++) r->last_use[code->out[i]] = INT32_MAX;
  for (int v = p->first_number; v < p->n_values; v++) r->last_use[v] = INT32_MAX;
  for (int v = 0; v < p->n_in; v++)
    if (p->fixed[v]) r->last_use[v] = INT32_MAX;
}

static void release(const fused_program *p, registers *r, const fused_step *s, int k) {
  for (int i = 0; i < 3; i++) {
    int v = s->a[i];
    bool again = i > 0 && (v == s->a[0] || (i > 1 && v == s->a[1]));
    if (!again && r->last_use[v] == k) r->free[r->n_free++] = p->slot[v];
  }
}

static void assign_registers(fused_program *p, const xlm_code *code, const fused_step *steps) {
  registers r = {0};
  find_last_uses(p, code, steps, &r);
  for (int v = p->first_number; v < p->n_values; v++) place(p, &r, v);
  for (int v = 0; v < p->n_in; v++)
    if (p->fixed[v]) place(p, &r, v);
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

static bool is_direct(const fused_program *p, const xlm_call *c, int i) {
  return i < p->n_whole && p->out[i] >= p->n_in && c->out_type[i]->dtype == XLM_F32;
}

void XLM_ISA_NAME(fused_compile)(const xlm_call *c, fused_program *p) {
  const xlm_attr *attr = xlm_attr_find(&c->instr->attrs, XLM_A_code);
  const xlm_code *code = attr ? attr->code : &copy;
  fused_step steps[XLM_CODE_MAX];
  *p = (fused_program){.n_in = code->n_in, .n_out = code->n_out, .first_number = code->n_in + code->n};
  p->n_whole = code->n_out - code->n_summed;
  p->n_values = p->first_number;
  set_geometry(p, c);
  cut_space(p, c, code);
  find_fixed(p);
  translate(p, code, steps);
  assign_registers(p, code, steps);
  for (int v = 0; v < p->n_values; v++) p->stored_by[v] = -1;
  for (int i = 0; i < code->n_out; i++) {
    p->out[i] = code->out[i];
    if (is_direct(p, c, i)) p->stored_by[p->out[i]] = (int16_t)i;
  }
}
