// Writing safetensors: the header is known from names and shapes, then data is streamed, hashed on the way
// and synced.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/interchange/safetensors.h"

static uint64_t bytes_of(const xlm_st_tensor *t) {
  uint64_t n = xlm_st_dtype_bytes(t->dtype);
  for (int i = 0; i < t->rank; i++) n *= (uint64_t)t->shape[i];
  return n;
}

static json_t *entry_of(const xlm_st_tensor *t, uint64_t begin) {
  json_t *shape = json_array();
  for (int i = 0; i < t->rank; i++) json_array_append_new(shape, json_integer(t->shape[i]));
  return json_pack("{s:s, s:o, s:[I,I]}", "dtype", xlm_st_dtype_name(t->dtype), "shape", shape,
                   "data_offsets", (json_int_t)begin, (json_int_t)(begin + bytes_of(t)));
}

// The header's JSON, padded with spaces to a multiple of 8; NULL: no memory, or a name is given twice.
static char *header_of(const xlm_st_tensor *t, int n, size_t *length) {
  json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
  uint64_t at = 0;
  for (int i = 0; header && i < n; i++) {
    bool twice = json_object_get(header, t[i].name) != NULL;
    if (twice || json_object_set_new(header, t[i].name, entry_of(&t[i], at))) {
      json_decref(header);
      header = NULL;
    }
    at += bytes_of(&t[i]);
  }
  char *text = header ? json_dumps(header, JSON_COMPACT) : NULL;
  json_decref(header);
  if (!text) return NULL;
  size_t used = strlen(text);
  *length = (used + 7) / 8 * 8;
  char *padded = malloc(*length + 1);
  if (padded) memset(padded, ' ', *length), memcpy(padded, text, used);
  free(text);
  return padded;
}

static xlm_status write_body(xlm_out *f, const xlm_st_tensor *t, int n, xlm_safetensors_fill *fill, void *arg,
                             xlm_error *err) {
  for (int i = 0; i < n; i++) {
    const void *data = NULL;
    XLM_TRY(fill(arg, i, &data, err));
    XLM_TRY(xlm_out_write(f, data, bytes_of(&t[i]), err));
  }
  return XLM_OK;
}

static xlm_status write_header(xlm_out *f, const xlm_st_tensor *t, int n, xlm_error *err) {
  size_t length;
  char *header = header_of(t, n, &length);
  if (!header)
    return xlm_fail(err, XLM_ENV, "cannot build the header of '%s': no memory, or a name twice", f->path);
  uint64_t prefix = length;
  xlm_status s = xlm_out_write(f, &prefix, 8, err);
  if (s == XLM_OK) s = xlm_out_write(f, header, length, err);
  free(header);
  return s;
}

xlm_status xlm_safetensors_write(const char *path, const xlm_st_tensor *t, int n, xlm_safetensors_fill *fill,
                                 void *arg, uint64_t *hash, uint64_t *size, xlm_error *err) {
  xlm_out f;
  XLM_TRY(xlm_out_open(path, &f, err));
  xlm_status s = write_header(&f, t, n, err);
  if (s == XLM_OK) s = write_body(&f, t, n, fill, arg, err);
  return xlm_out_close(&f, s, hash, size, err);
}
