// xlmrun report: one page for a browser over one or several runs.
#include <stdio.h>
#include <string.h>

#include "runtime/base/file.h"
#include "tools/watching/report.h"
#include "tools/xlmrun/view.h"

const char command_report_usage[] =
    "usage: xlmrun report RUN... [--output FILE] [--title TEXT]\n\n"
    "One self-contained HTML page over one or several runs, finished or not: loss, validation, learning "
    "rate,\n"
    "gradient norm, throughput, memory, the model's metrics (expert load), samples, and the settings that "
    "differ.\n\n"
    "  RUN      an output folder of `xlmrun train`, or a metrics file\n"
    "  --output FILE   default report.html in the folder of a single run, else in the current folder; - = "
    "standard output\n"
    "  --title TEXT    of the page\n";

static const char *title_of(const view *v, xlm_run *const *runs) {
  if (v->title) return v->title;
  if (v->n_words > 1) return xlm_arena_printf(v->arena, "%d training runs", v->n_words);
  const xlm_card *c = &runs[0]->card;
  return *c->model ? xlm_arena_printf(v->arena, "%s: %s%s%s", runs[0]->name, c->model, *c->preset ? " " : "",
                                      c->preset)
                   : runs[0]->name;
}

static const char *output_of(const view *v, xlm_run *const *runs) {
  if (v->output) return v->output;
  return v->n_words == 1 && runs[0]->folder ? xlm_arena_printf(v->arena, "%s/report.html", runs[0]->folder)
                                            : "report.html";
}

static xlm_status report(view *v) {
  xlm_run *runs[VIEW_WORDS];
  if (!v->n_words) return xlm_fail(&v->err, XLM_USER, "which runs? as in `xlmrun report checkpoints`");
  for (int i = 0; i < v->n_words; i++) XLM_TRY(xlm_run_open(v->arena, v->words[i], &runs[i], &v->err));
  xlm_text page = xlm_text_new(v->arena);
  xlm_report_page(runs, v->n_words, title_of(v, runs), &page);
  const char *path = output_of(v, runs);
  if (!strcmp(path, "-")) return fwrite(page.data, 1, page.n, stdout), XLM_OK; // main reports a failure
  XLM_TRY(xlm_file_replace(path, page.data, page.n, &v->err));
  printf("%s\n", path);
  return XLM_OK;
}

int command_report(int argc, char *const *argv) {
  return view_run(command_report_usage, argc, argv, report);
}
