// Documents in the samples of a stream: which one a token is in, and where. Found in the tokens themselves,
// by the token that ends a document (and belongs to it), so that the samples of a stream need nothing beside
// it.
#include <inttypes.h>
#include <string.h>

#include "runtime/data/data_priv.h"

static const char *const names[] = {"tokens", "documents", "positions"};
enum { NAMES = 3 };

bool xlm_data_is_of_stream(const char *field) {
  for (int i = 0; i < NAMES; i++)
    if (!strcmp(field, names[i])) return true;
  return false;
}

static bool ends_are_known(const xlm_data *d) {
  return d->o.has_end || d->synthetic || xlm_data_is_text(d);
}

const char *xlm_data_lacks(const xlm_data *d) {
  for (int i = 0; i < d->n_fields && !d->records; i++) {
    const char *name = d->fields[i].name;
    if (!xlm_data_is_of_stream(name) || (strcmp(name, names[0]) && !ends_are_known(d))) return name;
  }
  return NULL;
}

bool xlm_data_reads_documents(const xlm_data *d) {
  for (int i = 0; i < d->n_fields; i++)
    if (strcmp(d->fields[i].name, names[0])) return !d->records;
  return false;
}

// Only what the model reads has to be below its bound.
static xlm_status check(const xlm_data *d, const char *name, const int32_t *at, xlm_error *err) {
  for (int i = 0; i < d->n_fields; i++) {
    const xlm_field *f = &d->fields[i];
    for (int64_t k = 0; k < f->n && f->bound && !strcmp(f->name, name); k++)
      if (at[k] >= f->bound)
        return xlm_fail(err, XLM_USER,
                        "a sample has %" PRId32 " in `%s`, and the model's input takes 0 to %" PRId64, at[k],
                        name, f->bound - 1);
  }
  return XLM_OK;
}

xlm_status xlm_data_find_documents(const xlm_data *d, int64_t n, int32_t *sample, xlm_error *err) {
  int32_t *document = sample + n, *position = document + n, now = 0, at = 0;
  for (int64_t i = 0; i < n; i++) {
    document[i] = now;
    position[i] = at++;
    if (sample[i] == d->o.end) now++, at = 0;
  }
  XLM_TRY(check(d, names[1], document, err));
  return check(d, names[2], position, err);
}
