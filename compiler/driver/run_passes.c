// Runs the passes of the table: checks what each needs, times it, verifies its graph in checked builds,
// maintains the graph's properties, and frees the graphs between two passes.
#include <string.h>

#include "compiler/driver/passes.h"
#include "compiler/driver/times.h"
#include "runtime/base/clock.h"

xlm_pass_id xlm_pass_find(const char *name, size_t n) {
  for (int i = XLM_PASS_END + 1; i < XLM_PASS_COUNT; i++)
    if (strlen(xlm_pass_table[i].name) == n && !strncmp(xlm_pass_table[i].name, name, n))
      return (xlm_pass_id)i;
  return XLM_PASS_END;
}

static const char *who_gives(uint32_t properties, xlm_arena *a) {
  xlm_text t = xlm_text_new(a);
  for (int i = XLM_PASS_END + 1; i < XLM_PASS_COUNT; i++)
    if (xlm_pass_table[i].gives & properties)
      xlm_text_printf(&t, "%s`%s`", t.n ? ", " : "", xlm_pass_table[i].name);
  return t.data;
}

const char *xlm_pass_unmet(xlm_pass_id id, const xlm_graph *g, xlm_arena *a) {
  const xlm_pass *p = &xlm_pass_table[id];
  uint32_t has = g ? g->properties : 0, missing = p->needs & ~has, wrong = p->excludes & has;
  if (!g != (id == XLM_PASS_ELABORATE))
    return xlm_arena_printf(a, g ? "`%s` takes a model text, not a graph" : "`%s` takes a graph", p->name);
  if (missing)
    return xlm_arena_printf(a, "`%s` needs a graph that is %s; first run %s", p->name,
                            xlm_properties_text(a, missing, " and "), who_gives(missing, a));
  if (wrong)
    return xlm_arena_printf(a, "`%s` cannot take a graph that is already %s", p->name,
                            xlm_properties_text(a, wrong, " and "));
  return NULL;
}

bool xlm_passes_prepare(xlm_pass_context *c, const xlm_pass_id *list, const xlm_graph *g) {
  for (; *list; list++) {
    const xlm_pass *p = &xlm_pass_table[*list];
    double start = xlm_clock_seconds();
    if (!p->prepare || (p->idle && p->idle(c))) continue;
    if (!p->prepare(c, g)) return false;
    xlm_times_add(c->options->times, p->name, 0, 0, xlm_clock_seconds() - start);
  }
  return true;
}

static xlm_graph *run(xlm_pass_context *c, xlm_pass_id id, const xlm_graph *g) {
  const xlm_pass *p = &xlm_pass_table[id];
  const char *unmet = xlm_pass_unmet(id, g, c->arena);
  XLM_ASSERT(!unmet, "%s", unmet);
  double start = xlm_clock_seconds();
  c->scratch = xlm_arena_child(c->arena);
  xlm_graph *out = p->of_graph ? p->of_graph(g, c->scratch) : p->run(c, g);
  xlm_arena_free(c->scratch);
  if (!out) return NULL;
  xlm_times_add(c->options->times, p->name, 1, out->n_nodes, xlm_clock_seconds() - start);
  uint32_t properties = ((g ? g->properties : 0) | p->gives) & ~p->breaks;
#ifdef XLM_CHECKED
  bool again = p->per_rank && out->properties == properties; // of another rank: already verified
  xlm_arena *scratch = xlm_arena_child(c->arena);
  const char *broken = again || c->options->figures_only ? NULL : xlm_graph_verify(out, scratch);
  XLM_ASSERT(!broken, "after %s: %s", p->name, broken);
  xlm_arena_free(scratch);
#endif
  out->properties = properties;
  return out;
}

xlm_graph *xlm_passes_run(xlm_pass_context *c, const xlm_pass_id *list, const xlm_graph *g) {
  xlm_graph *now = (xlm_graph *)(uintptr_t)g; // result of an empty list
  for (; *list; list++) {
    const xlm_pass *p = &xlm_pass_table[*list];
    if (!(p->idle && p->idle(c))) {
      xlm_graph *out = run(c, *list, now);
      if (now != g) xlm_passes_release(c, now);
      if (!(now = out)) return NULL;
    }
    if (*list != c->stop_after || ++c->runs != c->stop_run) continue;
    c->dump = now; // a pass with nothing to do leaves the graph unchanged
    c->stopped = true;
    return NULL;
  }
  return now;
}
