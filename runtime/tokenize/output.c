// Shards of tokens in Megatron-LM's format (MMapIndexedDataset): ids in .bin; in .idx a header, the tokens of
// each document, where in .bin they begin, and the documents' numbers. While a shard is written its files are
// NAME.partial; its lengths lie in .len.partial, as the header of .idx needs their count.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/map.h"
#include "runtime/tokenize/tokenize_priv.h"

enum { CODE_I32 = 4, CODE_U16 = 8, PIECE = 4096 };

const char *xlm_output_path(const output *o, int64_t shard, const char *suffix) {
  return xlm_arena_printf(o->arena, "%s-%05" PRId64 "%s", o->prefix, shard, suffix);
}

static xlm_status open_part(const char *path, int64_t bytes, int *fd, xlm_error *err) {
  struct stat st;
  *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (bytes ? 0 : O_TRUNC), 0666);
  if (*fd < 0) return xlm_fail(err, XLM_ENV, "cannot create '%s': %s", path, strerror(errno));
  if (fstat(*fd, &st) || st.st_size < bytes)
    return xlm_fail(err, XLM_USER, "'%s' is shorter than it was: --overwrite begins again", path);
  if (ftruncate(*fd, bytes) || lseek(*fd, bytes, SEEK_SET) < 0)
    return xlm_fail(err, XLM_ENV, "cannot cut '%s': %s", path, strerror(errno));
  return XLM_OK;
}

static xlm_status open_shard(output *o, xlm_error *err) {
  int64_t k = o->note.n_shards;
  XLM_TRY(open_part(xlm_output_path(o, k, ".bin.partial"), o->note.shard_tokens * o->width, &o->bin, err));
  return open_part(xlm_output_path(o, k, ".len.partial"), o->note.shard_documents * 4, &o->lengths, err);
}

static xlm_status move(const output *o, int64_t shard, const char *suffix, xlm_error *err) {
  const char *to = xlm_output_path(o, shard, suffix), *from = xlm_arena_printf(o->arena, "%s.partial", to);
  if (!rename(from, to) || (errno == ENOENT && !access(to, F_OK))) return XLM_OK;
  return xlm_fail(err, XLM_ENV, "cannot rename '%s' to '%s': %s", from, to, strerror(errno));
}

// A shard that is noted as complete gets its names, if that was not done already.
static xlm_status settle(const output *o, int64_t shard, xlm_error *err) {
  XLM_TRY(move(o, shard, ".idx", err));
  XLM_TRY(move(o, shard, ".bin", err));
  unlink(xlm_output_path(o, shard, ".len.partial"));
  return XLM_OK;
}

xlm_status xlm_output_open(output *o, xlm_error *err) {
  o->bin = o->lengths = -1;
  for (int64_t i = 0; i < o->note.n_shards; i++) XLM_TRY(settle(o, i, err));
  return o->note.shard_documents ? open_shard(o, err) : XLM_OK;
}

static void close_shard(output *o) {
  if (o->bin >= 0) close(o->bin);
  if (o->lengths >= 0) close(o->lengths);
  o->bin = o->lengths = -1;
}

void xlm_output_close(output *o) {
  close_shard(o);
  free(o->ids);
  free(o->counts);
  o->ids = NULL, o->counts = NULL;
}

static xlm_status reserve(void **at, size_t *cap, size_t n, size_t size, xlm_error *err) {
  if (n <= *cap) return XLM_OK;
  size_t room = n + n / 2 + PIECE;
  void *more = realloc(*at, room * size);
  if (!more) return xlm_fail(err, XLM_ENV, "no memory for tokens");
  *at = more, *cap = room;
  return XLM_OK;
}

xlm_status xlm_output_flush(output *o, xlm_error *err) {
  if (!o->n_counts) return XLM_OK;
  XLM_TRY(xlm_fd_write(o->bin, o->ids, o->n_ids * (size_t)o->width, "the tokens", err));
  XLM_TRY(
      xlm_fd_write(o->lengths, o->counts, o->n_counts * sizeof *o->counts, "the lengths of documents", err));
  o->n_ids = o->n_counts = 0;
  return XLM_OK;
}

static xlm_status sync_file(int fd, xlm_error *err) {
  if (fd < 0 || !fsync(fd)) return XLM_OK;
  return xlm_fail(err, XLM_ENV, "cannot sync the tokens: %s", strerror(errno));
}

xlm_status xlm_output_sync(output *o, xlm_error *err) {
  XLM_TRY(xlm_output_flush(o, err));
  XLM_TRY(sync_file(o->bin, err));
  XLM_TRY(sync_file(o->lengths, err));
  return xlm_note_write(&o->note, o->note_path, err);
}

static xlm_status put_int(xlm_out *f, uint64_t v, size_t bytes, xlm_error *err) {
  return xlm_out_write(f, &v, bytes, err); // little-endian, as the supported machines
}

// Numbers 0, 1, .. n - 1, or the sums of the lengths before each, in pieces.
static xlm_status put_column(xlm_out *f, const int32_t *lengths, int64_t n, int width, xlm_error *err) {
  int64_t piece[PIECE], sum = 0;
  for (int64_t i = 0; i < n;) {
    int k = 0;
    for (; k < PIECE && i < n; k++, i++) {
      piece[k] = sum;
      sum += lengths ? (int64_t)lengths[i] * width : 1;
    }
    XLM_TRY(xlm_out_write(f, piece, sizeof *piece * (size_t)k, err));
  }
  return XLM_OK;
}

static xlm_status put_index(const output *o, xlm_out *f, const int32_t *lengths, xlm_error *err) {
  int64_t n = o->note.shard_documents;
  XLM_TRY(xlm_out_write(f, "MMIDIDX\0\0", 9, err));
  XLM_TRY(put_int(f, 1, 8, err));
  XLM_TRY(put_int(f, o->width == 2 ? CODE_U16 : CODE_I32, 1, err));
  XLM_TRY(put_int(f, (uint64_t)n, 8, err));
  XLM_TRY(put_int(f, (uint64_t)n + 1, 8, err));
  XLM_TRY(xlm_out_write(f, lengths, sizeof *lengths * (size_t)n, err));
  XLM_TRY(put_column(f, lengths, n, o->width, err));
  return put_column(f, NULL, n + 1, 0, err);
}

static xlm_status write_index(const output *o, int64_t shard, xlm_error *err) {
  const char *path = xlm_output_path(o, shard, ".idx.partial");
  xlm_map lengths;
  xlm_out f;
  XLM_TRY(xlm_map_open(xlm_output_path(o, shard, ".len.partial"), &lengths, err));
  xlm_status s = xlm_out_open(path, &f, err);
  if (s == XLM_OK)
    s = xlm_out_close(&f, put_index(o, &f, (const int32_t *)(const void *)lengths.data, err), NULL, NULL,
                      err);
  xlm_map_close(&lengths);
  return s;
}

// All of the shard is on disk before the note says that it is complete; only then are files renamed.
xlm_status xlm_output_finish(output *o, xlm_error *err) {
  note *n = &o->note;
  if (!n->shard_documents) return XLM_OK;
  XLM_TRY(xlm_output_flush(o, err));
  XLM_TRY(sync_file(o->bin, err));
  XLM_TRY(write_index(o, n->n_shards, err));
  xlm_token_manifest_shard done = {NULL, n->shard_documents, n->shard_tokens};
  XLM_PUSH(o->arena, n->shards, n->n_shards, n->cap_shards, done);
  n->shard_documents = n->shard_tokens = 0;
  close_shard(o);
  XLM_TRY(xlm_note_write(n, o->note_path, err));
  return settle(o, n->n_shards - 1, err);
}

xlm_status xlm_output_add(output *o, const int32_t *ids, int64_t n, xlm_document_position next,
                          xlm_error *err) {
  if (o->bin < 0) XLM_TRY(open_shard(o, err));
  XLM_TRY(reserve((void **)&o->ids, &o->cap_ids, o->n_ids + (size_t)n, (size_t)o->width, err));
  XLM_TRY(reserve((void **)&o->counts, &o->cap_counts, o->n_counts + 1, sizeof *o->counts, err));
  unsigned char *to = o->ids + o->n_ids * (size_t)o->width;
  for (int64_t i = 0; i < n; i++, to += o->width) memcpy(to, &ids[i], (size_t)o->width); // little-endian
  o->n_ids += (size_t)n;
  o->counts[o->n_counts++] = (int32_t)n;
  o->note.next = next;
  o->note.documents++, o->note.shard_documents++;
  o->note.tokens += n, o->note.shard_tokens += n;
  if (n > o->note.longest) o->note.longest = n;
  return o->note.shard_tokens >= o->limit ? xlm_output_finish(o, err) : XLM_OK;
}

static const char *const suffixes[] = {".bin", ".idx", ".bin.partial", ".idx.partial", ".len.partial"};
enum { SUFFIXES = sizeof suffixes / sizeof *suffixes };

void xlm_output_remove(const output *o) {
  bool any = true;
  for (int64_t shard = 0; any; shard++) {
    any = false;
    for (int i = 0; i < SUFFIXES; i++) any |= !unlink(xlm_output_path(o, shard, suffixes[i]));
  }
}

bool xlm_output_exists(const output *o) {
  return !access(xlm_output_path(o, 0, ".bin"), F_OK);
}
