// The folder of a save: creates, completes and renames it, and removes older ones. Runs on process 0.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/checkpoint/folder.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/checkpoint/saver_priv.h"
#include "runtime/interchange/config_json.h"

// The same name on every process.
void xlm_saver_set_paths(xlm_saver *s) {
  snprintf(s->writing, sizeof s->writing, "%.3900s/" XLM_FOLDER_TEMPORARY "%08lld", s->options.dir,
           (long long)s->info.step);
  xlm_folder_path(s->options.dir, s->info.step, s->final);
}

xlm_status xlm_saver_make_folder(xlm_saver *s, xlm_error *err) {
  XLM_TRY(xlm_file_make_folders(s->options.dir, err));
  xlm_folder_remove_temporary(s->options.dir);
  return xlm_file_make_folders(s->writing, err);
}

void xlm_saver_abandon(xlm_saver *s) {
  xlm_error ignored;
  bool leads = !s->store->peers || s->store->peers->rank == 0;
  s->state = XLM_SAVER_IDLE;
  if (leads && xlm_file_remove_folder(s->writing, &ignored) != XLM_OK) return; // the next save tries again
}

// ---- small files ----

typedef struct listing {
  xlm_saver *s;
  xlm_arena *a;
  xlm_manifest_file *files;
  uint32_t n, cap;
} listing;

static void add_file(listing *l, xlm_manifest_file f) {
  XLM_PUSH(l->a, l->files, l->n, l->cap, f);
}

static const char *path_of(const listing *l, const char *name) {
  return xlm_arena_printf(l->a, "%s/%s", l->s->writing, name);
}

// Files written by other processes must be in this folder, otherwise they use another one.
static xlm_status add_shards(listing *l, xlm_weights_part part, xlm_error *err) {
  for (int k = 0; k < l->s->shards.n; k++) {
    const xlm_shard_file *f = &l->s->shards.at[k].files[part];
    struct stat st;
    if (!*f->name) continue;
    if (stat(path_of(l, f->name), &st) || (uint64_t)st.st_size != f->size)
      return xlm_fail(
          err, XLM_ENV,
          "'%s', which process %lld wrote, is not here: the output folder must be the same on all hosts",
          path_of(l, f->name), (long long)l->s->shards.at[k].process);
    add_file(l, (xlm_manifest_file){f->name, f->size, f->hash, f->blocks});
  }
  return XLM_OK;
}

static xlm_status write_text(listing *l, const char *name, const char *text, size_t n, xlm_error *err) {
  uint64_t hash;
  XLM_TRY(xlm_file_write(path_of(l, name), text, n, &hash, err));
  add_file(l, (xlm_manifest_file){.name = name, .size = n, .hash = hash});
  return XLM_OK;
}

static xlm_status write_index(listing *l, xlm_weights_part part, xlm_error *err) {
  xlm_text t = xlm_text_new(l->a);
  if (xlm_shards_files(&l->s->shards, part) < 2) return XLM_OK;
  xlm_shards_print_index(&l->s->shards, l->s->weights, part, &t);
  const char *name = xlm_arena_printf(l->a, "%s.safetensors.index.json", xlm_shards_part_name(part));
  return write_text(l, name, t.data, t.n, err);
}

static xlm_status complete(listing *l, xlm_error *err) {
  xlm_saver *s = l->s;
  xlm_text config = xlm_text_new(l->a), generation = xlm_text_new(l->a), manifest = xlm_text_new(l->a);
  for (int part = 0; part < XLM_WEIGHTS_PARTS; part++) {
    XLM_TRY(add_shards(l, (xlm_weights_part)part, err));
    XLM_TRY(write_index(l, (xlm_weights_part)part, err));
  }
  xlm_config_print(s->plan, "float32", s->options.tokens, &config);
  xlm_generation_config_print(s->plan, s->options.tokens, &generation);
  XLM_TRY(write_text(l, "config.json", config.data, config.n, err));
  XLM_TRY(write_text(l, "generation_config.json", generation.data, generation.n, err));
  if (s->info.model_text)
    XLM_TRY(write_text(l, "model.xlm", s->info.model_text, strlen(s->info.model_text), err));
  for (int i = 0; i < s->options.n_files; i++)
    XLM_TRY(write_text(l, s->options.files[i].name, s->options.files[i].bytes, s->options.files[i].n, err));
  xlm_manifest_print(&s->info, l->files, (int)l->n, &manifest);
  XLM_TRY(xlm_file_write(path_of(l, "manifest.json"), manifest.data, manifest.n, NULL, err));
  return xlm_file_sync_folder(s->writing, err);
}

static xlm_status write_small(xlm_saver *s, xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_status status;
  if (a && XLM_ARENA_TRY(a)) {
    listing l = {.s = s, .a = a};
    status = complete(&l, err);
  } else
    status = xlm_fail(err, XLM_ENV, "no memory for the manifest of '%s'", s->writing);
  if (a) xlm_arena_free(a);
  return status;
}

// ---- in place ----

static void note(xlm_saver *s, const xlm_error *why) {
  if (!s->noted) snprintf(s->note, sizeof s->note, "%.1000s", why->text);
  s->noted = true;
}

// Where folders cannot be exchanged, one of the same step is moved aside first, so that one of the two exists
// at all times.
static xlm_status rename_both(xlm_saver *s, const char *aside, bool *moved, xlm_error *err) {
  *moved = !rename(s->final, aside);
  if (!rename(s->writing, s->final)) return XLM_OK;
  int why = errno;
  if (*moved) *moved = rename(aside, s->final) != 0; // restore it
  return xlm_fail(err, XLM_ENV, "cannot rename '%s' to '%s': %s", s->writing, s->final, strerror(why));
}

// In one step, also where there is a checkpoint of the same step: the two are exchanged.
static xlm_status put_in_place(xlm_saver *s, xlm_error *err) {
  char aside[4352];
  const char *dir = s->options.dir, *old = s->writing;
  bool replaced = !renameat2(AT_FDCWD, s->writing, AT_FDCWD, s->final, RENAME_EXCHANGE);
  if (!replaced) { // there is none, or the file system cannot do it
    snprintf(aside, sizeof aside, "%.3900s/" XLM_FOLDER_TEMPORARY "old-%ld", dir, (long)getpid());
    old = aside;
    XLM_TRY(rename_both(s, aside, &replaced, err));
  }
  XLM_TRY(xlm_file_sync_folder(dir, err));
  xlm_error why;
  if (replaced && xlm_file_remove_folder(old, &why) != XLM_OK) note(s, &why);
  return XLM_OK;
}

// Renames it first, so that a run that is killed meanwhile leaves no incomplete checkpoint, only something to
// clean up. One that contains a folder is not ours to remove.
static xlm_status remove_checkpoint(const char *dir, int64_t step, xlm_error *err) {
  char path[4352], aside[4352];
  xlm_folder_path(dir, step, path);
  if (xlm_file_holds_folder(path))
    return xlm_fail(err, XLM_USER, "cannot remove the old checkpoint '%s': it contains a folder", path);
  snprintf(aside, sizeof aside, "%.3900s/" XLM_FOLDER_TEMPORARY "gone-%ld", dir, (long)getpid());
  if (rename(path, aside))
    return xlm_fail(err, XLM_ENV, "cannot remove the old checkpoint '%s': renaming failed: %s", path,
                    strerror(errno));
  return xlm_file_remove_folder(aside, err);
}

// The link DIR/best, replaced in one step. Failure does not end the run.
static void link_best(xlm_saver *s) {
  char to[4352], made[4352], link[4352], target[64];
  xlm_error why;
  if (!s->options.keep_best || !s->info.best.step) return;
  xlm_folder_path(s->options.dir, s->info.best.step, to);
  if (access(to, F_OK)) return; // evaluated before this setting was given
  snprintf(target, sizeof target, "%.63s", strrchr(to, '/') + 1);
  snprintf(link, sizeof link, "%.3900s/" XLM_FOLDER_BEST, s->options.dir);
  snprintf(made, sizeof made, "%.3900s/" XLM_FOLDER_TEMPORARY XLM_FOLDER_BEST, s->options.dir);
  unlink(made); // of a run that was killed
  if (!symlink(target, made) && !rename(made, link)) return;
  xlm_fail(&why, XLM_ENV, "cannot make '%s' a link to '%s': %s", link, target, strerror(errno));
  note(s, &why);
}

// Keeps `step` and the newest others, `keep` in total, and the best; 0 keeps all. Failure to remove one does
// not end the run.
static void remove_old(xlm_saver *s) {
  xlm_folder f;
  xlm_error why;
  int keep = s->options.keep;
  if (keep <= 0) return;
  if (xlm_folder_list(s->options.dir, &f, &why) != XLM_OK) {
    note(s, &why);
    return;
  }
  for (int i = 0, seen = 0; i < f.n; i++) { // newest first
    bool best = s->options.keep_best && f.step[i] == s->info.best.step;
    if (f.step[i] == s->info.step || best || ++seen < keep) continue;
    if (remove_checkpoint(s->options.dir, f.step[i], &why) != XLM_OK) note(s, &why);
  }
  xlm_folder_free(&f);
}

xlm_status xlm_saver_finish(xlm_saver *s, xlm_error *err) {
  XLM_TRY(write_small(s, err));
  XLM_TRY(put_in_place(s, err));
  link_best(s);
  remove_old(s);
  return XLM_OK;
}

const char *xlm_saver_note(const xlm_saver *s) {
  return s->state == XLM_SAVER_WRITING ? "" : s->note;
}

xlm_status xlm_checkpoint_clear(const char *dir, xlm_error *err) {
  xlm_folder f;
  char link[4352], target[2];
  XLM_TRY(xlm_folder_list(dir, &f, err));
  snprintf(link, sizeof link, "%.3900s/" XLM_FOLDER_BEST, dir);
  bool named = readlink(link, target, sizeof target) > 0; // not a folder of someone's
  xlm_status status = !named || !unlink(link)
                          ? XLM_OK
                          : xlm_fail(err, XLM_ENV, "cannot remove '%s': %s", link, strerror(errno));
  for (int i = 0; i < f.n && status == XLM_OK; i++) status = remove_checkpoint(dir, f.step[i], err);
  xlm_folder_free(&f);
  return status;
}
