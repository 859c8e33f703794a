// A folder of weights for other tools; see export_folder.h.
#include "runtime/interchange/export_folder.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/map.h"
#include "runtime/interchange/numbers.h"

#define FILE_BYTES 5000000000u

typedef struct writer {
  xlm_arena *a;
  const xlm_plan *plan;
  const xlm_weights *w;
  const xlm_export_options *o;
  const char *folder; // that is written
  int n, files;
  xlm_st_tensor *tensors;
  int *file; // of each tensor
  xlm_out out;
  const xlm_st_tensor *current;
  void *converted;
  size_t room;
  xlm_error *err;
} writer;

static bool is_parameter(const writer *x, int i) { // states are few and stay exact
  return xlm_weights_is_trained(x->w, i);
}

static void assign_files(writer *x) {
  uint64_t bytes = 0, most = x->o->file_bytes ? x->o->file_bytes : FILE_BYTES;
  if (x->o->adapter_config) most = UINT64_MAX;
  x->n = xlm_weights_count(x->w, XLM_WEIGHTS_MODEL);
  x->tensors = XLM_NEW_N(x->a, xlm_st_tensor, x->n + 1);
  x->file = XLM_NEW_N(x->a, int, x->n + 1);
  for (int i = 0; i < x->n; i++) {
    x->tensors[i] = *xlm_weights_at(x->w, XLM_WEIGHTS_MODEL, i);
    if (is_parameter(x, i)) x->tensors[i].dtype = x->o->dtype;
    uint64_t own = xlm_st_bytes(&x->tensors[i]);
    if (!x->files || bytes + own > most) x->files++, bytes = 0;
    bytes += own;
    x->file[i] = x->files - 1;
  }
}

static const char *file_name(void *arg, int i) { // of tensor i
  const writer *x = arg;
  if (x->o->adapter_config) return "adapter_model.safetensors";
  return x->files < 2 ? "model.safetensors"
                      : xlm_arena_printf(x->a, "model-%05d-of-%05d.safetensors", x->file[i] + 1, x->files);
}

static const char *path_of(const writer *x, const char *name) {
  return xlm_arena_printf(x->a, "%s/%s", x->folder, name);
}

// ---- tensors ----

static xlm_status check_range(const writer *x, const float *values, int64_t n, xlm_error *err) {
  for (int64_t i = 0; x->current->dtype == XLM_ST_F16 && i < n; i++)
    if (fabsf(values[i]) >= 65520 && isfinite(values[i]))
      return xlm_fail(err, XLM_USER, "'%s' has an element of %g, and f16 ends at 65504: use bf16",
                      x->current->name, values[i]);
  return XLM_OK;
}

static xlm_status write_values(void *arg, const float *values, int64_t n, xlm_error *err) {
  writer *x = arg;
  size_t bytes = (size_t)n * xlm_st_dtype_bytes(x->current->dtype);
  XLM_TRY(check_range(x, values, n, err));
  if (bytes > x->room) {
    free(x->converted);
    x->converted = malloc(bytes), x->room = bytes;
    if (!x->converted) return x->room = 0, xlm_fail(err, XLM_ENV, "no memory for '%s'", x->current->name);
  }
  bool known = xlm_st_from_floats(x->current->dtype, values, n, x->converted);
  XLM_ASSERT(known, "type of '%s'", x->current->name);
  return xlm_out_write(&x->out, x->converted, bytes, err);
}

static xlm_status write_tensors(writer *x, int first, int n) {
  XLM_TRY(xlm_safetensors_begin(&x->out, x->tensors + first, n, x->err));
  for (int i = first; i < first + n; i++) {
    x->current = &x->tensors[i];
    XLM_TRY(xlm_weights_stream(x->w, i, write_values, x, x->err));
  }
  return XLM_OK;
}

static xlm_status write_files(writer *x) {
  for (int first = 0, n; first < x->n; first += n) {
    for (n = 1; first + n < x->n && x->file[first + n] == x->file[first];) n++;
    XLM_TRY(xlm_out_open(path_of(x, file_name(x, first)), &x->out, x->err));
    XLM_TRY(xlm_out_close(&x->out, write_tensors(x, first, n), NULL, NULL, x->err));
  }
  return XLM_OK;
}

// ---- the folder ----

static xlm_status write_text(const writer *x, const char *name, const xlm_text *t) {
  return xlm_file_write(path_of(x, name), t->data, t->n, NULL, x->err);
}

static xlm_status copy_tokenizer(const writer *x) {
  static const char *const names[] = {
      "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model", "vocab.json",
      "merges.txt"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *from = xlm_arena_printf(x->a, "%s/%s", x->o->beside, names[i]);
    xlm_map m;
    if (access(from, F_OK)) continue;
    XLM_TRY(xlm_map_open(from, &m, x->err));
    xlm_status status = xlm_file_write(path_of(x, names[i]), m.data, m.n, NULL, x->err);
    xlm_map_close(&m);
    XLM_TRY(status);
  }
  return XLM_OK;
}

static xlm_status write_config(writer *x) {
  static const char *const names[] = {
      [XLM_ST_F32] = "float32", [XLM_ST_F16] = "float16", [XLM_ST_BF16] = "bfloat16"};
  xlm_text config = xlm_text_new(x->a), generation = xlm_text_new(x->a);
  if (x->o->adapter_config) return write_text(x, "adapter_config.json", x->o->adapter_config);
  xlm_config_print(x->plan, names[x->o->dtype], x->o->tokens, &config);
  xlm_generation_config_print(x->plan, x->o->tokens, &generation);
  XLM_TRY(write_text(x, "config.json", &config));
  return write_text(x, "generation_config.json", &generation);
}

static xlm_status write_all(writer *x) {
  xlm_text index = xlm_text_new(x->a);
  XLM_TRY(write_files(x));
  const xlm_st_tensor **list = XLM_NEW_N(x->a, const xlm_st_tensor *, x->n + 1);
  for (int i = 0; i < x->n; i++) list[i] = &x->tensors[i];
  xlm_safetensors_print_index(list, x->n, file_name, x, &index);
  if (x->files > 1) XLM_TRY(write_text(x, "model.safetensors.index.json", &index));
  XLM_TRY(write_config(x));
  XLM_TRY(copy_tokenizer(x));
  return xlm_file_sync_folder(x->folder, x->err);
}

static xlm_status write_folder(writer *x, const char *folder) {
  struct stat st;
  xlm_error ignored;
  if (!stat(folder, &st))
    return xlm_fail(x->err, XLM_USER, "'%s' exists: name a new folder, or remove it first", folder);
  x->folder = xlm_arena_printf(x->a, "%s.partial-%ld", folder, (long)getpid());
  XLM_TRY(xlm_file_make_folders(x->folder, x->err));
  xlm_status status = write_all(x);
  if (status == XLM_OK && rename(x->folder, folder))
    status = xlm_fail(x->err, XLM_ENV, "cannot rename '%s' to '%s': %s", x->folder, folder, strerror(errno));
  if (status != XLM_OK && xlm_file_remove_folder(x->folder, &ignored) != XLM_OK) return status;
  return status;
}

xlm_status xlm_export_folder(const char *folder, const xlm_plan *p, const xlm_weights *w,
                             const xlm_export_options *o, xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  writer *volatile x = calloc(1, sizeof *x);
  xlm_status status = xlm_fail(err, XLM_ENV, "no memory to write '%s'", folder);
  if (a && x && XLM_ARENA_TRY(a)) {
    *x = (writer){.a = a, .plan = p, .w = w, .o = o, .err = err};
    assign_files(x);
    status = write_folder(x, folder);
  }
  if (x) free(x->converted);
  free(x);
  if (a) xlm_arena_free(a);
  return status;
}
