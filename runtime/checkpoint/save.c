// Saving: everything into a temporary sibling, synced, then one rename; then old checkpoints go.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/checkpoint/folder.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/interchange/config_json.h"
#include "runtime/interchange/weights.h"

enum { FILES = 4 };

typedef struct saver {
  const xlm_store *store;
  const xlm_plan *plan;
  const xlm_checkpoint_info *info;
  char folder[4096];
  xlm_manifest_file files[FILES];
  int n_files;
} saver;

static bool is_rest(const xlm_stored *t) {
  return t->saved && strcmp(t->role, "parameter");
}

static xlm_st_dtype file_dtype(xlm_dtype t) {
  static const xlm_st_dtype table[XLM_DTYPE_COUNT] = {
      [XLM_F32] = XLM_ST_F32, [XLM_BF16] = XLM_ST_BF16, [XLM_F64] = XLM_ST_F64, [XLM_I32] = XLM_ST_I32};
  return table[t];
}

typedef struct rest { // the states of optimizer.safetensors
  const xlm_store *store;
  const xlm_stored **at;
  void *buffer;
} rest;

static xlm_status fill_rest(void *arg, int i, const void **data, xlm_error *err) {
  rest *r = arg;
  const xlm_stored *t = r->at[i];
  free(r->buffer);
  r->buffer = malloc((size_t)t->n * xlm_dtype_bytes(t->dtype) + 1);
  if (!r->buffer) return xlm_fail(err, XLM_ENV, "no memory for state '%s'", t->name);
  *data = r->buffer;
  return xlm_store_read(r->store, t, r->buffer, err);
}

static xlm_status write_rest(const xlm_store *s, const char *path, uint64_t *hash, uint64_t *size,
                             xlm_error *err) {
  size_t most = (size_t)s->n + 1;
  rest r = {s, calloc(most, sizeof *r.at), NULL};
  xlm_st_tensor *list = calloc(most, sizeof *list);
  xlm_status status = XLM_ENV;
  int n = 0;
  for (int i = 0; r.at && list && i < s->n; i++) {
    const xlm_stored *t = &s->at[i];
    if (!is_rest(t)) continue;
    r.at[n] = t;
    list[n] = (xlm_st_tensor){.name = t->name, .dtype = file_dtype(t->dtype), .rank = t->rank};
    memcpy(list[n++].shape, t->shape, sizeof t->shape);
  }
  if (r.at && list)
    status = xlm_safetensors_write(path, list, n, fill_rest, &r, hash, size, err);
  else
    xlm_fail(err, XLM_ENV, "no memory for the table of states");
  free(r.buffer);
  free(r.at);
  free(list);
  return status;
}

static xlm_manifest_file *next_file(saver *s, const char *name, char path[4352]) {
  snprintf(path, 4352, "%s/%s", s->folder, name);
  s->files[s->n_files] = (xlm_manifest_file){.name = name};
  return &s->files[s->n_files++];
}

static xlm_status write_text(saver *s, const char *name, const char *text, xlm_error *err) {
  char path[4352];
  xlm_manifest_file *f = next_file(s, name, path);
  f->size = strlen(text);
  return xlm_file_write(path, text, f->size, &f->hash, err);
}

static xlm_status write_texts(saver *s, xlm_arena *a, xlm_error *err) {
  xlm_text config = xlm_text_new(a), manifest = xlm_text_new(a);
  char path[4352];
  xlm_config_print(s->plan, &config);
  XLM_TRY(write_text(s, "config.json", config.data, err));
  if (s->info->model_text) XLM_TRY(write_text(s, "model.xlm", s->info->model_text, err));
  xlm_manifest_print(s->info, s->files, s->n_files, &manifest);
  snprintf(path, sizeof path, "%s/manifest.json", s->folder);
  return xlm_file_write(path, manifest.data, manifest.n, NULL, err);
}

static xlm_status write_small(saver *s, xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_status status;
  if (a && XLM_ARENA_TRY(a))
    status = write_texts(s, a, err);
  else
    status = xlm_fail(err, XLM_ENV, "no memory for the manifest of '%s'", s->folder);
  if (a) xlm_arena_free(a);
  return status;
}

static xlm_status write_all(saver *s, xlm_error *err) {
  char path[4352];
  xlm_manifest_file *f = next_file(s, "model.safetensors", path);
  XLM_TRY(xlm_weights_export(s->store, s->plan, path, &f->hash, &f->size, err));
  f = next_file(s, "optimizer.safetensors", path);
  XLM_TRY(write_rest(s->store, path, &f->hash, &f->size, err));
  XLM_TRY(write_small(s, err));
  return xlm_file_sync_folder(s->folder, err);
}

// A checkpoint of the same step gives way: it is moved aside first, so that at any moment one of the two is
// there.
static xlm_status put_in_place(const char *dir, const char *from, const char *to, xlm_error *err) {
  char aside[4352];
  snprintf(aside, sizeof aside, "%s/" XLM_FOLDER_TEMPORARY "old-%ld", dir, (long)getpid());
  bool moved = !rename(to, aside);
  if (rename(from, to))
    return xlm_fail(err, XLM_ENV, "cannot rename '%s' to '%s': %s", from, to, strerror(errno));
  XLM_TRY(xlm_file_sync_folder(dir, err));
  return moved ? xlm_file_remove_folder(aside, err) : XLM_OK;
}

// Loses its name first: a run that is killed on the way leaves no half checkpoint, only something to clear
// away.
static xlm_status remove_checkpoint(const char *dir, int64_t step, xlm_error *err) {
  char path[4352], aside[4352];
  xlm_folder_path(dir, step, path);
  snprintf(aside, sizeof aside, "%.4000s/" XLM_FOLDER_TEMPORARY "gone-%ld", dir, (long)getpid());
  if (rename(path, aside)) return xlm_fail(err, XLM_ENV, "cannot rename '%s': %s", path, strerror(errno));
  return xlm_file_remove_folder(aside, err);
}

// Keeps `step` and the newest others, `keep` in all; 0 keeps everything, unless all shall go.
static xlm_status remove_old(const char *dir, int64_t step, int keep, bool all, xlm_error *err) {
  xlm_folder f;
  XLM_TRY(xlm_folder_list(dir, &f, err));
  xlm_status status = XLM_OK;
  for (int i = 0, seen = 0; i < f.n && status == XLM_OK; i++) { // newest first
    if (!all && (keep <= 0 || f.step[i] == step || ++seen < keep)) continue;
    status = remove_checkpoint(dir, f.step[i], err);
  }
  xlm_folder_free(&f);
  return status;
}

xlm_status xlm_checkpoint_clear(const char *dir, xlm_error *err) {
  return remove_old(dir, -1, 0, true, err);
}

static xlm_status write_checkpoint(saver *s, const char *dir, int keep, char path[4096], xlm_error *err) {
  char final[4352];
  XLM_TRY(xlm_file_make_folders(dir, err));
  xlm_folder_remove_temporary(dir);
  xlm_folder_path(dir, s->info->step, final);
  snprintf(s->folder, sizeof s->folder, "%.3900s/" XLM_FOLDER_TEMPORARY "%ld", dir, (long)getpid());
  XLM_TRY(xlm_file_make_folders(s->folder, err));
  xlm_error ignored;
  xlm_status status = write_all(s, err);
  if (status == XLM_OK)
    status = put_in_place(dir, s->folder, final, err);
  else if (xlm_file_remove_folder(s->folder, &ignored) != XLM_OK)
    return status;
  if (status == XLM_OK && path) snprintf(path, 4096, "%.4095s", final);
  return status == XLM_OK ? remove_old(dir, s->info->step, keep, false, err) : status;
}

// A failure here must end the run elsewhere too: the caller tells the others (xlm_team_fail), who wait for
// requests.
xlm_status xlm_checkpoint_save(const xlm_store *store, const xlm_plan *p, const char *dir,
                               const xlm_checkpoint_info *info, int keep, char path[4096], xlm_error *err) {
  saver s = {.store = store, .plan = p, .info = info};
  if (strlen(dir) > 3900) return xlm_fail(err, XLM_USER, "the path '%.60s...' is too long", dir);
  if (store->peers && store->peers->rank != 0) {
    char name[4352];
    XLM_TRY(xlm_store_serve(store, err));
    xlm_folder_path(dir, info->step, name);
    if (path) snprintf(path, 4096, "%.4095s", name);
    return XLM_OK;
  }
  XLM_TRY(write_checkpoint(&s, dir, keep, path, err));
  return xlm_store_release(store, err);
}
