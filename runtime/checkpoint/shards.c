// Assigns tensors to files: the largest first, each to the shard with the fewest bytes so far, preferring one
// whose process has a part of it if that does not affect the balance.
#include "runtime/checkpoint/shards.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *xlm_shards_part_name(xlm_weights_part part) {
  static const char *const names[XLM_WEIGHTS_PARTS] = {"model", "optimizer"};
  return names[part];
}

typedef struct tensor {
  int part, index, shard;
  uint64_t bytes;
} tensor;

static int larger_first(const void *a, const void *b) {
  const tensor *x = a, *y = b;
  if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
  return x->part != y->part ? x->part - y->part : x->index - y->index;
}

static int in_order(const void *a, const void *b) {
  const tensor *x = a, *y = b;
  return x->part != y->part ? x->part - y->part : x->index - y->index;
}

static int choose(const xlm_shards *s, const uint64_t *load, const xlm_weights *w, const tensor *t,
                  bool near) {
  int least = 0, nearest = -1;
  for (int k = 0; k < s->n; k++) {
    if (load[k] < load[least]) least = k;
    bool held = near && xlm_weights_held_by(w, (xlm_weights_part)t->part, t->index, s->at[k].process);
    if (held && (nearest < 0 || load[k] < load[nearest])) nearest = k;
  }
  return nearest >= 0 && load[nearest] <= load[least] + t->bytes ? nearest : least;
}

static void assign(xlm_arena *a, xlm_shards *s, const xlm_weights *w, tensor *list, int n, bool near) {
  uint64_t *load = XLM_NEW_N(a, uint64_t, s->n);
  qsort(list, (size_t)n, sizeof *list, larger_first);
  for (int i = 0; i < n; i++) {
    list[i].shard = choose(s, load, w, &list[i], near);
    load[list[i].shard] += list[i].bytes;
  }
  qsort(list, (size_t)n, sizeof *list, in_order);
  for (int k = 0; k < s->n; k++)
    for (int part = 0; part < XLM_WEIGHTS_PARTS; part++) s->at[k].files[part].tensors = XLM_NEW_N(a, int, n);
  for (int i = 0; i < n; i++) {
    xlm_shard_file *f = &s->at[list[i].shard].files[list[i].part];
    f->tensors[f->n++] = list[i].index;
    f->bytes += list[i].bytes;
  }
}

int xlm_shards_files(const xlm_shards *s, xlm_weights_part part) {
  int n = 0;
  for (int k = 0; k < s->n; k++) n += *s->at[k].files[part].name != 0;
  return n;
}

static void set_names(xlm_shards *s, xlm_weights_part part) {
  int files = 0, next = 0;
  const char *name = xlm_shards_part_name(part);
  for (int k = 0; k < s->n; k++) files += s->at[k].files[part].n > 0;
  for (int k = 0; k < s->n; k++) {
    xlm_shard_file *f = &s->at[k].files[part];
    if (files <= 1 && (f->n || (!files && k == 0)))
      snprintf(f->name, sizeof f->name, "%s.safetensors", name);
    else if (f->n)
      snprintf(f->name, sizeof f->name, "%s-%05d-of-%05d.safetensors", name, ++next, files);
  }
}

static void set_blocks(xlm_arena *a, xlm_shards *s, uint64_t block_bytes) {
  for (int k = 0; k < s->n; k++)
    for (int part = 0; part < XLM_WEIGHTS_PARTS; part++) {
      xlm_shard_file *f = &s->at[k].files[part];
      f->blocks = xlm_blocks_new(a, f->bytes, block_bytes);
    }
}

xlm_shards xlm_shards_new(xlm_arena *a, const xlm_weights *w, const xlm_store *store, int n, int64_t ranks,
                          uint64_t block_bytes) {
  int counts[XLM_WEIGHTS_PARTS], total = 0, at = 0;
  uint64_t bytes = 0;
  for (int part = 0; part < XLM_WEIGHTS_PARTS; part++)
    total += counts[part] = xlm_weights_count(w, (xlm_weights_part)part);
  tensor *list = XLM_NEW_N(a, tensor, total);
  for (int part = 0; part < XLM_WEIGHTS_PARTS; part++)
    for (int i = 0; i < counts[part]; i++) {
      list[at] = (tensor){part, i, 0, xlm_st_bytes(xlm_weights_at(w, (xlm_weights_part)part, i))};
      bytes += list[at++].bytes;
    }
  int64_t writers = store->peers ? store->peers->n_ranks : ranks,
          wanted = n ? n : (int64_t)(bytes / XLM_SHARD_BYTES);
  if (wanted > writers) wanted = writers;
  xlm_shards s = {.n = wanted < 1 ? 1 : (int)wanted};
  s.at = XLM_NEW_N(a, xlm_shard, s.n);
  for (int k = 0; k < s.n; k++) s.at[k].process = store->peers ? k * writers / s.n : 0;
  assign(a, &s, w, list, total, store->peers != NULL);
  for (int part = 0; part < XLM_WEIGHTS_PARTS; part++) set_names(&s, (xlm_weights_part)part);
  set_blocks(a, &s, block_bytes);
  return s;
}

// ---- the index ----

typedef struct places {
  const char **file; // by tensor
} places;

static const char *file_of(void *arg, int i) {
  return ((places *)arg)->file[i];
}

void xlm_shards_print_index(const xlm_shards *s, const xlm_weights *w, xlm_weights_part part, xlm_text *out) {
  int n = xlm_weights_count(w, part);
  const xlm_st_tensor **list = XLM_NEW_N(out->arena, const xlm_st_tensor *, n);
  places p = {XLM_NEW_N(out->arena, const char *, n)};
  for (int i = 0; i < n; i++) list[i] = xlm_weights_at(w, part, i);
  for (int k = 0; k < s->n; k++)
    for (int i = 0; i < s->at[k].files[part].n; i++)
      p.file[s->at[k].files[part].tensors[i]] = s->at[k].files[part].name;
  xlm_safetensors_print_index(list, n, file_of, &p, out);
}
