// Checkpoints that are damaged, and two runs on one folder: what is whole is found, what is not is told.
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/checkpoint/lock.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/checkpoint/verify.h"
#include "tests/layouts/ranks.h"
#include "tests/train/hand_world.h"

#define fail() _fail(__FILE__, __LINE__) // again: ranks.h takes it away

static void flip(const char *path, long at) {
  FILE *f = fopen(path, "r+b");
  assert_non_null(f);
  fseek(f, at, SEEK_SET);
  int c = fgetc(f);
  fseek(f, at, SEEK_SET);
  fputc(c ^ 1, f);
  fclose(f);
}

static void test_keep_and_damage(void **state) {
  (void)state;
  world *w = new_world(1);
  const char *dir = in_root("many");
  init_world(w, 3);
  for (int64_t step = 1; step <= 5; step++) save(w, dir, step, 3);
  assert_int_not_equal(access(in_root("many/step-00000002"), F_OK), 0);
  assert_int_equal(access(in_root("many/step-00000003"), F_OK), 0);
  flip(in_root("many/step-00000005/optimizer.safetensors"), 20); // the header
  assert_int_equal(unlink(in_root("many/step-00000004/manifest.json")), 0);
  xlm_checkpoint *c;
  xlm_error err = {0};
  assert_int_equal(xlm_checkpoint_open(dir, XLM_ANY_STEP, &c, &err), XLM_OK);
  assert_int_equal(c->info.step, 3);
  assert_non_null(strstr(c->notes, "step-00000005/optimizer.safetensors' is damaged: its checksum is wrong"));
  assert_non_null(strstr(c->notes, "skipped"));
  assert_non_null(strstr(c->notes, "step-00000004"));
  xlm_checkpoint_close(c);
  assert_int_equal(xlm_checkpoint_open(in_root("many/step-00000005"), XLM_ANY_STEP, &c, &err),
                   XLM_USER); // chosen: no fall-back
  assert_int_equal(truncate(in_root("many/step-00000003/model.safetensors"), 50), 0);
  assert_int_equal(xlm_checkpoint_open(dir, XLM_ANY_STEP, &c, &err), XLM_USER);
  assert_non_null(strstr(err.text, "has 50 bytes"));
  save(w, dir, 6, 3);
  for (long at = 4; at < 400; at += 40) { // a flipped bit anywhere in the manifest is seen
    flip(in_root("many/step-00000006/manifest.json"), at);
    assert_int_equal(xlm_checkpoint_open(in_root("many/step-00000006"), XLM_ANY_STEP, &c, &err), XLM_USER);
    flip(in_root("many/step-00000006/manifest.json"), at);
  }
  assert_int_equal(xlm_checkpoint_open(in_root("many/step-00000006"), XLM_ANY_STEP, &c, &err), XLM_OK);
  xlm_checkpoint_close(c);
  assert_int_equal(xlm_checkpoint_open(in_root("nowhere"), XLM_ANY_STEP, &c, &err), XLM_USER);
  free_world(w);
}

static void save_in_blocks(const world *w, const char *dir, int64_t step) {
  xlm_saver_options o = {.dir = dir, .shards = 2, .block_bytes = 64};
  xlm_checkpoint_info info = info_at(step);
  xlm_saver *s;
  xlm_error err = {0};
  const char *path;
  if (xlm_saver_open(w->store, &w->plan, &o, &s, &err) != XLM_OK) fail_msg("%s", err.text);
  if (xlm_saver_start(s, &info, &err) != XLM_OK) fail_msg("%s", err.text);
  if (xlm_saver_poll(s, true, &path, &err) != XLM_OK) fail_msg("%s", err.text);
  xlm_saver_close(s);
}

// Two processes: both ranks' states in `whole`, and worlds that hold one rank each.
typedef struct processes {
  const char *dir;
  world *whole, *part[2];
  xlm_checkpoint *c[2];
} processes;

static processes two_processes(const char *dir) {
  processes p = {.dir = dir, .whole = new_world_of_stages()};
  for (uint32_t r = 0; r < 2; r++) {
    p.part[r] = new_world_of_stages();
    let_only(p.part[r], r);
  }
  return p;
}

static void close_checkpoints(processes *p) {
  for (int r = 0; r < 2; r++) xlm_checkpoint_close(p->c[r]), p->c[r] = NULL;
}

static void free_processes(processes *p) {
  close_checkpoints(p);
  free_world(p->part[0]), free_world(p->part[1]), free_world(p->whole);
}

static void load_together(xlm_comm *comm, void *arg) {
  processes *p = arg;
  world *w = p->part[comm->rank];
  w->store->peers = comm;
  xlm_status s = xlm_checkpoint_load_newest(p->dir, w->store, &w->plan, false, &p->c[comm->rank], &comm->err);
  RANK_CHECK(comm, s == XLM_OK);
}

// All ranks took that step, and have what it held.
static void expect_loaded(const processes *p, int64_t step, uint64_t seed) {
  init_world(p->whole, seed);
  for (uint32_t r = 0; r < 2; r++) {
    assert_int_equal(p->c[r]->info.step, step);
    for (uint32_t i = 0; i < p->whole->rank[r].n_states; i++) {
      const xlm_plan_state *s = &p->whole->rank[r].states[i];
      size_t n = (size_t)xlm_type_elements(&p->whole->tensors[s->tensor].type, p->whole->dims[r]);
      if (s->saved) assert_memory_equal(p->part[r]->memory[r][i], p->whole->memory[r][i], n * sizeof(float));
    }
  }
}

static uint64_t bytes_of_all(const xlm_checkpoint *c) {
  uint64_t sum = 0;
  for (int i = 0; i < c->verifier->manifest->n_files; i++) sum += c->verifier->manifest->files[i].size;
  return sum;
}

// A process checks what it reads: of the tensors of the other stage nothing. Between them they check all.
static void test_each_checks_its_own(void **state) {
  (void)state;
  xlm_mesh two = {.n = 1, .axis = {"tp"}, .size = {2}};
  processes p = two_processes(in_root("parts"));
  init_world(p.whole, 3);
  save_in_blocks(p.whole, p.dir, 1);
  ranks_run(&two, 5, load_together, &p);
  expect_loaded(&p, 1, 3);
  for (uint32_t r = 0; r < 2; r++) {
    print_message("rank %u reads %llu bytes; each read all %llu when each hashed all files\n", r,
                  (unsigned long long)p.c[r]->read, (unsigned long long)bytes_of_all(p.c[r]));
    assert_true(p.c[r]->read < bytes_of_all(p.c[r]));
  }
  assert_true(p.c[0]->read + p.c[1]->read < bytes_of_all(p.c[0]) * 3 / 2); // small files and headers twice
  const xlm_manifest *m = p.c[0]->verifier->manifest;
  for (int i = 0; i < m->n_files; i++)
    for (int64_t k = 0; k < m->files[i].blocks.n; k++)
      if (!p.c[0]->verifier->checked[i][k] && !p.c[1]->verifier->checked[i][k])
        fail_msg("block %lld of %s is checked by no process", (long long)k, m->files[i].name);
  free_processes(&p);
}

// Only one process reads the damaged part, and all take the checkpoint before.
static void test_damage_is_agreed_on(void **state) {
  (void)state;
  xlm_mesh two = {.n = 1, .axis = {"tp"}, .size = {2}};
  processes p = two_processes(in_root("agreed"));
  for (int64_t step = 1; step <= 2; step++) {
    init_world(p.whole, 2 + (uint64_t)step);
    save_in_blocks(p.whole, p.dir, step);
  }
  ranks_run(&two, 5, load_together, &p);
  expect_loaded(&p, 2, 4);
  const xlm_manifest *m = p.c[0]->verifier->manifest;
  int file = -1;
  int64_t block = 0;
  for (int i = 0; i < m->n_files; i++)
    for (int64_t k = 0; k < m->files[i].blocks.n; k++)
      if (!p.c[0]->verifier->checked[i][k]) file = i, block = k;
  assert_true(file >= 0);
  uint64_t at, n;
  char path[512];
  xlm_blocks_range(&m->files[file].blocks, m->files[file].size, block, &at, &n);
  snprintf(path, sizeof path, "%s/%s", p.c[0]->path, m->files[file].name);
  close_checkpoints(&p);
  flip(path, (long)at);
  ranks_run(&two, 5, load_together, &p);
  expect_loaded(&p, 1, 3);
  free_processes(&p);
}

// Whatever bit of a file of tensors is wrong, who reads it says so, and no other file is blamed.
static void test_every_block(void **state) {
  (void)state;
  world *w = new_world(2);
  xlm_checkpoint *good, *c;
  xlm_error err = {0};
  char path[512], says[600];
  init_world(w, 3);
  save_in_blocks(w, in_root("bits"), 1);
  assert_int_equal(xlm_checkpoint_load_newest(in_root("bits"), w->store, &w->plan, false, &good, &err),
                   XLM_OK);
  for (int i = 0; i < good->verifier->manifest->n_files; i++) {
    const xlm_manifest_file *f = &good->verifier->manifest->files[i];
    snprintf(path, sizeof path, "%s/%s", good->path, f->name);
    snprintf(says, sizeof says, "'%s' is damaged: its checksum is wrong", path);
    for (uint64_t at = 9; f->blocks.n && at < f->size; at += 31) {
      flip(path, (long)at);
      assert_int_equal(xlm_checkpoint_load_newest(in_root("bits"), w->store, &w->plan, false, &c, &err),
                       XLM_USER);
      if (!strstr(err.text, says)) fail_msg("byte %llu: %s", (unsigned long long)at, err.text);
      flip(path, (long)at);
    }
  }
  xlm_checkpoint_close(good);
  free_world(w);
}

// A manifest with a valid checksum whose content cannot be: whoever made it, it is refused, and the
// checkpoint before it is taken.
static void write_manifest(const char *dir, const xlm_checkpoint_info *info, const char *other_file) {
  static const char *const names[] = {"model.safetensors", "optimizer.safetensors", "config.json",
                                      "model.xlm"};
  xlm_manifest_file files[5] = {{.name = other_file}};
  xlm_arena *a = xlm_arena_new(0);
  xlm_text t = xlm_text_new(a);
  xlm_error err;
  char path[512];
  int n = other_file ? 1 : 0;
  for (int i = 0; i < 4; i++) {
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, names[i]);
    assert_int_equal(stat(path, &st), 0);
    files[n] = (xlm_manifest_file){.name = names[i], .size = (uint64_t)st.st_size};
    assert_int_equal(xlm_file_hash(path, &files[n++].hash, &err), XLM_OK);
  }
  xlm_manifest_print(info, files, n, &t);
  snprintf(path, sizeof path, "%s/manifest.json", dir);
  assert_int_equal(xlm_file_write(path, t.data, t.n, NULL, &err), XLM_OK);
  xlm_arena_free(a);
}

static void test_impossible_manifest(void **state) {
  (void)state;
  world *w = new_world(1);
  const char *dir = in_root("impossible"), *newest = in_root("impossible/step-00000002");
  static const struct {
    int64_t step, tokens, samples;
    const char *file, *says;
  } cases[] = {{-1, 0, 0, NULL, "'step' is missing or out of range"},
               {INT64_MAX, 0, 0, NULL, "'step' is missing or out of range"},
               {2, -5, 0, NULL, "'tokens' is missing or out of range"},
               {2, 0, INT64_MIN, NULL, "'samples' is missing or out of range"},
               {2, 0, 0, "../other", "'../other' is missing or out of range"},
               {2, 0, 0, "nothing", "cannot read"}};
  init_world(w, 3);
  save(w, dir, 1, 3);
  save(w, dir, 2, 3);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    xlm_checkpoint *c;
    xlm_error err = {0};
    xlm_checkpoint_info info = info_at(cases[i].step);
    info.tokens = cases[i].tokens, info.samples = cases[i].samples;
    write_manifest(newest, &info, cases[i].file);
    assert_int_equal(xlm_checkpoint_open(newest, XLM_ANY_STEP, &c, &err), XLM_USER);
    if (!strstr(err.text, cases[i].says)) fail_msg("%s", err.text);
    assert_int_equal(xlm_checkpoint_open(dir, XLM_ANY_STEP, &c, &err), XLM_OK);
    assert_int_equal(c->info.step, 1);
    assert_non_null(strstr(c->notes, cases[i].says));
    xlm_checkpoint_close(c);
  }
  xlm_checkpoint_info good = info_at(2);
  write_manifest(newest, &good, NULL);
  xlm_checkpoint *c;
  assert_int_equal(xlm_checkpoint_open(dir, XLM_ANY_STEP, &c, NULL), XLM_OK);
  assert_int_equal(c->info.step, 2);
  xlm_checkpoint_close(c);
  // Whole by its checksums, and no safetensors file.
  assert_int_equal(truncate(in_root("impossible/step-00000002/optimizer.safetensors"), 20), 0);
  write_manifest(newest, &good, NULL);
  assert_int_equal(xlm_checkpoint_open(dir, XLM_ANY_STEP, &c, NULL), XLM_OK);
  assert_int_equal(c->info.step, 1);
  assert_non_null(strstr(c->notes, "not a valid safetensors file"));
  xlm_checkpoint_close(c);
  free_world(w);
}

static void test_lock(void **state) {
  (void)state;
  int first, second;
  xlm_error err = {0};
  assert_int_equal(mkdir(in_root("lock"), 0777), 0);
  assert_int_equal(xlm_lock_take(in_root("lock"), &first, &err), XLM_OK);
  if (first < 0) skip(); // a file system without locks
  assert_int_equal(xlm_lock_take(in_root("lock"), &second, &err), XLM_USER);
  char holder[64];
  snprintf(holder, sizeof holder, "process %ld on ", (long)getpid());
  assert_non_null(strstr(err.text, holder));
  assert_non_null(strstr(err.text, "--output-dir"));
  xlm_lock_release(first);
  assert_int_equal(xlm_lock_take(in_root("lock"), &second, &err), XLM_OK);
  xlm_lock_release(second);
  assert_int_equal(xlm_lock_take(in_root("no/such/folder"), &second, &err), XLM_ENV);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_keep_and_damage),     cmocka_unit_test(test_each_checks_its_own),
      cmocka_unit_test(test_every_block),         cmocka_unit_test(test_damage_is_agreed_on),
      cmocka_unit_test(test_impossible_manifest), cmocka_unit_test(test_lock)};
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
