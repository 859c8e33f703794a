// Kernels of one step of each stage: [name, calls, FLOPs, bytes, seconds] of all calls; seconds are 0 without
// a cluster.
#include "compiler/report/html_priv.h"
#include "compiler/report/plan_page.h"

static void stage(xlm_html *h, const xlm_plan *p, const xlm_rank_plan *r, const xlm_cluster *c) {
  uint32_t n;
  const xlm_kernel_row *rows = xlm_report_kernels(p, r, h->program, c, h->a, &n);
  xlm_html_open(h, NULL, "[");
  for (uint32_t i = 0; i < n; i++) {
    xlm_html_open(h, NULL, "[");
    xlm_html_text(h, NULL, rows[i].name);
    xlm_html_int(h, NULL, rows[i].calls);
    xlm_html_number(h, NULL, rows[i].flops);
    xlm_html_number(h, NULL, rows[i].bytes);
    xlm_html_number(h, NULL, rows[i].seconds);
    xlm_html_close(h, "]");
  }
  xlm_html_close(h, "]");
}

void xlm_html_kernels(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages, const xlm_cluster *c) {
  xlm_html_open(h, "kernels", "[");
  for (int s = 0; s < stages->n; s++) stage(h, p, p->rank_plans[stages->rank_plan[s]], c);
  xlm_html_close(h, "]");
}
