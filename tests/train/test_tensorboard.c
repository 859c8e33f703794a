// TensorBoard event files, read back by a decoder of its own: framing and checksums, the numbers of the
// metrics file, files that grow, and a run that is resumed from an earlier step.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <unistd.h>

#include "runtime/train/tensorboard.h"
#include "tests/train/scratch.h"

// ---- the decoder ----

typedef struct scalar {
  char tag[64];
  int64_t step;
  double value, time; // value: of a scalar
  char text[256];     // of a sample
} scalar;

enum { MOST = 4096 };
static scalar seen[MOST]; // in the order of the files; what a restart leaves out is gone
static int n_seen, n_versions, n_starts;

static uint32_t reversed(uint32_t x, int bits) {
  uint32_t y = 0;
  for (int i = 0; i < bits; i++) y |= (x >> i & 1) << (bits - 1 - i);
  return y;
}

// From the definition: the remainder of the reflected message, most significant bit first.
static uint32_t crc32c(const unsigned char *p, size_t n) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < n; i++) {
    crc ^= reversed(p[i], 8) << 24;
    for (int k = 0; k < 8; k++) crc = crc << 1 ^ (crc >> 31 ? 0x1edc6f41u : 0);
  }
  return reversed(~crc, 32);
}

static uint64_t number(const unsigned char *p, int bytes) {
  uint64_t x = 0;
  for (int i = bytes; i--;) x = x << 8 | p[i];
  return x;
}

static void check_crc(const unsigned char *p, size_t n, const unsigned char *stored) {
  uint32_t masked = (uint32_t)number(stored, 4) - 0xa282ead8u;
  assert_int_equal(masked << 15 | masked >> 17, crc32c(p, n));
}

static uint64_t varint(const unsigned char **p, const unsigned char *end) {
  uint64_t x = 0;
  for (int shift = 0;; shift += 7) {
    assert_true(*p < end && shift < 64);
    x |= (uint64_t)(**p & 127) << shift;
    if (!(*(*p)++ & 128)) return x;
  }
}

typedef struct field {
  int number, wire;
  uint64_t value;          // of a number, as bits
  const unsigned char *at; // of bytes: [value]
} field;

static int next_field(const unsigned char **p, const unsigned char *end, field *f) {
  if (*p == end) return 0;
  uint64_t key = varint(p, end);
  *f = (field){.number = (int)(key >> 3), .wire = (int)(key & 7)};
  int size = f->wire == 1 ? 8 : f->wire == 5 ? 4 : 0;
  assert_true(f->wire == 0 || f->wire == 2 || size);
  if (!size) f->value = varint(p, end);
  if (size) assert_true(end - *p >= size), f->value = number(*p, size), *p += size;
  if (f->wire != 2) return 1;
  assert_true(f->value <= (uint64_t)(end - *p));
  f->at = *p, *p += f->value;
  return 1;
}

// The only field of a message that has this number; all others are skipped.
static field inside(field of, int number) {
  field f, found = {0};
  const unsigned char *p = of.at;
  while (next_field(&p, of.at + of.value, &f))
    if (f.number == number) assert_int_equal(found.number, 0), found = f;
  assert_int_equal(found.number, number);
  return found;
}

// A tensor of one string (type 7) of shape [1], and whose plugin is that of texts.
static void read_text(field tensor, char *out, size_t room) {
  field text = inside(tensor, 8), size = inside(inside(inside(tensor, 2), 2), 1);
  assert_true(inside(tensor, 1).value == 7 && size.value == 1 && text.value < room);
  memcpy(out, text.at, text.value);
}

static void check_plugin(field metadata) {
  field name = inside(inside(metadata, 1), 1);
  assert_true(name.value == 4);
  assert_memory_equal(name.at, "text", 4);
}

static void read_value(const unsigned char *p, size_t n, int64_t step, double time) {
  field f;
  float x;
  scalar *s = &seen[n_seen++];
  assert_true(n_seen < MOST);
  *s = (scalar){.step = step, .time = time, .value = -INFINITY};
  for (const unsigned char *end = p + n; next_field(&p, end, &f);) {
    if (f.number == 1) assert_true(f.value < sizeof s->tag), memcpy(s->tag, f.at, f.value);
    if (f.number == 8) read_text(f, s->text, sizeof s->text);
    if (f.number == 9) check_plugin(f);
    if (f.number != 2) continue;
    assert_int_equal(f.wire, 5);
    uint32_t bits = (uint32_t)f.value;
    memcpy(&x, &bits, sizeof x);
    s->value = (double)x;
  }
}

static void restart(int64_t step) {
  int kept = 0;
  for (int i = 0; i < n_seen; i++)
    if (seen[i].step < step) seen[kept++] = seen[i];
  n_seen = kept, n_starts++;
}

static void read_event(const unsigned char *p, size_t n) {
  const unsigned char *end = p + n, *at = p;
  int64_t step = 0;
  double time = 0;
  field f, value;
  while (next_field(&at, end, &f)) {
    if (f.number == 1) assert_int_equal(f.wire, 1), memcpy(&time, &f.value, sizeof time);
    if (f.number == 2) step = (int64_t)f.value;
  }
  for (at = p; next_field(&at, end, &f);) {
    if (f.number == 3) assert_memory_equal(f.at, "brain.Event:2", 13), n_versions++;
    if (f.number == 7) restart(step);
    const unsigned char *inner = f.at;
    while (f.number == 5 && next_field(&inner, f.at + f.value, &value))
      read_value(value.at, value.value, step, time);
  }
}

static void read_file(const char *path) {
  static unsigned char bytes[1 << 20];
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  size_t n = fread(bytes, 1, sizeof bytes, f);
  fclose(f);
  for (size_t at = 0; at < n;) {
    size_t size = (size_t)number(bytes + at, 8);
    assert_true(size < n - at - 15);
    check_crc(bytes + at, 8, bytes + at + 8);
    check_crc(bytes + at + 12, size, bytes + at + 12 + size);
    read_event(bytes + at + 12, size);
    at += 16 + size;
  }
}

static int of_name(const struct dirent *e) {
  return !strncmp(e->d_name, "events.out.tfevents.", 20);
}

static int read_folder(const char *dir) { // how many files
  struct dirent **list;
  n_seen = n_versions = n_starts = 0;
  int n = scandir(dir, &list, of_name, alphasort);
  for (int i = 0; i < n; i++) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
    read_file(path);
    free(list[i]);
  }
  free(list);
  return n;
}

static const scalar *find(const char *tag, int64_t step) {
  const scalar *found = NULL;
  for (int i = 0; i < n_seen; i++) {
    if (strcmp(seen[i].tag, tag) || seen[i].step != step) continue;
    if (found) fail_msg("%s has step %ld twice", tag, (long)step);
    found = &seen[i];
  }
  return found;
}

// ---- the tests ----

static void test_checksum(void **state) {
  (void)state;
  assert_int_equal(crc32c((const unsigned char *)"123456789", 9), 0xe3069283u); // the catalogue's check value
}

static void write_step(int fd, int64_t step, double loss, double val) {
  static const xlm_metrics_sample samples[] = {{"On\nce", "<b>`upon`\r\n\na\xff time"}, {"", ""}};
  static const double balance = 1.5, load[] = {4, 0, 2};
  static const xlm_metrics_own own[] = {{"balance", 0, &balance}, {"layers.0.load", 3, load}};
  xlm_metrics_line m = {.step = step,
                        .loss = loss,
                        .val_loss = val,
                        .skipped = -1,
                        .time = 1.75e9 + (double)step / 8,
                        .memory_bytes = 3ull << 30,
                        .n_samples = step == 130 && loss > 5 ? 2 : 0,
                        .samples = samples,
                        .n_own = 2,
                        .own = own};
  assert_int_equal(xlm_tensorboard_write(fd, &m, NULL), XLM_OK);
}

static void test_file(void **state) {
  (void)state;
  char dir[96];
  int fd;
  xlm_error err;
  snprintf(dir, sizeof dir, "%s/new/folder", root);
  assert_int_equal(xlm_tensorboard_open(dir, 0, &fd, &err), XLM_OK);
  assert_int_equal(read_folder(dir), 1);
  assert_true(n_versions == 1 && n_seen == 0 && n_starts == 1);
  int64_t big = (int64_t)1 << 40; // a varint of several bytes
  write_step(fd, 1, 2.5, NAN);
  write_step(fd, 130, NAN, 0.75);
  assert_int_equal(read_folder(dir), 1); // while it grows
  assert_true(find("train/loss", 1)->value == 2.5 && find("train/loss", 1)->time == 1.75e9 + 0.125);
  assert_true(isnan(find("train/loss", 130)->value) && find("valid/loss", 130)->value == 0.75);
  assert_null(find("valid/loss", 1));
  assert_true(find("model/balance", 1)->value == 1.5 && find("memory/peak_GiB", 1)->value == 3);
  assert_true(find("model/layers.0.load/min", 1)->value == 0 &&
              find("model/layers.0.load/mean", 1)->value == 2);
  assert_true(find("model/layers.0.load/max", 1)->value == 4 && !find("samples/1", 130));
  write_step(fd, big, 1, NAN);
  close(fd);
  assert_int_equal(xlm_tensorboard_open(dir, 129, &fd, &err), XLM_OK); // resumed after step 129
  write_step(fd, 130, 7, NAN);
  close(fd);
  assert_int_equal(read_folder(dir), 2);
  assert_true(n_starts == 2 && n_versions == 2);
  assert_true(find("train/loss", 1)->value == 2.5 && find("train/loss", 130)->value == 7);
  assert_true(!find("valid/loss", 130) && !find("train/loss", big));
  assert_string_equal(
      find("samples/1", 130)->text,
      "**prompt**\n\n    On\n    ce\n\n**text**\n\n    <b>`upon` \n    \n    a\xEF\xBF\xBD time\n\n");
  assert_true(find("samples/2", 130) && !*find("samples/2", 130)->text && !find("samples/1", 1));
}

static void check_list(const json_t *line, int64_t step) {
  const json_t *list = json_object_get(line, "layers.0.moe.expert_load");
  double high = 0;
  for (size_t i = 0; i < json_array_size(list); i++)
    high = fmax(high, json_number_value(json_array_get(list, i)));
  const scalar *max = find("model/layers.0.moe.expert_load/max", step);
  const scalar *mean = find("model/layers.0.moe.expert_load/mean", step);
  assert_true(json_array_size(list) == 4 && max && max->value == high);
  assert_true(mean && mean->value == 4 * 32 * 2 / 4); // samples, tokens, chosen, experts
}

static void check_samples(const json_t *line, int64_t step) {
  const json_t *list = json_object_get(line, "samples");
  const scalar *s = find("samples/1", step);
  assert_true(!s == !list);
  if (s) assert_non_null(strstr(s->text, "**prompt**\n\n    12\n\n**text**\n\n    "));
}

static void check_line(const json_t *line) {
  static const char *const names[][2] = {{"loss", "train/loss"},
                                         {"lr", "train/learning_rate"},
                                         {"grad_norm", "train/grad_norm"},
                                         {"tokens", "train/tokens"},
                                         {"val_loss", "valid/loss"},
                                         {"tokens_per_s", "speed/tokens_per_s"},
                                         {"step_s", "speed/step_s"},
                                         {"skipped", "train/skipped"},
                                         {"mfu", "speed/mfu"},
                                         {"expert_load_max", "model/expert_load_max"}};
  int64_t step = json_integer_value(json_object_get(line, "step"));
  check_list(line, step);
  check_samples(line, step);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const json_t *x = json_object_get(line, names[i][0]);
    const scalar *s = find(names[i][1], step);
    assert_true((s != NULL) == (x != NULL));
    double digits =
        strcmp(names[i][0], "mfu") ? 6e-6 : 6e-4; // 6 or more of a number in the metrics, 4 of mfu
    if (s) assert_true(fabs(s->value - json_number_value(x)) <= digits * fabs(s->value));
    if (s) assert_true(fabs(s->time - json_number_value(json_object_get(line, "time"))) < 0.01);
  }
}

// A run that is resumed from a checkpoint before its last lines: every line of the metrics, and nothing else.
static void test_run(void **state) {
  (void)state;
  char command[2048], path[128], text[8192];
  snprintf(
      command, sizeof command,
      "cd %s && seq 4000 >text && %s/xlmrun train %s/models/mixtral.xlm --data text --hidden-size 16 --set "
      "layers=1 "
      "--set heads=2 --num-key-value-heads 1 --num-local-experts 4 --intermediate-size 32 --vocab-size 256 "
      "--seq-length 32 --micro-batch-size 2 --global-batch-size 4 --threads 1 --max-steps 20 --log-interval "
      "3 "
      "--sample-interval 9 --sample-prompt 12 --sample-tokens 8 "
      "--eval-interval 10 --eval-batches 1 --save-interval 8 --skip-spikes 4 --output-dir run --tensorboard "
      "events "
      ">log 2>&1 && rm -r run/step-00000016 run/step-00000020 && %s/xlmrun train --resume run >>log 2>&1",
      root, XLM_BINARY_DIR, XLM_SOURCE_DIR, XLM_BINARY_DIR);
  assert_int_equal(system(command), 0);
  snprintf(path, sizeof path, "%s/events", root);
  assert_int_equal(read_folder(path), 2);
  assert_int_equal(n_starts, 2);
  snprintf(path, sizeof path, "%s/run/metrics.jsonl", root);
  FILE *f = fopen(path, "r");
  int lines = 0, losses = 0;
  for (; fgets(text, sizeof text, f); lines++) {
    json_t *line = json_loads(text, 0, NULL);
    assert_non_null(line);
    check_line(line);
    json_decref(line);
  }
  fclose(f);
  for (int i = 0; i < n_seen; i++) losses += !strcmp(seen[i].tag, "train/loss");
  assert_true(lines == losses && lines == 9); // 1, 3, 6, 9, 10, 12, 15, 18, 20
}

static void test_no_folder(void **state) {
  (void)state;
  int fd;
  xlm_error err;
  assert_int_equal(xlm_tensorboard_open("/proc/none", 0, &fd, &err), XLM_ENV);
  assert_true(fd == -1 && strstr(err.text, "/proc/none"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_checksum), cmocka_unit_test(test_file),
                                     cmocka_unit_test(test_run), cmocka_unit_test(test_no_folder)};
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
