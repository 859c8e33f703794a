// See inputs.h.
#include "tools/xlmrun/inputs.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "runtime/base/map.h"
#include "runtime/interchange/safetensors.h"

typedef struct reader {
  session *s;
  const encoding *e;
  const xlm_decoder_input *in;
  const char *where; // "prompts.jsonl:3, `image`"
} reader;

static bool is_named(const xlm_decoder_input *in, const char *name, size_t n) {
  return (strlen(in->name) == n && !strncmp(in->name, name, n)) ||
         (strlen(in->source) == n && !strncmp(in->source, name, n));
}

// "words (ids [source 128])"
static void describe(const xlm_decoder_input *in, xlm_text *t) {
  xlm_text_printf(t, "`%s` (%s [", in->name, in->vocab ? "ids" : "numbers");
  for (int k = 0; k < in->rank; k++)
    xlm_text_printf(t, "%s%s %" PRId64, k ? ", " : "", in->dim[k], in->shape[k]);
  xlm_text_add(t, "])");
}

static const char *description(session *s, const xlm_decoder_input *in) {
  xlm_text t = xlm_text_new(s->arena);
  describe(in, &t);
  return t.data;
}

static const char *names(session *s, const xlm_decoder_input *in, int n) {
  xlm_text t = xlm_text_new(s->arena);
  for (int i = 0; i < n; i++) {
    xlm_text_add(&t, i ? ", " : "");
    describe(&in[i], &t);
  }
  return t.data;
}

// ---- ids

static xlm_status too_many(const reader *r, int64_t n) {
  return xlm_fail(&r->s->err, XLM_USER,
                  "%s: %" PRId64 " tokens, and %s has room for %" PRId64
                  ": shorten it, or make room with --set %s=%" PRId64,
                  r->where, n, description(r->s, r->in), r->in->n, r->in->dim[0], n);
}

static int32_t padding(const reader *r) {
  int32_t pad = encoding_config_id(r->s, "pad_token_id");
  if (pad < 0 && r->e->tokenizer) pad = xlm_tokenizer_special(r->e->tokenizer, XLM_TOKEN_PAD);
  return pad < 0 ? 0 : pad;
}

static xlm_status read_text(const reader *r, const char *text, size_t n, int32_t *to) {
  xlm_sequence ids = {0};
  prompt p = {.text = text, .n = n, .where = r->where};
  if (r->in->rank != 1)
    return xlm_fail(&r->s->err, XLM_USER, "%s: a text has one dimension, and the input is %s: give numbers",
                    r->where, description(r->s, r->in));
  XLM_TRY(encoding_source(r->s, r->e, &p, r->in->vocab, &ids));
  if (ids.n > r->in->n) return too_many(r, ids.n);
  for (int64_t i = 0; i < r->in->n; i++) to[i] = i < ids.n ? ids.tokens[i] : padding(r);
  return XLM_OK;
}

static xlm_status read_text_file(const reader *r, const char *path, int32_t *to) {
  xlm_map m;
  XLM_TRY(xlm_map_open(path, &m, &r->s->err));
  xlm_status status = read_text(r, (const char *)m.data, m.n, to);
  xlm_map_close(&m);
  return status;
}

// ---- numbers

static xlm_status read_ids(const reader *r, const double *x, int64_t n, int32_t *to) {
  if (r->in->rank == 1 && n > r->in->n) return too_many(r, n);
  for (int64_t i = 0; i < r->in->n; i++) {
    double id = i < n ? x[i] : padding(r);
    bool whole = floor(id) == id && id >= (r->in->vocab ? 0 : INT32_MIN) &&
                 id < (r->in->vocab ? (double)r->in->vocab : (double)INT32_MAX);
    if (!whole)
      return xlm_fail(&r->s->err, XLM_USER, "%s: %g is outside the vocabulary of %" PRId64, r->where, id,
                      r->in->vocab);
    to[i] = (int32_t)id;
  }
  return XLM_OK;
}

static xlm_status other_size(const reader *r, const char *what, const char *has) {
  return xlm_fail(&r->s->err, XLM_USER, "%s: %s has %s, and the input is %s, %" PRId64 " numbers", r->where, what,
                  has, description(r->s, r->in), r->in->n);
}

static xlm_status read_numbers(const reader *r, const double *x, int64_t n, void *to) {
  bool ids = r->in->dtype == XLM_I32;
  if (n != r->in->n && !(ids && r->in->rank == 1))
    return other_size(r, "the list", xlm_text_plural(r->s->arena, n, "number"));
  if (ids) return read_ids(r, x, n, to);
  for (int64_t i = 0; i < n; i++) ((float *)to)[i] = (float)x[i];
  return XLM_OK;
}

// ---- files

static const xlm_st_tensor *tensor_of(const reader *r, const xlm_safetensors *f) {
  const xlm_st_tensor *t = xlm_safetensors_find(f, r->in->name);
  if (!t) t = xlm_safetensors_find(f, r->in->source);
  return t || xlm_safetensors_count(f) != 1 ? t : xlm_safetensors_at(f, 0);
}

// The same sizes but for some of 1, as of a batch of one image.
static bool same_shape(const xlm_decoder_input *in, const xlm_st_tensor *t) {
  int k = 0;
  for (int i = 0; i < t->rank; i++) {
    while (k < in->rank && in->shape[k] == 1) k++;
    if (t->shape[i] == 1) continue;
    if (k == in->rank || in->shape[k++] != t->shape[i]) return false;
  }
  return t->n == in->n;
}

static const char *shape_text(session *s, const xlm_st_tensor *t) {
  xlm_text x = xlm_text_new(s->arena);
  for (int i = 0; i < t->rank; i++) xlm_text_printf(&x, "%s%" PRId64, i ? ", " : "[", t->shape[i]);
  xlm_text_add(&x, t->rank ? "]" : "[]");
  return x.data;
}

static xlm_status read_tensor(const reader *r, const char *path, const xlm_safetensors *f, float *to) {
  const xlm_st_tensor *t = tensor_of(r, f);
  if (!t)
    return xlm_fail(&r->s->err, XLM_USER, "%s: '%s' has several tensors and none is called `%s` or `%s`", r->where,
                    path, r->in->name, r->in->source);
  const char *what = xlm_arena_printf(r->s->arena, "`%s` of '%s'", t->name, path);
  if (!same_shape(r->in, t)) return other_size(r, what, shape_text(r->s, t));
  void *scratch = XLM_NEW_N(r->s->arena, char, (size_t)t->n *xlm_st_dtype_bytes(t->dtype));
  return xlm_safetensors_read_floats(f, t, 0, t->n, scratch, to, &r->s->err);
}

static bool ends_in(const char *path, const char *with) {
  size_t n = strlen(path), k = strlen(with);
  return n > k && !strcmp(path + n - k, with);
}

// *.safetensors; any other file is its numbers alone, f32 of this machine's byte order.
static xlm_status read_file(const reader *r, const char *path, float *to) {
  xlm_safetensors *f;
  if (ends_in(path, ".safetensors")) {
    XLM_TRY(xlm_safetensors_open(path, &f, &r->s->err));
    xlm_status status = read_tensor(r, path, f, to);
    xlm_safetensors_close(f);
    return status;
  }
  xlm_map m;
  if (xlm_map_open(path, &m, &r->s->err) != XLM_OK)
    return xlm_fail_in(&r->s->err, "%s: numbers are those of a file, .safetensors or of f32 alone", r->where);
  size_t n = m.n;
  bool fits = n == (size_t)r->in->n * sizeof *to;
  if (fits) memcpy(to, m.data, n);
  xlm_map_close(&m);
  if (fits) return XLM_OK;
  return other_size(r, xlm_arena_printf(r->s->arena, "'%s'", path),
                    xlm_text_bytes(r->s->arena, n));
}

// ---- values

static xlm_status read_value(const reader *r, const prompt_field *f, void *to) {
  if (!f->text) return read_numbers(r, f->numbers, f->n_numbers, to);
  if (r->in->dtype != XLM_I32) return read_file(r, f->text, to);
  return *f->text == '@' ? read_text_file(r, f->text + 1, to) : read_text(r, f->text, f->n, to);
}

static bool find_field(const prompt *p, const xlm_decoder_input *in, prompt_field *out) {
  for (int i = 0; i < p->n_fields; i++)
    if (is_named(in, p->fields[i].name, strlen(p->fields[i].name))) {
      *out = p->fields[i];
      return true;
    }
  return false;
}

static bool find_flag(const session *s, const xlm_decoder_input *in, prompt_field *out) {
  const xlm_setting_value *v = &s->settings->value[XLM_SET_input];
  for (int i = v->n - 1; i >= 0; i--) {
    size_t n = strcspn(v->list[i], "=");
    if (!is_named(in, v->list[i], n)) continue;
    *out = (prompt_field){.text = v->list[i] + n + 1, .n = strlen(v->list[i] + n + 1)};
    return true;
  }
  return false;
}

static xlm_status read_one(session *s, const encoding *e, const prompt *p, const xlm_decoder_input *in,
                           const void **out) {
  prompt_field f;
  bool own = find_field(p, in, &f);
  const char *where = own ? p->where : "--input";
  reader r = {s, e, in, xlm_arena_printf(s->arena, "%s, `%s`", where, in->name)};
  if (!own && !find_flag(s, in, &f))
    return xlm_fail(&s->err, XLM_USER,
                    "%s: the model reads %s of every text: give it with --input %s=%s, or in a field `%s` of "
                    "--prompts FILE.jsonl",
                    p->where, description(s, in), in->name, in->dtype == XLM_I32 ? "TEXT" : "FILE", in->name);
  void *to = XLM_NEW_N(s->arena, int32_t, in->n);
  XLM_TRY(read_value(&r, &f, to));
  *out = to;
  return XLM_OK;
}

xlm_status inputs_read(session *s, const encoding *e, const xlm_decoder *d, const prompt *p,
                       const void *const **out) {
  const xlm_decoder_input *in;
  int n = xlm_decoder_inputs(d, &in);
  const void **values = XLM_NEW_N(s->arena, const void *, n ? n : 1);
  for (int i = 0; i < n; i++) XLM_TRY(read_one(s, e, p, &in[i], &values[i]));
  *out = n ? values : NULL;
  return XLM_OK;
}

xlm_status inputs_check(session *s, const xlm_decoder *d, const prompts *p) {
  const xlm_setting_value *v = &s->settings->value[XLM_SET_input];
  const xlm_decoder_input *in;
  int n = xlm_decoder_inputs(d, &in);
  for (int i = 0; i < v->n; i++) {
    size_t length = strcspn(v->list[i], "=");
    bool known = false;
    for (int k = 0; k < n; k++) known |= is_named(&in[k], v->list[i], length);
    if (known) continue;
    if (!n)
      return xlm_fail(&s->err, XLM_USER, "--input %s: the model reads nothing but the tokens of a text: leave it out",
                      v->list[i]);
    return xlm_fail(&s->err, XLM_USER, "--input: the model has no input `%.*s` of a text; it reads %s", (int)length,
                    v->list[i], names(s, in, n));
  }
  for (int64_t i = 0; !n && i < p->n; i++)
    if (!p->at[i].given) return prompts_missing(s, &p->at[i]);
  return XLM_OK;
}
