// A column of texts of a Parquet file, by the column reader of Arrow's C++ library, which decodes pages of
// all encodings and compressions. In memory is what the library needs for a page and its dictionary. The
// library reports errors by exceptions, which end here.
#include <cinttypes>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <parquet/api/reader.h>

#include "runtime/documents/parquet_priv.h"

struct xlm_parquet {
  std::string path;
  std::unique_ptr<parquet::ParquetFileReader> file;
  int column = -1;
  int16_t most_definitions = 0;                     // below it a row has no text
  int group = 0;                                    // whose column is read next
  std::shared_ptr<parquet::ByteArrayReader> reader; // of the group before it; NULL: none
  std::vector<parquet::ByteArray> values;           // of a batch
  std::vector<int16_t> definitions;
  int64_t rows = 0, row = 0, value = 0; // of the batch
  int64_t done = 0;                     // bytes of the groups before
  xlm_parquet_rows *all = nullptr;      // whole rows, instead of all of the above
};

enum { BATCH = 256 };

static std::string columns_of(const parquet::SchemaDescriptor &schema) {
  std::string names;
  for (int i = 0; i < schema.num_columns() && i < 12; i++)
    names += (i ? ", \"" : "\"") + schema.Column(i)->path()->ToDotString() + "\"";
  return names + (schema.num_columns() > 12 ? ", .." : "");
}

static bool is_text(const parquet::ColumnDescriptor &c) {
  const parquet::LogicalType &type = *c.logical_type();
  return c.physical_type() == parquet::Type::BYTE_ARRAY && c.max_repetition_level() == 0 &&
         (type.is_string() || type.is_none() || type.is_JSON() || type.is_enum());
}

static xlm_status find_column(xlm_parquet *p, const char *column, xlm_error *err) {
  const parquet::SchemaDescriptor &schema = *p->file->metadata()->schema();
  for (int i = 0; i < schema.num_columns(); i++) {
    const parquet::ColumnDescriptor &c = *schema.Column(i);
    if (c.path()->ToDotString() != column) continue;
    p->column = i;
    p->most_definitions = c.max_definition_level();
    if (is_text(c)) return XLM_OK;
    return xlm_fail(err, XLM_USER, "the column \"%s\" of '%s' is no text but %s (--text-field names another)",
                    column, p->path.c_str(),
                    c.logical_type()->is_none() ? parquet::TypeToString(c.physical_type()).c_str()
                                                : c.logical_type()->ToString().c_str());
  }
  return xlm_fail(err, XLM_USER,
                  "'%s' has no column \"%s\"; it has %s: --text-field NAME says where the text is",
                  p->path.c_str(), column, columns_of(schema).c_str());
}

xlm_status xlm_parquet_open(const char *path, const char *column, xlm_parquet **out, xlm_error *err) {
  xlm_parquet *p = *out = new (std::nothrow) xlm_parquet;
  if (!p) return xlm_fail(err, XLM_ENV, "no memory to read '%s'", path);
  xlm_status s = !column ? xlm_parquet_rows_open(path, &p->all, err) : xlm_parquet_guarded(path, err, [&] {
    p->path = path;
    p->file = parquet::ParquetFileReader::OpenFile(path, false);
    p->values.resize(BATCH);
    p->definitions.resize(BATCH);
    return find_column(p, column, err);
  });
  if (s == XLM_OK) return s;
  xlm_parquet_close(p);
  *out = nullptr;
  return s;
}

void xlm_parquet_close(xlm_parquet *p) {
  if (p) xlm_parquet_rows_close(p->all);
  delete p;
}

// The column in the next group; false: there is none.
static bool next_group(xlm_parquet *p) {
  if (p->reader)
    p->done += p->file->metadata()->RowGroup(p->group - 1)->ColumnChunk(p->column)->total_compressed_size();
  p->reader.reset();
  if (p->group == p->file->metadata()->num_row_groups()) return false;
  p->reader =
      std::static_pointer_cast<parquet::ByteArrayReader>(p->file->RowGroup(p->group++)->Column(p->column));
  return true;
}

static xlm_status pass_rows(xlm_parquet *p, int64_t n, xlm_error *err) {
  const char *text;
  size_t bytes;
  for (; n; n--) XLM_TRY(xlm_parquet_rows_next(p->all, &text, &bytes, err));
  return XLM_OK;
}

xlm_status xlm_parquet_seek(xlm_parquet *p, int64_t row, xlm_error *err) {
  if (p->all) return pass_rows(p, row, err); // it was just opened
  return xlm_parquet_guarded(p->path, err, [&] {
    p->group = 0, p->done = 0, p->rows = p->row = 0;
    p->reader.reset();
    while (next_group(p)) {
      int64_t n = p->file->metadata()->RowGroup(p->group - 1)->num_rows();
      if (row < n) {
        int64_t passed = p->reader->Skip(row);
        if (passed == row) return XLM_OK;
        return xlm_fail(err, XLM_USER, "'%s' is damaged: a group has fewer rows than it says",
                        p->path.c_str());
      }
      row -= n;
    }
    return XLM_OK;
  });
}

static xlm_status next_batch(xlm_parquet *p, xlm_error *err) {
  return xlm_parquet_guarded(p->path, err, [&] {
    int64_t values = 0;
    p->rows = p->row = p->value = 0;
    while (p->reader || next_group(p)) {
      if (p->reader->HasNext())
        p->rows = p->reader->ReadBatch(BATCH, p->definitions.data(), nullptr, p->values.data(), &values);
      if (p->rows) return XLM_OK;
      if (!next_group(p)) return XLM_OK;
    }
    return XLM_OK;
  });
}

xlm_status xlm_parquet_next(xlm_parquet *p, const char **text, size_t *n, xlm_error *err) {
  if (p->all) return xlm_parquet_rows_next(p->all, text, n, err);
  *text = nullptr;
  if (p->row == p->rows) XLM_TRY(next_batch(p, err));
  if (!p->rows) return XLM_OK;
  bool has = !p->most_definitions || p->definitions[(size_t)p->row] == p->most_definitions;
  p->row++;
  *text = "", *n = 0;
  if (!has) return XLM_OK;
  const parquet::ByteArray &value = p->values[(size_t)p->value++];
  if (value.len) *text = (const char *)value.ptr, *n = value.len;
  return XLM_OK;
}

int64_t xlm_parquet_read_bytes(const xlm_parquet *p) {
  return p->all ? xlm_parquet_rows_read_bytes(p->all) : p->done;
}
