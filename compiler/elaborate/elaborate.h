// Elaborate: syntax tree + settings -> typed graph. Resolves names, inlines blocks, unrolls `repeat`, checks
// shapes.
//
// Every error becomes a diagnostic, and elaboration continues with what is still valid. Work is bounded: at
// most XLM_MAX_NODES nodes, 10,000 rounds per repeat, 64 nested blocks.
#ifndef XLM_ELABORATE_ELABORATE_H
#define XLM_ELABORATE_ELABORATE_H

#include "compiler/parse/ast.h"
#include "compiler/ir/graph.h"

enum { XLM_MAX_NODES = 400000 };

typedef struct xlm_set { // --set hidden=1024, `set:` of a run file, or a flag named by an `as` alias
  const char *name, *value;
} xlm_set;

// What a place of the text stands for, for editors. One record per evaluation of an expression, and per name
// that gets a value: in every round and every call, since sizes may differ.
typedef struct xlm_seen {
  xlm_span span;    // of the expression or the name
  const char *path; // of the round or block around it: "layers.3.attention"; "" at the top level
  xlm_val val;      // 0: the number below
  bool integer;
  double number;
  xlm_node first, end; // the nodes made for it: first .. end - 1
} xlm_seen;

typedef struct xlm_seen_list {
  xlm_seen *at;
  uint32_t n, cap;
} xlm_seen_list;

typedef struct xlm_elaborate_options {
  const char *preset; // NULL = none
  const xlm_set *sets;
  int n_sets;
  int64_t batch,
      seq; // sizes of the built-in dims `batch` and `seq`; 0 = the preset's, the model's, else 4 and 512
  xlm_dtype dtype; // compute type: parameters are f32 here and cast where used (narrow_weights stores
                   // them narrower in plans that only decode); F64 for the reference backend
  bool training;   // false: dropout is the identity
  const char *section; // the weights and config sections to keep; NULL: the first of each
  bool dump_only;  // accept a model without a loss (xlmc check of a fragment)
  xlm_seen_list *seen; // receives the records, in the arena of the graph; NULL: they are not made
} xlm_elaborate_options;

// The i-th function of compile-time numbers, `sqrt`, and key of a parameter group, `lr`; NULL past the last.
const char *xlm_number_function(int i);
const char *xlm_group_key(int i);

// NULL when the tree has syntax errors; otherwise the graph, complete iff d->errors == 0.
xlm_graph *xlm_elaborate(xlm_arena *a, const xlm_ast *ast, const xlm_elaborate_options *s, xlm_diags *d);

#endif
