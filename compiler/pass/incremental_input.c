// The inputs of decoding: those of the model that lie along the sequence, at the chunk's places; see
// incremental.h.
//
// A model that is trained with the whole target shifts it by itself, so that what it computes at a place knows
// the tokens before. In decoding that token is the last one that is there: it is given in the place of the one
// that is to be chosen. So such an input is `late`: its row i is that of place start + i - 1, and `shift` has
// one place less to go.
#include <string.h>

#include "compiler/pass/incremental_priv.h"

// Ids of a record, one for each place: the tokens of the text.
static bool is_text(const xlm_step *s, const xlm_node_info *n) {
  const xlm_type *t = xlm_val_type(s->g, n->out);
  xlm_dim vocab[XLM_MAX_RANK];
  return xlm_attr_enum(&n->attrs, XLM_A_feed, XLM_INPUT_TOKENS) == XLM_INPUT_RECORD && t->dtype == XLM_I32 &&
         t->rank == 2 && xlm_type_find(t, s->all.seq) >= 0 && xlm_type_find(t, s->all.batch) >= 0 &&
         xlm_attr_dims(&n->attrs, XLM_A_vocab, vocab) && !xlm_attr_int(&n->attrs, XLM_A_start, 0);
}

void xlm_step_find_late(xlm_step *s) {
  const xlm_graph *g = s->g;
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (s->live[id] && xlm_node_is(&g->nodes[id], XLM_LEAF_INPUT))
      s->late[g->nodes[id].out] = is_text(s, &g->nodes[id]);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    for (int i = 0; s->live[id] && i < n->n_in; i++) {
      if (!s->late[n->in[i]]) continue;
      xlm_reach r = xlm_node_reach(g, id, s->sequence);
      s->late[n->in[i]] = r.along == XLM_ALONG_BACK && r.before > 0 && r.back > 0 && n->n_in == 1;
    }
  }
}

xlm_val xlm_step_counted_input(xlm_step *s, const char *name, xlm_input_role role) {
  xlm_attr_list l = xlm_attr_list_new(s->out->arena);
  xlm_attr_put_text(&l, XLM_A_name, name);
  xlm_attr_put_enum(&l, XLM_A_feed, role);
  xlm_attr_put_enum(&l, XLM_A_dtype, XLM_I32);
  xlm_attr_put_dims(&l, XLM_A_dims, &s->all.batch, 1);
  xlm_val v = xlm_emit(&s->all.b, XLM_OP_INPUT, NULL, 0, &l);
  xlm_val_at(s->out, v)->name = name;
  return v;
}

// In a dimension with a prefix the places are those of the text and `prefix`; of a chunk of the prefix no place is
// in the text.
void xlm_step_make_places(xlm_step *s) {
  xlm_chunks *all = &s->all;
  xlm_build *b = &all->b;
  xlm_val start = xlm_step_counted_input(s, "decode/start", XLM_INPUT_START);
  xlm_val count = xlm_step_counted_input(s, "decode/count", XLM_INPUT_COUNT);
  all->start[0] = start, all->count[0] = count;
  if (!all->joined) return;
  all->start[1] = xlm_op2(b, XLM_OP_ADD, start, xlm_scalar(b, (double)s->before[all->joined])), all->count[1] = count;
  all->start[0] = xlm_op2(b, XLM_OP_MAX, start, xlm_scalar(b, 0));
  xlm_val zero = xlm_op2(b, XLM_OP_SUB, count, count);
  all->count[0] = xlm_op3(b, XLM_OP_WHERE, xlm_op2(b, XLM_OP_LT, start, xlm_scalar(b, 0)), zero, count);
}

// v, but zero at place 0.
static xlm_val after_first(xlm_step *s, xlm_val v) {
  xlm_build *b = &s->all.b;
  xlm_type t = *xlm_val_type(s->out, v);
  xlm_val places = xlm_chunk_positions(&s->all, s->all.chunk), zero = xlm_op2(b, XLM_OP_SUB, places, places);
  xlm_val behind = xlm_op2(b, XLM_OP_LT, zero, places);
  return xlm_order_to(b, xlm_op3(b, XLM_OP_WHERE, behind, v, xlm_order_to(b, zero, &t)), &t);
}

static bool has_tokens(const xlm_step *s) {
  for (xlm_node n = 1; n < s->out->n_nodes; n++)
    if (xlm_node_is(&s->out->nodes[n], XLM_LEAF_INPUT) &&
        !strcmp(xlm_attr_text(&s->out->nodes[n].attrs, XLM_A_name, ""), "decode/tokens"))
      return true;
  return false;
}

static bool emit_text(xlm_step *s, const xlm_node_info *n, const xlm_type *t) {
  xlm_attr_list l = xlm_attr_list_from(s->out->arena, &n->attrs);
  if (has_tokens(s))
    return xlm_step_refuse(s, n->span,
                           xlm_arena_printf(s->out->arena, "the input `%s` is the second one along `%s`",
                                            xlm_attr_text(&n->attrs, XLM_A_name, ""),
                                            s->g->dims[s->all.seq].name),
                           "a text has one token at each place: read the same tensor of the record, or `shift` "
                           "the tokens of the other input");
  xlm_attr_put_text(&l, XLM_A_name, "decode/tokens");
  xlm_attr_put_enum(&l, XLM_A_feed, XLM_INPUT_TOKENS);
  xlm_attr_drop(&l, XLM_A_source);
  xlm_attr_put_dims(&l, XLM_A_dims, t->dim, t->rank);
  xlm_val v = xlm_emit(&s->all.b, XLM_OP_INPUT, NULL, 0, &l);
  xlm_val_at(s->out, v)->name = "decode/tokens";
  s->map[n->out] = s->late[n->out] ? after_first(s, v) : v;
  return true;
}

bool xlm_step_emit_input(xlm_step *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  xlm_attr_list l = xlm_attr_list_from(s->out->arena, &n->attrs);
  xlm_type t = *xlm_val_type(s->g, n->out);
  const char *source = xlm_attr_text(&n->attrs, XLM_A_source, ""),
             *name = xlm_attr_text(&n->attrs, XLM_A_name, "");
  xlm_build *b = &s->all.b;
  if (xlm_attr_int(&n->attrs, XLM_A_start, 0))
    return xlm_step_refuse(
        s, n->span, xlm_arena_printf(s->out->arena, "the input `%s` is the tokens after those given", name),
        "an output that depends on the next tokens cannot be computed before they are there");
  for (int i = 0; i < t.rank; i++) {
    if (s->before[t.dim[i]] > 0)
      return xlm_step_refuse(s, n->span,
                             xlm_arena_printf(s->out->arena, "the input `%s` lies along `%s`, the text with what stands before it", name,
                                              s->g->dims[t.dim[i]].name),
                             "give it the dimension `seq`, and join it as the tokens are");
    if (t.dim[i] == s->all.seq) t.dim[i] = s->all.chunk;
  }
  bool positions = !strcmp(source, "positions"), documents = !strcmp(source, "documents");
  if (positions || documents) { // the text is one document
    xlm_val places = xlm_chunk_positions(&s->all, s->all.chunk);
    s->map[n->out] = xlm_order_to(b, positions ? places : xlm_op2(b, XLM_OP_SUB, places, places), &t);
    return true;
  }
  if (is_text(s, n)) return emit_text(s, n, &t);
  xlm_attr_put_dims(&l, XLM_A_dims, t.dim, t.rank);
  s->map[n->out] = xlm_emit(b, XLM_OP_INPUT, NULL, 0, &l);
  return true;
}
