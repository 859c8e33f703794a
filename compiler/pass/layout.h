// Layouts: how a value is split over the mesh, and an op's layout rule (xlm_op.layout), which says what a
// split of its dimensions means.
#ifndef XLM_PASS_LAYOUT_H
#define XLM_PASS_LAYOUT_H

#include "compiler/ir/op.h"

typedef struct xlm_layout {
  uint32_t axes[XLM_MAX_RANK]; // per dimension of the logical type: mesh axes it is split over
  uint32_t partial;            // mesh axes over which the value is a partial sum
} xlm_layout;

bool xlm_layout_equal(const xlm_layout *a, const xlm_layout *b, int rank);
uint32_t xlm_layout_axes(const xlm_layout *l, int rank); // all axes its dimensions are split over

// What a split of the dimensions of an attribute means.
typedef enum xlm_split_rule {
  XLM_SPLIT_FREE,  // no effect: results are split alike
  XLM_SPLIT_SUM,   // results without the dimension are partial sums
  XLM_SPLIT_INDEX, // the kernel masks by the dimension's offset; results without it are partial sums
  XLM_SPLIT_PLACE, // the kernel uses the dimension's offset; results are split alike
  XLM_SPLIT_WHOLE, // must not be split
} xlm_split_rule;

enum { XLM_RULE_KEYS = 8, XLM_RULE_VALUES = 16 };

// A parsed layout rule. Operands after the last one listed follow its list.
typedef struct xlm_layout_rule {
  int n_in, n_out;
  struct {
    int n;
    xlm_attr_key key[XLM_RULE_KEYS]; // the attributes in this operand's (result's) brackets
  } in[XLM_RULE_VALUES], out[XLM_RULE_VALUES];
  int n_keys;
  struct {
    xlm_attr_key key;
    xlm_split_rule rule;
  } key[XLM_RULE_KEYS];
  bool sum_all, linear, scaling; // `*: sum`, `*: linear`, `*: scaling`
  int carry_in, carry_out;       // `[..]+`: partial sums of this operand carry over to this result; -1 = none
} xlm_layout_rule;

// Parses op->layout, which is part of the source: a mistake in it is asserted.
xlm_layout_rule xlm_layout_parse(const xlm_op *op);
xlm_split_rule xlm_layout_rule_of(const xlm_layout_rule *r, xlm_attr_key key);
// The list of operand i of a node in its rule: optional operands have their own, whichever are there.
int xlm_layout_list(const xlm_op *op, const xlm_attrs *attrs, int n_in, int operand);
// `index`: a list of operands or results.
bool xlm_layout_mentions(const xlm_layout_rule *r, bool result, int index, xlm_attr_key key);

#endif
