// Writes safetensors: the header follows from names and shapes; data is streamed after it.
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/interchange/safetensors.h"

uint64_t xlm_st_bytes(const xlm_st_tensor *t) {
  uint64_t n = xlm_st_dtype_bytes(t->dtype);
  for (int i = 0; i < t->rank; i++) n *= (uint64_t)t->shape[i];
  return n;
}

static void put_entry(xlm_json *j, const xlm_st_tensor *t, uint64_t begin) {
  xlm_json_object(j, t->name, XLM_JSON_DENSE);
  xlm_json_put_text(j, "dtype", xlm_st_dtype_name(t->dtype));
  xlm_json_array(j, "shape", XLM_JSON_DENSE);
  for (int i = 0; i < t->rank; i++) xlm_json_put_int(j, NULL, t->shape[i]);
  xlm_json_close(j);
  xlm_json_array(j, "data_offsets", XLM_JSON_DENSE);
  xlm_json_put_int(j, NULL, (int64_t)begin);
  xlm_json_put_int(j, NULL, (int64_t)(begin + xlm_st_bytes(t)));
  xlm_json_close(j);
  xlm_json_close(j);
}

static xlm_status put_header(const xlm_st_tensor *t, int n, xlm_json_sink *sink, void *arg, xlm_error *err) {
  xlm_json j;
  uint64_t at = 0;
  xlm_json_to_sink(&j, sink, arg, err);
  xlm_json_object(&j, NULL, XLM_JSON_DENSE);
  xlm_json_object(&j, "__metadata__", XLM_JSON_DENSE);
  xlm_json_put_text(&j, "format", "pt");
  xlm_json_close(&j);
  for (int i = 0; i < n; at += xlm_st_bytes(&t[i++])) put_entry(&j, &t[i], at);
  xlm_json_close(&j);
  return xlm_json_finish(&j);
}

static xlm_status count(void *arg, const char *bytes, size_t n, xlm_error *err) {
  (void)bytes, (void)err;
  *(uint64_t *)arg += n;
  return XLM_OK;
}

static xlm_status to_file(void *arg, const char *bytes, size_t n, xlm_error *err) {
  return xlm_out_write(arg, bytes, n, err);
}

// The header's length comes first, so it is generated twice; padded with spaces to a multiple of 8.
static xlm_status write_header(xlm_out *f, const xlm_st_tensor *t, int n, xlm_error *err) {
  uint64_t used = 0;
  XLM_TRY(put_header(t, n, count, &used, err));
  uint64_t length = (used + 7) / 8 * 8;
  XLM_TRY(xlm_out_write(f, &length, 8, err));
  XLM_TRY(put_header(t, n, to_file, f, err));
  return xlm_out_write(f, "       ", length - used, err);
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static xlm_status check_names(const char *path, const xlm_st_tensor *t, int n, xlm_error *err) {
  const char **name = malloc(((size_t)n + 1) * sizeof *name), *twice = NULL;
  if (!name) return xlm_fail(err, XLM_ENV, "no memory for the header of '%s'", path);
  for (int i = 0; i < n; i++) name[i] = t[i].name;
  qsort(name, (size_t)n, sizeof *name, by_name);
  for (int i = 1; i < n && !twice; i++)
    if (!strcmp(name[i - 1], name[i])) twice = name[i];
  free(name);
  return twice ? xlm_fail(err, XLM_USER, "two tensors of '%s' have the name '%s'", path, twice) : XLM_OK;
}

xlm_status xlm_safetensors_begin(xlm_out *f, const xlm_st_tensor *t, int n, xlm_error *err) {
  XLM_TRY(check_names(f->path, t, n, err));
  return write_header(f, t, n, err);
}

void xlm_safetensors_print_index(const xlm_st_tensor *const *t, int n,
                                 const char *(*file_of)(void *arg, int i), void *arg, xlm_text *out) {
  uint64_t bytes = 0;
  xlm_json j;
  for (int i = 0; i < n; i++) bytes += xlm_st_bytes(t[i]);
  xlm_json_to_text(&j, out);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_json_object(&j, "metadata", XLM_JSON_LINES);
  xlm_json_put_int(&j, "total_size", (int64_t)bytes);
  xlm_json_close(&j);
  xlm_json_object(&j, "weight_map", XLM_JSON_LINES);
  for (int i = 0; i < n; i++) xlm_json_put_text(&j, t[i]->name, file_of(arg, i));
  xlm_json_close(&j);
  xlm_json_close(&j);
  xlm_text_add(out, "\n");
}
