// Shared by the files that write a plan.
#ifndef XLM_PLAN_JSON_WRITE_PRIV_H
#define XLM_PLAN_JSON_WRITE_PRIV_H

#include "runtime/plan/plan.h"

// json_write_value.c. key: NULL in a list.
// Infinities (a mask, the neutral element of a maximum) are written as text, since JSON has none.
void xlm_json_put_number(xlm_json *j, const char *key, double x);
void xlm_json_put_ints(xlm_json *j, const char *key, const uint32_t *at, uint32_t n);
void xlm_json_put_longs(xlm_json *j, const char *key, const uint64_t *at, int64_t n);
void xlm_json_put_attrs(xlm_json *j, const xlm_attrs *as);
void xlm_json_put_init(xlm_json *j, const char *key, const xlm_init *x);

// json_write_rank.c. n_axes: of the mesh.
void xlm_json_put_rank(xlm_json *j, const xlm_rank_plan *r, uint8_t n_axes);

// One entry per line, so that two plans can be compared with diff.
#define XLM_JSON_LIST(name, list, n, first, write)                                                           \
  do {                                                                                                       \
    xlm_json_array(j, name, XLM_JSON_LINES);                                                                 \
    for (uint32_t list_i = first; list_i < (n); list_i++) {                                                  \
      xlm_json_object(j, NULL, XLM_JSON_ROW);                                                                \
      write(j, &(list)[list_i]);                                                                             \
      xlm_json_close(j);                                                                                     \
    }                                                                                                        \
    xlm_json_close(j);                                                                                       \
  } while (0)

#endif
