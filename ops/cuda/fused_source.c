// See fused_source.h. A thread computes `vector` neighbouring elements: it loads them with one access per
// operand, goes through the program for each, and stores. Sizes and strides are constants, so that divisions
// become multiplications. Operands may be a result's memory: nothing is stored before all of the thread's
// elements are loaded.
#include "ops/cuda/fused_source.h"

#include <math.h>

// ---- geometry

static void add_dim(xlm_fused_geometry *g, int64_t size, const int64_t *stride) {
  int n = g->n_in + g->n_out, last = g->n_dims - 1;
  bool merge = last >= 0;
  for (int k = 0; k < n; k++) merge = merge && g->stride[k][last] == stride[k] * size;
  if (!merge) g->size[g->n_dims++] = 1;
  last = g->n_dims - 1;
  g->size[last] *= size;
  for (int k = 0; k < n; k++) g->stride[k][last] = stride[k];
}

// Are all accesses of `vector` neighbours whole and aligned? Tensors begin aligned for every kernel.
static bool fits(const xlm_fused_geometry *g, int vector) {
  int last = g->n_dims - 1;
  if (g->size[last] % vector) return false;
  for (int k = 0; k < g->n_in + g->n_out; k++) {
    if (g->stride[k][last] == 0) continue;
    if (g->stride[k][last] != 1) return false;
    for (int d = 0; d < last; d++)
      if (g->stride[k][d] % vector) return false;
  }
  return true;
}

static int widest(const xlm_fused_geometry *g) {
  for (int vector = 8; vector > 1; vector /= 2)
    if (fits(g, vector)) return vector;
  return 1;
}

xlm_fused_geometry xlm_fused_geometry_of(const xlm_call *c) {
  const xlm_code *code = xlm_attr_find(&c->instr->attrs, XLM_A_code)->code;
  xlm_fused_geometry g = {.n_in = code->n_in, .n_out = code->n_out, .total = 1};
  const xlm_type *space = c->out_type[0];
  for (int k = 0; k < g.n_in; k++) g.dtype[k] = c->in_type[k]->dtype;
  for (int k = 0; k < g.n_out; k++) g.dtype[g.n_in + k] = c->out_type[k]->dtype;
  for (int i = 0; i < space->rank; i++) {
    int64_t size = xlm_call_size(c, space, i), stride[XLM_FUSED_OPERANDS];
    bool packed = i + 1 < space->rank && c->dims[space->dim[i + 1]].ragged; // rows of the next dimension
    if (packed) continue;
    g.total *= size;
    if (size == 1) continue;
    for (int k = 0; k < g.n_in; k++) stride[k] = xlm_call_stride(c, c->in_type[k], space->dim[i]);
    for (int k = 0; k < g.n_out; k++) stride[g.n_in + k] = xlm_call_inner(c, space, i);
    add_dim(&g, size, stride);
  }
  if (g.n_dims == 0) g.size[g.n_dims++] = 1;
  g.vector = widest(&g);
  return g;
}

// ---- source

static const char functions[] =
    "FUNCTION float up(u16 h) { return float_of((u32)h << 16); }\n"
    "FUNCTION u16 down(float x) {\n" // to nearest even
    "  u32 u = u32_of(x);\n"
    "  if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;\n"
    "  return (u16)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);\n"
    "}\n"
    "FUNCTION float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }\n"
    "FUNCTION float cdf(float x) { return 0.5f * erfcf(-0.70710678f * x); }\n"
    "FUNCTION float gate(float x) { return sigmoid(1.59576912f * (x + 0.044715f * x * x * x)); }\n"
    "FUNCTION float silu_slope(float x) { float s = sigmoid(x); return s * (1.0f + x * (1.0f - s)); }\n"
    "FUNCTION float gelu_slope(float x) {\n"
    "  float s = gate(x);\n"
    "  return s + x * s * (1.0f - s) * (1.59576912f + 0.214070299f * x * x);\n" // 3 * 0.044715 * 1.5957..
    "}\n"
    "FUNCTION float gelu_erf_slope(float x) { return cdf(x) + x * 0.39894228f * expf(-0.5f * x * x); }\n";

// A result in terms of the operands A, B, C.
static const char *const formulas[XLM_FN_COUNT] = {
    [XLM_FN_ADD] = "A + B",
    [XLM_FN_SUB] = "A - B",
    [XLM_FN_MUL] = "A * B",
    [XLM_FN_DIV] = "A / B",
    [XLM_FN_MIN] = "A <= B ? A : B",
    [XLM_FN_MAX] = "B <= A ? A : B",
    [XLM_FN_NEG] = "-A",
    [XLM_FN_ABS] = "fabsf(A)",
    [XLM_FN_SQUARE] = "A * A",
    [XLM_FN_SQRT] = "sqrtf(A)",
    [XLM_FN_RSQRT] = "1.0f / sqrtf(A)",
    [XLM_FN_RECIP] = "1.0f / A",
    [XLM_FN_EXP] = "expf(A)",
    [XLM_FN_LOG] = "logf(A)",
    [XLM_FN_TANH] = "tanhf(A)",
    [XLM_FN_SIGMOID] = "sigmoid(A)",
    [XLM_FN_SILU] = "A / (1.0f + expf(-A))",
    [XLM_FN_GELU] = "A * gate(A)",
    [XLM_FN_GELU_ERF] = "A * cdf(A)",
    [XLM_FN_RELU] = "A < 0.0f ? 0.0f : A",
    [XLM_FN_SIGN] = "(A > 0.0f ? 1.0f : 0.0f) - (A < 0.0f ? 1.0f : 0.0f)",
    [XLM_FN_POW] = "powf(A, B)",
    [XLM_FN_LT] = "A < B ? 1.0f : 0.0f",
    [XLM_FN_LE] = "A <= B ? 1.0f : 0.0f",
    [XLM_FN_EQ] = "A == B ? 1.0f : 0.0f",
    [XLM_FN_WHERE] = "A != 0.0f ? B : C",
    [XLM_FN_CAST] = "A", // to f32; i32 is converted when stored
    [XLM_FN_SILU_GRAD] = "A * silu_slope(B)",
    [XLM_FN_GELU_GRAD] = "A * gelu_slope(B)",
    [XLM_FN_GELU_ERF_GRAD] = "A * gelu_erf_slope(B)",
};

static const char *const types[XLM_DTYPE_COUNT] = {
    [XLM_F32] = "float", [XLM_BF16] = "u16", [XLM_I32] = "int"};

static void add_number(xlm_text *t, double x) {
  float f = (float)x;
  if (isnan(f))
    xlm_text_add(t, "float_of(0x7fc00000u)");
  else if (isinf(f))
    xlm_text_add(t, f > 0 ? "float_of(0x7f800000u)" : "float_of(0xff800000u)");
  else
    xlm_text_printf(t, "(%af)", (double)f); // exact: hexadecimal
}

static void add_operand(xlm_text *t, const xlm_code_instr *at, int i) {
  if (at->a[i] == XLM_CODE_IMM)
    add_number(t, at->imm);
  else
    xlm_text_printf(t, "q%u", at->a[i]);
}

static void add_formula(xlm_text *t, const xlm_code_instr *at) {
  bool rounds = at->fn == XLM_FN_CAST && at->imm == XLM_BF16; // later functions read what a store would leave
  for (const char *s = rounds ? "up(down(A))" : formulas[at->fn]; *s; s++) {
    bool letter = *s >= 'A' && *s <= 'C';
    if (letter)
      add_operand(t, at, *s - 'A');
    else
      xlm_text_addn(t, s, 1);
  }
}

// Offset of operand k at the indices i0, i1, ..
static void add_offset(xlm_text *t, const xlm_fused_geometry *g, int k) {
  const char *plus = "";
  for (int d = 0; d < g->n_dims; d++) {
    if (!g->stride[k][d]) continue;
    xlm_text_printf(t, "%si%d * %lld", plus, d, (long long)g->stride[k][d]);
    plus = " + ";
  }
  if (!*plus) xlm_text_add(t, "0");
}

static bool is_vector(const xlm_fused_geometry *g, int k) {
  return g->vector > 1 && g->stride[k][g->n_dims - 1] == 1;
}

static void add_indices(xlm_text *t, const xlm_fused_geometry *g) {
  xlm_text_add(t, "    i64 rest = i;\n");
  for (int d = g->n_dims - 1; d > 0; d--)
    xlm_text_printf(t, "    i64 i%d = rest %% %lld;\n    rest /= %lld;\n", d, (long long)g->size[d],
                    (long long)g->size[d]);
  xlm_text_add(t, "    i64 i0 = rest;\n");
}

static void add_loads(xlm_text *t, const xlm_fused_geometry *g) {
  for (int k = 0; k < g->n_in; k++) {
    const char *type = types[g->dtype[k]];
    if (is_vector(g, k))
      xlm_text_printf(t, "    struct vec_%s a%d = *(const struct vec_%s *)((const %s *)p.at[%d] + ", type, k,
                      type, type, k);
    else
      xlm_text_printf(t, "    %s a%d = *((const %s *)p.at[%d] + ", type, k, type, k);
    add_offset(t, g, k);
    xlm_text_add(t, ");\n");
  }
}

static void add_value(xlm_text *t, const xlm_fused_geometry *g, int k) { // operand k as a float
  const char *of = is_vector(g, k) ? ".at[j]" : "";
  xlm_text_printf(t, g->dtype[k] == XLM_BF16 ? "up(a%d%s)" : "(float)a%d%s", k, of);
}

static void add_program(xlm_text *t, const xlm_fused_geometry *g, const xlm_code *code) {
  for (int k = 0; k < g->n_in; k++) {
    xlm_text_printf(t, "      float q%d = ", k);
    add_value(t, g, k);
    xlm_text_add(t, ";\n");
  }
  for (int k = 0; k < code->n; k++) {
    xlm_text_printf(t, "      float q%d = ", code->n_in + k);
    add_formula(t, &code->at[k]);
    xlm_text_add(t, ";\n");
  }
  for (int k = 0; k < code->n_out; k++) {
    xlm_dtype dtype = g->dtype[g->n_in + k];
    const char *convert = dtype == XLM_BF16 ? "down" : dtype == XLM_I32 ? "(int)" : "";
    xlm_text_printf(t, "      r%d.at[j] = %s(q%u);\n", k, convert, code->out[k]);
  }
}

static void add_stores(xlm_text *t, const xlm_fused_geometry *g) {
  for (int k = 0; k < g->n_out; k++) {
    const char *type = types[g->dtype[g->n_in + k]];
    xlm_text_printf(t, "    *(struct vec_%s *)((%s *)p.at[%d] + ", type, type, g->n_in + k);
    add_offset(t, g, g->n_in + k);
    xlm_text_printf(t, ") = r%d;\n", k);
  }
}

const char *xlm_fused_source(xlm_arena *a, const xlm_call *c, const xlm_fused_geometry *g) {
  const xlm_code *code = xlm_attr_find(&c->instr->attrs, XLM_A_code)->code;
  xlm_text t = xlm_text_new(a);
  xlm_text_add(&t, functions);
  for (int k = 0; k < XLM_DTYPE_COUNT; k++) {
    int bytes = (int)xlm_dtype_bytes((xlm_dtype)k) * g->vector, align = bytes < 16 ? bytes : 16;
    if (types[k])
      xlm_text_printf(&t, "struct vec_%s { ALIGN(%d) %s at[%d]; };\n", types[k], align, types[k], g->vector);
  }
  xlm_text_printf(&t, "struct operands { void *at[%d]; };\n", g->n_in + g->n_out);
  xlm_text_printf(&t,
                  "KERNEL(struct operands) {\n  for (i64 i = (BLOCK * 256 + THREAD) * %d; i < %lld; i += "
                  "BLOCKS * %d) {\n",
                  g->vector, (long long)g->total, 256 * g->vector);
  add_indices(&t, g);
  add_loads(&t, g);
  for (int k = 0; k < g->n_out; k++)
    xlm_text_printf(&t, "    struct vec_%s r%d;\n", types[g->dtype[g->n_in + k]], k);
  xlm_text_printf(&t, "    for (int j = 0; j < %d; j++) {\n", g->vector);
  add_program(&t, g, code);
  xlm_text_add(&t, "    }\n");
  add_stores(&t, g);
  xlm_text_add(&t, "  }\n}\n");
  return t.data;
}
