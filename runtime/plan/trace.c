// See trace.h. One event per line; times are microseconds there. A rank's tracks are the threads 2 * rank and
// 2 * rank + 1.
#include "runtime/plan/trace.h"

#include <math.h>
#include <stdlib.h>

static void string(xlm_text *t, const char *s) {
  xlm_text_add(t, "\"");
  for (; *s; s++) {
    if ((unsigned char)*s < ' ')
      xlm_text_printf(t, "\\u%04x", (unsigned)(unsigned char)*s);
    else
      xlm_text_printf(t, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
  }
  xlm_text_add(t, "\"");
}

static void event(xlm_text *t, const char *phase, xlm_trace_source source, int64_t rank, xlm_stream stream) {
  bool first = !t->n || t->data[t->n - 1] == '[';
  xlm_text_printf(t, "%s\n{\"ph\":\"%s\",\"pid\":%d,\"tid\":%lld", first ? "" : ",", phase, (int)source,
                  (long long)rank * XLM_STREAMS + stream);
}

// Whole nanoseconds, so that what ends where another begins does so in print.
static int64_t ns(double seconds) {
  return llround(seconds * 1e9);
}

static void moment(xlm_text *t, const char *key, int64_t at) {
  xlm_text_printf(t, ",\"%s\":%s%lld.%03lld", key, at < 0 ? "-" : "", (long long)(llabs(at) / 1000),
                  (long long)(llabs(at) % 1000));
}

static void times(xlm_text *t, double begin, double end) {
  moment(t, "ts", ns(begin));
  moment(t, "dur", ns(end) - ns(begin));
}

void xlm_trace_open(xlm_text *t) {
  xlm_text_add(t, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
}

void xlm_trace_process(xlm_text *t, xlm_trace_source source, const char *model) {
  event(t, "M", source, 0, XLM_STREAM_KERNELS);
  xlm_text_add(t, ",\"name\":\"process_name\",\"args\":{\"name\":");
  string(t, xlm_arena_printf(t->arena, "%s %s", source == XLM_TRACE_PLANNED ? "planned" : "measured", model));
  xlm_text_add(t, "}}");
}

void xlm_trace_track(xlm_text *t, xlm_trace_source source, int64_t rank, xlm_stream stream, int stage) {
  event(t, "M", source, rank, stream);
  xlm_text_printf(t, ",\"name\":\"thread_name\",\"args\":{\"name\":\"rank %lld", (long long)rank);
  if (stream == XLM_STREAM_COMM)
    xlm_text_add(t, " communication\"}}");
  else
    xlm_text_printf(t, ", stage %d\"}}", stage);
  event(t, "M", source, rank, stream);
  xlm_text_printf(t, ",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":%lld}}",
                  (long long)rank * XLM_STREAMS + stream);
}

void xlm_trace_slice(xlm_text *t, xlm_trace_source source, int64_t rank, const xlm_segment *s,
                     int32_t microbatch, int chunks, double begin, double end) {
  const char *kind = xlm_segment_name(s->kind);
  event(t, "X", source, rank, XLM_STREAM_KERNELS);
  xlm_text_printf(t, ",\"cat\":\"%s\",\"name\":\"%s", kind, kind);
  if (microbatch >= 0) xlm_text_printf(t, " %d", microbatch);
  if (microbatch >= 0 && chunks > 1) xlm_text_printf(t, ".%d", s->chunk);
  xlm_text_add(t, "\"");
  times(t, begin, end);
  xlm_text_printf(t, ",\"args\":{\"microbatch\":%d,\"chunk\":%d,\"stage\":%d}}", microbatch, s->chunk,
                  s->stage);
}

void xlm_trace_instr(xlm_text *t, xlm_trace_source source, int64_t rank, xlm_stream stream,
                     const xlm_instr *in, double begin, double end) {
  event(t, "X", source, rank, stream);
  xlm_text_add(t, ",\"cat\":\"op\",\"name\":");
  string(t, *in->scope ? xlm_arena_printf(t->arena, "%s %s", xlm_op_name(in->op), in->scope)
                       : xlm_op_name(in->op));
  times(t, begin, end);
  xlm_text_printf(t, ",\"args\":{\"line\":%u}}", in->line);
}

static void arrow_end(xlm_text *t, const char *phase, const char *binding, xlm_trace_source source,
                      int64_t id, xlm_trace_point at, int64_t time_ns) {
  event(t, phase, source, at.rank, at.stream);
  xlm_text_printf(t, ",\"cat\":\"message\",\"name\":\"message\"%s,\"id\":%lld", binding,
                  (long long)id * 4 + source);
  moment(t, "ts", time_ns);
  xlm_text_add(t, "}");
}

void xlm_trace_message(xlm_text *t, xlm_trace_source source, int64_t id, xlm_trace_point sent,
                       xlm_trace_point received) {
  arrow_end(t, "s", "", source, id, sent, ns(sent.time));
  arrow_end(t, "f", ",\"bp\":\"e\"", source, id, received, ns(received.time));
}

void xlm_trace_mark(xlm_text *t, xlm_trace_source source, const char *name, double at) {
  event(t, "i", source, 0, XLM_STREAM_KERNELS);
  xlm_text_add(t, ",\"s\":\"p\",\"cat\":\"mark\",\"name\":");
  string(t, name);
  moment(t, "ts", ns(at));
  xlm_text_add(t, "}");
}

void xlm_trace_close(xlm_text *t) {
  xlm_text_add(t, "\n]}\n");
}

int xlm_trace_chunks(const xlm_plan *p) {
  int chunks = 1;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_segments; i++)
      if (p->rank_plans[c]->segments[i].chunk >= chunks) chunks = p->rank_plans[c]->segments[i].chunk + 1;
  return chunks;
}
