// See trace.h. One event per line; times are microseconds there.
#include "runtime/plan/trace.h"

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

static void event(xlm_text *t, const char *phase, xlm_trace_source source, int64_t rank) {
  xlm_text_printf(t, ",\n{\"ph\":\"%s\",\"pid\":%d,\"tid\":%lld", phase, (int)source, (long long)rank);
}

void xlm_trace_open(xlm_text *t, xlm_trace_source source, const char *model) {
  xlm_text_printf(t,
                  "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{\"ph\":\"M\",\"pid\":%d,\"name\":"
                  "\"process_name\",\"args\":{\"name\":",
                  (int)source);
  string(t, xlm_arena_printf(t->arena, "%s %s", source == XLM_TRACE_PLANNED ? "planned" : "measured", model));
  xlm_text_add(t, "}}");
}

void xlm_trace_track(xlm_text *t, xlm_trace_source source, int64_t rank, int stage) {
  event(t, "M", source, rank);
  xlm_text_printf(t, ",\"name\":\"thread_name\",\"args\":{\"name\":\"rank %lld, stage %d\"}}",
                  (long long)rank, stage);
  event(t, "M", source, rank);
  xlm_text_printf(t, ",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":%lld}}", (long long)rank);
}

static void times(xlm_text *t, double begin, double end) {
  xlm_text_printf(t, ",\"ts\":%.3f,\"dur\":%.3f", begin * 1e6, (end - begin) * 1e6);
}

void xlm_trace_slice(xlm_text *t, xlm_trace_source source, int64_t rank, const xlm_segment *s,
                     int32_t microbatch, int chunks, double begin, double end) {
  const char *kind = xlm_segment_name(s->kind);
  event(t, "X", source, rank);
  xlm_text_printf(t, ",\"cat\":\"%s\",\"name\":\"%s", kind, kind);
  if (microbatch >= 0) xlm_text_printf(t, " %d", microbatch);
  if (microbatch >= 0 && chunks > 1) xlm_text_printf(t, ".%d", s->chunk);
  xlm_text_add(t, "\"");
  times(t, begin, end);
  xlm_text_printf(t, ",\"args\":{\"microbatch\":%d,\"chunk\":%d,\"stage\":%d}}", microbatch, s->chunk,
                  s->stage);
}

void xlm_trace_instr(xlm_text *t, xlm_trace_source source, int64_t rank, const xlm_instr *in, double begin,
                     double end) {
  event(t, "X", source, rank);
  xlm_text_add(t, ",\"cat\":\"op\",\"name\":");
  string(t, *in->scope ? xlm_arena_printf(t->arena, "%s %s", in->op, in->scope) : in->op);
  times(t, begin, end);
  xlm_text_printf(t, ",\"args\":{\"line\":%u}}", in->line);
}

void xlm_trace_message(xlm_text *t, xlm_trace_source source, int64_t id, int64_t from, double sent,
                       int64_t to, double received) {
  event(t, "s", source, from);
  xlm_text_printf(t, ",\"cat\":\"message\",\"name\":\"message\",\"id\":%lld,\"ts\":%.3f}", (long long)id,
                  sent * 1e6);
  event(t, "f", source, to);
  xlm_text_printf(t, ",\"cat\":\"message\",\"name\":\"message\",\"bp\":\"e\",\"id\":%lld,\"ts\":%.3f}",
                  (long long)id, received * 1e6);
}

void xlm_trace_close(xlm_text *t) {
  xlm_text_add(t, "\n]}\n");
}
