// See tracer_priv.h.
#include <stdlib.h>
#include <string.h>

#include "runtime/plan/mesh.h"
#include "runtime/train/tracer_priv.h"

static double seconds(int64_t ns) {
  return 1e-9 * (double)ns;
}

static int64_t peer_of(const xlm_plan *p, int64_t rank, const xlm_instr *in) {
  int32_t coord[XLM_MAX_AXES];
  int pp = xlm_mesh_axis(&p->mesh, "pp");
  XLM_ASSERT(pp >= 0, "`%s` without a pipeline", xlm_op_name(in->op));
  xlm_mesh_coord(&p->mesh, rank, coord);
  coord[pp] = (int32_t)xlm_attr_int(&in->attrs, XLM_A_peer, 0);
  return xlm_mesh_rank(&p->mesh, coord);
}

// Uses the start of the send, since the receiver may have the message before the send ends.
static void note_message(xlm_trace_page *p, int64_t rank, xlm_stream stream, const xlm_instr *in,
                         const xlm_record_entry *e) {
  bool sends = xlm_op_sends(in->op);
  if (!sends && !xlm_op_receives(in->op)) return;
  int64_t peer = peer_of(p->plan, rank, in);
  xlm_trace_ends *l = sends ? &p->sent : &p->received;
  xlm_trace_end end = {.from = sends ? rank : peer,
                       .to = sends ? peer : rank,
                       .tag = (int32_t)xlm_attr_int(&in->attrs, XLM_A_tag, 0),
                       .order = l->n,
                       .at = {rank, stream, seconds(sends ? e->begin : e->end - 1)}}; // within the slices
  XLM_PUSH(p->arena, l->at, l->n, l->cap, end);
}

static void add_instrs(xlm_trace_page *p, int64_t rank, const xlm_rank_plan *rp, xlm_stream stream,
                       const xlm_record_list *l) {
  for (uint32_t i = 0; i < l->n; i++) {
    const xlm_record_entry *e = &l->at[i];
    const xlm_instr *in = &rp->instrs[e->index];
    xlm_trace_instr(&p->json, XLM_TRACE_MEASURED, rank, stream, p->plan, in, seconds(e->begin),
                    seconds(e->end));
    note_message(p, rank, stream, in, e);
  }
}

void xlm_trace_page_rank(xlm_trace_page *p, int64_t rank, const xlm_record *r) {
  const xlm_rank_plan *rp = p->plan->rank_plans[p->plan->rank_plan_of[rank]];
  for (int i = 0; i < XLM_STREAMS; i++)
    if (i == XLM_STREAM_KERNELS || r->instrs[i].n)
      xlm_trace_track(&p->json, XLM_TRACE_MEASURED, rank, (xlm_stream)i, rp->stage);
  for (uint32_t i = 0; i < r->runs.n; i++) {
    const xlm_record_entry *e = &r->runs.at[i];
    const xlm_segment_run *run = &rp->schedule[e->index];
    xlm_trace_slice(&p->json, XLM_TRACE_MEASURED, rank, &rp->segments[run->segment], run->microbatch,
                    p->chunks, seconds(e->begin), seconds(e->end));
  }
  for (int i = 0; i < XLM_STREAMS; i++) add_instrs(p, rank, rp, (xlm_stream)i, &r->instrs[i]);
}

// ---- messages ----

static int by_route(const xlm_trace_end *a, const xlm_trace_end *b) {
  if (a->from != b->from) return a->from < b->from ? -1 : 1;
  if (a->to != b->to) return a->to < b->to ? -1 : 1;
  return (a->tag > b->tag) - (a->tag < b->tag);
}

static int earlier(const void *x, const void *y) {
  const xlm_trace_end *a = x, *b = y;
  int route = by_route(a, b);
  return route ? route : (a->order > b->order) - (a->order < b->order);
}

void xlm_trace_page_messages(xlm_trace_page *p) {
  uint32_t n = p->sent.n;
  XLM_ASSERT(n == p->received.n, "%u messages sent, %u received", n, p->received.n);
  if (!n) return;
  qsort(p->sent.at, n, sizeof *p->sent.at, earlier);
  qsort(p->received.at, n, sizeof *p->received.at, earlier);
  for (uint32_t i = 0; i < n; i++) {
    XLM_ASSERT(!by_route(&p->sent.at[i], &p->received.at[i]), "message %u was not received", i);
    xlm_trace_message(&p->json, XLM_TRACE_MEASURED, i, p->sent.at[i].at, p->received.at[i].at);
  }
}
