// What the files of C++ about Parquet share: rows, and the end of exceptions. Only for them.
#ifndef XLM_DOCUMENTS_PARQUET_PRIV_H
#define XLM_DOCUMENTS_PARQUET_PRIV_H

#include <exception>
#include <new>
#include <string>

#include "runtime/documents/documents_priv.h"

// Calls f, which returns a status; what an exception means becomes one.
template <typename F> static xlm_status xlm_parquet_guarded(const std::string &path, xlm_error *err, F f) {
  try {
    return f();
  } catch (const std::bad_alloc &) {
    return xlm_fail(err, XLM_ENV, "no memory to read '%s'", path.c_str());
  } catch (const std::exception &e) {
    return xlm_fail(err, XLM_USER, "'%s' cannot be read as Parquet: %.400s", path.c_str(), e.what());
  }
}

// parquet_rows.cc: whole rows, as texts of JSON that are valid until the next call; NULL at the end.
struct xlm_parquet_rows;
xlm_status xlm_parquet_rows_open(const char *path, xlm_parquet_rows **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_parquet_rows_close(xlm_parquet_rows *r); // NULL is allowed
xlm_status xlm_parquet_rows_next(xlm_parquet_rows *r, const char **text, size_t *n,
                                 xlm_error *err) XLM_MUST_CHECK;
int64_t xlm_parquet_rows_read_bytes(const xlm_parquet_rows *r); // of the file, about

#endif
