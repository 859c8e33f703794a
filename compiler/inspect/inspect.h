// What stands where in a model text: names and what they refer to, operations and their arguments, and the
// type and cost of every value. For editors (tools/lsp).
//
// Names are resolved on the syntax tree, so that also text counts that the settings leave out (a branch that
// is not taken, a block that is not called). Values come from elaboration, of the text as it is: of a text
// with errors, as far as it can be read. Offsets are bytes. Nothing here prints; functions allocate in the
// arena they are given.
#ifndef XLM_INSPECT_INSPECT_H
#define XLM_INSPECT_INSPECT_H

#include "compiler/elaborate/elaborate.h"
#include "compiler/ir/op.h"
#include "runtime/base/dict.h"

typedef enum xlm_symbol_kind {
  XLM_SYMBOL_BUILT_IN, // batch, seq, true, false, where the text does not declare them
  XLM_SYMBOL_DIM,
  XLM_SYMBOL_LET,
  XLM_SYMBOL_BLOCK,
  XLM_SYMBOL_ARGUMENT, // of a block
  XLM_SYMBOL_PARAM,
  XLM_SYMBOL_STATE,
  XLM_SYMBOL_INPUT,
  XLM_SYMBOL_VARIABLE,
  XLM_SYMBOL_INDEX, // of a repeat
  XLM_SYMBOL_PRESET,
  XLM_SYMBOLS
} xlm_symbol_kind;
const char *xlm_symbol_what(xlm_symbol_kind k); // "dimension"

enum { XLM_NO_SYMBOL = UINT32_MAX };

typedef struct xlm_symbol {
  xlm_symbol_kind kind;
  const char *name;
  xlm_span span;        // its name where it is first defined; empty: built in
  const xlm_stmt *stmt; // that defines it; NULL: built in
  uint32_t scope;       // index in xlm_inspection.scopes
} xlm_symbol;

typedef struct xlm_scope { // symbols are visible within `span`; outer: its index, XLM_NO_SYMBOL for the
                           // outermost
  xlm_span span;
  uint32_t outer;
  xlm_dict names; // name -> xlm_symbol_ref (inspect_priv.h)
} xlm_scope;

typedef enum xlm_mark_kind {
  XLM_MARK_SYMBOL,   // a name that refers to symbol `symbol`
  XLM_MARK_ALIAS,    // the same by a public name: hidden_size in a preset
  XLM_MARK_INSTANCE, // `pre` of norm.pre; symbol: the block
  XLM_MARK_OP,       // the name or sign of an operation; expr: its call
  XLM_MARK_FUNCTION, // a function of numbers
  XLM_MARK_ATTR,     // the name of an argument: op, param
  XLM_MARK_VALUE,    // a named value: `set`, `value`
} xlm_mark_kind;

typedef struct xlm_mark {
  xlm_span span;
  xlm_mark_kind kind;
  bool defines;         // SYMBOL: gives it a value
  uint32_t symbol;      // SYMBOL, ALIAS, INSTANCE
  const xlm_op *op;     // OP, ATTR
  const xlm_expr *expr; // OP, FUNCTION
  const xlm_param *param;
  xlm_enum set;
  int value;
} xlm_mark;

typedef struct xlm_inspection {
  const xlm_source *source;
  const xlm_ast *ast;
  xlm_diags diags;        // of the text: syntax, or else everything that elaboration says
  const xlm_graph *graph; // NULL: nothing could be elaborated
  xlm_seen_list seen;     // what `graph` was made of
  xlm_symbol *symbols;
  uint32_t n_symbols, cap_symbols;
  xlm_scope *scopes;
  uint32_t n_scopes, cap_scopes;
  xlm_mark *marks; // by place
  uint32_t n_marks, cap_marks;
} xlm_inspection;

// preset: NULL, or one that the text does not have: the sizes of the text itself.
const xlm_inspection *xlm_inspect(xlm_arena *a, const xlm_source *source, const char *preset);

// The mark at or directly before the offset; NULL: none.
const xlm_mark *xlm_inspect_mark(const xlm_inspection *v, uint32_t offset);

// What an editor shows at this place, as Markdown; false: nothing. span: of what it is about.
bool xlm_inspect_hover(const xlm_inspection *v, uint32_t offset, xlm_text *out, xlm_span *span);

typedef struct xlm_completion {
  const char *label, *detail, *doc; // detail, doc: may be NULL
  const char *insert;               // NULL: the label
  enum {
    XLM_COMPLETE_WORD,
    XLM_COMPLETE_OP,
    XLM_COMPLETE_ATTR,
    XLM_COMPLETE_VALUE,
    XLM_COMPLETE_SYMBOL
  } kind;
  xlm_symbol_kind symbol; // SYMBOL
} xlm_completion;
// What may stand at the offset. The text before it may be unfinished. Returns the number.
uint32_t xlm_inspect_complete(const xlm_inspection *v, uint32_t offset, xlm_arena *a, xlm_completion **out);

// The call around the offset: its signature with the parts of its arguments, for help while typing; false:
// none.
typedef struct xlm_signature {
  const char *label, *doc; // doc: may be NULL
  uint32_t n, active;      // active: the argument at the offset; n: none
  xlm_span *part;          // [n] bytes of label
} xlm_signature;
bool xlm_inspect_signature(const xlm_inspection *v, uint32_t offset, xlm_arena *a, xlm_signature *out);

// Renames. refused: why not, as a sentence; NULL: the spans to replace are in *out.
// xlm_inspect_rename compiles the text with the new name, with every preset, and refuses what it changes.
const char *xlm_inspect_renamable(const xlm_inspection *v, uint32_t offset, xlm_arena *a, xlm_span *span);
const char *xlm_inspect_rename(const xlm_inspection *v, uint32_t offset, const char *name, xlm_arena *a,
                               xlm_span **out, uint32_t *n);

// The outline: named statements, those inside others with their index in `parent`.
typedef struct xlm_outline {
  const char *name, *detail;
  xlm_symbol_kind kind;
  xlm_span span, name_span;
  uint32_t parent; // XLM_NO_SYMBOL: none
} xlm_outline;
uint32_t xlm_inspect_outline(const xlm_inspection *v, xlm_arena *a, xlm_outline **out);

// The words of the language, for highlighting: kind and word, a line each (`op rmsnorm`). Kinds: statement,
// clause, op, attribute, flag, function, value, constant.
void xlm_inspect_words(xlm_text *out);

#endif
