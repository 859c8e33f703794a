// What generate gives the model of every text besides its tokens: the source of a translation, an image, ..
//
// An input is named as in the model's text, or as the tensor of a record that it is. A prompt of JSON lines has it
// in a field of that name, otherwise it is the one of --input NAME=VALUE. Ids are a text, which is padded at its
// end, or numbers; other numbers are those of a file or of nested lists.
#ifndef XLM_XLMRUN_INPUTS_H
#define XLM_XLMRUN_INPUTS_H

#include "tools/xlmrun/encoding.h"

// Are the names of --input among the decoder's inputs, and, if it has none, is there a prompt wherever one is
// needed? XLM_USER.
xlm_status inputs_check(session *s, const xlm_decoder *d, const prompts *p);
// The values for a prompt, in the session's arena; *out is NULL where the decoder has no inputs. XLM_USER with
// p->where: one is missing or has another size.
xlm_status inputs_read(session *s, const encoding *e, const xlm_decoder *d, const prompt *p,
                       const void *const **out);

#endif
