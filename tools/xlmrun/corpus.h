// The data of a run: opened files (or synthetic tokens) and the samples for training and validation.
#ifndef XLM_XLMRUN_CORPUS_H
#define XLM_XLMRUN_CORPUS_H

#include "runtime/data/data.h"
#include "tools/xlmrun/sources.h"

typedef struct corpus {
  sources data, held_out; // held_out: from --valid
  xlm_samples train, valid;
  bool has_valid;
} corpus;

// XLM_USER when the settings name no training data; to be called before long operations.
xlm_status corpus_named(session *s);
// want_train: requires training samples; otherwise only validation samples are made.
xlm_status corpus_open(session *s, bool want_train, corpus *out);
void corpus_close(corpus *c);
// At least so many made-up samples with all that the plan reads. most: tokens in the stream that differ; 0:
// as many as the vocabulary has.
xlm_status corpus_synthetic(session *s, int64_t samples, int64_t most, uint64_t seed, xlm_data **out);
const char *corpus_size(session *s, const corpus *c); // of the training data: "1.2 M tokens"
// Prints, for a mixture, the shares of its sources and how often the first n samples go through each.
void corpus_show_mixture(session *s, const corpus *c, int64_t n);
int64_t corpus_vocab(const session *s); // 0: the plan has no token input

#endif
