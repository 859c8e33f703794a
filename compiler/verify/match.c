// Do the operations that meet match? Collectives: the same operation and kernel variant, the same list of
// sizes, the same microbatch and, within a pipeline stage, the same line of the model; and the elements that each member
// sends and receives must follow from the sizes.
#include <string.h>

#include "compiler/verify/verify_plan_priv.h"

typedef struct meeting {
  verifier *v;
  const comm_entry *e;
  int64_t n;              // members
  const int64_t *size[2]; // the lists of the sizes attribute ..
  int64_t whole[2];       // .. and their sums
  int lists;              // number of lists
} meeting;

static const xlm_tensor *operand(const comm_entry *e) {
  return &e->plan->tensors[e->instr->in[0]];
}
static const xlm_tensor *result(const comm_entry *e) {
  return &e->plan->tensors[e->instr->out[0]];
}
static int64_t elements(const comm_entry *e, const xlm_tensor *t) {
  return xlm_type_elements(&t->type, e->plan->dims);
}
static int64_t given(const comm_entry *e) {
  return elements(e, operand(e));
}
static int64_t taken(const comm_entry *e) {
  return elements(e, result(e));
}

static const char *who(const meeting *m, int64_t i) {
  return xlm_arena_printf(m->v->arena, "%s in %s, %s", xlm_verify_rank(m->v, m->e[i].rank),
                          xlm_verify_instr(m->v, m->e[i].instr),
                          xlm_verify_run(m->v, m->e[i].plan, m->e[i].run));
}

static bool expect(const meeting *m, int64_t i, const char *what, int64_t found, int64_t expected) {
  if (found == expected) return true;
  return xlm_verify_fail(m->v, "%s: %s %lld elements where the other members expect %lld", who(m, i), what,
                         (long long)found, (long long)expected);
}

// ---- by what the operation does with the listed dimensions ----

// Elements of a member's operand or result, per element of the listed dimensions: `pieces` says for which of
// them it has only its piece. Without lists all pieces are equal. -1: more than any tensor has.
static int64_t expected(const meeting *m, int64_t i, uint8_t pieces, int64_t each) {
  for (int k = 0; k < m->lists; k++)
    if (__builtin_mul_overflow(each, pieces >> k & 1 ? m->size[k][i] : m->whole[k], &each)) return -1;
  return each;
}

// From the first member with a non-empty piece.
static int64_t elements_each(const meeting *m, const xlm_comm_info *c) {
  for (int64_t i = 0; i < m->n; i++) {
    int64_t gives = expected(m, i, c->gives, 1), takes = expected(m, i, c->takes, 1);
    if (takes && !c->takes) return taken(&m->e[i]) / takes;
    if (gives) return given(&m->e[i]) / gives;
  }
  return 0;
}

static bool all_alike(const meeting *m) {
  for (int64_t i = 0; i < m->n; i++) {
    if (given(&m->e[i]) != given(&m->e[0]))
      return xlm_verify_fail(m->v, "%s gives %lld elements and %s gives %lld; they must be equal", who(m, 0),
                             (long long)given(&m->e[0]), who(m, i), (long long)given(&m->e[i]));
    if (!expect(m, i, "takes", taken(&m->e[i]), given(&m->e[0]))) return false;
  }
  return true;
}

static bool pieces(const meeting *m, const xlm_comm_info *c) {
  int64_t each = elements_each(m, c);
  for (int64_t i = 0; i < m->n; i++)
    if (!expect(m, i, "takes", taken(&m->e[i]), expected(m, i, c->takes, each)) ||
        !expect(m, i, "gives", given(&m->e[i]), expected(m, i, c->gives, each)))
      return false;
  return true;
}

// Without the attribute `sizes`.
static bool even_pieces(const meeting *m, const xlm_comm_info *c) {
  int64_t n = c->gives && !c->takes ? taken(&m->e[0]) : given(&m->e[0]), piece = n / m->n;
  bool both = c->gives && c->takes;
  for (int64_t i = 0; i < m->n; i++)
    if (!expect(m, i, "takes", taken(&m->e[i]), c->takes && !both ? piece : n) ||
        !expect(m, i, "gives", given(&m->e[i]), c->gives && !both ? piece : n))
      return false;
  return true;
}

static int64_t row(const comm_entry *e, const xlm_tensor *t) { // elements of one row of [experts, routed, ..]
  int64_t n = 1;
  for (int k = 2; k < t->type.rank; k++) n *= e->plan->dims[t->type.dim[k]].size;
  return n;
}

static int64_t experts(const comm_entry *e, const xlm_tensor *t) {
  return t->type.rank ? e->plan->dims[t->type.dim[0]].size : 0;
}

static bool rows(const meeting *m, bool out) { // the number of rows depends on the routing
  for (int64_t i = 0; i < m->n; i++) {
    const comm_entry *e = &m->e[i];
    const xlm_tensor *home = out ? operand(e) : result(e), *away = out ? result(e) : operand(e);
    bool width = row(e, home) == row(e, away) &&
                 row(e, home) == row(&m->e[0], out ? operand(&m->e[0]) : result(&m->e[0]));
    if (!width)
      return xlm_verify_fail(m->v, "%s: its rows have another length than those of %s", who(m, i), who(m, 0));
    bool all = !m->lists || (experts(e, home) == m->whole[0] && experts(e, away) == m->size[0][i]);
    if (!all)
      return xlm_verify_fail(m->v, "%s has %lld experts, %lld of its own; the group says %lld and %lld",
                             who(m, i), (long long)experts(e, home), (long long)experts(e, away),
                             (long long)m->whole[0], (long long)m->size[0][i]);
  }
  return true;
}

static bool fits(const meeting *m, const xlm_comm_info *c) {
  if (c->rows) return rows(m, c->takes != 0);
  if (!c->lists) return all_alike(m);
  return m->lists ? pieces(m, c) : even_pieces(m, c);
}

bool xlm_verify_form(xlm_op_id op, comm_form *out) {
  const xlm_comm_info *c = xlm_comm_of(op);
  if (c) *out = c->group ? COMM_COLLECTIVE : xlm_op_sends(op) ? COMM_SEND : COMM_RECV;
  return c != NULL;
}

// ---- checks for all operations ----

static bool same_sizes(const comm_entry *a, const comm_entry *b) {
  xlm_ints x = xlm_attr_ints(&a->instr->attrs, XLM_A_sizes), y = xlm_attr_ints(&b->instr->attrs, XLM_A_sizes);
  return x.n == y.n && (x.at == y.at || !memcmp(x.at, y.at, x.n * sizeof *x.at));
}

static int reduction(const comm_entry *e) {
  return xlm_attr_enum(&e->instr->attrs, XLM_A_kind, XLM_REDUCTION_SUM);
}

static bool same_variant(const comm_entry *a, const comm_entry *b) {
  const char *x = a->instr->variant, *y = b->instr->variant;
  return !strcmp(x ? x : "", y ? y : "");
}

static bool same_stage(const meeting *m, int64_t i) {
  int32_t a[XLM_MAX_AXES], b[XLM_MAX_AXES];
  if (m->v->pp < 0) return true;
  xlm_mesh_coord(&m->v->plan->mesh, m->e[0].rank, a);
  xlm_mesh_coord(&m->v->plan->mesh, m->e[i].rank, b);
  return a[m->v->pp] == b[m->v->pp];
}

static const char *difference(const meeting *m, int64_t i) {
  const comm_entry *a = &m->e[0], *b = &m->e[i];
  if (a->instr->op != b->instr->op) return "the members of a group must enter their collectives in one order";
  if (a->run->microbatch != b->run->microbatch) return "they are at different microbatches";
  if (!same_sizes(a, b)) return "their lists of sizes differ";
  if (reduction(a) != reduction(b)) return "their reductions differ";
  if (!same_variant(a, b)) return "their kernel variants differ";
  if (operand(a)->type.dtype != operand(b)->type.dtype) return "their element types differ";
  if (same_stage(m, i) &&
      (a->instr->line != b->instr->line ||
       strcmp(a->instr->scope ? a->instr->scope : "", b->instr->scope ? b->instr->scope : "")))
    return "they are at different places of the model";
  return NULL;
}

static bool alike(const comm_entry *a, const comm_entry *b) {
  return a->instr == b->instr && a->run->microbatch == b->run->microbatch;
}

static bool read_sizes(meeting *m, const xlm_comm_info *c) {
  const xlm_attrs *attrs = &m->e[0].instr->attrs;
  if (!xlm_attr_ints(attrs, XLM_A_sizes).n) return true;
  for (int k = 0; k < c->lists; k++) {
    m->size[k] = xlm_piece_sizes(attrs, c, k).at;
    for (int64_t i = 0; i < m->n; i++)
      if (m->size[k][i] < 0 || __builtin_add_overflow(m->whole[k], m->size[k][i], &m->whole[k]))
        return xlm_verify_fail(m->v, "%s: %lld is no size", who(m, 0), (long long)m->size[k][i]);
  }
  m->lists = c->lists;
  return true;
}

bool xlm_verify_meeting(verifier *v, uint32_t axes, const comm_entry *e, int64_t n) {
  meeting m = {.v = v, .e = e, .n = n};
  for (int64_t i = 1; i < n; i++) {
    const char *why = alike(&e[i], &e[i - 1]) ? NULL : difference(&m, i);
    if (why)
      return xlm_verify_fail(v, "%s meets %s in their group over %s: %s", who(&m, 0), who(&m, i),
                             xlm_verify_axes(v, axes), why);
  }
  const xlm_comm_info *c = xlm_comm_of(e[0].instr->op);
  return read_sizes(&m, c) && fits(&m, c);
}

bool xlm_verify_message(verifier *v, const comm_entry *from, const comm_entry *to) {
  comm_entry both[] = {*from, *to};
  meeting m = {.v = v, .e = both, .n = 2};
  const xlm_tensor *sent = operand(from), *wanted = result(to);
  if (sent->bytes != wanted->bytes)
    return xlm_verify_fail(
        v, "%s sends %llu bytes (%s) and %s expects %llu (%s)", who(&m, 0), (unsigned long long)sent->bytes,
        xlm_verify_tensor(v, from->plan, from->instr->in[0]), who(&m, 1), (unsigned long long)wanted->bytes,
        xlm_verify_tensor(v, to->plan, to->instr->out[0]));
  if (sent->type.dtype != wanted->type.dtype)
    return xlm_verify_fail(v, "%s sends %s and %s expects %s", who(&m, 0), xlm_dtype_name(sent->type.dtype),
                           who(&m, 1), xlm_dtype_name(wanted->type.dtype));
  if (from->run->microbatch != to->run->microbatch)
    return xlm_verify_fail(
        v, "%s would be received by %s, another microbatch: messages arrive in the order sent", who(&m, 0),
        who(&m, 1));
  return true;
}
