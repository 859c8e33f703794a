// The form of a file's documents: by its first bytes, of a packed file by the first that are packed in it.
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/documents/documents_priv.h"

static const xlm_foreign tokens = {"a file of tokens", "it is read by `xlmrun train --data` as it is"};

static bool has_token_magic(const unsigned char *head, size_t n) {
  return (n >= 7 && !memcmp(head, "LITPKDS", 7)) || (n >= 9 && !memcmp(head, "MMIDIDX\0\0", 9));
}

static form form_of(const char *path, const unsigned char *head, size_t n, const xlm_foreign **foreign) {
  if (has_token_magic(head, n)) {
    *foreign = &tokens;
    return NO_FORM;
  }
  if (n >= 4 && !memcmp(head, "PAR1", 4)) return PARQUET;
  if (xlm_kind_is_json_lines(path, head, n)) return JSON_LINES;
  *foreign = xlm_foreign_kind(path, head, n);
  if (!*foreign && xlm_kind_has_suffix(path, ".bin")) *foreign = &tokens;
  return *foreign ? NO_FORM : TEXT;
}

// Damaged data is no error here: it is one when it is read, with its place.
static xlm_status unpacked_head(const char *path, unsigned char *head, size_t *n, xlm_error *err) {
  unpack *u;
  *n = 0;
  XLM_TRY(xlm_unpack_open(path, &u, err));
  xlm_status s = xlm_unpack_read(u, head, XLM_KIND_HEAD, n, err);
  if (s != XLM_OK) *n = 0;
  xlm_unpack_close(u);
  return s == XLM_ENV ? s : XLM_OK;
}

xlm_status xlm_form_of(const char *path, form *out, packing *packed, const xlm_foreign **foreign,
                       xlm_error *err) {
  static const xlm_foreign packed_table = {"a compressed Parquet table",
                                           "unpack it: Parquet is compressed in itself"};
  unsigned char head[XLM_KIND_HEAD];
  *foreign = NULL;
  size_t n = xlm_file_head(path, head, sizeof head);
  *packed = xlm_kind_has_suffix(path, ".bin") ? PLAIN : xlm_packing_of(head, n); // ids may begin so
  if (*packed != PLAIN) XLM_TRY(unpacked_head(path, head, &n, err));
  *out = form_of(path, head, n, foreign);
  if (*packed == PLAIN || *out != PARQUET) return XLM_OK;
  *foreign = &packed_table;
  *out = NO_FORM;
  return XLM_OK;
}

const char *xlm_documents_kind(const char *path) {
  static const char *const names[][3] = {
      [TEXT] = {"text", "text in gzip", "text in zstd"},
      [JSON_LINES] = {"JSON lines", "JSON lines in gzip", "JSON lines in zstd"},
      [PARQUET] = {"Parquet", "Parquet", "Parquet"},
      [NO_FORM] = {NULL, NULL, NULL},
  };
  packing packed;
  const xlm_foreign *foreign;
  form f;
  return xlm_form_of(path, &f, &packed, &foreign, NULL) == XLM_OK ? names[f][packed] : NULL;
}

bool xlm_documents_only(const char *path) {
  packing packed;
  const xlm_foreign *foreign;
  form f;
  if (xlm_form_of(path, &f, &packed, &foreign, NULL) != XLM_OK)
    return true; // the error is said when it is read
  return f != NO_FORM && (f != TEXT || packed != PLAIN);
}
