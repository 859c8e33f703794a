// muon: Keller Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024
// (kellerjordan.github.io/posts/muon). The momentum of a matrix is replaced by the nearest matrix with all
// singular values close to 1, found with five steps of a Newton-Schulz iteration. Parameters that are not
// matrices between hidden values (vectors, embeddings, heads) are left to adamw. Updates are scaled by 0.2
// sqrt(max(rows, columns)), as in Liu et al., "Muon is Scalable for LLM Training", 2025, so that they are as
// large as adamw's and the same learning rate and weight decay work for both.
//
// The products are ordinary ones: X X^T with the matrix's longer side summed; the sizes decide which side
// that is. The second operand has the shorter side's dimensions under other names (`hidden.gram`), which no
// shard rule splits.
#include <math.h>
#include <string.h>

#include "compiler/optimizer/step_priv.h"

typedef struct sides {
  int n_batch, n_short, n_long;
  xlm_dim batch[XLM_MAX_RANK], shorter[XLM_MAX_RANK], longer[XLM_MAX_RANK];
  xlm_dim gram[XLM_MAX_RANK], other[XLM_MAX_RANK]; // two renamed copies of the shorter side
  double rows, columns;
} sides;

static double count(const xlm_graph *g, const xlm_dim *dims, int n) {
  double size = 1;
  for (int i = 0; i < n; i++) size *= (double)g->dims[dims[i]].full;
  return size;
}

static bool is_sharded(const xlm_graph *g, const xlm_dim *dims, int n) {
  for (int i = 0; i < n; i++)
    for (uint32_t k = 0; k < g->n_rules; k++)
      if (!strcmp(g->rules[k].dim, g->dims[dims[i]].name) && g->rules[k].n_axes) return true;
  return false;
}

static xlm_dim under_name(xlm_graph *g, xlm_dim d,
                          const char *suffix) { // contains a dot, so no dimension of a model has it
  return xlm_graph_dim(g, xlm_arena_printf(g->arena, "%s.%s", g->dims[d].name, suffix), g->dims[d].full);
}

static sides sides_of(xlm_graph *g, const xlm_matrix *m) {
  sides s = {.n_batch = m->n_batch, .rows = count(g, m->in, m->n_in), .columns = count(g, m->out, m->n_out)};
  bool in = s.rows < s.columns;
  if (s.rows == s.columns)
    in = !is_sharded(g, m->in, m->n_in); // the product is then whole or a partial sum, not split
  if (m->n_batch + 2 * (in ? m->n_in : m->n_out) > XLM_MAX_RANK) in = !in;
  s.n_short = in ? m->n_in : m->n_out;
  s.n_long = in ? m->n_out : m->n_in;
  memcpy(s.batch, m->batch, sizeof s.batch);
  memcpy(s.shorter, in ? m->in : m->out, sizeof s.shorter);
  memcpy(s.longer, in ? m->out : m->in, sizeof s.longer);
  for (int i = 0; i < s.n_short; i++) {
    s.gram[i] = under_name(g, s.shorter[i], "gram");
    s.other[i] = under_name(g, s.shorter[i], "other");
  }
  return s;
}

static xlm_val renamed(xlm_build *b, xlm_val x, const xlm_dim *from, const xlm_dim *to, int n) {
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_from, from, n);
  xlm_attr_put_dims(&l, XLM_A_to, to, n);
  return xlm_emit(b, XLM_OP_RENAME, &x, 1, &l);
}

// A = X X^T: [batch, shorter, gram].
static xlm_val gram_of(xlm_build *b, const sides *s, xlm_val x) {
  xlm_dim dims[XLM_MAX_RANK];
  int n = 0;
  for (int i = 0; i < s->n_batch; i++) dims[n++] = s->batch[i];
  for (int i = 0; i < s->n_short; i++) dims[n++] = s->shorter[i];
  for (int i = 0; i < s->n_short; i++) dims[n++] = s->gram[i];
  xlm_val turned = renamed(b, x, s->shorter, s->gram, s->n_short);
  return xlm_contract(b, x, turned, s->longer, s->n_long, dims, n);
}

// A A for a symmetric A: [batch, shorter, gram].
static xlm_val squared(xlm_build *b, const sides *s, xlm_val a) {
  xlm_val turned = renamed(b, a, s->shorter, s->other, s->n_short);
  return renamed(b, xlm_contract(b, a, turned, s->gram, s->n_short, NULL, -1), s->other, s->gram, s->n_short);
}

static xlm_val add(xlm_build *b, double x_factor, xlm_val x, double y_factor, xlm_val y) {
  xlm_val second = xlm_scale(b, y, y_factor), first = xlm_scale(b, x, x_factor);
  return xlm_op2(b, XLM_OP_ADD, first, second);
}

// X = a X + (b A + c A A) X, A = X X^T: five steps bring the singular values between 0.7 and 1.2.
static xlm_val newton_schulz(xlm_build *b, const sides *s, xlm_val x) {
  xlm_type t = *xlm_val_type(b->g, x);
  xlm_val a = gram_of(b, s, x), factor = add(b, -4.7750, a, 2.0315, squared(b, s, a));
  xlm_val turned = renamed(b, x, s->shorter, s->gram, s->n_short);
  xlm_val product = xlm_contract(b, factor, turned, s->gram, s->n_short, t.dim, t.rank);
  return add(b, 3.4445, x, 1, product);
}

// Scales x to a Frobenius norm of 1, matrix by matrix.
static xlm_val normalised(xlm_build *b, const xlm_matrix *m, xlm_val x) {
  xlm_dim over[XLM_MAX_RANK];
  int n = 0;
  for (int i = 0; i < m->n_in; i++) over[n++] = m->in[i];
  for (int i = 0; i < m->n_out; i++) over[n++] = m->out[i];
  xlm_val norm = xlm_op1(b, XLM_OP_SQRT, xlm_sum_over(b, xlm_op1(b, XLM_OP_SQUARE, x), over, n));
  return xlm_op2(b, XLM_OP_DIV, x, xlm_op2(b, XLM_OP_ADD, norm, xlm_scalar(b, 1e-7)));
}

static void build(xlm_step *s) {
  xlm_build *b = s->b;
  sides d = sides_of(b->g, s->matrix);
  double momentum = xlm_step_setting(s, "muon_momentum");
  xlm_val state = xlm_step_state_like(s, "muon.m"), g = xlm_step_gradient(s);
  xlm_val m = add(b, momentum, state, 1, g);
  xlm_val x = normalised(b, s->matrix, add(b, 1, g, momentum, m));
  xlm_step_store(s, state, m);
  for (int i = 0; i < (int)xlm_step_setting(s, "muon_steps"); i++) x = newton_schulz(b, &d, x);
  double longest = d.rows > d.columns ? d.rows : d.columns;
  xlm_step_descend(s, xlm_scale(b, x, 0.2 * sqrt(longest) * xlm_step_setting(s, "muon_scale")));
}

const xlm_optimizer xlm_optimizer_muon = {
    .name = "muon",
    .settings = {{"muon_momentum", 0.95, 0, 0.999999, "share of the momentum that stays"},
                 {"muon_steps", 5, 1, 100, "Newton-Schulz steps"},
                 {"muon_scale", 1, 0, 1e6, "factor on updates beside 0.2 sqrt(max(rows, columns))"}},
    .otherwise = "adamw",
    .build = build,
    .doc =
        "For matrices: m = momentum m + g; X = (g + momentum m) / its Frobenius norm; five times A = X X^T, "
        "X = 3.4445 X + (-4.7750 A + 2.0315 A A) X; p = p - lr (0.2 sqrt(max(rows, columns)) X + decay p). "
        "adamw for the rest. Keller Jordan et al., 2024; the factor from Liu et al., 2025."};
