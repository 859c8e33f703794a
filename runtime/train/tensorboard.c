// See tensorboard.h. Each record is one write. The few kinds of fields that are needed are written by hand; a
// nested message is built apart, because its length stands before it.
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
#include "runtime/base/text.h"

enum { ROOM = 1 << 14, HEAD = 12, FOOT = 4, TAG = 256 };
enum { VARINT, FIXED64, BYTES, FIXED32 = 5 }; // protobuf's wire types
enum { EVENT_TIME = 1, EVENT_STEP = 2, EVENT_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2, VALUE_TENSOR = 8, VALUE_METADATA = 9 };
enum { METADATA_PLUGIN = 1, PLUGIN_NAME = 1, TENSOR_TYPE = 1, TENSOR_SHAPE = 2, TENSOR_STRING = 8 };
enum { SHAPE_DIM = 2, DIM_SIZE = 1, TYPE_STRING = 7 };
enum { SESSION_STATUS = 1, SESSION_START = 1 };

// ---- bytes ----

typedef struct buffer { // begins with memory of its owner's, and grows beyond it
  size_t n, room;
  bool failed, grown; // failed: for want of memory; grown: `at` is released by `release`
  unsigned char *at;
} buffer;

#define BUFFER(memory) ((buffer){.at = (memory), .room = sizeof(memory)})

static void release(buffer *b) {
  if (b->grown) free(b->at);
  *b = (buffer){0};
}

static void grow(buffer *b, size_t room) {
  unsigned char *at = realloc(b->grown ? b->at : NULL, room);
  b->failed = !at;
  if (!at) return;
  if (!b->grown && b->n) memcpy(at, b->at, b->n);
  b->at = at, b->room = room, b->grown = true;
}

static void put(buffer *b, const void *bytes, size_t n) {
  if (!b->failed && n > b->room - b->n) grow(b, 2 * (b->n + n));
  if (b->failed) return;
  if (n) memcpy(b->at + b->n, bytes, n);
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

static void put_number(buffer *b, int field, uint64_t x) {
  put_key(b, field, VARINT);
  put_varint(b, x);
}

// A nested message, which is released.
static void put_message(buffer *b, int field, buffer *inner) {
  put_bytes(b, field, inner->at, inner->n);
  b->failed |= inner->failed;
  release(inner);
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

// With room for its head before the event.
static void begin_record(buffer *r, double time, int64_t step) {
  uint64_t bits;
  memcpy(&bits, &time, sizeof bits);
  put_little_endian(r, 0, 8);
  put_little_endian(r, 0, HEAD - 8);
  put_key(r, EVENT_TIME, FIXED64);
  put_little_endian(r, bits, 8);
  if (step) put_number(r, EVENT_STEP, (uint64_t)step); // else the default
}

// And releases it.
static xlm_status write_record(int fd, buffer *r, xlm_error *err) {
  unsigned char bytes[HEAD];
  buffer head = BUFFER(bytes);
  uint64_t n = r->n - HEAD;
  put_little_endian(r, r->failed ? 0 : masked_crc32c(r->at + HEAD, n), FOOT);
  put_little_endian(&head, n, 8);
  put_little_endian(&head, masked_crc32c(bytes, 8), 4);
  bool whole = !r->failed;
  if (whole) memcpy(r->at, bytes, HEAD);
  xlm_status s = whole ? xlm_fd_write(fd, r->at, r->n, "the TensorBoard events", err)
                       : xlm_fail(err, XLM_ENV, "no memory for a TensorBoard event");
  release(r);
  return s;
}

// ---- values ----

static void put_scalar(buffer *summary, const char *group, const char *name, double value) {
  unsigned char bytes[2 * TAG];
  char tag[TAG];
  buffer v = BUFFER(bytes);
  float x = (float)value;
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  snprintf(tag, sizeof tag, "%s/%s", group, name);
  put_bytes(&v, VALUE_TAG, tag, strlen(tag));
  put_key(&v, VALUE_SIMPLE, FIXED32);
  put_little_endian(&v, bits, 4);
  put_message(summary, SUMMARY_VALUE, &v);
}

// Of a list its smallest, mean and largest value.
static void put_own(buffer *s, const xlm_metrics_own *m) {
  char name[TAG];
  double low = INFINITY, high = -INFINITY, sum = 0;
  if (!m->n) {
    put_scalar(s, "model", m->name, *m->values);
    return;
  }
  for (int64_t i = 0; i < m->n; i++) {
    low = fmin(low, m->values[i]), high = fmax(high, m->values[i]);
    sum += m->values[i];
  }
  const double values[] = {low, sum / (double)m->n, high};
  static const char *const names[] = {"min", "mean", "max"};
  for (int i = 0; i < 3; i++) {
    snprintf(name, sizeof name, "%.200s/%s", m->name, names[i]);
    put_scalar(s, "model", name, values[i]);
  }
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
  for (int i = 0; i < m->n_own; i++) put_own(s, &m->own[i]);
}

// ---- samples ----

// Markdown of a text as it is: a block whose lines are indented. What is not UTF-8 becomes U+FFFD.
static void put_verbatim(buffer *b, const char *title, const char *text) {
  static const char indent[] = "    ";
  if (!*text) return;
  put(b, title, strlen(title));
  put(b, "\n\n", 2);
  put(b, indent, sizeof indent - 1);
  for (size_t n = strlen(text), size; n; text += size, n -= size) {
    size = xlm_text_character((const unsigned char *)text, n);
    put(b, !size ? "\xEF\xBF\xBD" : *text == '\r' ? " " : text, size ? size : 3);
    if (*text == '\n') put(b, indent, sizeof indent - 1);
    size += !size;
  }
  put(b, "\n\n", 2);
}

// A tensor of one string for the dashboard of texts, which shows Markdown.
static void put_sample(buffer *summary, int number, const xlm_metrics_sample *x) {
  static const char plugin[] = "text";
  char tag[TAG];
  buffer value = {0}, name = {0}, metadata = {0}, dim = {0}, shape = {0}, tensor = {0}, text = {0};
  snprintf(tag, sizeof tag, "samples/%d", number);
  put_verbatim(&text, "**prompt**", x->prompt);
  put_verbatim(&text, "**text**", x->text);
  put_bytes(&name, PLUGIN_NAME, plugin, sizeof plugin - 1);
  put_message(&metadata, METADATA_PLUGIN, &name);
  put_number(&dim, DIM_SIZE, 1);
  put_message(&shape, SHAPE_DIM, &dim);
  put_number(&tensor, TENSOR_TYPE, TYPE_STRING);
  put_message(&tensor, TENSOR_SHAPE, &shape);
  put_message(&tensor, TENSOR_STRING, &text);
  put_bytes(&value, VALUE_TAG, tag, strlen(tag));
  put_message(&value, VALUE_METADATA, &metadata);
  put_message(&value, VALUE_TENSOR, &tensor);
  put_message(summary, SUMMARY_VALUE, &value);
}

xlm_status xlm_tensorboard_write(int fd, const xlm_metrics_line *m, xlm_error *err) {
  unsigned char bytes[ROOM], more[ROOM];
  buffer r = BUFFER(bytes), summary = BUFFER(more);
  begin_record(&r, m->time, m->step);
  put_scalars(&summary, m);
  for (int i = 0; i < m->n_samples; i++) put_sample(&summary, i + 1, &m->samples[i]);
  put_message(&r, EVENT_SUMMARY, &summary);
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
  unsigned char bytes[TAG];
  buffer r = BUFFER(bytes);
  begin_record(&r, xlm_clock_unix(), 0);
  put_bytes(&r, EVENT_VERSION, version, sizeof version - 1);
  XLM_TRY(write_record(fd, &r, err));
  r = BUFFER(bytes);
  // A session begins, as in every file: some readers take the second one, others any, as a restart after
  // which events of earlier files from this step on do not count.
  begin_record(&r, xlm_clock_unix(), step + 1);
  put_bytes(&r, EVENT_SESSION, start, sizeof start);
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
