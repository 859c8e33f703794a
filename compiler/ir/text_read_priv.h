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

#define XLM_TEXT_MAX_SIZE ((int64_t)1 << 48) // of a dimension, and of the number of elements of a tensor

// Each reads from the cursor; false: the first error, which is stored.
bool xlm_text_span(reader *r, xlm_span *out);                         // "@3..17", "@1:3..1:17", or nothing
bool xlm_text_dim_name(reader *r, const char **name, uint32_t *axes); // "ffn/16": split over the axes 16
bool xlm_text_dim(reader *r, xlm_dim *out);                           // one that exists
bool xlm_text_handle(reader *r, xlm_val *out);                        // "%7"
bool xlm_text_dims(reader *r, xlm_dim *out, uint8_t *n);              // "[batch, ffn/16]"
bool xlm_text_named(reader *r, xlm_enum set, int *out);               // a name of the set
bool xlm_text_attrs(reader *r, xlm_attrs *out); // "{over=[hidden], kind=max}", or nothing

bool xlm_text_node(reader *r); // text_read_node.c: a line

// text_read_lines.c: the rest of a line behind its keyword
bool xlm_text_config_line(reader *r);
bool xlm_text_key_line(reader *r);
bool xlm_text_dim_line(reader *r);
bool xlm_text_shard_line(reader *r);
bool xlm_text_weight_line(reader *r);
bool xlm_text_group_line(reader *r);

#endif
