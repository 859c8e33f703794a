// The optional operands of attention: what they add to the scores of one query, and which keys they hide.
#ifndef XLM_ATTEND_ATTEND_TERMS_PRIV_H
#define XLM_ATTEND_ATTEND_TERMS_PRIV_H

#include "ops/cpu/attend/attend_priv.h"

// Scores of hidden keys: below any other; finite, so that differences are not NaN.
#define ATTEND_HIDDEN (-1e30f)

typedef struct attend_term { // an operand; strides in elements, 0 along dimensions that it lacks
  const void *data;          // NULL: none
  xlm_dtype type;
  int64_t batch[XLM_MAX_RANK], head, query, key;
} attend_term;

typedef struct attend_terms {
  attend_term bias, slopes, sink, mask, documents, kv_documents, prefix, start;
  bool any; // of those that change or hide single scores: all but the sink and the start
} attend_terms;

typedef struct attend_here { // the terms of one head of one batch entry
  const attend_terms *t;
  int64_t bias, mask, documents, kv_documents; // offsets of their first element
  float slope;                                 // of scores in base 2, per position
  float sink;                                  // its score in base 2; ATTEND_HIDDEN: none
  int64_t prefix;                              // positions below it are seen by every query
} attend_here;

#define xlm_attend_read_terms XLM_ISA_NAME(xlm_attend_read_terms)
#define xlm_attend_term_of XLM_ISA_NAME(xlm_attend_term_of)
#define xlm_attend_prefix XLM_ISA_NAME(xlm_attend_prefix)
#define xlm_attend_start XLM_ISA_NAME(xlm_attend_start)
#define xlm_attend_terms_at XLM_ISA_NAME(xlm_attend_terms_at)
#define xlm_attend_narrow XLM_ISA_NAME(xlm_attend_narrow)
#define xlm_attend_added XLM_ISA_NAME(xlm_attend_added)

attend_terms xlm_attend_read_terms(const xlm_call *c);
// An operand or result with rows of queries, of keys, or of both.
attend_term xlm_attend_term_of(const xlm_call *c, const xlm_type *t, const void *data, bool queries,
                               bool keys);
int64_t xlm_attend_prefix(const attend_shape *s, const attend_terms *t, int64_t batch);
// The position of the first query of a sample, with caches.
int64_t xlm_attend_start(const attend_shape *s, const attend_terms *t, int64_t batch);
attend_here xlm_attend_terms_at(const attend_shape *s, const attend_terms *t, int64_t batch, int64_t head);
// Leaves out the first and the last of the key tiles [*first, *end) that hold other documents than those of
// queries q.
void xlm_attend_narrow(const attend_shape *s, const attend_here *h, attend_rows q, int64_t *first,
                       int64_t *end);
// x [TILE] = what is added to the scores of query i of q with a tile of keys, in base 2; below ATTEND_HIDDEN
// / 2: the key is hidden.
void xlm_attend_added(float *x, const attend_here *h, const attend_tile *t, attend_rows q, int i,
                      attend_rows k);

#endif
