// The stream: opens files, finds the segment of a position, widens token ids to i32 and validates them.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/hash.h"
#include "runtime/data/data_priv.h"

static xlm_status open_records(xlm_data *d, const char *const *list, int n, xlm_error *err) {
  for (int i = 0; i < n; i++) XLM_TRY(xlm_data_add_records(d, list[i], err));
  return d->tokens ? XLM_OK : xlm_fail(err, XLM_USER, "the data has no records: %s", list[0]);
}

static xlm_status open_paths(xlm_data *d, const char *const *list, int n, xlm_error *err) {
  paths files = {0};
  xlm_data_place_fields(d, d->o.fields, d->o.n_fields);
  if (d->o.format == XLM_DATA_AUTO && xlm_data_names_records(list[0])) return open_records(d, list, n, err);
  for (int i = 0; i < n; i++) XLM_TRY(xlm_data_collect(d, list[i], &files, err));
  for (uint32_t i = 0; i < files.n; i++) XLM_TRY(xlm_data_add_file(d, files.at[i], err));
  if (d->n_left_out)
    d->left_out_text = xlm_arena_printf(d->arena, "%u file%s left out%s '%s' is %s", d->n_left_out,
                                        d->n_left_out == 1 ? " of the data is" : "s of the data are",
                                        d->n_left_out == 1 ? ":" : ", the first because",
                                        d->left_out, d->left_out_as->what);
  if (d->tokens) return XLM_OK;
  return xlm_fail(err, XLM_USER, "the data is empty%s%s", files.n ? ": " : "", files.n ? files.at[0] : "");
}

xlm_data *xlm_data_new(xlm_data_options o) {
  xlm_data *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->o = o;
  d->arena = xlm_arena_new(0);
  if (d->arena) return d;
  free(d);
  return NULL;
}

xlm_status xlm_data_open(const char *const *list, int n, xlm_data_options o, xlm_data **out, xlm_error *err) {
  *out = NULL;
  xlm_data *d = xlm_data_new(o);
  if (!d) return xlm_fail(err, XLM_ENV, "no memory to open the data");
  xlm_status s;
  if (XLM_ARENA_TRY(d->arena))
    s = open_paths(d, list, n, err);
  else
    s = xlm_fail(err, XLM_ENV, "no memory for the list of data files");
  if (s == XLM_OK)
    *out = d;
  else
    xlm_data_close(d);
  return s;
}

void xlm_data_close(xlm_data *d) {
  if (!d) return;
  for (uint32_t i = 0; i < d->n_files; i++) {
    xlm_data_close_maps(&d->files[i]);
    if (d->files[i].fd >= 0) close(d->files[i].fd);
  }
  xlm_data_close_records(d);
  xlm_arena_free(d->arena);
  free(d);
}

bool xlm_data_has_records(const xlm_data *d) {
  return d->records;
}
int64_t xlm_data_tokens(const xlm_data *d) {
  return d->tokens;
}
int xlm_data_files(const xlm_data *d) {
  return (int)(d->n_files + d->n_shards);
}
bool xlm_data_is_text(const xlm_data *d) {
  return d->n_files > 0 && d->files[0].text;
}

const xlm_field *xlm_data_fields(const xlm_data *d, int *n) {
  *n = d->records ? d->n_fields : 0;
  return d->fields;
}
int64_t xlm_data_cells(const xlm_data *d) {
  return d->cells;
}

int64_t xlm_data_sequences(const xlm_data *d, int64_t *longest) {
  *longest = d->longest;
  return d->n_sequences;
}

const char *xlm_data_kind(const xlm_data *d) {
  if (d->records) return "records (safetensors)";
  if (xlm_data_is_text(d)) return "text, a token per byte";
  return d->n_segments ? xlm_arena_printf(d->arena, "%s, %d-bit ids", d->files[d->segments[0].file].format,
                                          8 * d->segments[0].element.bytes)
                       : "";
}

const xlm_token_manifest *xlm_data_manifest(const xlm_data *d) {
  return d->manifest.path ? &d->manifest : NULL;
}

const char *xlm_data_first(const xlm_data *d) {
  return d->n_files ? d->files[0].path : d->n_shards ? d->shards[0].path : "";
}

static uint32_t find_segment(const xlm_data *d, int64_t offset) {
  uint32_t low = 0, high = d->n_segments;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (d->segments[middle].begin <= offset)
      low = middle;
    else
      high = middle;
  }
  return low;
}

static int64_t widen(const unsigned char *p, element e) {
  uint64_t v = 0;
  for (int i = 0; i < e.bytes; i++) v |= (uint64_t)p[i] << (8 * i);
  int unused = 64 - 8 * e.bytes;
  return e.is_signed ? (int64_t)(v << unused) >> unused : (int64_t)v;
}

static xlm_status refuse(const xlm_data *d, const segment *s, int64_t i, int64_t id, xlm_error *err) {
  const file *f = &d->files[s->file];
  int64_t at = s->at + i * s->element.bytes;
  return xlm_fail(err, XLM_USER,
                  "'%s' holds token id %" PRId64 " at byte %" PRId64
                  ", but the model's vocabulary has %" PRId64 ": choose a larger vocabulary or another file",
                  f->path, id, at, d->o.vocab);
}

static xlm_status read_segment(const xlm_data *d, const segment *s, int64_t first, int64_t n, int32_t *out,
                               xlm_error *err) {
  enum { PIECE = 1024 }; // tokens at a time
  unsigned char bytes[PIECE * sizeof(int64_t)] = {0};
  int64_t limit = d->o.vocab ? d->o.vocab : INT32_MAX;
  for (int64_t end = first + n; first < end; first += PIECE) {
    int64_t part = end - first < PIECE ? end - first : PIECE;
    if (s->at != XLM_DATA_END)
      XLM_TRY(xlm_data_read_bytes(&d->files[s->file], s->at + first * s->element.bytes,
                                  (size_t)(part * s->element.bytes), bytes, err));
    for (int64_t i = 0; i < part; i++) {
      int64_t id = widen(bytes + i * s->element.bytes, s->element);
      if (id < 0 || id >= limit) return refuse(d, s, first + i, id, err);
      *out++ = (int32_t)id;
    }
  }
  return XLM_OK;
}

xlm_status xlm_data_read(const xlm_data *d, int64_t offset, int64_t n, int32_t *out, xlm_error *err) {
  XLM_ASSERT(!d->records && offset >= 0 && n >= 0 && n <= d->tokens - offset,
             "read [%" PRId64 ", +%" PRId64 ") of %" PRId64 " tokens", offset, n, d->tokens);
  if (d->synthetic) {
    xlm_data_synthesize(d, offset, n, out);
    return XLM_OK;
  }
  for (uint32_t i = find_segment(d, offset); n > 0; i++) {
    const segment *s = &d->segments[i];
    int64_t first = offset - s->begin, take = s->n - first < n ? s->n - first : n;
    XLM_TRY(read_segment(d, s, first, take, out, err));
    offset += take, n -= take, out += take;
  }
  return XLM_OK;
}

const char *xlm_data_left_out(const xlm_data *d) {
  return d->left_out_text ? d->left_out_text : "";
}

enum { PLACES = 16, PROBE = 64 }; // of a fingerprint; tokens of a stream at each place

xlm_status xlm_data_fingerprint(const xlm_data *d, uint64_t *out, xlm_error *err) {
  int64_t probe = d->records ? 1 : PROBE, cells = d->records ? d->cells : PROBE;
  int32_t *read = malloc(sizeof *read * (size_t)(cells + 1));
  xlm_status s = read ? XLM_OK : xlm_fail(err, XLM_ENV, "no memory to compare the data");
  xlm_hash h;
  xlm_hash_start(&h);
  xlm_hash_add(&h, &d->tokens, sizeof d->tokens);
  for (int i = 0; s == XLM_OK && i < PLACES && d->tokens >= probe; i++) {
    int64_t at = (d->tokens - probe) / (PLACES - 1) * i;
    s = d->records ? xlm_data_read_record(d, at, read, err) : xlm_data_read(d, at, probe, read, err);
    xlm_hash_add(&h, read, sizeof *read * (size_t)cells);
  }
  free(read);
  *out = xlm_hash_value(&h);
  return s;
}

void xlm_data_split(const xlm_data *d, double fraction, xlm_data_part *train, xlm_data_part *valid) {
  int64_t cut = d->tokens - (int64_t)((double)d->tokens * fraction);
  if (d->o.record) cut -= cut % d->o.record;
  *train = (xlm_data_part){d, 0, cut};
  *valid = (xlm_data_part){d, cut, d->tokens};
}
