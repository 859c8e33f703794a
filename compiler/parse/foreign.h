// Words of PyTorch, JAX, NumPy and einsum, and what to write instead.
#ifndef XLM_PARSE_FOREIGN_H
#define XLM_PARSE_FOREIGN_H

#include <stdbool.h>

const char *xlm_foreign_help(const char *name); // a sentence for a help; NULL: not such a word
const char *
xlm_foreign_argument(const char *name);       // the same for the name of an argument, as in keepdim = true
bool xlm_foreign_is_module(const char *name); // torch, nn, jnp ..

#endif
