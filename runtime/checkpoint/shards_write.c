// Collects and writes shards. A walk yields the boxes of a shard in order; every process can walk every
// shard, so all know which process needs which box next, and exchange them in rounds. Memory: a chunk and a
// box.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/checkpoint/shards.h"

enum {
  CHUNKS = 64 << 20,
  LEAST_CHUNK = 1 << 20,
  MOST_CHUNK = 16 << 20
}; // bytes; CHUNKS: of all shards together

size_t xlm_shards_chunk_bytes(const xlm_shards *s) {
  int each = CHUNKS / s->n;
  return (size_t)(each < LEAST_CHUNK ? LEAST_CHUNK : each > MOST_CHUNK ? MOST_CHUNK : each);
}

// ---- walks ----

typedef struct walk {
  const xlm_shard *shard;
  const xlm_weights *w;
  size_t chunk_bytes;
  int part;
  xlm_weights_cursor cursor;
} walk;

static void enter(walk *k, int part) {
  const xlm_shard_file *f = &k->shard->files[part];
  k->part = part;
  k->cursor = (xlm_weights_cursor){.w = k->w,
                                   .chunk_bytes = k->chunk_bytes,
                                   .part = (xlm_weights_part)part,
                                   .tensors = f->tensors,
                                   .n = f->n};
}

static walk walk_of(const xlm_shard *s, const xlm_weights *w, size_t chunk_bytes) {
  walk k = {.shard = s, .w = w, .chunk_bytes = chunk_bytes};
  enter(&k, 0);
  return k;
}

static bool next(walk *k, xlm_weights_step *step) {
  while (!xlm_weights_next(&k->cursor, step)) {
    if (k->part + 1 == XLM_WEIGHTS_PARTS) return false;
    enter(k, k->part + 1);
  }
  return true;
}

// ---- one shard's files ----

typedef struct writer {
  xlm_shard *shard;
  const xlm_weights *w;
  const xlm_shard_sink *sink;
  int part; // that is open; -1 = none yet
  bool open;
  xlm_out out;
  xlm_blocks_run blocks;
  char path[4352], *chunk, *box;
  size_t used; // of the image
} writer;

static xlm_status close_file(writer *x, xlm_status sofar, xlm_error *err) {
  if (!x->open) return sofar;
  xlm_shard_file *f = &x->shard->files[x->part];
  x->open = false;
  xlm_blocks_end(&x->blocks);
  return xlm_out_close(&x->out, sofar, &f->hash, &f->size, err);
}

static xlm_status write_header(writer *x, xlm_shard_file *f, xlm_error *err) {
  xlm_st_tensor *list = malloc(((size_t)f->n + 1) * sizeof *list);
  if (!list) return xlm_fail(err, XLM_ENV, "no memory for the header of '%s'", x->path);
  for (int i = 0; i < f->n; i++) list[i] = *xlm_weights_at(x->w, (xlm_weights_part)x->part, f->tensors[i]);
  xlm_status status = xlm_safetensors_begin(&x->out, list, f->n, err);
  xlm_blocks_begin(&x->blocks, &f->blocks, x->out.size, xlm_hash_value(&x->out.hash));
  free(list);
  return status;
}

static xlm_status open_file(writer *x, xlm_shard_file *f, xlm_error *err) {
  snprintf(x->path, sizeof x->path, "%.4200s/%s", x->sink->folder, f->name);
  XLM_TRY(xlm_out_open(x->path, &x->out, err));
  x->open = true;
  return write_header(x, f, err);
}

static xlm_status write_data(writer *x, const void *data, size_t n, xlm_error *err) {
  xlm_blocks_add(&x->blocks, data, n);
  return xlm_out_write(&x->out, data, n, err);
}

// Opens and completes files up to that of `part`.
static xlm_status advance(writer *x, int part, xlm_error *err) {
  while (x->part < part) {
    XLM_TRY(close_file(x, XLM_OK, err));
    if (++x->part == XLM_WEIGHTS_PARTS) break;
    xlm_shard_file *f = &x->shard->files[x->part];
    if (*f->name && !x->sink->image) XLM_TRY(open_file(x, f, err));
  }
  return XLM_OK;
}

static xlm_status take_box(writer *x, int part, const xlm_weights_step *step, xlm_error *err) {
  char *chunk = x->sink->image ? x->sink->image + x->used : x->chunk;
  XLM_TRY(advance(x, part, err));
  xlm_weights_place(step, x->box, chunk);
  if (!step->last) return XLM_OK;
  if (!x->sink->image) return write_data(x, chunk, step->chunk_bytes, err);
  x->used += step->chunk_bytes;
  return XLM_OK;
}

static xlm_status open_writer(writer *x, xlm_shard *s, const xlm_weights *w, size_t chunk_bytes,
                              const xlm_shard_sink *sink, xlm_error *err) {
  size_t most = 0;
  *x = (writer){.shard = s, .w = w, .sink = sink, .part = -1};
  for (int part = 0; part < XLM_WEIGHTS_PARTS; part++) {
    walk k = walk_of(s, w, chunk_bytes);
    enter(&k, part);
    size_t bytes = xlm_weights_most(&k.cursor);
    if (bytes > most) most = bytes;
  }
  x->box = malloc(most + 1);
  x->chunk = sink->image ? NULL : malloc(most + 1);
  if (x->box && (x->chunk || sink->image)) return XLM_OK;
  return xlm_fail(err, XLM_ENV, "no memory to collect states (%zu MiB)", most >> 20);
}

static xlm_status close_writer(writer *x, xlm_status sofar, xlm_error *err) {
  if (sofar == XLM_OK) sofar = advance(x, XLM_WEIGHTS_PARTS, err);
  sofar = close_file(x, sofar, err);
  free(x->chunk);
  free(x->box);
  return sofar;
}

// ---- here ----

static xlm_status collect_here(writer *x, walk *k, const xlm_store *store, xlm_error *err) {
  xlm_weights_step step;
  while (next(k, &step)) {
    XLM_TRY(xlm_store_get(store, step.state, &step.box, x->box, err));
    XLM_TRY(take_box(x, k->part, &step, err));
  }
  return XLM_OK;
}

xlm_status xlm_shard_collect(xlm_shard *shard, const xlm_weights *w, const xlm_store *store,
                             size_t chunk_bytes, const xlm_shard_sink *sink, xlm_error *err) {
  writer x;
  walk k = walk_of(shard, w, chunk_bytes);
  xlm_status status = open_writer(&x, shard, w, chunk_bytes, sink, err);
  if (status == XLM_OK) status = collect_here(&x, &k, store, err);
  return close_writer(&x, status, err);
}

xlm_status xlm_shard_write(xlm_shard *shard, const xlm_weights *w, const xlm_shard_sink *sink,
                           xlm_error *err) {
  xlm_shard_sink files = {.folder = sink->folder};
  writer x = {.shard = shard, .w = w, .sink = &files, .part = -1};
  xlm_status status = XLM_OK;
  const char *from = sink->image;
  for (int part = 0; part < XLM_WEIGHTS_PARTS && status == XLM_OK; part++) {
    status = advance(&x, part, err);
    uint64_t bytes = shard->files[part].bytes;
    if (status == XLM_OK && bytes) status = write_data(&x, from, bytes, err);
    from += bytes;
  }
  return close_writer(&x, status, err);
}

// ---- of several processes ----

typedef struct rounds {
  walk *walks;             // by shard
  xlm_weights_step *steps; // the current request of each
  xlm_want *wants;         // by process
} rounds;

static xlm_status exchange_all(rounds *r, xlm_shards *s, const xlm_store *store, int mine, writer *x,
                               xlm_error *err) {
  for (;;) {
    bool any = false, i_want = false;
    for (int k = 0; k < s->n; k++) {
      xlm_want *want = &r->wants[s->at[k].process];
      bool more = next(&r->walks[k], &r->steps[k]);
      *want = (xlm_want){0};
      if (more) *want = (xlm_want){r->steps[k].state, r->steps[k].box, k == mine ? x->box : NULL};
      any |= more, i_want |= more && k == mine;
    }
    if (!any) return XLM_OK;
    XLM_TRY(xlm_store_exchange(store, r->wants, err));
    if (i_want) XLM_TRY(take_box(x, r->walks[mine].part, &r->steps[mine], err));
  }
}

static xlm_status collect_together(xlm_shards *s, const xlm_weights *w, const xlm_store *store, int mine,
                                   writer *x, xlm_error *err) {
  size_t n = (size_t)s->n;
  rounds r = {calloc(n, sizeof *r.walks), calloc(n, sizeof *r.steps),
              calloc((size_t)store->peers->n_ranks, sizeof *r.wants)};
  xlm_status status = XLM_OK;
  if (!r.walks || !r.steps || !r.wants) status = xlm_fail(err, XLM_ENV, "no memory to collect states");
  for (int k = 0; status == XLM_OK && k < s->n; k++)
    r.walks[k] = walk_of(&s->at[k], w, xlm_shards_chunk_bytes(s));
  if (status == XLM_OK) status = exchange_all(&r, s, store, mine, x, err);
  free(r.walks);
  free(r.steps);
  free(r.wants);
  return status;
}

xlm_status xlm_shards_collect(xlm_shards *s, const xlm_weights *w, const xlm_store *store,
                              const xlm_shard_sink *sink, xlm_error *err) {
  int mine = -1;
  writer x = {.part = XLM_WEIGHTS_PARTS};
  xlm_status status = XLM_OK;
  for (int k = 0; sink && k < s->n; k++)
    if (s->at[k].process == store->peers->rank) mine = k;
  if (mine >= 0) status = open_writer(&x, &s->at[mine], w, xlm_shards_chunk_bytes(s), sink, err);
  if (status == XLM_OK) status = collect_together(s, w, store, mine, &x, err);
  return close_writer(&x, status, err);
}
