// `xlmc plan --format program`: every instruction on one line, for reading and for tests. (JSON is the form
// that can be read back, runtime/plan.)
#include "compiler/report/report.h"

static const char *const areas[XLM_AREAS] = {"state", "io", "fb", "fw", "bw", "temp"};

static void type(const xlm_rank_plan *r, const xlm_type *t, xlm_text *out) {
  xlm_text_printf(out, "%s[", xlm_dtype_name(t->dtype));
  for (int i = 0; i < t->rank; i++) {
    const xlm_dim_info *d = &r->dims[t->dim[i]];
    xlm_text_printf(out, "%s%s %lld", i ? ", " : "", d->name, (long long)d->size);
    if (d->full != d->size) xlm_text_printf(out, " of %lld", (long long)d->full);
  }
  xlm_text_add(out, "]");
}

static void place(const xlm_rank_plan *r, uint32_t t, xlm_text *out) {
  const xlm_tensor *x = &r->tensors[t];
  if (x->view_of)
    xlm_text_printf(out, " in t%u", x->view_of);
  else
    xlm_text_printf(out, " at %s+%llu", areas[x->area], (unsigned long long)x->offset);
}

static void tensor_line(const xlm_rank_plan *r, const char *what, const char *name, uint32_t t,
                        xlm_text *out) {
  xlm_text_printf(out, "  %s t%u %s: ", what, t, name);
  type(r, &r->tensors[t].type, out);
  place(r, t, out);
  xlm_text_add(out, "\n");
}

static void tables(const xlm_rank_plan *r, xlm_text *out) {
  for (uint32_t i = 0; i < r->n_states; i++)
    tensor_line(r, xlm_enum_name(XLM_ENUM_ROLE, r->states[i].role), r->states[i].name, r->states[i].tensor,
                out);
  for (uint32_t i = 0; i < r->n_inputs; i++) {
    const xlm_plan_input *in = &r->inputs[i];
    for (int p = 0; p < XLM_PROGRAMS; p++) {
      const char *program = p ? xlm_program_name((xlm_program_id)p) : "";
      const char *what = xlm_arena_printf(out->arena, "%s%sinput", program, *program ? " " : "");
      if (in->tensor[p]) tensor_line(r, what, in->name, in->tensor[p], out);
    }
  }
  for (uint32_t i = 0; i < r->n_outputs; i++)
    tensor_line(r, xlm_enum_name(XLM_ENUM_OUTPUT_ROLE, r->outputs[i].role), r->outputs[i].name,
                r->outputs[i].tensor, out);
}

static void segment_name(const xlm_rank_plan *r, uint32_t s, xlm_text *out) {
  xlm_text_printf(out, "%s", xlm_segment_name(r->segments[s].kind));
  if (r->segments[s].chunk) xlm_text_printf(out, ".%d", r->segments[s].chunk);
  if (r->segments[s].variant) xlm_text_printf(out, "/%s", xlm_variant_name(r->segments[s].variant));
}

static void schedule(const xlm_rank_plan *r, xlm_text *out) {
  xlm_text_add(out, "  schedule");
  for (uint32_t i = 0; i < r->n_schedule; i++) {
    xlm_text_add(out, i ? ", " : " ");
    segment_name(r, r->schedule[i].segment, out);
    if (r->schedule[i].microbatch >= 0) xlm_text_printf(out, " %d", r->schedule[i].microbatch);
    for (int k = 0; k < XLM_SLOT_AREAS; k++)
      if (r->schedule[i].slot[k] >= 0)
        xlm_text_printf(out, " %s%d", areas[XLM_FIRST_SLOT_AREA + k], r->schedule[i].slot[k]);
  }
  xlm_text_add(out, "\n");
}

static void instruction(const xlm_rank_plan *r, const xlm_segment *s, uint32_t i, xlm_text *out) {
  const xlm_instr *in = &r->instrs[i];
  xlm_text_printf(out, "  %4u ", i - s->first + 1);
  for (int k = 0; k < in->n_out; k++) {
    xlm_text_printf(out, "%st%u ", k ? ", " : "", in->out[k]);
    type(r, &r->tensors[in->out[k]].type, out);
    place(r, in->out[k], out);
  }
  xlm_text_printf(out, "%s%s", in->n_out ? " = " : "", xlm_op_name(in->op));
  if (in->variant && *in->variant) xlm_text_printf(out, "/%s", in->variant);
  xlm_text_add(out, "(");
  for (int k = 0; k < in->n_in; k++) xlm_text_printf(out, "%st%u", k ? ", " : "", in->in[k]);
  xlm_text_add(out, xlm_attr_int(&in->attrs, XLM_A_store, 0) ? ") store" : ")");
  if (in->stream == XLM_STREAM_COMM) xlm_text_add(out, " comm");
  if (in->after) xlm_text_printf(out, " after %u", in->after - s->first);
  if (in->workspace)
    xlm_text_printf(out, " workspace %llu at temp+%llu", (unsigned long long)in->workspace,
                    (unsigned long long)in->workspace_at);
  xlm_text_add(out, "\n");
}

static void ranks_of(const xlm_plan *p, uint32_t c, xlm_text *out) {
  bool any = false;
  for (uint32_t rank = 0; rank < p->n_ranks; rank++) {
    if (p->rank_plan_of[rank] != c) continue;
    xlm_text_printf(out, "%s%u", any ? ", " : "", rank);
    any = true;
  }
}

static void rank_plan(const xlm_plan *p, uint32_t c, xlm_text *out) {
  const xlm_rank_plan *r = p->rank_plans[c];
  xlm_text_printf(out, "\nrank plan %u, of rank ", c);
  ranks_of(p, c, out);
  xlm_text_printf(out, ": stage %d, %llu bytes\n", r->stage, (unsigned long long)r->arena_bytes);
  for (int a = 0; a < XLM_AREAS; a++)
    if (r->area_bytes[a])
      xlm_text_printf(out, "  area %s: %llu bytes at %llu\n", areas[a], (unsigned long long)r->area_bytes[a],
                      (unsigned long long)r->area_begin[a]);
  tables(r, out);
  schedule(r, out);
  for (uint32_t s = 0; s < r->n_segments; s++) {
    xlm_text_add(out, "  segment ");
    segment_name(r, s, out);
    xlm_text_add(out, "\n");
    for (uint32_t i = 0; i < r->segments[s].n; i++)
      instruction(r, &r->segments[s], r->segments[s].first + i, out);
  }
}

void xlm_report_plan_program(const xlm_plan *p, xlm_text *out) {
  xlm_arena *a = out->arena;
  xlm_text_printf(out, "plan of %s, %s", p->model, xlm_text_plural(a, p->n_ranks, "rank"));
  for (int i = 0; i < p->mesh.n; i++)
    xlm_text_printf(out, "%s%s %d", i ? " x " : " = ", p->mesh.axis[i], p->mesh.size[i]);
  xlm_text_printf(out, ", %s of %s\n", xlm_text_plural(a, p->microbatches, "microbatch"),
                  xlm_text_plural(a, p->batch, "sample"));
  xlm_text_printf(out, "for %s %s, aligned to %u bytes\n", p->target.backend, p->target.arch,
                  p->target.align);
  for (uint32_t c = 0; c < p->n_rank_plans; c++) rank_plan(p, c, out);
}
