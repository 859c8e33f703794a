// See tensorboard.h. Each record is one write. The few kinds of fields that are needed are written by hand; a
// nested message is built behind its place, because its length stands before it.
#include "runtime/train/tensorboard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/file.h"

enum { ROOM = 1 << 16, VALUE_ROOM = 512, HEAD = 12, FOOT = 4 };
enum { VARINT, FIXED64, BYTES, FIXED32 = 5 }; // protobuf's wire types
enum { EVENT_TIME = 1, EVENT_STEP = 2, EVENT_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2, SESSION_STATUS = 1, SESSION_START = 1 };

// ---- bytes ----

typedef struct buffer {
  size_t n, room;
  bool full;
  unsigned char *at;
} buffer;

static void put(buffer *b, const void *bytes, size_t n) {
  if (n > b->room - b->n) b->full = true;
  if (b->full) return;
  memcpy(b->at + b->n, bytes, n);
  b->n += n;
}

static void put_little_endian(buffer *b, uint64_t x, int bytes) {
  for (int i = 0; i < bytes; i++) put(b, &(unsigned char){(unsigned char)(x >> (8 * i))}, 1);
}

static void put_varint(buffer *b, uint64_t x) {
  for (; x > 127; x >>= 7) put(b, &(unsigned char){(unsigned char)(x | 128)}, 1);
  put(b, &(unsigned char){(unsigned char)x}, 1);
}

static void put_key(buffer *b, int field, int wire) {
  put_varint(b, (uint64_t)(field << 3 | wire));
}

static void put_bytes(buffer *b, int field, const void *bytes, size_t n) {
  put_key(b, field, BYTES);
  put_varint(b, n);
  put(b, bytes, n);
}

static uint32_t masked_crc32c(const unsigned char *at, size_t n) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < n; i++) {
    crc ^= at[i];
    for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

// ---- records ----

typedef struct record {
  buffer event;
  unsigned char bytes[HEAD + ROOM + FOOT];
} record;

static void begin_record(record *r, double time, int64_t step) {
  uint64_t bits;
  memcpy(&bits, &time, sizeof bits);
  r->event = (buffer){.room = ROOM, .at = r->bytes + HEAD};
  put_key(&r->event, EVENT_TIME, FIXED64);
  put_little_endian(&r->event, bits, 8);
  if (!step) return; // the default
  put_key(&r->event, EVENT_STEP, VARINT);
  put_varint(&r->event, (uint64_t)step);
}

static xlm_status write_record(int fd, record *r, xlm_error *err) {
  size_t n = r->event.n;
  if (r->event.full)
    return xlm_fail(err, XLM_USER, "a TensorBoard event has no room for the model's metrics");
  buffer head = {.room = HEAD, .at = r->bytes}, foot = {.room = FOOT, .at = r->bytes + HEAD + n};
  put_little_endian(&head, n, 8);
  put_little_endian(&head, masked_crc32c(r->bytes, 8), 4);
  put_little_endian(&foot, masked_crc32c(r->bytes + HEAD, n), 4);
  return xlm_fd_write(fd, r->bytes, HEAD + n + FOOT, "the TensorBoard events", err);
}

static void put_scalar(buffer *summary, const char *group, const char *name, double value) {
  unsigned char bytes[VALUE_ROOM];
  char tag[VALUE_ROOM / 2];
  buffer v = {.room = sizeof bytes, .at = bytes};
  float x = (float)value;
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  snprintf(tag, sizeof tag, "%s/%s", group, name);
  put_bytes(&v, VALUE_TAG, tag, strlen(tag));
  put_key(&v, VALUE_SIMPLE, FIXED32);
  put_little_endian(&v, bits, 4);
  put_bytes(summary, SUMMARY_VALUE, bytes, v.n);
}

static void put_scalars(buffer *s, const xlm_metrics_line *m) {
  put_scalar(s, "train", "loss", m->loss);
  put_scalar(s, "train", "learning_rate", m->lr);
  put_scalar(s, "train", "grad_norm", m->grad_norm);
  put_scalar(s, "train", "tokens", (double)m->tokens);
  if (m->skipped >= 0) put_scalar(s, "train", "skipped", (double)m->skipped);
  if (!isnan(m->val_loss)) put_scalar(s, "valid", "loss", m->val_loss);
  put_scalar(s, "speed", "tokens_per_s", m->tokens_per_s);
  put_scalar(s, "speed", "step_s", m->step_s);
  if (m->mfu > 0) put_scalar(s, "speed", "mfu", m->mfu);
  put_scalar(s, "memory", "peak_GiB", (double)m->memory_bytes / (1 << 30));
  if (m->device_bytes) put_scalar(s, "memory", "device_GiB", (double)m->device_bytes / (1 << 30));
  for (int i = 0; i < m->n_extra; i++) put_scalar(s, "model", m->extra_name[i], m->extra[i]);
}

xlm_status xlm_tensorboard_write(int fd, const xlm_metrics_line *m, xlm_error *err) {
  unsigned char bytes[ROOM / 2];
  buffer summary = {.room = sizeof bytes, .at = bytes};
  record r;
  put_scalars(&summary, m);
  begin_record(&r, m->time, m->step);
  put_bytes(&r.event, EVENT_SUMMARY, bytes, summary.n);
  r.event.full |= summary.full;
  return write_record(fd, &r, err);
}

// ---- the file ----

static const char prefix[] = "events.out.tfevents.";

// Files are read in the order of their names, which begin with a time: one after those that are there.
static int64_t time_of_file(const char *dir) {
  int64_t now = (int64_t)xlm_clock_unix();
  DIR *d = opendir(dir);
  for (struct dirent *e; d && (e = readdir(d));) {
    if (strncmp(e->d_name, prefix, strlen(prefix))) continue;
    int64_t t = strtoll(e->d_name + strlen(prefix), NULL, 10);
    if (t >= now && t < now + 100000) now = t + 1;
  }
  if (d) closedir(d);
  return now;
}

static xlm_status create(const char *dir, int *fd, xlm_error *err) {
  char path[4352], host[64] = "";
  if (gethostname(host, sizeof host - 1)) *host = 0;
  for (char *c = host; *c; c++)
    if (*c == '/') *c = '-';
  snprintf(path, sizeof path, "%.4000s/%s%010" PRId64 ".%s.%ld.0", dir, prefix, time_of_file(dir),
           *host ? host : "host", (long)getpid());
  *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  return *fd >= 0 ? XLM_OK : xlm_fail(err, XLM_ENV, "cannot create '%s': %s", path, strerror(errno));
}

static xlm_status write_head(int fd, int64_t step, xlm_error *err) {
  static const char version[] = "brain.Event:2";
  static const unsigned char start[] = {SESSION_STATUS << 3 | VARINT, SESSION_START};
  record r;
  begin_record(&r, xlm_clock_unix(), 0);
  put_bytes(&r.event, EVENT_VERSION, version, sizeof version - 1);
  XLM_TRY(write_record(fd, &r, err));
  if (!step) return XLM_OK;
  begin_record(&r, xlm_clock_unix(), step + 1); // events of earlier files from this step on do not count
  put_bytes(&r.event, EVENT_SESSION, start, sizeof start);
  return write_record(fd, &r, err);
}

xlm_status xlm_tensorboard_open(const char *dir, int64_t step, int *fd, xlm_error *err) {
  *fd = -1;
  XLM_TRY(xlm_file_make_folders(dir, err));
  XLM_TRY(create(dir, fd, err));
  if (write_head(*fd, step, err) == XLM_OK) return XLM_OK;
  close(*fd);
  *fd = -1;
  return err->status;
}
