// Reads YAML (by libyaml) into a tree of nodes with line numbers. Aliases are shared nodes, so the tree is no
// larger than the text; there is no recursion. A duplicate key in a mapping is an error.
#ifndef XLM_BASE_YAML_H
#define XLM_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/arena.h"

XLM_C_BEGIN

typedef enum xlm_yaml_kind { XLM_YAML_NULL, XLM_YAML_SCALAR, XLM_YAML_LIST, XLM_YAML_MAP } xlm_yaml_kind;

typedef struct xlm_yaml xlm_yaml;

typedef struct xlm_yaml_pair {
  const xlm_yaml *key, *value; // key: NULL in a list
} xlm_yaml_pair;

struct xlm_yaml {
  xlm_yaml_kind kind;
  size_t line;
  const char *text; // of a scalar; "" for all others
  int n;
  const xlm_yaml_pair *at; // entries of a list or map, in order
};

// path: for messages. *root is a null node for an empty document. XLM_USER: "path:line: message".
xlm_status xlm_yaml_read(xlm_arena *a, const char *path, const char *text, size_t n, const xlm_yaml **root,
                         xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
