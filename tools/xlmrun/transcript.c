// See transcript.h.
#include "tools/xlmrun/transcript.h"

#include <stdio.h>
#include <string.h>

#include "tools/xlmrun/visible.h"

// The text of tokens depends on those before: that of [since, n) begins with that of [since, told). One that
// ends within a character waits for the next token.
static bool add_text(transcript *t, const xlm_sequence *s, bool last) {
  const xlm_tokenizer *tokenizer = t->encoding->tokenizer;
  xlm_arena *a = xlm_arena_child(t->arena);
  xlm_text before = xlm_text_new(a), all = xlm_text_new(a), whole = xlm_text_new(a);
  xlm_tokenizer_decode(tokenizer, s->tokens + t->since, t->told - t->since, &before);
  xlm_tokenizer_decode(tokenizer, s->tokens + t->since, s->n - t->since, &all);
  bool cut = all.n >= 3 && !memcmp(all.data + all.n - 3, "\xEF\xBF\xBD", 3);
  cut = cut || visible_add(&whole, all.data, all.n, false) < all.n;
  bool stopped = false;
  if ((!cut || last) && all.n > before.n) {
    stopped = writer_add(&t->out, all.data + before.n, all.n - before.n);
    t->since = t->told, t->told = s->n;
  }
  xlm_arena_free(a);
  return stopped;
}

static bool add_ids(transcript *t, const xlm_sequence *s) {
  bool stopped = false;
  for (; t->told < s->n && !stopped; t->told++) {
    char byte = (char)s->tokens[t->told], id[16];
    int n = snprintf(id, sizeof id, "%d ", s->tokens[t->told]);
    stopped = t->encoding->bytes ? writer_add(&t->out, &byte, 1) : writer_add(&t->out, id, (size_t)n);
  }
  return stopped;
}

static bool add(transcript *t, const xlm_sequence *s, bool last) {
  return t->encoding->tokenizer ? add_text(t, s, last) : add_ids(t, s);
}

void transcript_open(transcript *t, xlm_arena *a, const encoding *e, const xlm_sequence *s, int64_t shown) {
  *t = (transcript){.arena = a, .encoding = e, .told = shown, .since = shown};
  writer_open(&t->out, a);
  xlm_sequence begin = *s;
  begin.n = s->n_prompt;
  add(t, &begin, true);
  t->continuation = t->out.text.n;
}

void transcript_stop_at(transcript *t, const char *const *stops, int n) {
  writer_stop_at(&t->out, stops, n);
}

bool transcript_add(transcript *t, const xlm_sequence *s) {
  return add(t, s, false);
}

void transcript_end(transcript *t, const xlm_sequence *s) {
  add(t, s, true);
}
