// Placing: one arena per device. States and IO are permanent; everything else is live from its definition to
// its last use on its program's timeline and is placed by offline first fit, largest first: each tensor gets
// the lowest offset that is free for its whole lifetime. Programs never run at the same time, so their
// temporaries share one area. Workspace is live for one instruction.
#include <stdlib.h>
#include <string.h>

#include "compiler/planner/gaps.h"
#include "compiler/planner/lower_priv.h"
#include "compiler/schedule/schedule.h"

typedef struct item {
  uint32_t tensor; // or, for workspace, the instruction
  bool scratch;
  uint32_t begin, end;
  uint64_t bytes, offset;
  xlm_category category;
  uint32_t order;
} item;

static uint64_t aligned(const xlm_lowering *l, uint64_t n) {
  uint64_t mask = l->options.target.align - 1;
  return (n + mask) & ~mask;
}

static int larger_first(const void *pa, const void *pb) {
  const item *a = pa, *b = pb;
  if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
  return a->order < b->order ? -1 : 1;
}

// Tensors that are placed together: a range of positions on a program's timeline.
typedef struct timeline {
  int program;
  xlm_area area;        // TEMP or one with slots
  uint32_t first, end;  // positions [first, end)
  uint32_t first_instr; // instruction at position 0 of the program
} timeline;

static uint64_t place_items(xlm_lowering *l, item *items, uint32_t n) {
  xlm_gaps *gaps = xlm_gaps_new(l->scratch);
  uint64_t top = 0;
  qsort(items, n, sizeof *items, larger_first);
  for (uint32_t i = 0; i < n; i++) {
    item *it = &items[i];
    it->offset = xlm_gaps_lowest(gaps, it->begin, it->end, it->bytes);
    xlm_gaps_take(gaps, it->begin, it->end, it->offset, it->bytes);
    if (it->offset + it->bytes > top) top = it->offset + it->bytes;
  }
  return top;
}

static bool is_of(const xlm_segment *s, int program) {
  return (int)xlm_segment_program(s->kind) == program;
}

static uint32_t first_instr(const xlm_lowering *l, int program) {
  for (uint32_t s = 0; s < l->n_segments; s++)
    if (is_of(&l->segments[s], program)) return l->segments[s].first;
  return 0;
}

static uint32_t program_end(const xlm_lowering *l, int program) {
  uint32_t end = 0, first = first_instr(l, program);
  for (uint32_t s = 0; s < l->n_segments; s++)
    if (is_of(&l->segments[s], program)) end = l->segments[s].first + l->segments[s].n - first;
  return end;
}

static item *collect(xlm_lowering *l, const timeline *line, uint32_t *n) {
  item *items = XLM_NEW_N(l->scratch, item, l->n_tensors + (line->end - line->first));
  for (uint32_t t = 1; t < l->n_tensors; t++) {
    const xlm_lifetime *life = &l->life[t];
    if (!life->placed || life->program != line->program || l->tensors[t].area != line->area) continue;
    if (life->begin < line->first || life->begin >= line->end) continue;
    items[*n] = (item){.tensor = t,
                       .begin = life->begin,
                       .end = life->end,
                       .bytes = aligned(l, l->tensors[t].bytes),
                       .category = l->tensors[t].category,
                       .order = *n};
    (*n)++;
  }
  for (uint32_t i = line->first; line->area == XLM_AREA_TEMP && i < line->end; i++) {
    uint64_t bytes = aligned(l, l->instrs[line->first_instr + i].workspace);
    if (!bytes) continue;
    items[*n] = (item){.tensor = line->first_instr + i,
                       .scratch = true,
                       .begin = i,
                       .end = l->scratch_end[line->first_instr + i],
                       .bytes = bytes,
                       .category = XLM_CATEGORY_WORKSPACE,
                       .order = *n};
    (*n)++;
  }
  return items;
}

static void write_back(xlm_lowering *l, const item *items, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if (items[i].scratch)
      l->instrs[items[i].tensor].workspace_at = items[i].offset;
    else
      l->tensors[items[i].tensor].offset = items[i].offset;
}

typedef struct peak {
  uint64_t bytes, by_category[XLM_CATEGORIES];
  uint32_t instr;
} peak;

// The position with the most live bytes, and what they consist of.
static peak find_peak(xlm_lowering *l, const item *items, uint32_t n, const timeline *line) {
  uint32_t length = line->end - line->first;
  int64_t *delta = XLM_NEW_N(l->scratch, int64_t, length + 1);
  for (uint32_t i = 0; i < n; i++) {
    delta[items[i].begin - line->first] += (int64_t)items[i].bytes;
    if (items[i].end < line->end) delta[items[i].end + 1 - line->first] -= (int64_t)items[i].bytes;
  }
  peak p = {0};
  int64_t live = 0;
  uint32_t at = line->first;
  for (uint32_t i = 0; i < length; i++) {
    live += delta[i];
    if ((uint64_t)live > p.bytes) p.bytes = (uint64_t)live, at = line->first + i;
  }
  p.instr = line->first_instr + at;
  for (uint32_t i = 0; i < n; i++)
    if (items[i].begin <= at && at <= items[i].end) p.by_category[items[i].category] += items[i].bytes;
  return p;
}

// Places one timeline; *most is the highest peak of those that share memory. Returns the bytes used.
static uint64_t place_line(xlm_lowering *l, const timeline *line, peak *most) {
  uint32_t n = 0;
  item *items = collect(l, line, &n);
  uint64_t top = place_items(l, items, n);
  write_back(l, items, n);
  peak p = find_peak(l, items, n, line);
  if (p.bytes > most->bytes) *most = p;
  return top;
}

static const xlm_segment *segment_at(const xlm_lowering *l, uint32_t position) { // of the training step
  if (position == UINT32_MAX) return NULL;
  uint32_t at = first_instr(l, 0) + position;
  for (uint32_t s = 0; s < l->n_segments; s++)
    if (is_of(&l->segments[s], XLM_PROGRAM_TRAIN) && at >= l->segments[s].first &&
        at < l->segments[s].first + l->segments[s].n)
      return &l->segments[s];
  return NULL;
}

// With several microbatches in flight: values within a segment are temporary, values that live from one
// segment of a microbatch to another are in slots, values that the step reads are permanent.
static xlm_area area_of(const xlm_lowering *l, uint32_t t) {
  const xlm_segment *from = segment_at(l, l->life[t].begin), *to = segment_at(l, l->life[t].end);
  bool is_input = l->tensors[t].category == XLM_CATEGORY_IO;
  if (!from) return XLM_AREA_FB; // an input of an empty chunk
  if (xlm_segment_is_once(from->kind)) return l->tensors[t].area;
  if (!to || to->kind == XLM_SEG_STEP) return XLM_AREA_STATE;
  if (to->kind == XLM_SEG_W && from != to) return from->kind == XLM_SEG_B ? XLM_AREA_BW : XLM_AREA_FW;
  return from == to && !is_input ? XLM_AREA_TEMP : XLM_AREA_FB;
}

static void sort_into_areas(xlm_lowering *l) {
  for (uint32_t t = 1; t < l->n_tensors; t++) {
    if (!l->life[t].placed || l->life[t].program != 0) continue;
    l->tensors[t].area = area_of(l, t);
    l->life[t].placed = l->tensors[t].area != XLM_AREA_STATE;
  }
}

// The positions of one chunk's F, B and W.
static timeline chunk_line(const xlm_lowering *l, xlm_area area, int16_t chunk) {
  timeline line = {.area = area, .first = UINT32_MAX, .first_instr = first_instr(l, 0)};
  for (uint32_t s = 0; s < l->n_segments; s++) {
    const xlm_segment *g = &l->segments[s];
    if (g->chunk != chunk || xlm_segment_is_once(g->kind)) continue;
    uint32_t first = g->first - line.first_instr;
    if (first < line.first) line.first = first;
    if (first + g->n > line.end) line.end = first + g->n;
  }
  return line;
}

static void add_categories(xlm_lowering *l, const peak *p) {
  for (int c = 0; c < XLM_CATEGORIES; c++) l->plan->category_bytes[c] += p->by_category[c];
}

// Places what each chunk stores in this area, then assigns every microbatch in flight a slot of its chunk's
// size.
static void place_slots(xlm_lowering *l, xlm_area area) {
  static const xlm_segment_kind from[] = {XLM_SEG_F, XLM_SEG_F, XLM_SEG_B},
                                to[] = {XLM_SEG_B, XLM_SEG_W, XLM_SEG_W};
  const xlm_schedule_plan *s = l->options.schedule;
  int k = area - XLM_FIRST_SLOT_AREA;
  uint64_t *bytes = XLM_NEW_N(l->scratch, uint64_t, s->chunks);
  peak *peaks = XLM_NEW_N(l->scratch, peak, s->chunks);
  for (int c = 0; c < s->chunks; c++) {
    timeline line = chunk_line(l, area, (int16_t)c);
    if (line.first == UINT32_MAX) continue;
    line.end += line.end == line.first; // an empty chunk may hold an input
    bytes[c] = place_line(l, &line, &peaks[c]);
  }
  xlm_schedule_held held = xlm_schedule_slots(s, l->options.stage, from[k], to[k], bytes, l->scratch);
  xlm_segment_run *runs = (xlm_segment_run *)(uintptr_t)l->plan->schedule; // still writable
  for (uint32_t i = 0; i < l->plan->n_schedule; i++) runs[i].slot[k] = held.slot[i];
  uint64_t *at = XLM_NEW_N(l->arena, uint64_t, held.n + 1);
  for (int32_t i = 0; i < held.n; i++) {
    const peak *p = &peaks[held.chunk[i]];
    at[i + 1] = at[i] + bytes[held.chunk[i]];
    add_categories(l, p);
    l->plan->free_bytes += bytes[held.chunk[i]] - p->bytes;
  }
  l->plan->slots[k] = (xlm_slots){held.n, at};
  l->plan->area_bytes[area] = at[held.n];
}

static uint64_t place_segments(xlm_lowering *l, peak *most) {
  uint64_t top = 0;
  for (uint32_t s = 0; s < l->n_segments; s++) {
    const xlm_segment *g = &l->segments[s];
    if (!is_of(g, XLM_PROGRAM_TRAIN)) continue;
    uint32_t base = first_instr(l, 0);
    timeline line = {0, XLM_AREA_TEMP, g->first - base, g->first - base + g->n, base};
    uint64_t bytes = place_line(l, &line, most);
    if (bytes > top) top = bytes;
  }
  return top;
}

static uint64_t place_program(xlm_lowering *l, int program, peak *most) {
  timeline line = {program, XLM_AREA_TEMP, 0, program_end(l, program), first_instr(l, program)};
  return place_line(l, &line, most);
}

static void place_permanent(xlm_lowering *l, xlm_area area) {
  uint64_t at = 0;
  for (uint32_t t = 1; t < l->n_tensors; t++) {
    xlm_tensor *x = &l->tensors[t];
    if (x->view_of || l->life[t].placed || x->area != area) continue;
    x->offset = at;
    at += aligned(l, x->bytes);
  }
  l->plan->area_bytes[area] = at;
}

static void resolve_views(xlm_lowering *l) {
  for (uint32_t t = 1; t < l->n_tensors; t++) { // a view comes after its base
    xlm_tensor *x = &l->tensors[t];
    if (!x->view_of) continue;
    x->area = l->tensors[x->view_of].area;
    x->offset = l->tensors[x->view_of].offset;
  }
}

void xlm_place(xlm_lowering *l) {
  xlm_rank_plan *p = l->plan;
  peak temp = {0};
  uint64_t top = 0;
  for (int k = 0; k < XLM_SLOT_AREAS; k++) p->slots[k].at = XLM_NEW(l->arena, uint64_t);
  if (l->options.schedule) {
    sort_into_areas(l);
    for (int k = 0; k < XLM_SLOT_AREAS; k++) place_slots(l, (xlm_area)(XLM_FIRST_SLOT_AREA + k));
    top = place_segments(l, &temp);
  } else
    top = place_program(l, 0, &temp);
  place_permanent(l, XLM_AREA_STATE);
  place_permanent(l, XLM_AREA_IO);
  for (int program = XLM_PROGRAM_TRAIN + 1; program < XLM_PROGRAMS; program++) {
    uint64_t bytes = place_program(l, program, &temp);
    if (bytes > top) top = bytes;
  }
  p->area_bytes[XLM_AREA_TEMP] = top;
  resolve_views(l);
  for (uint32_t t = 1; t < l->n_tensors; t++)
    if (!l->tensors[t].view_of && !l->life[t].placed)
      p->category_bytes[l->tensors[t].category] += aligned(l, l->tensors[t].bytes);
  add_categories(l, &temp);
  p->peak_instr = temp.instr;
  for (int a = 0; a < XLM_AREAS; a++) {
    p->area_begin[a] = p->arena_bytes;
    p->arena_bytes += p->area_bytes[a];
  }
  p->free_bytes += p->area_bytes[XLM_AREA_TEMP] - temp.bytes;
}
