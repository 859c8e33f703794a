// Parquet, where the build has no Arrow; see documents_priv.h.
#include "runtime/documents/documents_priv.h"

xlm_status xlm_parquet_open(const char *path, const char *column, xlm_parquet **out, xlm_error *err) {
  (void)column;
  *out = NULL;
  return xlm_fail(err, XLM_USER,
                  "'%s' is a Parquet table, and this xlm was built without Arrow, which reads them: build "
                  "it again with Arrow's C++ library (cmake -DXLM_ARROW=FOLDER, docs/data.md), or write the "
                  "table as JSON lines",
                  path);
}

void xlm_parquet_close(xlm_parquet *p) {
  (void)p;
}

xlm_status xlm_parquet_seek(xlm_parquet *p, int64_t row, xlm_error *err) {
  (void)p, (void)row;
  return xlm_fail(err, XLM_USER, "there is no Parquet in this build");
}

xlm_status xlm_parquet_next(xlm_parquet *p, const char **text, size_t *n, xlm_error *err) {
  (void)p, (void)text, (void)n;
  return xlm_fail(err, XLM_USER, "there is no Parquet in this build");
}

int64_t xlm_parquet_read_bytes(const xlm_parquet *p) {
  (void)p;
  return 0;
}
