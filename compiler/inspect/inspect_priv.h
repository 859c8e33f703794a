// The walk over the tree that fills symbols, scopes and marks. Private to this folder.
//
//   inspect.c    the entry point; marks by place
//   names.c      statements: scopes and definitions
//   exprs.c      expressions and calls
//   paths.c      left sides of weights entries
//   hover.c, cost.c, complete.c, context.c, signature.c, rename.c, outline.c, words.c    what editors ask
#ifndef XLM_INSPECT_INSPECT_PRIV_H
#define XLM_INSPECT_INSPECT_PRIV_H

#include "compiler/inspect/inspect.h"

enum { XLM_SCOPE_GLOBAL, XLM_SCOPE_TOP }; // the first two scopes; those of blocks and rounds follow

typedef struct xlm_walk {
  xlm_inspection *v;
  xlm_arena *arena;
  xlm_dict blocks;         // -> xlm_symbol_ref
  xlm_dict publics;        // names after `as` -> xlm_symbol_ref
  const xlm_stmt *section; // config: that defines indices
  xlm_dict inner;          // of a block: name -> xlm_symbol_ref of its scope
} xlm_walk;

// Indices as values of an xlm_dict; NULL: none.
static inline void *xlm_symbol_ref(uint32_t i) {
  return (void *)((uintptr_t)i + 1);
}
static inline uint32_t xlm_symbol_of(const void *ref) {
  return ref ? (uint32_t)((uintptr_t)ref - 1) : XLM_NO_SYMBOL;
}

// names.c
void xlm_walk_all(xlm_walk *w);
uint32_t xlm_walk_find(const xlm_inspection *v, uint32_t scope, const char *name);
void xlm_walk_mark(xlm_walk *w, xlm_mark m);
void xlm_walk_use(xlm_walk *w, uint32_t scope, const char *name, xlm_span span); // a reference, if it is one
void xlm_walk_names(xlm_walk *w, uint32_t scope, const xlm_ast_name *names);

// exprs.c
void xlm_walk_expr(xlm_walk *w, uint32_t scope, const xlm_expr *x);
void xlm_walk_init(xlm_walk *w, uint32_t scope, const xlm_expr *x); // an initialiser
const xlm_op *xlm_callable(const char *name);                       // NULL: not an operation of the language
const xlm_op *xlm_called(const xlm_expr *call);                     // max(x, over d) is amax

// paths.c: the names in paths of weights, once the marks are in order
void xlm_walk_paths(xlm_walk *w);

// inspect.c
void xlm_inspect_sort(xlm_inspection *v);
uint32_t xlm_inspect_scope(const xlm_inspection *v, uint32_t offset); // the innermost

// cost.c: what the records at `span` say, as Markdown; false: there are none
bool xlm_inspect_facts(const xlm_inspection *v, xlm_span span, xlm_text *out);

// context.c: what the text before an offset is in the middle of
typedef struct xlm_context {
  enum {
    XLM_IN_NOTHING,   // a comment, a string, a number
    XLM_IN_STATEMENT, // the first word of one
    XLM_IN_EXPR,
    XLM_IN_ARGUMENT, // the first word of an argument of `call`
    XLM_IN_VALUE,    // after `key =` in the arguments of `call`
    XLM_IN_DIMS,     // a list of dimensions
    XLM_IN_AXES,     // after `over` in a shard rule, a declaration or a repeat
    XLM_IN_INIT,     // after `~`
    XLM_IN_SETTINGS, // a name in a preset
    XLM_IN_GROUP,    // a key in a group
    XLM_IN_OPTIMIZER // the optimizer of a group
  } kind;
  const char *call, *key; // of the innermost call; key: of its current argument; NULL: none
  int commas;             // arguments of it before this one
  bool repeat;            // AXES: of a repeat
} xlm_context;
xlm_context xlm_inspect_context(const xlm_source *s, uint32_t offset, xlm_arena *a);

#endif
