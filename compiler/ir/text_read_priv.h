// Declarations shared by the files that read the graph's text.
#ifndef XLM_IR_TEXT_READ_PRIV_H
#define XLM_IR_TEXT_READ_PRIV_H

#include "compiler/ir/graph.h"
#include "compiler/ir/text_lex.h"

typedef struct reader {
  xlm_lex x;
  xlm_arena *arena;
  xlm_graph *g;
  xlm_lines lines; // of the source
} reader;

// Each reads from the cursor; false: the first error, which is stored.
bool xlm_text_dims(reader *r, xlm_dim *out, uint8_t *n); // "[batch, ffn/16]"
bool xlm_text_named(reader *r, xlm_enum set, int *out);  // a name of the set
bool xlm_text_attrs(reader *r, xlm_attrs *out);          // "{over=[hidden], kind=max}", or nothing

#endif
