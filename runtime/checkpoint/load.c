// Opens and loads checkpoints. In a folder of several, damaged ones are skipped, newest first, with a note
// each: immediately for damage that every process sees (sizes, headers, small files), and after all have read
// their parts for damage that only some processes see.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/map.h"
#include "runtime/checkpoint/folder.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/checkpoint/shards.h"
#include "runtime/checkpoint/verify.h"

static xlm_status look_for(const char *folder, const char *name, bool *out, xlm_error *err) {
  char path[4352];
  snprintf(path, sizeof path, "%.4095s/%s", folder, name);
  return xlm_file_exists(path, out, err);
}

static void close_map(void *map) {
  xlm_map_close(map);
}

static xlm_status read_model_text(xlm_checkpoint *c, xlm_error *err) {
  bool found;
  XLM_TRY(look_for(c->path, "model.xlm", &found, err));
  if (!found) return XLM_OK;
  xlm_map *m = XLM_NEW(c->arena, xlm_map);
  xlm_arena_cleanup *cleanup = xlm_arena_add_cleanup(c->arena, close_map);
  XLM_TRY(xlm_map_open(xlm_arena_printf(c->arena, "%s/model.xlm", c->path), m, err));
  cleanup->what = m;
  c->info.model_text = xlm_arena_strndup(c->arena, (const char *)m->data, m->n);
  xlm_arena_clean_up(cleanup);
  return XLM_OK;
}

static xlm_status open_part(const xlm_checkpoint *c, xlm_weights_part part, xlm_safetensors **out,
                            xlm_error *err) {
  const char *name = xlm_shards_part_name(part),
             *index = xlm_arena_printf(c->arena, "%s.safetensors.index.json", name);
  bool found;
  XLM_TRY(look_for(c->path, index, &found, err));
  const char *file = found ? index : xlm_arena_printf(c->arena, "%s.safetensors", name);
  return xlm_safetensors_open_checked(xlm_arena_printf(c->arena, "%s/%s", c->path, file),
                                      xlm_verifier_check(c->verifier), out, err);
}

// A file may have a valid checksum and be invalid; falling back to another checkpoint is better than a failed
// load.
static xlm_status check_headers(const xlm_checkpoint *c, xlm_error *err) {
  for (int part = 0; part < XLM_WEIGHTS_PARTS; part++) {
    xlm_safetensors *s;
    XLM_TRY(open_part(c, (xlm_weights_part)part, &s, err));
    xlm_safetensors_close(s);
  }
  return XLM_OK;
}

static xlm_status open_one(xlm_checkpoint *c, const char *path, xlm_error *err) {
  xlm_manifest *m = XLM_NEW(c->arena, xlm_manifest);
  c->path = xlm_arena_strdup(c->arena, path);
  c->read = 0, c->damaged = false;
  XLM_TRY(xlm_manifest_read(c->arena, path, m, &c->read, err));
  c->info = m->info;
  c->verifier = xlm_verifier_new(c->arena, m, &c->read, &c->damaged);
  XLM_TRY(check_headers(c, err));
  return read_model_text(c, err);
}

static xlm_status open_newest(xlm_checkpoint *c, const char *dir, const xlm_folder *f, int64_t before,
                              xlm_error *err) {
  xlm_text notes = xlm_text_new(c->arena);
  char path[4352];
  for (int i = 0; i < f->n; i++) {
    if (f->step[i] >= before) continue;
    c->among = f->step[i];
    xlm_folder_path(dir, f->step[i], path);
    xlm_error why = {0};
    xlm_status s = open_one(c, path, &why);
    c->notes = notes.data;
    if (s == XLM_OK) return s;
    if (s == XLM_ENV) { // out of memory, or a device that fails: the checkpoint may be good
      *err = why;
      return s;
    }
    xlm_text_printf(&notes, "skipped %s: %s\n", path, why.text);
  }
  if (!f->n) return xlm_fail(err, XLM_USER, "there is no checkpoint in '%s'", dir);
  return xlm_fail(err, XLM_USER, "no checkpoint in '%s' is complete%s%s", dir, notes.n ? ":\n" : "",
                  notes.data);
}

static void free_folder(void *folder) {
  xlm_folder_free(folder);
}

static xlm_status open_path(xlm_checkpoint *c, const char *path, int64_t before, xlm_error *err) {
  bool found;
  c->notes = "", c->among = -1;
  XLM_TRY(look_for(path, "manifest.json", &found, err));
  if (found) return open_one(c, path, err);
  xlm_folder *f = XLM_NEW(c->arena, xlm_folder);
  xlm_arena_cleanup *cleanup = xlm_arena_add_cleanup(c->arena, free_folder);
  XLM_TRY(xlm_folder_list(path, f, err));
  cleanup->what = f;
  xlm_status s = open_newest(c, path, f, before, err);
  xlm_arena_clean_up(cleanup);
  return s;
}

xlm_status xlm_checkpoint_open(const char *path, int64_t before, xlm_checkpoint **out, xlm_error *err) {
  *out = NULL;
  xlm_checkpoint *c = calloc(1, sizeof *c);
  if (!c || !(c->arena = xlm_arena_new(0))) {
    free(c);
    return xlm_fail(err, XLM_ENV, "no memory to open '%s'", path);
  }
  xlm_status s;
  if (XLM_ARENA_TRY(c->arena))
    s = open_path(c, path, before, err);
  else
    s = xlm_fail(err, XLM_ENV, "no memory for the manifest of '%s'", path);
  if (s == XLM_OK)
    *out = c;
  else
    xlm_checkpoint_close(c);
  return s;
}

void xlm_checkpoint_close(xlm_checkpoint *c) {
  if (!c) return;
  xlm_arena_free(c->arena);
  free(c);
}

bool xlm_checkpoint_exists(const char *dir) {
  xlm_folder f;
  xlm_error ignored;
  bool found;
  if (look_for(dir, "manifest.json", &found, &ignored) == XLM_OK && found) return true;
  if (xlm_folder_list(dir, &f, &ignored) != XLM_OK) return false;
  bool any = f.n > 0;
  xlm_folder_free(&f);
  return any;
}

const char *xlm_checkpoint_setting_of(const xlm_checkpoint *c, const char *key) {
  for (int i = 0; i < c->info.n_settings; i++)
    if (!strcmp(c->info.settings[i].key, key)) return c->info.settings[i].value;
  return NULL;
}

static xlm_status load_part(const xlm_checkpoint *c, const xlm_weights *w, xlm_weights_part part,
                            bool weights_only, xlm_error *err) {
  xlm_safetensors *f;
  XLM_TRY(open_part(c, part, &f, err));
  xlm_status status = part == XLM_WEIGHTS_MODEL ? xlm_weights_import(w, f, err)
                                                : xlm_weights_import_rest(w, f, !weights_only, err);
  xlm_safetensors_close(f);
  return status;
}

static xlm_status load_parts(const xlm_checkpoint *c, const xlm_weights *w, bool weights_only,
                             xlm_error *err) {
  if (!XLM_ARENA_TRY(c->arena)) return xlm_fail(err, XLM_ENV, "no memory to load '%s'", c->path);
  XLM_TRY(load_part(c, w, XLM_WEIGHTS_MODEL, weights_only, err));
  return load_part(c, w, XLM_WEIGHTS_REST, weights_only, err);
}

static xlm_status load_here(const xlm_checkpoint *c, const xlm_store *s, const xlm_plan *p, bool weights_only,
                            xlm_error *err) {
  xlm_weights *w;
  XLM_TRY(xlm_weights_new(s, p, &w, err));
  xlm_status status = load_parts(c, w, weights_only, err);
  xlm_weights_free(w);
  return status;
}

typedef struct verdict { // a process's result of reading
  int32_t damaged;
  char text[1020];
} verdict;

// By all processes; one that fails for another reason does not reach this and ends the run.
static xlm_status agree(xlm_checkpoint *c, const xlm_store *s, xlm_error *err) {
  int64_t processes = s->peers ? s->peers->n_ranks : 1;
  verdict mine = {.damaged = c->damaged}, *all = calloc((size_t)processes, sizeof *all);
  if (!all) return xlm_fail(err, XLM_ENV, "no memory to load '%s'", c->path);
  if (c->damaged) snprintf(mine.text, sizeof mine.text, "%.1000s", err->text);
  xlm_status status = xlm_store_share(s, &mine, sizeof mine, all, err);
  c->damaged = false;
  for (int64_t k = 0; k < processes && status == XLM_OK; k++) {
    if (!all[k].damaged) continue;
    c->damaged = true;
    status = xlm_fail(err, XLM_USER, "%s", all[k].text);
  }
  free(all);
  return status;
}

xlm_status xlm_checkpoint_load(xlm_checkpoint *c, const xlm_store *s, const xlm_plan *p, bool weights_only,
                               xlm_error *err) {
  xlm_error own, *why = err ? err : &own;
  c->damaged = false;
  xlm_status status = load_here(c, s, p, weights_only, why);
  if (status == XLM_OK || c->damaged) status = agree(c, s, why);
  return status == XLM_OK ? XLM_OK : xlm_fail_in(why, "cannot load '%s'", c->path);
}

xlm_status xlm_checkpoint_load_newest(const char *path, const xlm_store *s, const xlm_plan *p,
                                      bool weights_only, xlm_checkpoint **out, xlm_error *err) {
  xlm_error why = {.text = ""}; // of the last damaged one
  for (int64_t before = XLM_ANY_STEP;;) {
    if (xlm_checkpoint_open(path, before, out, err) != XLM_OK)
      return *why.text ? xlm_fail_in(err, "%.900s", why.text) : err->status;
    xlm_status status = xlm_checkpoint_load(*out, s, p, weights_only, err);
    if (status == XLM_OK) return status;
    why = *err;
    before = (*out)->damaged ? (*out)->among : -1;
    xlm_checkpoint_close(*out);
    *out = NULL;
    if (before < 0) return status;
  }
}
