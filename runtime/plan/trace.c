// See trace.h. One event per line; the format's times are microseconds. The threads 2 * rank and 2 * rank + 1
// are a rank's tracks.
#include "runtime/plan/trace.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static void event(xlm_json *j, const char *phase, xlm_trace_source source, int64_t rank, xlm_stream stream,
                  const char *category, const char *name) {
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  xlm_json_put_text(j, "ph", phase);
  xlm_json_put_int(j, "pid", source);
  xlm_json_put_int(j, "tid", rank * XLM_STREAMS + stream);
  if (category) xlm_json_put_text(j, "cat", category);
  xlm_json_put_text(j, "name", name);
}

// Rounded to nanoseconds, so that adjacent slices still touch in the output.
static int64_t ns(double seconds) {
  return llround(seconds * 1e9);
}

static void moment(xlm_json *j, const char *key, int64_t at) {
  xlm_json_put_real(j, key, (double)at / 1000);
}

static void times(xlm_json *j, double begin, double end) {
  moment(j, "ts", ns(begin));
  moment(j, "dur", ns(end) - ns(begin));
}

void xlm_trace_open(xlm_json *j) {
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  xlm_json_put_text(j, "displayTimeUnit", "ms");
  xlm_json_array(j, "traceEvents", XLM_JSON_LINES);
}

// Begins the event that names a process or track; its argument follows.
static void begin_meta(xlm_json *j, xlm_trace_source source, int64_t rank, xlm_stream stream,
                       const char *what) {
  event(j, "M", source, rank, stream, NULL, what);
  xlm_json_object(j, "args", XLM_JSON_DENSE);
}

static void end_meta(xlm_json *j) {
  xlm_json_close(j);
  xlm_json_close(j);
}

static void put_name(xlm_json *j, const char *fmt, ...) XLM_PRINTF(2, 3);
static void put_name(xlm_json *j, const char *fmt, ...) {
  char name[512];
  va_list args;
  va_start(args, fmt);
  vsnprintf(name, sizeof name, fmt, args);
  va_end(args);
  xlm_json_put_text(j, "name", name);
}

void xlm_trace_process(xlm_json *j, xlm_trace_source source, const char *model) {
  begin_meta(j, source, 0, XLM_STREAM_KERNELS, "process_name");
  put_name(j, "%s %s", source == XLM_TRACE_PLANNED ? "planned" : "measured", model);
  end_meta(j);
}

void xlm_trace_track(xlm_json *j, xlm_trace_source source, int64_t rank, xlm_stream stream, int stage) {
  begin_meta(j, source, rank, stream, "thread_name");
  if (stream == XLM_STREAM_COMM)
    put_name(j, "rank %" PRId64 " communication", rank);
  else
    put_name(j, "rank %" PRId64 ", stage %d", rank, stage);
  end_meta(j);
  begin_meta(j, source, rank, stream, "thread_sort_index");
  xlm_json_put_int(j, "sort_index", rank * XLM_STREAMS + stream);
  end_meta(j);
}

void xlm_trace_slice(xlm_json *j, xlm_trace_source source, int64_t rank, const xlm_segment *s,
                     int32_t microbatch, int chunks, double begin, double end) {
  const char *kind = xlm_segment_name(s->kind);
  char name[64];
  int n = snprintf(name, sizeof name, microbatch >= 0 ? "%s %d" : "%s", kind, microbatch);
  if (microbatch >= 0 && chunks > 1) snprintf(name + n, sizeof name - (size_t)n, ".%d", s->chunk);
  event(j, "X", source, rank, XLM_STREAM_KERNELS, kind, name);
  times(j, begin, end);
  xlm_json_object(j, "args", XLM_JSON_DENSE);
  xlm_json_put_int(j, "microbatch", microbatch);
  xlm_json_put_int(j, "chunk", s->chunk);
  xlm_json_put_int(j, "stage", s->stage);
  xlm_json_put_text(j, "variant", xlm_variant_name(s->variant));
  xlm_json_close(j);
  xlm_json_close(j);
}

void xlm_trace_instr(xlm_json *j, xlm_trace_source source, int64_t rank, xlm_stream stream,
                     const xlm_plan *plan, const xlm_instr *in, double begin, double end) {
  char name[512];
  snprintf(name, sizeof name, *in->scope ? "%s %s" : "%s", xlm_op_name(in->op), in->scope);
  event(j, "X", source, rank, stream, "op", name);
  times(j, begin, end);
  xlm_json_object(j, "args", XLM_JSON_DENSE);
  xlm_model_line at = xlm_plan_model_line(plan, in->line);
  char file[256];
  snprintf(file, sizeof file, "%.*s", at.n, at.path);
  if (in->line) xlm_json_put_text(j, "file", file);
  xlm_json_put_int(j, "line", in->line ? at.line : 0);
  xlm_json_close(j);
  xlm_json_close(j);
}

static void arrow_end(xlm_json *j, const char *phase, const char *binding, xlm_trace_source source,
                      int64_t id, xlm_trace_point at) {
  event(j, phase, source, at.rank, at.stream, "message", "message");
  if (binding) xlm_json_put_text(j, "bp", binding);
  xlm_json_put_int(j, "id", id * 4 + source);
  moment(j, "ts", ns(at.time));
  xlm_json_close(j);
}

void xlm_trace_message(xlm_json *j, xlm_trace_source source, int64_t id, xlm_trace_point sent,
                       xlm_trace_point received) {
  arrow_end(j, "s", NULL, source, id, sent);
  arrow_end(j, "f", "e", source, id, received);
}

void xlm_trace_mark(xlm_json *j, xlm_trace_source source, const char *name, double at) {
  event(j, "i", source, 0, XLM_STREAM_KERNELS, "mark", name);
  xlm_json_put_text(j, "s", "p");
  moment(j, "ts", ns(at));
  xlm_json_close(j);
}

void xlm_trace_close(xlm_json *j) {
  xlm_json_close(j);
  xlm_json_close(j);
}

int xlm_trace_chunks(const xlm_plan *p) {
  int chunks = 1;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_segments; i++)
      if (p->rank_plans[c]->segments[i].chunk >= chunks) chunks = p->rank_plans[c]->segments[i].chunk + 1;
  return chunks;
}
