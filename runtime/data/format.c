// File formats of token streams. Each is recognised by its first bytes and becomes one or few segments of the
// stream; layouts are those of the formats' own writers (lit-gpt's PackedDataset, Megatron-LM's
// MMapIndexedDataset, llm.c, nanoGPT). Files are untrusted: counts are checked against the file's size before
// use.
#include <inttypes.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/data/data_priv.h"

enum {
  U8 = 1,
  I8,
  I16,
  I32,
  I64,
  U16 = 8,
  CODES,
  LITPKDS_HEADER = 24,
  LLMC_HEADER = 1024,
  MEGATRON_HEADER = 34
};

// Codes 1 .. 8 are common to PackedDataset and Megatron; 6 and 7 are the floating types.
static const element by_code[CODES] = {[U8] = {1, false}, [I8] = {1, true},  [I16] = {2, true},
                                       [I32] = {4, true}, [I64] = {8, true}, [U16] = {2, false}};

static uint64_t load(const unsigned char *p, size_t bytes) {
  uint64_t v = 0;
  memcpy(&v, p, bytes); // files are little-endian, as are the supported machines
  return v;
}

bool xlm_data_peek(const char *path, unsigned char head[24]) {
  memset(head, 0, 24);
  return xlm_file_head(path, head, 24) > 0;
}

static bool is_litpkds(const unsigned char *h) {
  return !memcmp(h, "LITPKDS", 7);
}
static bool is_megatron_index(const unsigned char *h) {
  return !memcmp(h, "MMIDIDX\0\0", 9);
}

static element llmc_element(const unsigned char *h) { // bytes = 0: not an llm.c file
  if (load(h, 4) == 20240520 && load(h + 4, 4) == 1) return (element){2, false};
  if (load(h, 4) == 20240801 && load(h + 4, 4) == 7) return (element){4, false};
  return (element){0, false};
}

bool xlm_data_has_token_magic(const unsigned char head[24]) {
  return is_litpkds(head) || is_megatron_index(head) || llmc_element(head).bytes;
}

static void add_segment(xlm_data *d, segment s) {
  if (s.n <= 0) return;
  s.begin = d->tokens;
  d->tokens += s.n;
  XLM_PUSH(d->arena, d->segments, d->n_segments, d->cap_segments, s);
}

static xlm_status add_counted(xlm_data *d, uint32_t f, size_t header, uint64_t count, element e,
                              xlm_error *err) {
  d->sequence = -1;
  const xlm_map *m = &d->files[f].map;
  if (count > (m->n - header) / e.bytes)
    return xlm_fail(err, XLM_USER,
                    "'%s' is truncated: its header promises %llu tokens of %d bytes, it holds %zu bytes",
                    d->files[f].path, (unsigned long long)count, e.bytes, m->n - header);
  add_segment(d, (segment){.at = (int64_t)header, .n = (int64_t)count, .element = e, .file = f});
  return XLM_OK;
}

static xlm_status add_litpkds(xlm_data *d, uint32_t f, xlm_error *err) {
  const unsigned char *h = d->files[f].map.data;
  uint64_t version = load(h + 7, 8), count = load(h + 16, 8);
  if (version != 1)
    return xlm_fail(err, XLM_USER, "'%s' is a PackedDataset of version %llu; only version 1 is known",
                    d->files[f].path, (unsigned long long)version);
  element e = h[15] < CODES ? by_code[h[15]] : (element){0, false};
  if (!e.bytes)
    return xlm_fail(err, XLM_USER, "'%s' holds elements of type code %d, which are not token ids",
                    d->files[f].path, h[15]);
  return add_counted(d, f, LITPKDS_HEADER, count, e, err);
}

static xlm_status add_llmc(xlm_data *d, uint32_t f, element e, xlm_error *err) {
  return add_counted(d, f, LLMC_HEADER, load(d->files[f].map.data + 8, 4), e, err);
}

static xlm_status add_flat(xlm_data *d, uint32_t f, int bytes, xlm_error *err) {
  d->sequence = -1;
  const file *x = &d->files[f];
  if (x->map.n % (size_t)bytes)
    return xlm_fail(
        err, XLM_USER,
        "'%s' has %zu bytes: not a whole number of %d-bit token ids (--data-format says what it is)", x->path,
        x->map.n, 8 * bytes);
  add_segment(
      d, (segment){.n = (int64_t)(x->map.n / (size_t)bytes), .element = {(uint8_t)bytes, false}, .file = f});
  return XLM_OK;
}

// Sequences may be anywhere in the .bin; consecutive ones that are adjacent in the file become one segment,
// so the usual file is a single segment.
static xlm_status add_megatron(xlm_data *d, uint32_t f, xlm_error *err) {
  const file *x = &d->files[f];
  const unsigned char *h = x->index.data;
  if (x->index.n < MEGATRON_HEADER || load(h + 9, 8) != 1)
    return xlm_fail(err, XLM_USER, "the index of '%s' is truncated or not of version 1", x->path);
  element e = h[17] < CODES ? by_code[h[17]] : (element){0, false};
  if (!e.bytes)
    return xlm_fail(err, XLM_USER, "the index of '%s' names type code %d, which is not a token id", x->path,
                    h[17]);
  uint64_t sequences = load(h + 18, 8);
  if (sequences > (x->index.n - MEGATRON_HEADER) / 12)
    return xlm_fail(err, XLM_USER, "the index of '%s' is truncated: it promises %llu sequences", x->path,
                    (unsigned long long)sequences);
  const unsigned char *length = h + MEGATRON_HEADER, *pointer = length + 4 * sequences;
  segment run = {.element = e, .file = f};
  for (uint64_t i = 0; i < sequences; i++) {
    uint64_t n = load(length + 4 * i, 4), at = load(pointer + 8 * i, 8);
    if (n > INT32_MAX || at > x->map.n || n > (x->map.n - at) / e.bytes)
      return xlm_fail(err, XLM_USER, "'%s': sequence %llu lies outside the file", x->path,
                      (unsigned long long)i);
    if (run.n && (int64_t)at != run.at + run.n * e.bytes) {
      add_segment(d, run);
      run.n = 0;
    }
    if (!run.n) run.at = (int64_t)at;
    run.n += (int64_t)n;
    if ((int64_t)n > d->longest) d->longest = (int64_t)n;
    if (!d->sequence) d->sequence = (int64_t)n;
    if (d->sequence != (int64_t)n) d->sequence = -1;
  }
  add_segment(d, run);
  d->n_sequences += (int64_t)sequences;
  return XLM_OK;
}

static void add_text(xlm_data *d, uint32_t f) {
  const xlm_map *m = &d->files[f].map;
  d->files[f].text = true;
  if (d->n_segments && !d->o.record)
    add_segment(d, (segment){.at = XLM_DATA_END, .n = 1, .element = {1, false}, .file = f});
  add_segment(d, (segment){.n = (int64_t)m->n, .element = {1, false}, .file = f});
}

static xlm_status check_one_kind(const xlm_data *d, const file *x, xlm_error *err) {
  const file *first = &d->files[0];
  if (first->text == x->text) return XLM_OK;
  return xlm_fail(err, XLM_USER, "'%s' is text and '%s' has token ids: give one kind per run",
                  first->text ? first->path : x->path, first->text ? x->path : first->path);
}

// x.bin -> x.idx
static char *index_path(xlm_data *d, const char *bin) {
  return xlm_arena_printf(d->arena, "%.*s.idx", (int)strlen(bin) - 4, bin);
}

static xlm_status refuse_foreign(const file *x, xlm_error *err) {
  size_t n = x->map.n < XLM_KIND_HEAD ? x->map.n : XLM_KIND_HEAD;
  const xlm_foreign *is = xlm_foreign_kind(x->path, x->map.data, n);
  if (!is) return XLM_OK;
  return xlm_fail(err, XLM_USER, "'%s' is %s: %s (--data-format bytes trains on its bytes as they are)",
                  x->path, is->what, is->advice);
}

static xlm_status add_recognised(xlm_data *d, uint32_t f, xlm_error *err) {
  file *x = &d->files[f];
  unsigned char head[24] = {0}, other[24];
  memcpy(head, x->map.data, x->map.n < 24 ? x->map.n : 24);
  if (is_litpkds(head) && x->map.n >= LITPKDS_HEADER) {
    x->format = "PackedDataset";
    return add_litpkds(d, f, err);
  }
  if (llmc_element(head).bytes && x->map.n >= LLMC_HEADER) {
    x->format = "llm.c";
    return add_llmc(d, f, llmc_element(head), err);
  }
  XLM_TRY(refuse_foreign(x, err));
  if (!xlm_kind_has_suffix(x->path, ".bin")) {
    add_text(d, f);
    return XLM_OK;
  }
  const char *index = index_path(d, x->path);
  if (!xlm_data_peek(index, other) || !is_megatron_index(other)) return add_flat(d, f, 2, err);
  x->format = "Megatron-LM";
  XLM_TRY(xlm_map_open(index, &x->index, err));
  return add_megatron(d, f, err);
}

static xlm_status add_as_told(xlm_data *d, uint32_t f, xlm_error *err) {
  d->files[f].text = d->o.format == XLM_DATA_BYTES;
  return add_flat(d, f, d->o.format == XLM_DATA_BYTES ? 1 : d->o.format == XLM_DATA_U16 ? 2 : 4, err);
}

static xlm_status add_whole_records(xlm_data *d, uint32_t f, xlm_error *err) {
  int64_t before = d->tokens;
  XLM_TRY(d->o.format == XLM_DATA_AUTO ? add_recognised(d, f, err) : add_as_told(d, f, err));
  int64_t n = d->tokens - before;
  if (!d->o.record || n % d->o.record == 0) return XLM_OK;
  return xlm_fail(err, XLM_USER, "'%s' has %lld tokens, which is not a whole number of records of %lld",
                  d->files[f].path, (long long)n, (long long)d->o.record);
}

static xlm_status check_tokenizer(const xlm_data *d, const xlm_token_manifest *m, const char *path,
                                  xlm_error *err) {
  const xlm_token_manifest *first = &d->manifest;
  if (first->hash != m->hash || first->document_end != m->document_end)
    return xlm_fail(err, XLM_USER,
                    "the tokens of '%s' and '%s' were made by different tokenizers: '%s' and '%s'",
                    d->files[0].path, path, first->tokenizer ? first->tokenizer : "bytes",
                    m->tokenizer ? m->tokenizer : "bytes");
  if (!d->o.vocab || m->vocabulary <= d->o.vocab) return XLM_OK;
  return xlm_fail(err, XLM_USER,
                  "'%s' has the ids of a tokenizer with %" PRId64
                  " (%s), and the model's vocabulary has %" PRId64
                  ": give the model that vocabulary or a larger one (--vocab-size), or make the tokens with "
                  "another tokenizer",
                  path, m->vocabulary, m->path, d->o.vocab);
}

// What is known of the tokens beyond their file.
static xlm_status add_manifest(xlm_data *d, const file *f, xlm_error *err) {
  xlm_token_manifest m;
  if (f->text || d->o.format != XLM_DATA_AUTO) return XLM_OK;
  XLM_TRY(xlm_token_manifest_of(f->path, d->arena, &m, err));
  if (!m.path) return XLM_OK;
  if (!d->manifest.path) d->manifest = m;
  XLM_TRY(check_tokenizer(d, &m, f->path, err));
  if (!d->o.has_end && m.document_end >= 0) d->o.has_end = true, d->o.end = m.document_end;
  return XLM_OK;
}

void xlm_data_close_maps(file *f) {
  xlm_map_close(&f->map);
  if (f->index.data) xlm_map_close(&f->index);
}

xlm_status xlm_data_add_file(xlm_data *d, const char *path, xlm_error *err) {
  file x = {.path = path, .fd = -1, .format = "plain"};
  XLM_TRY(xlm_map_open(path, &x.map, err));
  XLM_PUSH(d->arena, d->files, d->n_files, d->cap_files, x); // from here on owned by the stream
  if (!x.map.n) return xlm_fail(err, XLM_USER, "the data file '%s' is empty", path);
  file *f = &d->files[d->n_files - 1];
  XLM_TRY(xlm_data_open_file(f, err));
  XLM_TRY(add_whole_records(d, d->n_files - 1, err));
  xlm_data_close_maps(f); // later reads use pread, since pages of a truncated mapping cannot be accessed
  XLM_TRY(check_one_kind(d, f, err));
  return add_manifest(d, f, err);
}
