// See mxfp4.h. Neighbours in the turned tensor are far apart in the file, so a matrix (of one expert) is read
// as a whole.
#include "runtime/interchange/mxfp4.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 32, BYTES = BLOCK / 2, NO_NUMBER = 255 };

static const float values[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                 -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

static const xlm_st_tensor *named(const xlm_safetensors *from, const char *name, const char *end) {
  size_t n = strlen(name);
  for (int i = 0; i < xlm_safetensors_count(from); i++) {
    const xlm_st_tensor *t = xlm_safetensors_at(from, i);
    if (!strncmp(t->name, name, n) && !strcmp(t->name + n, end)) return t;
  }
  return NULL;
}

static const xlm_st_tensor *look_up(const xlm_safetensors *from, const char *name, const char *end) {
  const xlm_st_tensor *t = named(from, name, end);
  const char *dot = strchr(name, '.');
  return t || !dot ? t : named(from, dot + 1, end);
}

static bool is_packed(const xlm_st_tensor *b, const xlm_st_tensor *s) {
  return b->dtype == XLM_ST_U8 && s->dtype == XLM_ST_U8 && b->rank >= 3 && s->rank == b->rank - 1 &&
         b->shape[b->rank - 1] == BYTES && !memcmp(b->shape, s->shape, sizeof(int64_t) * (size_t)s->rank);
}

static int64_t rows(const xlm_mxfp4 *m) {
  return m->scales->shape[m->scales->rank - 2];
}
static int64_t groups(const xlm_mxfp4 *m) {
  return m->scales->shape[m->scales->rank - 1];
}

xlm_status xlm_mxfp4_find(const xlm_safetensors *from, const char *name, xlm_mxfp4 *m, xlm_error *err) {
  const xlm_st_tensor *b = look_up(from, name, "_blocks"), *s = look_up(from, name, "_scales");
  m->blocks = m->scales = NULL, m->held = -1;
  if (!b || !s) return XLM_OK;
  if (!is_packed(b, s))
    return xlm_fail(
        err, XLM_USER,
        "tensors '%s' and '%s' are not weights of 4 bits (MXFP4): these are U8, [.., rows, groups, "
        "16] and [.., rows, groups]",
        b->name, s->name);
  m->blocks = b, m->scales = s;
  m->tensor = (xlm_st_tensor){.name = name, .dtype = XLM_ST_BF16, .rank = s->rank, .n = s->n * BLOCK};
  memcpy(m->tensor.shape, s->shape, sizeof s->shape);
  m->tensor.shape[s->rank - 2] = groups(m) * BLOCK, m->tensor.shape[s->rank - 1] = rows(m);
  return XLM_OK;
}

static xlm_status hold(xlm_mxfp4 *m, const xlm_safetensors *from, int64_t which, xlm_error *err) {
  int64_t scales = rows(m) * groups(m), blocks = scales * BYTES;
  if (m->held == which) return XLM_OK;
  m->held = -1;
  if (m->room < (size_t)(blocks + scales)) {
    free(m->matrix);
    m->room = (size_t)(blocks + scales), m->matrix = malloc(m->room);
    if (!m->matrix) {
      m->room = 0;
      return xlm_fail(err, XLM_ENV, "no memory for tensor '%s'", m->tensor.name);
    }
  }
  XLM_TRY(xlm_safetensors_read(from, m->blocks, which * blocks, blocks, m->matrix, err));
  XLM_TRY(xlm_safetensors_read(from, m->scales, which * scales, scales, m->matrix + blocks, err));
  m->held = which;
  return XLM_OK;
}

static float power(unsigned char scale) { // of 2, by its bits
  if (scale == NO_NUMBER) return NAN;
  uint32_t bits = scale ? (uint32_t)scale << 23 : 1u << 22;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static float number(const xlm_mxfp4 *m, int64_t row, int64_t column) {
  int64_t group = row * groups(m) + column / BLOCK, at = column % BLOCK;
  unsigned char pair = m->matrix[group * BYTES + at / 2];
  return values[at % 2 ? pair >> 4 : pair & 15] * power(m->matrix[rows(m) * groups(m) * BYTES + group]);
}

xlm_status xlm_mxfp4_read(xlm_mxfp4 *m, const xlm_safetensors *from, int64_t first, int64_t n, float *out,
                          xlm_error *err) {
  int64_t height = rows(m), size = height * groups(m) * BLOCK;
  if (!n) return XLM_OK;
  int64_t which = first / size, column = first % size / height, row = first % height;
  for (float *end = out + n; out < end; column++, row = 0) {
    if (column == size / height) which++, column = 0;
    XLM_TRY(hold(m, from, which, err));
    for (; row < height && out < end; row++) *out++ = number(m, row, column);
  }
  return XLM_OK;
}

void xlm_mxfp4_free(xlm_mxfp4 *m) {
  free(m->matrix);
}
