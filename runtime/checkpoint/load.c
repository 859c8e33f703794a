// Opening and loading checkpoints. In a folder of several, damaged ones are passed over, newest first, with a
// note each.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/map.h"
#include "runtime/checkpoint/folder.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/checkpoint/shards.h"

static bool is_there(const char *folder, const char *name) {
  char path[4352];
  struct stat st;
  snprintf(path, sizeof path, "%.4095s/%s", folder, name);
  return !stat(path, &st);
}

static void close_map(void *map) {
  xlm_map_close(map);
}

static xlm_status read_model_text(xlm_checkpoint *c, xlm_error *err) {
  if (!is_there(c->path, "model.xlm")) return XLM_OK;
  xlm_map *m = XLM_NEW(c->arena, xlm_map);
  xlm_arena_kept *kept = xlm_arena_keep(c->arena, close_map);
  XLM_TRY(xlm_map_open(xlm_arena_printf(c->arena, "%s/model.xlm", c->path), m, err));
  kept->what = m;
  c->info.model_text = xlm_arena_strndup(c->arena, (const char *)m->data, m->n);
  xlm_arena_drop(kept);
  return XLM_OK;
}

static xlm_status open_part(xlm_arena *a, const char *folder, xlm_weights_part part, xlm_safetensors **out,
                            xlm_error *err) {
  const char *name = xlm_shards_part_name(part),
             *index = xlm_arena_printf(a, "%s.safetensors.index.json", name);
  const char *file = is_there(folder, index) ? index : xlm_arena_printf(a, "%s.safetensors", name);
  return xlm_safetensors_open(xlm_arena_printf(a, "%s/%s", folder, file), out, err);
}

// A file may be what was written and still be no good: then another checkpoint is better than a failed load.
static xlm_status check_headers(xlm_arena *a, const char *path, xlm_error *err) {
  for (int part = 0; part < XLM_WEIGHTS_PARTS; part++) {
    xlm_safetensors *s;
    XLM_TRY(open_part(a, path, (xlm_weights_part)part, &s, err));
    xlm_safetensors_close(s);
  }
  return XLM_OK;
}

static xlm_status open_one(xlm_checkpoint *c, const char *path, xlm_error *err) {
  c->path = xlm_arena_strdup(c->arena, path);
  XLM_TRY(xlm_manifest_read(c->arena, path, &c->info, err));
  XLM_TRY(check_headers(c->arena, path, err));
  return read_model_text(c, err);
}

static xlm_status open_newest(xlm_checkpoint *c, const char *dir, const xlm_folder *f, xlm_error *err) {
  xlm_text notes = xlm_text_new(c->arena);
  char path[4352];
  for (int i = 0; i < f->n; i++) {
    xlm_folder_path(dir, f->step[i], path);
    xlm_error why = {0};
    xlm_status s = open_one(c, path, &why);
    c->notes = notes.data;
    if (s == XLM_OK) return s;
    if (s == XLM_ENV) { // no memory, say: that does not make it a damaged one
      *err = why;
      return s;
    }
    xlm_text_printf(&notes, "skipped %s: %s\n", path, why.text);
  }
  if (!f->n) return xlm_fail(err, XLM_USER, "there is no checkpoint in '%s'", dir);
  return xlm_fail(err, XLM_USER, "no checkpoint in '%s' is whole:\n%s", dir, notes.data);
}

static void free_folder(void *folder) {
  xlm_folder_free(folder);
}

static xlm_status open_path(xlm_checkpoint *c, const char *path, xlm_error *err) {
  c->notes = "";
  if (is_there(path, "manifest.json")) return open_one(c, path, err);
  xlm_folder *f = XLM_NEW(c->arena, xlm_folder);
  xlm_arena_kept *kept = xlm_arena_keep(c->arena, free_folder);
  XLM_TRY(xlm_folder_list(path, f, err));
  kept->what = f;
  xlm_status s = open_newest(c, path, f, err);
  xlm_arena_drop(kept);
  return s;
}

xlm_status xlm_checkpoint_open(const char *path, xlm_checkpoint **out, xlm_error *err) {
  *out = NULL;
  xlm_checkpoint *c = calloc(1, sizeof *c);
  if (!c || !(c->arena = xlm_arena_new(0))) {
    free(c);
    return xlm_fail(err, XLM_ENV, "no memory to open '%s'", path);
  }
  xlm_status s;
  if (XLM_ARENA_TRY(c->arena))
    s = open_path(c, path, err);
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
  if (is_there(dir, "manifest.json")) return true;
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
  XLM_TRY(open_part(c->arena, c->path, part, &f, err));
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

xlm_status xlm_checkpoint_load(const xlm_checkpoint *c, const xlm_store *s, const xlm_plan *p,
                               bool weights_only, xlm_error *err) {
  xlm_weights *w;
  XLM_TRY(xlm_weights_new(s, p, &w, err));
  xlm_status status = load_parts(c, w, weights_only, err);
  xlm_weights_free(w);
  return status == XLM_OK ? XLM_OK : xlm_fail_in(err, "cannot load '%s'", c->path);
}
