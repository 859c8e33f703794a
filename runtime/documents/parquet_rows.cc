// Whole rows of a Parquet file as texts of JSON, by Arrow's C++ library: lists and groups included. A group
// of rows is in memory at a time.
#include <memory>
#include <new>
#include <string>

#include <arrow/api.h>
#include <parquet/arrow/reader.h>
#include <parquet/exception.h>

#include "runtime/base/json.h"
#include "runtime/documents/parquet_priv.h"

struct xlm_parquet_rows {
  std::string path, text;
  std::unique_ptr<parquet::arrow::FileReader> file;
  int group = 0; // that is read next
  std::shared_ptr<arrow::Table> table;
  std::unique_ptr<arrow::TableBatchReader> batches; // of the group before it; NULL: none
  std::shared_ptr<arrow::RecordBatch> batch;
  int64_t row = 0, done = 0; // row: of the batch; done: bytes of the groups before
};

static void check(const arrow::Status &s) {
  if (s.IsOutOfMemory()) throw std::bad_alloc();
  if (!s.ok()) throw parquet::ParquetException(s.ToString());
}

static void put(xlm_json *j, const char *key, const arrow::Array &a, int64_t i);

template <typename A> static void put_list(xlm_json *j, const char *key, const arrow::Array &a, int64_t i) {
  const A &list = static_cast<const A &>(a);
  xlm_json_array(j, key, XLM_JSON_ROW);
  for (int64_t k = 0; k < list.value_length(i); k++)
    put(j, nullptr, *list.values(), list.value_offset(i) + k);
  xlm_json_close(j);
}

template <typename A> static void put_text(xlm_json *j, const char *key, const arrow::Array &a, int64_t i) {
  auto view = static_cast<const A &>(a).GetView(i);
  xlm_json_put_textn(j, key, view.data(), view.size());
}

static void put_struct(xlm_json *j, const char *key, const arrow::Array &a, int64_t i) {
  const arrow::StructArray &s = static_cast<const arrow::StructArray &>(a);
  xlm_json_object(j, key, XLM_JSON_ROW);
  for (int k = 0; k < s.num_fields(); k++) put(j, s.struct_type()->field(k)->name().c_str(), *s.field(k), i);
  xlm_json_close(j);
}

static void put_dictionary(xlm_json *j, const char *key, const arrow::Array &a, int64_t i) {
  const arrow::DictionaryArray &d = static_cast<const arrow::DictionaryArray &>(a);
  put(j, key, *d.dictionary(), d.GetValueIndex(i));
}

template <typename A> static void put_int(xlm_json *j, const char *key, const arrow::Array &a, int64_t i) {
  xlm_json_put_int(j, key, (int64_t) static_cast<const A &>(a).Value(i));
}

// Values of other types (times, bytes, decimals) become null.
static void put(xlm_json *j, const char *key, const arrow::Array &a, int64_t i) {
  using T = arrow::Type;
  if (a.IsNull(i)) return xlm_json_put_null(j, key);
  switch (a.type_id()) {
  case T::STRING:
    return put_text<arrow::StringArray>(j, key, a, i);
  case T::LARGE_STRING:
    return put_text<arrow::LargeStringArray>(j, key, a, i);
  case T::LIST:
    return put_list<arrow::ListArray>(j, key, a, i);
  case T::LARGE_LIST:
    return put_list<arrow::LargeListArray>(j, key, a, i);
  case T::STRUCT:
    return put_struct(j, key, a, i);
  case T::DICTIONARY:
    return put_dictionary(j, key, a, i);
  case T::INT8:
    return put_int<arrow::Int8Array>(j, key, a, i);
  case T::INT16:
    return put_int<arrow::Int16Array>(j, key, a, i);
  case T::INT32:
    return put_int<arrow::Int32Array>(j, key, a, i);
  case T::INT64:
    return put_int<arrow::Int64Array>(j, key, a, i);
  case T::UINT8:
    return put_int<arrow::UInt8Array>(j, key, a, i);
  case T::UINT16:
    return put_int<arrow::UInt16Array>(j, key, a, i);
  case T::UINT32:
    return put_int<arrow::UInt32Array>(j, key, a, i);
  case T::BOOL:
    return xlm_json_put_bool(j, key, static_cast<const arrow::BooleanArray &>(a).Value(i));
  case T::FLOAT:
    return xlm_json_put_real(j, key, static_cast<const arrow::FloatArray &>(a).Value(i));
  case T::DOUBLE:
    return xlm_json_put_real(j, key, static_cast<const arrow::DoubleArray &>(a).Value(i));
  default:
    return xlm_json_put_null(j, key);
  }
}

xlm_status xlm_parquet_rows_open(const char *path, xlm_parquet_rows **out, xlm_error *err) {
  xlm_parquet_rows *r = *out = new (std::nothrow) xlm_parquet_rows;
  if (!r) return xlm_fail(err, XLM_ENV, "no memory to read '%s'", path);
  xlm_status s = xlm_parquet_guarded(path, err, [&] {
    parquet::arrow::FileReaderBuilder builder;
    r->path = path;
    check(builder.OpenFile(path));
    check(builder.Build(&r->file));
    return XLM_OK;
  });
  if (s == XLM_OK) return s;
  xlm_parquet_rows_close(r);
  *out = nullptr;
  return s;
}

void xlm_parquet_rows_close(xlm_parquet_rows *r) {
  delete r;
}

// The next batch with rows; NULL at the end.
static void next_batch(xlm_parquet_rows *r) {
  for (r->batch.reset(), r->row = 0; !r->batch;) {
    if (r->batches) check(r->batches->ReadNext(&r->batch));
    if (r->batch || r->group == r->file->num_row_groups()) return;
    check(r->file->RowGroup(r->group)->ReadTable(&r->table));
    r->batches = std::make_unique<arrow::TableBatchReader>(*r->table);
    r->done += r->file->parquet_reader()->metadata()->RowGroup(r->group++)->total_compressed_size();
  }
}

static xlm_status append(void *arg, const char *bytes, size_t n, xlm_error *) {
  static_cast<std::string *>(arg)->append(bytes, n);
  return XLM_OK;
}

xlm_status xlm_parquet_rows_next(xlm_parquet_rows *r, const char **text, size_t *n, xlm_error *err) {
  *text = nullptr;
  return xlm_parquet_guarded(r->path, err, [&] {
    while (!r->batch || r->row == r->batch->num_rows()) {
      next_batch(r);
      if (!r->batch) return XLM_OK;
    }
    xlm_json j;
    r->text.clear();
    xlm_json_to_sink(&j, append, &r->text, err);
    xlm_json_object(&j, nullptr, XLM_JSON_ROW);
    for (int k = 0; k < r->batch->num_columns(); k++)
      put(&j, r->batch->column_name(k).c_str(), *r->batch->column(k), r->row);
    xlm_json_close(&j);
    r->row++;
    xlm_status s = xlm_json_finish(&j);
    *text = r->text.data(), *n = r->text.size();
    return s;
  });
}

int64_t xlm_parquet_rows_read_bytes(const xlm_parquet_rows *r) {
  return r->done;
}
