// Colours of mesh axes, the same in every drawing: pages, DOT and SVG. White stands readably on a light one,
// and near-black on a dark one (4.5 to 1 or more).
#include <string.h>

#include "compiler/report/graph_view.h"

static const struct {
  const char *axis;
  xlm_axis_color color;
} named[] = {{"pp", {"#55637a", "#9aa9bf"}},
             {"dp", {"#157a4f", "#4fc495"}},
             {"ep", {"#7a3fe0", "#b49cfb"}},
             {"cp", {"#a9560a", "#f0a04b"}},
             {"tp", {"#2361d6", "#7fabf7"}}};
enum { NAMED = sizeof named / sizeof *named };

static const xlm_axis_color others[] = {
    {"#b02f6c", "#f08ab8"}, {"#0b7285", "#4fc3d6"}, {"#776512", "#cdb64a"}};
enum { OTHERS = sizeof others / sizeof *others };

xlm_axis_color xlm_view_axis_color(const xlm_mesh *m, int axis) {
  for (int i = 0; i < NAMED; i++)
    if (m && axis < m->n && !strcmp(m->axis[axis], named[i].axis)) return named[i].color;
  return others[axis % OTHERS];
}
