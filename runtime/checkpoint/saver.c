// Saving: writes everything to a temporary sibling, syncs it and renames it; then removes old checkpoints.
//
// A save has three steps. Collecting: the states become the tensors of this process's shards, in its files
// or, for an asynchronous save, in memory. Writing (asynchronous only): a thread writes the files from that
// memory while training continues. Ending: process 0 learns of every file, writes manifest and indices and
// renames. All processes collect and end together.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/folder.h"
#include "runtime/checkpoint/saver_priv.h"

// ---- shards ----

static bool writes(const xlm_saver *s, int k) {
  return s->shards.at[k].process == (s->store->peers ? s->store->peers->rank : 0);
}

typedef struct task { // a shard written by a thread
  xlm_saver *s;
  int shard;
  bool started, from_image;
  pthread_t thread;
  xlm_status status;
  xlm_error err;
} task;

static void run_task(task *t) {
  xlm_saver *s = t->s;
  xlm_shard *shard = &s->shards.at[t->shard];
  xlm_shard_sink sink = {s->writing, s->images ? s->images[t->shard] : NULL};
  t->status = t->from_image ? xlm_shard_write(shard, s->weights, &sink, &t->err)
                            : xlm_shard_collect(shard, s->weights, s->store,
                                                xlm_shards_chunk_bytes(&s->shards), &sink, &t->err);
}

static void *task_thread(void *arg) {
  run_task(arg);
  return NULL;
}

// All shards of this process in parallel; one after the other if no thread can be created.
static xlm_status run_tasks(xlm_saver *s, bool from_image, xlm_error *err) {
  task *tasks = calloc((size_t)s->shards.n, sizeof *tasks);
  if (!tasks) return xlm_fail(err, XLM_ENV, "no memory to save");
  xlm_status status = XLM_OK;
  for (int k = 0; k < s->shards.n; k++) {
    tasks[k] = (task){.s = s, .shard = k, .from_image = from_image};
    if (k && writes(s, k)) tasks[k].started = !pthread_create(&tasks[k].thread, NULL, task_thread, &tasks[k]);
  }
  for (int k = 0; k < s->shards.n; k++)
    if (writes(s, k) && !tasks[k].started) run_task(&tasks[k]);
  for (int k = 0; k < s->shards.n; k++) {
    if (tasks[k].started) pthread_join(tasks[k].thread, NULL);
    if (status == XLM_OK && tasks[k].status != XLM_OK) *err = tasks[k].err, status = tasks[k].status;
  }
  free(tasks);
  return status;
}

static xlm_status collect(xlm_saver *s, xlm_error *err) {
  if (!s->store->peers) return run_tasks(s, false, err);
  xlm_shard_sink sink = {s->writing, NULL};
  bool any = false;
  for (int k = 0; k < s->shards.n; k++)
    if (writes(s, k)) any = true, sink.image = s->images ? s->images[k] : NULL;
  return xlm_shards_collect(&s->shards, s->weights, s->store, any ? &sink : NULL, err);
}

// ---- the end of a save ----

typedef struct report { // sent to the other processes
  int32_t status, over;
  uint64_t size[XLM_WEIGHTS_PARTS], hash[XLM_WEIGHTS_PARTS], head[XLM_WEIGHTS_PARTS];
  char text[400];
} report;

static void tell(xlm_saver *s, report *mine) {
  bool over = s->state != XLM_SAVER_WRITING || atomic_load(&s->over);
  *mine = (report){.over = over, .status = over ? s->written : XLM_OK};
  snprintf(mine->text, sizeof mine->text, "%.399s", mine->status ? s->err.text : "");
  for (int k = 0; over && k < s->shards.n; k++)
    for (int part = 0; writes(s, k) && part < XLM_WEIGHTS_PARTS; part++) {
      const xlm_shard_file *f = &s->shards.at[k].files[part];
      mine->size[part] = f->size, mine->hash[part] = f->hash, mine->head[part] = f->blocks.head;
    }
}

// Merges the reports of all processes. *over: all have finished.
static xlm_status hear(xlm_saver *s, const report *all, int64_t processes, bool *over, xlm_error *err) {
  *over = true;
  for (int64_t k = 0; k < processes; k++) {
    if (all[k].status) return xlm_fail(err, (xlm_status)all[k].status, "%s", all[k].text);
    *over = *over && all[k].over;
  }
  for (int k = 0; *over && k < s->shards.n; k++)
    for (int part = 0; part < XLM_WEIGHTS_PARTS; part++) {
      const report *r = &all[s->shards.at[k].process];
      xlm_shard_file *f = &s->shards.at[k].files[part];
      f->size = r->size[part], f->hash = r->hash[part], f->blocks.head = r->head[part];
    }
  return XLM_OK;
}

static size_t blocks_of(const xlm_shard *shard) {
  size_t n = 0;
  for (int part = 0; part < XLM_WEIGHTS_PARTS; part++) n += (size_t)shard->files[part].blocks.n;
  return n;
}

static void copy_blocks(xlm_shard *shard, uint64_t *list, bool in) {
  for (int part = 0; part < XLM_WEIGHTS_PARTS; part++) {
    xlm_blocks *b = &shard->files[part].blocks;
    size_t bytes = (size_t)b->n * sizeof *list;
    memcpy(in ? b->hash : list, in ? list : b->hash, bytes);
    list += b->n;
  }
}

// The checksums of every process's blocks.
static xlm_status share_blocks(xlm_saver *s, xlm_error *err) {
  size_t processes = (size_t)s->store->peers->n_ranks, most = 0;
  for (int k = 0; k < s->shards.n; k++)
    if (blocks_of(&s->shards.at[k]) > most) most = blocks_of(&s->shards.at[k]);
  uint64_t *mine = calloc(most + 1, sizeof *mine), *all = calloc(processes * most + 1, sizeof *all);
  xlm_status status = mine && all ? XLM_OK : xlm_fail(err, XLM_ENV, "no memory to end a save");
  for (int k = 0; status == XLM_OK && k < s->shards.n; k++)
    if (writes(s, k)) copy_blocks(&s->shards.at[k], mine, false);
  if (status == XLM_OK) status = xlm_store_share(s->store, mine, most * sizeof *mine, all, err);
  for (int k = 0; status == XLM_OK && k < s->shards.n; k++)
    copy_blocks(&s->shards.at[k], all + (size_t)s->shards.at[k].process * most, true);
  free(mine), free(all);
  return status;
}

// A process alone needs no memory for this: the checkpoint may be in place by now.
static xlm_status agree(xlm_saver *s, bool *over, xlm_error *err) {
  report mine;
  tell(s, &mine);
  *over = mine.over;
  if (!s->store->peers) return mine.status ? xlm_fail(err, s->written, "%s", s->err.text) : XLM_OK;
  int64_t processes = s->store->peers->n_ranks;
  report *all = calloc((size_t)processes, sizeof *all);
  if (!all) return xlm_fail(err, XLM_ENV, "no memory to end a save");
  xlm_status status = xlm_store_share(s->store, &mine, sizeof mine, all, err);
  if (status == XLM_OK) status = hear(s, all, processes, over, err);
  if (status == XLM_OK && *over) status = share_blocks(s, err);
  free(all);
  return status;
}

static bool leads(const xlm_saver *s) {
  return !s->store->peers || s->store->peers->rank == 0;
}

// ---- asynchronous writing ----

static void *write_behind(void *arg) {
  xlm_saver *s = arg;
  s->written = run_tasks(s, true, &s->err);
  if (s->written == XLM_OK && !s->store->peers) s->written = xlm_saver_finish(s, &s->err);
  atomic_store(&s->over, true);
  return NULL;
}

// Signals are handled by the main thread.
static xlm_status start_behind(xlm_saver *s, xlm_error *err) {
  sigset_t all, before;
  sigfillset(&all);
  atomic_store(&s->over, false);
  s->written = XLM_OK;
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int failed = pthread_create(&s->thread, NULL, write_behind, s);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failed) return xlm_fail(err, XLM_ENV, "cannot start a thread to save: %s", strerror(failed));
  s->state = XLM_SAVER_WRITING;
  return XLM_OK;
}

static void join(xlm_saver *s) {
  if (s->state != XLM_SAVER_WRITING) return;
  pthread_join(s->thread, NULL);
  atomic_store(&s->over, true);
}

// ---- the whole ----

// A failure must end the run on other processes too: the caller notifies them (xlm_team_fail), since they
// wait for this one.
static xlm_status begin(xlm_saver *s, xlm_error *err) {
  char ready = 0, *all = malloc(s->store->peers ? (size_t)s->store->peers->n_ranks : 1);
  if (!all) return xlm_fail(err, XLM_ENV, "no memory to save");
  xlm_status status = leads(s) ? xlm_saver_make_folder(s, err) : XLM_OK;
  if (status == XLM_OK) status = xlm_store_share(s->store, &ready, 1, all, err); // the folder exists
  free(all);
  return status;
}

static xlm_status end(xlm_saver *s, xlm_error *err) {
  s->state = XLM_SAVER_SAVED;
  return leads(s) && (s->store->peers || !s->options.async) ? xlm_saver_finish(s, err) : XLM_OK;
}

static xlm_status start(xlm_saver *s, xlm_error *err) {
  bool over;
  XLM_TRY(begin(s, err));
  XLM_TRY(collect(s, err));
  if (s->options.async) return start_behind(s, err);
  s->state = XLM_SAVER_COLLECTED;
  s->written = XLM_OK;
  XLM_TRY(agree(s, &over, err));
  return end(s, err);
}

xlm_status xlm_saver_start(xlm_saver *s, const xlm_checkpoint_info *info, xlm_error *err) {
  XLM_ASSERT(s->state == XLM_SAVER_IDLE, "a save is under way");
  s->info = *info;
  xlm_saver_set_paths(s);
  xlm_status status = start(s, err);
  if (status != XLM_OK) xlm_saver_abandon(s);
  return status;
}

xlm_status xlm_saver_poll(xlm_saver *s, bool wait, const char **path, xlm_error *err) {
  bool over = true;
  xlm_status status = XLM_OK;
  *path = NULL;
  if (s->state == XLM_SAVER_IDLE) return XLM_OK;
  if (s->state == XLM_SAVER_WRITING) {
    if (wait) join(s);
    status = agree(s, &over, err);
    if (status == XLM_OK && !over) return XLM_OK;
    if (!wait) join(s);
    if (status == XLM_OK) status = end(s, err);
  }
  if (status != XLM_OK)
    xlm_saver_abandon(s);
  else
    *path = s->final;
  s->state = XLM_SAVER_IDLE;
  return status;
}

static xlm_status take_images(xlm_saver *s, xlm_error *err) {
  s->images = XLM_NEW_N(s->arena, char *, s->shards.n);
  for (int k = 0; k < s->shards.n; k++) {
    uint64_t bytes = 0;
    for (int part = 0; part < XLM_WEIGHTS_PARTS; part++) bytes += s->shards.at[k].files[part].bytes;
    if (!writes(s, k)) continue;
    if (!(s->images[k] = malloc(bytes + 1)))
      return xlm_fail(err, XLM_ENV,
                      "no memory for an asynchronous save: it needs %llu MiB besides those of the training",
                      (unsigned long long)(bytes >> 20));
    s->image_bytes += bytes;
  }
  return XLM_OK;
}

static xlm_status open_in(xlm_saver *s, const xlm_plan *p, xlm_error *err) {
  XLM_TRY(xlm_weights_new(s->store, p, &s->weights, err));
  s->shards = xlm_shards_new(s->arena, s->weights, s->store, s->options.shards, p->n_ranks,
                             s->options.block_bytes ? s->options.block_bytes : XLM_BLOCK_BYTES);
  return s->options.async ? take_images(s, err) : XLM_OK;
}

xlm_status xlm_saver_open(const xlm_store *store, const xlm_plan *p, const xlm_saver_options *o,
                          xlm_saver **out, xlm_error *err) {
  *out = NULL;
  if (strlen(o->dir) > XLM_SAVER_DIR)
    return xlm_fail(err, XLM_USER, "the path '%.60s...' is too long", o->dir);
  xlm_saver *s = calloc(1, sizeof *s);
  if (!s || !(s->arena = xlm_arena_new(0))) {
    free(s);
    return xlm_fail(err, XLM_ENV, "no memory to save");
  }
  xlm_status status;
  s->store = store, s->plan = p, s->options = *o;
  if (XLM_ARENA_TRY(s->arena))
    status = open_in(s, p, err);
  else
    status = xlm_fail(err, XLM_ENV, "no memory for the table of files");
  if (status == XLM_OK)
    *out = s;
  else
    xlm_saver_close(s);
  return status;
}

void xlm_saver_close(xlm_saver *s) {
  if (!s) return;
  join(s);
  if (s->state == XLM_SAVER_WRITING && s->store->peers) xlm_saver_abandon(s); // it will not be completed
  for (int k = 0; s->images && k < s->shards.n; k++) free(s->images[k]);
  xlm_weights_free(s->weights);
  xlm_arena_free(s->arena);
  free(s);
}

uint64_t xlm_saver_bytes(const xlm_saver *s) {
  return s->image_bytes;
}

xlm_status xlm_checkpoint_save(const xlm_store *store, const xlm_plan *p, const char *dir,
                               const xlm_checkpoint_info *info, int keep, char path[4096], xlm_error *err) {
  xlm_saver *s;
  const char *saved;
  xlm_saver_options o = {.dir = dir, .keep = keep};
  XLM_TRY(xlm_saver_open(store, p, &o, &s, err));
  xlm_status status = xlm_saver_start(s, info, err);
  if (status == XLM_OK) status = xlm_saver_poll(s, true, &saved, err);
  if (status == XLM_OK && path) snprintf(path, 4096, "%.4095s", saved);
  xlm_saver_close(s);
  return status;
}
