// See tracer.h.
#include "runtime/train/tracer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/base/philox.h"
#include "runtime/base/file.h"
#include "runtime/train/tracer_priv.h"

typedef struct note { // sent to the other processes
  uint64_t host;      // identifies its clock
  int64_t now;
  uint32_t runs, instrs[XLM_STREAMS]; // counts
} note;

struct xlm_tracer {
  xlm_team *team;
  xlm_tracer_options o;
  xlm_record *records;     // by member of the team
  note *notes;             // by process
  int64_t seen, traced;    // steps
  uint64_t host;           // identifies this process's clock
  int64_t origin;          // time 0
  int64_t *begins, *steps; // of the traced steps: start times and numbers
  bool recording, written;
};

// ---- clocks ----

// Processes in the same boot of a machine share a clock.
static uint64_t host_of_clock(void) {
  char name[256] = "";
  FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
  bool known = f && fgets(name, sizeof name, f);
  if (f) fclose(f);
  if (!known && gethostname(name, sizeof name - 1)) *name = 0;
  return xlm_hash_text(name);
}

// Per host, the time at which the first of its processes left the barrier.
static xlm_status agree_on_origin(xlm_tracer *t, xlm_error *err) {
  xlm_comm *peers = xlm_team_peers(t->team);
  note mine = {.host = t->host};
  if (peers && peers->backend->barrier(peers) != XLM_OK) {
    *err = peers->err;
    return err->status;
  }
  t->origin = mine.now = xlm_clock_ns();
  XLM_TRY(xlm_team_share(t->team, &mine, sizeof mine, t->notes, err));
  for (int k = 0; k < xlm_team_processes(t->team); k++)
    if (t->notes[k].host == mine.host && t->notes[k].now < t->origin) t->origin = t->notes[k].now;
  return XLM_OK;
}

static void count_from(xlm_record_list *l, int64_t origin) {
  for (uint32_t i = 0; i < l->n; i++) l->at[i].begin -= origin, l->at[i].end -= origin;
}

static void count_all_from(xlm_record *r, int64_t origin) {
  count_from(&r->runs, origin);
  for (int i = 0; i < XLM_STREAMS; i++) count_from(&r->instrs[i], origin);
}

// ---- the file ----

static xlm_status hand_list(xlm_tracer *t, int from, xlm_record_list *l, xlm_error *err) {
  return l->n ? xlm_team_hand(t->team, from, l->at, l->n * sizeof *l->at, err) : XLM_OK;
}

static xlm_status hand(xlm_tracer *t, int from, xlm_record *r, xlm_error *err) {
  XLM_TRY(hand_list(t, from, &r->runs, err));
  for (int i = 0; i < XLM_STREAMS; i++) XLM_TRY(hand_list(t, from, &r->instrs[i], err));
  return XLM_OK;
}

static xlm_record_list room_for(uint32_t n, xlm_arena *a) {
  return (xlm_record_list){XLM_NEW_N(a, xlm_record_entry, n), n, n};
}

// Adds the ranks of this process, then those of the others in order.
static xlm_status gather(xlm_tracer *t, xlm_trace_page *page, xlm_error *err) {
  int me = xlm_team_process(t->team);
  for (int i = 0; i < xlm_team_size(t->team); i++) {
    count_all_from(&t->records[i], t->origin);
    if (!me) xlm_trace_page_rank(page, xlm_team_rank(t->team, i), &t->records[i]);
  }
  if (me) return hand(t, me, &t->records[0], err);
  for (int k = 1; k < xlm_team_processes(t->team); k++) {
    xlm_record r = {.runs = room_for(t->notes[k].runs, page->arena)};
    for (int i = 0; i < XLM_STREAMS; i++) r.instrs[i] = room_for(t->notes[k].instrs[i], page->arena);
    XLM_TRY(hand(t, k, &r, err));
    xlm_trace_page_rank(page, k, &r);
  }
  return XLM_OK;
}

static void mark_steps(const xlm_tracer *t, xlm_trace_page *page) {
  for (int64_t i = 0; i < t->traced; i++)
    xlm_trace_mark(&page->json, XLM_TRACE_MEASURED,
                   xlm_arena_printf(page->arena, "step %lld", (long long)t->steps[i]),
                   1e-9 * (double)(t->begins[i] - t->origin));
}

static xlm_status write_page(xlm_tracer *t, xlm_arena *a, xlm_error *err) {
  const xlm_plan *plan = xlm_team_plan(t->team);
  xlm_trace_page page = {.plan = plan, .chunks = xlm_trace_chunks(plan), .arena = a};
  xlm_text text = xlm_text_new(a);
  xlm_json_to_text(&page.json, &text);
  xlm_trace_open(&page.json);
  if (t->o.planned) t->o.planned(t->o.planned_arg, a, &page.json);
  xlm_trace_process(&page.json, XLM_TRACE_MEASURED, plan->model);
  mark_steps(t, &page);
  XLM_TRY(gather(t, &page, err));
  if (xlm_team_process(t->team)) return XLM_OK;
  xlm_trace_page_messages(&page);
  xlm_trace_close(&page.json);
  xlm_text_add(&text, "\n");
  return xlm_file_replace(t->o.path, text.data, text.n, err);
}

static xlm_status write_in(xlm_tracer *t, xlm_arena *a, xlm_error *err) {
  if (a && XLM_ARENA_TRY(a)) return write_page(t, a, err);
  return xlm_fail(err, XLM_ENV, "no memory to write the trace '%s'", t->o.path);
}

static xlm_status write_file(xlm_tracer *t, xlm_error *err) {
  const xlm_record *r = &t->records[0];
  note mine = {.runs = r->runs.n, .instrs = {r->instrs[0].n, r->instrs[1].n}};
  t->written = true;
  xlm_team_at(t->team, "writing the trace");
  XLM_TRY(xlm_team_share(t->team, &mine, sizeof mine, t->notes, err));
  xlm_arena *a = xlm_arena_new((size_t)8 << 30);
  xlm_status s = write_in(t, a, err);
  xlm_arena_free(a);
  return s;
}

// ---- steps ----

xlm_status xlm_tracer_before(xlm_tracer *t, int64_t step, xlm_error *err) {
  if (!t) return XLM_OK;
  t->seen++;
  t->recording = t->seen >= t->o.first && t->seen <= t->o.last;
  if (!t->recording) return XLM_OK;
  if (t->seen == t->o.first) XLM_TRY(agree_on_origin(t, err));
  t->steps[t->traced] = step;
  t->begins[t->traced++] = xlm_clock_ns();
  for (int i = 0; i < xlm_team_size(t->team); i++) xlm_exec_record(xlm_team_exec(t->team, i), &t->records[i]);
  return XLM_OK;
}

xlm_status xlm_tracer_after(xlm_tracer *t, xlm_error *err) {
  if (!t || !t->recording) return XLM_OK;
  t->recording = false;
  for (int i = 0; i < xlm_team_size(t->team); i++) xlm_exec_record(xlm_team_exec(t->team, i), NULL);
  return t->seen == t->o.last ? write_file(t, err) : XLM_OK;
}

xlm_status xlm_tracer_finish(xlm_tracer *t, xlm_error *err) {
  return t && t->traced && !t->written ? write_file(t, err) : XLM_OK;
}

bool xlm_tracer_recording(const xlm_tracer *t) {
  return t && t->recording;
}

bool xlm_tracer_written(const xlm_tracer *t) {
  return t && t->written;
}

// ---- open ----

static xlm_status take_room(xlm_tracer *t, xlm_error *err) {
  size_t n = (size_t)(t->o.last - t->o.first + 1), members = (size_t)xlm_team_size(t->team);
  t->records = calloc(members, sizeof *t->records);
  t->notes = calloc((size_t)xlm_team_processes(t->team), sizeof *t->notes);
  t->begins = calloc(n, sizeof *t->begins);
  t->steps = calloc(n, sizeof *t->steps);
  if (!t->records || !t->notes || !t->begins || !t->steps)
    return xlm_fail(err, XLM_ENV, "no memory to record %zu steps", n);
  for (size_t i = 0; i < members; i++)
    XLM_TRY(
        xlm_record_open(&t->records[i], xlm_exec_rank_plan(xlm_team_exec(t->team, (int)i)), (int64_t)n, err));
  return XLM_OK;
}

xlm_status xlm_tracer_open(xlm_team *team, const xlm_tracer_options *o, xlm_tracer **out, xlm_error *err) {
  XLM_ASSERT(o->first >= 1 && o->last >= o->first, "steps %lld to %lld", (long long)o->first,
             (long long)o->last);
  *out = NULL;
  if (xlm_team_process(team) == 0) XLM_TRY(xlm_file_can_replace(o->path, err));
  xlm_tracer *t = calloc(1, sizeof *t);
  if (!t) return xlm_fail(err, XLM_ENV, "no memory for a trace");
  t->team = team;
  t->o = *o;
  t->host = host_of_clock();
  xlm_status s = take_room(t, err);
  if (s == XLM_OK)
    *out = t;
  else
    xlm_tracer_close(t);
  return s;
}

void xlm_tracer_close(xlm_tracer *t) {
  if (!t) return;
  for (int i = 0; t->records && i < xlm_team_size(t->team); i++) xlm_record_close(&t->records[i]);
  free(t->records);
  free(t->notes);
  free(t->begins);
  free(t->steps);
  free(t);
}
