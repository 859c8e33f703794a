// One stage of the plan as data: its tensors with the instructions between which each is live, its
// instructions, and their order. The page derives the drawings of memory and of the graph from these.
#include <string.h>

#include "compiler/report/html_priv.h"
#include "runtime/plan/traffic.h"

typedef struct life {
  int64_t first, last; // instructions; first = -1: always live, last = -1: permanent
  bool used;
} life;

static uint32_t root_of(const xlm_rank_plan *r, uint32_t t) {
  while (r->tensors[t].view_of) t = r->tensors[t].view_of;
  return t;
}

static bool shown(const xlm_html *h, const xlm_rank_plan *r, uint32_t s) {
  return xlm_segment_program(r->segments[s].kind) == h->program && xlm_plan_whole(r, s) == s;
}

// The page's segments and instructions are those of the program, from 0 on.
typedef struct origin {
  uint32_t segment, instr;
} origin;

static origin origin_of(const xlm_html *h, const xlm_rank_plan *r) {
  uint32_t s = 0;
  while (s < r->n_segments && !shown(h, r, s)) s++;
  return s < r->n_segments ? (origin){s, r->segments[s].first} : (origin){0, 0};
}

static const xlm_segment *segment_of(const xlm_rank_plan *r, uint32_t instr) {
  for (uint32_t s = 0; s < r->n_segments; s++)
    if (instr >= r->segments[s].first && instr < r->segments[s].first + r->segments[s].n)
      return &r->segments[s];
  return NULL;
}

static void touch(const xlm_rank_plan *r, life *lives, uint32_t tensor, uint32_t instr) {
  uint32_t root = root_of(r, tensor);
  for (uint32_t t = tensor; t != root; t = r->tensors[t].view_of) lives[t].used = true;
  if (!lives[root].used || lives[root].first < 0) lives[root].first = instr;
  lives[root].last = instr;
  lives[root].used = true;
}

static life *find_lives(const xlm_html *h, const xlm_rank_plan *r) {
  life *lives = XLM_NEW_N(h->a, life, r->n_tensors);
  for (uint32_t i = 0; i < r->n_tensors; i++) lives[i].first = lives[i].last = -1;
  for (uint32_t s = 0; s < r->n_segments; s++)
    for (uint32_t i = r->segments[s].first; shown(h, r, s) && i < r->segments[s].first + r->segments[s].n;
         i++) {
      for (int k = 0; k < r->instrs[i].n_in; k++) touch(r, lives, r->instrs[i].in[k], i);
      for (int k = 0; k < r->instrs[i].n_out; k++) touch(r, lives, r->instrs[i].out[k], i);
    }
  for (uint32_t i = 0; i < r->n_outputs; i++) lives[root_of(r, r->outputs[i].tensor)].last = -1;
  for (uint32_t i = 1; i < r->n_tensors; i++) {
    bool stays = r->tensors[i].area == XLM_AREA_STATE || r->tensors[i].area == XLM_AREA_IO;
    if (stays) lives[i].first = lives[i].last = -1, lives[i].used |= !r->tensors[i].view_of;
  }
  for (uint32_t i = 0; i < r->n_inputs; i++) { // in slots: filled when the forward of its chunk begins
    uint32_t t = r->inputs[i].tensor[XLM_PROGRAM_TRAIN];
    if (xlm_area_has_slots(r->tensors[t].area) && lives[t].used)
      lives[t].first = segment_of(r, (uint32_t)lives[t].first)->first;
  }
  return lives;
}

static void tensor(xlm_html *h, const xlm_plan *p, const xlm_rank_plan *r, uint32_t i, const life *l,
                   origin from) {
  const xlm_tensor *t = &r->tensors[i];
  xlm_html_open(h, NULL, "[");
  if (l->used) {
    xlm_html_text(h, NULL, t->name);
    xlm_html_text(h, NULL, xlm_html_type(h->a, &t->type, r->dims, &p->mesh));
    xlm_html_int(h, NULL, t->category);
    xlm_html_int(h, NULL, t->area);
    xlm_html_int(h, NULL, (int64_t)t->bytes);
    xlm_html_int(h, NULL, l->first < 0 ? -1 : l->first - from.instr);
    xlm_html_int(h, NULL, l->last < 0 ? -1 : l->last - from.instr);
    xlm_html_int(h, NULL, t->line);
    xlm_html_int(h, NULL, t->view_of);
    xlm_html_int(h, NULL, xlm_html_split(&t->type, r->dims));
    xlm_html_int(h, NULL, t->partial);
  }
  xlm_html_close(h, "]");
}

static void list(xlm_html *h, const uint32_t *at, int n) {
  xlm_html_open(h, NULL, "[");
  for (int i = 0; i < n; i++) xlm_html_int(h, NULL, at[i]);
  xlm_html_close(h, "]");
}

static double seconds_of(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                         const xlm_instr *in) {
  bool communicates;
  return c ? xlm_estimate_instr(c, p, r, in, &communicates) + xlm_estimate_message(c, p, r, in) : 0;
}

static void op(xlm_html *h, const xlm_plan *p, const xlm_rank_plan *r, const xlm_instr *in, uint32_t segment,
               const xlm_cluster *c) {
  int axis, kind = xlm_html_kind(in->op);
  uint64_t wire = xlm_traffic_bytes(&p->mesh, r->coord, in, r->tensors, r->dims, &axis);
  xlm_html_open(h, NULL, "[");
  xlm_html_text(h, NULL, xlm_op_name(in->op));
  xlm_html_text(h, NULL, xlm_html_label(h->a, in->op, &in->attrs));
  xlm_html_text(h, NULL, in->scope);
  xlm_html_int(h, NULL, xlm_html_line(r, in));
  list(h, in->in, in->n_in);
  list(h, in->out, in->n_out);
  xlm_html_number(h, NULL, in->flops);
  xlm_html_number(h, NULL, in->bytes);
  xlm_html_int(h, NULL, (int64_t)in->workspace);
  xlm_html_int(h, NULL, segment);
  xlm_html_int(h, NULL, kind);
  xlm_json_put_rounded(&h->json, NULL, seconds_of(c, p, r, in), 4);
  xlm_html_attrs(h, &in->attrs);
  if (kind) {
    xlm_html_int(h, NULL,
                 kind == XLM_HTML_COLLECTIVE ? xlm_attr_int(&in->attrs, XLM_A_axes, 0)
                                             : xlm_attr_int(&in->attrs, XLM_A_peer, 0));
    xlm_html_int(h, NULL, (int64_t)wire);
  }
  xlm_html_close(h, "]");
}

static void ops(xlm_html *h, const xlm_plan *p, const xlm_rank_plan *r, const xlm_cluster *c, origin from) {
  xlm_html_open(h, "ops", "[");
  for (uint32_t s = 0; s < r->n_segments; s++)
    for (uint32_t i = r->segments[s].first; shown(h, r, s) && i < r->segments[s].first + r->segments[s].n;
         i++)
      op(h, p, r, &r->instrs[i], s - from.segment, c);
  xlm_html_close(h, "]");
}

static void segments(xlm_html *h, const xlm_rank_plan *r, origin from) {
  xlm_html_open(h, "segments", "[");
  for (uint32_t s = 0; s < r->n_segments; s++) {
    const xlm_segment *g = &r->segments[s];
    if (!shown(h, r, s)) continue;
    xlm_html_open(h, NULL, "[");
    xlm_html_text(h, NULL, xlm_segment_name(g->kind));
    xlm_html_int(h, NULL, g->chunk);
    xlm_html_int(h, NULL, g->first - from.instr);
    xlm_html_int(h, NULL, g->n);
    xlm_html_close(h, "]");
  }
  xlm_html_close(h, "]");
}

static void run(xlm_html *h, uint32_t segment, int32_t microbatch, const int32_t *slot) {
  xlm_html_open(h, NULL, "[");
  xlm_html_int(h, NULL, segment);
  xlm_html_int(h, NULL, microbatch);
  for (int k = 0; k < XLM_SLOT_AREAS; k++) xlm_html_int(h, NULL, slot[k]);
  xlm_html_close(h, "]");
}

static void runs(xlm_html *h, const xlm_rank_plan *r) {
  xlm_html_open(h, "runs", "[");
  for (uint32_t i = 0; i < r->n_schedule && h->program == XLM_PROGRAM_TRAIN; i++)
    run(h, xlm_plan_whole(r, r->schedule[i].segment), r->schedule[i].microbatch, r->schedule[i].slot);
  if (h->program != XLM_PROGRAM_TRAIN) run(h, 0, -1, (const int32_t[XLM_SLOT_AREAS]){-1, -1, -1});
  xlm_html_close(h, "]");
}

void xlm_html_stage(xlm_html *h, const xlm_plan *p, const xlm_rank_plan *r, const xlm_cluster *c) {
  life *lives = find_lives(h, r);
  origin from = origin_of(h, r);
  xlm_html_open(h, "tensors", "[");
  for (uint32_t i = 0; i < r->n_tensors; i++) tensor(h, p, r, i, &lives[i], from);
  xlm_html_close(h, "]");
  ops(h, p, r, c, from);
  segments(h, r, from);
  runs(h, r);
}
