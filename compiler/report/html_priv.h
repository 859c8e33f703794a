// Shared by the HTML pages: data as JSON with a table of texts, and the page around it.
#ifndef XLM_REPORT_HTML_PRIV_H
#define XLM_REPORT_HTML_PRIV_H

#include "compiler/report/html.h"
#include "runtime/plan/mesh.h"

typedef struct xlm_html {
  xlm_json json;
  xlm_arena *a;
  xlm_program_id program; // the one that is shown
  const char **texts; // without duplicates, in order of appearance
  uint32_t n_texts, cap_texts;
  uint32_t *table;  // open addressing: index + 1 into texts
  uint32_t n_table; // a power of two
} xlm_html;

xlm_html xlm_html_new(xlm_text *t);
// key: NULL inside an array.
void xlm_html_open(xlm_html *h, const char *key, const char *bracket); // "[" or "{"
void xlm_html_close(xlm_html *h, const char *bracket);
void xlm_html_int(xlm_html *h, const char *key, int64_t v);
void xlm_html_number(xlm_html *h, const char *key, double v);
void xlm_html_text(xlm_html *h, const char *key,
                   const char *s); // as an index into the table of texts; NULL = ""
void xlm_html_string(xlm_html *h, const char *key, const char *s);       // in full
void xlm_html_texts(xlm_html *h, const char *key);                       // the table; must be last
void xlm_html_source(xlm_html *h, const char *key, const xlm_source *s); // its lines, and `files`
void xlm_html_mesh(xlm_html *h, const char *key, const xlm_mesh *m);     // [[axis, size], ..]

// Everything before and after the data. m: for the colours of its axes; may be NULL. kind: which page the scripts
// build ("plan", "graph").
void xlm_html_head(xlm_text *t, const char *title, const xlm_mesh *m);
void xlm_html_foot(xlm_text *t, const char *kind);

const char *xlm_html_type(xlm_arena *a, const xlm_type *type, const xlm_dim_info *dims, const xlm_mesh *m);
const char *xlm_html_pattern(xlm_arena *a, const char *name); // "layers.*.attention"
uint32_t xlm_html_split(const xlm_type *type,
                        const xlm_dim_info *dims); // all axes its dimensions are split over
// The model line of an instruction or, if it has none (the reduction of a gradient), of its operand.
uint32_t xlm_html_line(const xlm_rank_plan *r, const xlm_instr *in);
// Kinds of boxes.
enum { XLM_HTML_OP, XLM_HTML_COLLECTIVE, XLM_HTML_SEND, XLM_HTML_RECV };
int xlm_html_kind(xlm_op_id op);
void xlm_html_attrs(xlm_html *h, const xlm_attrs *attrs); // as a text
const char *xlm_html_label(xlm_arena *a, xlm_op_id op,
                           const xlm_attrs *attrs); // a fused op: what it computes

// Parts of the plan's page.
typedef struct xlm_html_stages { // of each pipeline stage the rank plan with the largest arena
  int n;
  const uint32_t *rank_plan;
} xlm_html_stages;
// Tensors, ops, segments, runs. c: for the time of each op; may be NULL.
void xlm_html_stage(xlm_html *h, const xlm_plan *p, const xlm_rank_plan *r, const xlm_cluster *c);
// Start and end of each run; in seconds if there is an estimate.
void xlm_html_times(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages, const xlm_estimate *e);
// The communication table, with times if there is a cluster (c may be NULL).
void xlm_html_traffic(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages, const xlm_cluster *c);
void xlm_html_kernels(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages,
                      const xlm_cluster *c); // the table of kernels of each stage
void xlm_html_parameters(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages); // how each is split
void xlm_html_updates(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages,
                      const xlm_update_row *updates, int n);
// By state of a rank: for a state of the optimizer the state that is its parameter; -1 for all others.
const int64_t *xlm_html_owners(const xlm_rank_plan *r, xlm_arena *a);

// html.css and the scripts, embedded by the build; both NUL-terminated.
extern const char xlm_html_style[], xlm_html_script[];

#endif
