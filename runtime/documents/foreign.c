// Files that are neither text nor tokens: archives, tables, arrays, text in another encoding. Training on
// their bytes would run and learn nothing, so they are recognised by their first bytes and rejected with
// advice. For formats without a magic number, a 0 byte shows that a file is not text.
#include <string.h>

#include "runtime/documents/kind.h"

static const struct {
  size_t at;
  const char *magic;
  size_t n;
  xlm_foreign is;
} known[] = {
#define MAGIC(at, text) at, text, sizeof text - 1
    {MAGIC(0, "\x1f\x8b\x08"), {"compressed with gzip", "unpack it with `gunzip -k`"}},
    {MAGIC(0, "\x28\xb5\x2f\xfd"), {"compressed with zstd", "unpack it with `zstd -d`"}},
    {MAGIC(0, "\xfd\x37zXZ\0"), {"compressed with xz", "unpack it with `xz -dk`"}},
    {MAGIC(0, "BZh91AY&SY"), {"compressed with bzip2", "unpack it with `bzip2 -dk`"}},
    {MAGIC(0, "\x04\x22\x4d\x18"), {"compressed with lz4", "unpack it with `lz4 -d`"}},
    {MAGIC(0, "7z\xbc\xaf\x27\x1c"), {"a 7z archive", "unpack it and give the folder"}},
    {MAGIC(0, "Rar!\x1a\x07"), {"a rar archive", "unpack it and give the folder"}},
    {MAGIC(0, "PK\x03\x04"),
     {"a zip archive (.zip, .npz, .pt and office documents are)", "unpack it and give the folder"}},
    {MAGIC(257, "ustar"), {"a tar archive", "unpack it with `tar xf` and give the folder"}},
    {MAGIC(0, "PAR1"),
     {"a Parquet table", "write its column of texts to a .txt file, or its tokens to a .bin of 16-bit ids"}},
    {MAGIC(0, "ARROW1"), {"an Arrow table", "write its column of texts to a .txt file"}},
    {MAGIC(0, "ORC"), {"an ORC table", "write its column of texts to a .txt file"}},
    {MAGIC(0, "Obj\x01"), {"an Avro file", "write its texts to a .txt file"}},
    {MAGIC(0, "\x89HDF\r\n\x1a\n"), {"an HDF5 file", "write its tokens to a .bin of 16-bit ids"}},
    {MAGIC(0, "\x93NUMPY"), {"a NumPy array", "write its tokens with `a.astype('uint16').tofile('x.bin')`"}},
    {MAGIC(0, "SQLite format 3\0"), {"an SQLite database", "write its texts to a .txt file"}},
    {MAGIC(0, "\x80\x02}"), {"a Python pickle", "write its tokens to a .bin of 16-bit ids"}},
    {MAGIC(0, "\x80\x04\x95"), {"a Python pickle", "write its tokens to a .bin of 16-bit ids"}},
    {MAGIC(0, "\x80\x05\x95"), {"a Python pickle", "write its tokens to a .bin of 16-bit ids"}},
    {MAGIC(8, "{\""),
     {"a safetensors file",
      "records in a folder need an index, records.json (docs/data.md); --init-from takes weights"}},
    {MAGIC(0, "%PDF-"), {"a PDF document", "make text of it with `pdftotext`"}},
    {MAGIC(0, "\x7f"
              "ELF"),
     {"a program", "give text or tokens"}},
    {MAGIC(0, "\x89PNG\r\n"), {"a picture", "give text or tokens"}},
    {MAGIC(0, "\xff\xd8\xff"), {"a picture", "give text or tokens"}},
    {MAGIC(0, "GIF8"), {"a picture", "give text or tokens"}},
    {MAGIC(0, "\xff\xfe\0\0"), {"text in UTF-32", "convert it with `iconv -f UTF-32 -t UTF-8`"}},
    {MAGIC(0, "\xff\xfe"), {"text in UTF-16", "convert it with `iconv -f UTF-16 -t UTF-8`"}},
    {MAGIC(0, "\xfe\xff"), {"text in UTF-16", "convert it with `iconv -f UTF-16 -t UTF-8`"}},
#undef MAGIC
};

static const xlm_foreign json_lines = {"JSON lines",
                                       "take the texts out of it, as with `jq -r .text x.jsonl > x.txt`"},
                         utf16 = {"text in UTF-16", "convert it with `iconv -f UTF-16LE -t UTF-8`"},
                         binary = {"neither text nor tokens of a known format",
                                   "tokens come as a .bin of 16-bit ids, or as Megatron, llm.c and "
                                   "PackedDataset write them"};

bool xlm_kind_has_suffix(const char *s, const char *suffix) {
  size_t n = strlen(s), m = strlen(suffix);
  return n > m && !strcmp(s + n - m, suffix);
}

static size_t blanks(const unsigned char *p, size_t n) {
  size_t i = 0;
  while (i < n && (p[i] == ' ' || p[i] == '\t')) i++;
  return i;
}

// `{"name":` and, if the line ends within the head, `}` at its end; a line may be longer than the head.
static bool begins_with_object(const unsigned char *head, size_t n) {
  const unsigned char *end = memchr(head, '\n', n), *p = head + 1;
  size_t left = n - 1;
  if (n < 2 || head[0] != '{') return false;
  size_t skipped = blanks(p, left);
  p += skipped, left -= skipped;
  const unsigned char *quote = left > 1 && *p == '"' ? memchr(p + 1, '"', left - 1) : NULL;
  if (!quote || (end && quote > end)) return false;
  left -= (size_t)(quote + 1 - p), p = quote + 1;
  skipped = blanks(p, left);
  if (skipped >= left || p[skipped] != ':') return false;
  while (end && end > head && (end[-1] == '\r' || end[-1] == ' ')) end--;
  return end ? end[-1] == '}' : n == XLM_KIND_HEAD;
}

bool xlm_kind_is_json_lines(const char *path, const unsigned char *head, size_t n) {
  static const char *const suffixes[] = {".jsonl",     ".ndjson",    ".jsonl.gz",
                                         ".jsonl.zst", ".ndjson.gz", ".ndjson.zst"};
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
    if (xlm_kind_has_suffix(path, suffixes[i])) return true;
  return n > 0 && begins_with_object(head, n);
}

// Every second byte of Latin text in UTF-16 is 0.
static bool is_utf16(const unsigned char *head, size_t n) {
  size_t even = 0, odd = 0;
  for (size_t i = 0; i < n; i++) *(i % 2 ? &odd : &even) += head[i] == 0;
  return n >= 16 && (even + odd) * 3 > n && (!even || !odd);
}

const xlm_foreign *xlm_foreign_kind(const char *path, const unsigned char *head, size_t n) {
  enum { SURE = 4 }; // shorter magic numbers could well be the first tokens of a .bin
  bool tokens = xlm_kind_has_suffix(path, ".bin");
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (n >= known[i].at + known[i].n && !memcmp(head + known[i].at, known[i].magic, known[i].n) &&
        (!tokens || known[i].n >= SURE))
      return &known[i].is;
  if (tokens) return NULL;
  if (xlm_kind_is_json_lines(path, head, n)) return &json_lines;
  return is_utf16(head, n) ? &utf16 : memchr(head, 0, n) ? &binary : NULL;
}
