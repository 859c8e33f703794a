// input: a leaf that is filled from the data, with a part of each sample of the batch.
//
// A sample has named tensors. A stream of tokens has one, `tokens`; records have any. So an input says which
// of them it is: `from NAME`. Ids have a bound (`of D`), other numbers have none. Two inputs without a source
// are the usual ones of a language model: the stream of tokens, and the token after each.
#include <inttypes.h>
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"
#include "runtime/plan/plan.h"

typedef struct xlm_el_source { // a tensor of a sample, as the first input that reads it declares it
  const char *name;
  const xlm_stmt *stmt;
  bool ids;
  xlm_el_shape shape; // without batch
  struct xlm_el_source *next;
} source;

static const char *stream = "tokens";

// The declaration with `rest` after its dimensions and vocabulary, for messages.
static const char *declared(xlm_el *e, const xlm_stmt *s, const char *rest) {
  return xlm_arena_printf(e->arena, "input %s%s%s%s%s", s->name->text, xlm_el_ast_text(e, s->tensor.dims),
                          s->tensor.of ? " of " : "", s->tensor.of ? s->tensor.of->text : "", rest);
}

static bool is_dim(const xlm_el *e, xlm_dim d, const char *name) {
  return !strcmp(e->g->dims[d].name, name);
}

static bool has_dim(const xlm_el *e, const xlm_el_shape *shape, const char *name) {
  for (int i = 0; i < shape->n; i++)
    if (is_dim(e, shape->dim[i], name)) return true;
  return false;
}

static xlm_el_shape without_batch(const xlm_el *e, const xlm_el_shape *shape) {
  xlm_el_shape out = {0};
  for (int i = 0; i < shape->n; i++)
    if (!is_dim(e, shape->dim[i], "batch")) out.dim[out.n++] = shape->dim[i];
  return out;
}

// ---- which part of a sample

static bool is_sequence(const xlm_el *e, const xlm_stmt *s, const xlm_el_shape *shape) {
  return s->tensor.of && shape->n == 2 && has_dim(e, shape, "seq");
}

static bool nothing_fills(xlm_el *e, const xlm_stmt *s, const xlm_el_shape *shape) {
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_INPUT, s->name->span, "no source for the input `%s`", s->name->text);
  const char *from = xlm_arena_printf(e->arena, " from %s", s->name->text);
  if (is_sequence(e, s, shape))
    xlm_diag_help(
        e->diags, g,
        "the first input is the stream of tokens and the second the token after each; for another place "
        "write %s, for another tensor of the data %s",
        declared(e, s, " from tokens shifted 2"), declared(e, s, from));
  else
    xlm_diag_help(e->diags, g, "say which tensor of the data fills it: %s", declared(e, s, from));
  return false;
}

static bool read_shift(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s, int64_t *shift) {
  *shift = 0;
  if (s->expr && !xlm_el_integer(e, f, s->expr, "a shift", shift)) return false;
  if (*shift >= 0 && *shift <= XLM_MAX_SHIFT) return true;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_INPUT, s->expr->span, "a shift of %" PRId64 " places", *shift);
  xlm_diag_help(e->diags, g, "an input looks 0 to %d places ahead", XLM_MAX_SHIFT);
  return false;
}

static bool find_source(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s, const xlm_el_shape *shape,
                        const char **name, int64_t *shift) {
  *name = s->tensor.from ? s->tensor.from->text : stream;
  if (s->tensor.from) return read_shift(e, f, s, shift);
  if (f->kind != XLM_FRAME_GLOBAL || !is_sequence(e, s, shape) || e->n_plain_inputs > 1)
    return nothing_fills(e, s, shape);
  *shift = e->n_plain_inputs++;
  return true;
}

// ---- its type

static bool has_batch(xlm_el *e, const xlm_stmt *s, const xlm_el_shape *shape) {
  if (has_dim(e, shape, "batch")) return true;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_INPUT, s->span, "the input `%s` has no dimension `batch`", s->name->text);
  xlm_diag_help(e->diags, g, "data comes as samples: input %s[batch, ..]; a constant is not an input",
                s->name->text);
  return false;
}

// In the prologue of a step an input has one dimension more.
static bool has_room(xlm_el *e, const xlm_stmt *s, const xlm_el_shape *shape) {
  if (shape->n < XLM_MAX_RANK) return true;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_INPUT, s->span, "the input `%s` has %d dimensions",
                              s->name->text, shape->n);
  xlm_diag_help(e->diags, g, "inputs have at most %d; merge some in the data and split them in the model",
                XLM_MAX_RANK - 1);
  return false;
}

static bool may_shift(xlm_el *e, const xlm_stmt *s, const xlm_el_shape *shape) {
  if (!s->expr || shape->n == 2) return true;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_INPUT, s->expr->span,
                              "`%s` has several dimensions beside `batch`, or none: nothing to shift along",
                              s->name->text);
  xlm_diag_help(e->diags, g, "`shifted` is for sequences: input %s[batch, seq]", s->name->text);
  return false;
}

// A window of a stream has as many tokens as `seq`.
static bool is_stream(xlm_el *e, const xlm_stmt *s, const xlm_el_shape *shape) {
  if (is_sequence(e, s, shape)) return true;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_INPUT, s->span, "`tokens` are ids [batch, seq], not %s%s",
                              xlm_el_ast_text(e, s->tensor.dims), s->tensor.of ? "" : " of real numbers");
  const char *from = xlm_arena_printf(e->arena, " from %s", s->name->text);
  xlm_diag_help(e->diags, g,
                "write input %s[batch, seq] of vocab from tokens, or name another tensor of the data: %s",
                s->name->text, declared(e, s, from));
  return false;
}

// ---- inputs that read the same tensor agree

static bool same_shape(const xlm_el_shape *a, const xlm_el_shape *b) {
  return a->n == b->n && (a->n == 1 || !memcmp(a->dim, b->dim, (size_t)a->n * sizeof *a->dim));
}

static bool agrees(xlm_el *e, const xlm_stmt *s, const char *name, const xlm_el_shape *shape) {
  source *x = e->sources;
  while (x && strcmp(x->name, name)) x = x->next;
  if (!x) {
    x = XLM_NEW(e->arena, source);
    *x = (source){.name = name, .stmt = s, .ids = s->tensor.of != NULL, .shape = *shape, .next = e->sources};
    e->sources = x;
    return true;
  }
  bool type = x->ids == (s->tensor.of != NULL);
  if (type && same_shape(&x->shape, shape)) return true;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_INPUT, s->span, "`%s` of the data has %s here", name,
                              type ? "other dimensions" : "another type");
  xlm_diag_label(e->diags, g, x->stmt->span, "than here");
  xlm_diag_help(
      e->diags, g,
      "inputs from one tensor have the same dimensions in the same order (a sequence may have another "
      "length), and all have `of` or none");
  return false;
}

xlm_el_value xlm_el_input(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  xlm_el_shape shape;
  const char *name;
  int64_t shift;
  if (xlm_el_home(f)->kind == XLM_FRAME_BLOCK) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_INPUT, s->span, "an input inside a block");
    xlm_diag_help(e->diags, g,
                  "declare it at the top level, where it is visible in every block, or in a repeat there");
    return xlm_el_bad();
  }
  if (!xlm_el_dim_list(e, f, s->tensor.dims, false, s->span, &shape)) return xlm_el_bad();
  xlm_dim vocab = s->tensor.of ? xlm_el_dim(e, f, s->tensor.of->text, s->tensor.of->span) : 0;
  if (s->tensor.of && !vocab) return xlm_el_bad();
  if (!has_batch(e, s, &shape) || !has_room(e, s, &shape) || !find_source(e, f, s, &shape, &name, &shift))
    return xlm_el_bad();
  bool tokens = !strcmp(name, stream);
  xlm_el_shape of_sample = without_batch(e, &shape);
  if (!may_shift(e, s, &shape) || (tokens && !is_stream(e, s, &shape)) || !agrees(e, s, name, &of_sample))
    return xlm_el_bad();
  xlm_attr_list attrs = xlm_attr_list_new(e->arena);
  if (vocab) xlm_attr_put_dims(&attrs, XLM_A_vocab, &vocab, 1);
  xlm_attr_put_enum(&attrs, XLM_A_feed, tokens ? XLM_INPUT_TOKENS : XLM_INPUT_RECORD);
  xlm_attr_put_text(&attrs, XLM_A_source, name);
  xlm_attr_put_int(&attrs, XLM_A_start, shift);
  xlm_attr_put_enum(&attrs, XLM_A_dtype, vocab ? XLM_I32 : xlm_el_wide(e));
  const char *path = xlm_el_unique(e, xlm_el_join(e, f->path, s->name->text)); // shared rounds have one path
  xlm_val val = xlm_el_leaf(e, XLM_OP_INPUT, path, &shape, s, &attrs);
  if (!val) return xlm_el_bad();
  xlm_el_value v = xlm_el_tensor(val);
  v.param = !vocab; // like a parameter: stored as f32, computed with in the type of the computation
  return v;
}
