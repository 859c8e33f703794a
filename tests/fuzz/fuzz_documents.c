// Fuzz target for document files: text, JSON lines, gzip, zstd, by their first bytes. Any file is read to its
// end or rejected with its place; and what was read from the beginning is read again from any document on.
// The first byte chooses name and separator.
#include <stdbool.h>

#include "runtime/base/hash.h"
#include "runtime/documents/documents.h"
#include "tests/fuzz/input_file.h"

enum { LONGEST = 1 << 20, MOST = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct seen {
  xlm_document_position at;
  uint64_t hash;
  size_t n;
} seen;

// Up to MOST documents from where d stands; their number.
static int read_on(xlm_documents *d, seen *list, xlm_status *status) {
  xlm_document x;
  xlm_error err = {0};
  for (int i = 0; i < MOST; i++) {
    *status = xlm_documents_next(d, &x, &err);
    XLM_ASSERT(*status == XLM_OK || (*status == XLM_USER && *err.text), "a refusal says why: %d %s", *status,
               err.text);
    if (*status != XLM_OK || !x.text) return i;
    XLM_ASSERT(x.n <= LONGEST, "a document of %zu bytes", x.n);
    list[i] = (seen){x.at, xlm_hash_bytes(x.text, x.n), x.n};
  }
  return MOST;
}

static void check(const char *path, xlm_documents_options o, int from) {
  static seen first[MOST], second[MOST];
  xlm_documents *d;
  xlm_error err = {0};
  xlm_status s = xlm_documents_open(&path, 1, o, &d, &err);
  XLM_ASSERT(s == XLM_OK || (s == XLM_USER && *err.text), "a refusal says why: %d %s", s, err.text);
  if (s != XLM_OK) return;
  int n = read_on(d, first, &s);
  if (from < n && xlm_documents_seek(d, first[from].at, &err) == XLM_OK) {
    int m = read_on(d, second, &s);
    XLM_ASSERT(m >= n - from, "%d documents from %d of %d on", m, from, n);
    for (int i = from; i < n; i++)
      XLM_ASSERT(first[i].hash == second[i - from].hash && first[i].n == second[i - from].n, "document %d",
                 i);
  }
  xlm_documents_close(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const names[] = {"a.jsonl", "a.txt", "a.jsonl.gz", "a.txt.zst"};
  if (size < 2) return 0;
  xlm_documents_options o = {.longest = LONGEST, .separator = data[0] & 4 ? "\n\n" : NULL};
  check(input_file(names[data[0] % 4], data + 1, size - 1), o, data[0] >> 3);
  return 0;
}
