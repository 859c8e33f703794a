// See config_rope.h. The usual values and the attention factor are those of transformers
// (modeling_rope_utils.py).
#include "runtime/plan/config_rope.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static const char *const keys[] = {"rope_scaling", "rope_parameters"};
enum { KEYS = sizeof keys / sizeof *keys };

const char *xlm_config_rope_type(const json_t *scaling) {
  const char *type = json_string_value(json_object_get(scaling, "rope_type"));
  if (!type) type = json_string_value(json_object_get(scaling, "type"));
  if (!type && json_object_get(scaling, "factor")) type = "linear";
  return type ? type : "default";
}

static bool scales(const json_t *x) {
  return json_is_object(x) && strcmp(xlm_config_rope_type(x), "default") != 0;
}

static const json_t *among(const json_t *x) {
  const char *kind;
  json_t *member;
  if (scales(x) || !json_is_object(x)) return scales(x) ? x : NULL;
  json_object_foreach((json_t *)(uintptr_t)x, kind, member) if (scales(member)) return member;
  return NULL;
}

const json_t *xlm_config_rope(const json_t *config, const char **key) {
  const json_t *x = NULL;
  for (int i = 0; i < KEYS && !x; i++) x = among(json_object_get(config, *key = keys[i]));
  return x;
}

// --- comparing

static double number(const json_t *x, const char *name, double unset) {
  const json_t *v = json_object_get(x, name);
  return json_is_number(v) ? json_number_value(v) : json_is_boolean(v) ? json_is_true(v) : unset;
}

static double growth(double factor, double by) {
  return factor <= 1 ? 1 : 0.1 * by * log(factor) + 1;
}

// By which yarn multiplies queries and keys.
static double attention_factor(const json_t *x) {
  double factor = number(x, "factor", 1), by = number(x, "mscale", 0), all = number(x, "mscale_all_dim", 0);
  double usual = by && all ? growth(factor, by) / growth(factor, all) : growth(factor, 1);
  return number(x, "attention_factor", usual);
}

static bool same(double x, double y) {
  return isnan(x) || isnan(y) || fabs(x - y) <= 1e-6 * fmax(fabs(x), fabs(y)); // NAN: not said
}

static const char *text(const char *name, double there, double here, xlm_arena *a) {
  return xlm_arena_printf(a, "%s = %.9g there and %.9g here", name, there, here);
}

const char *xlm_config_rope_differs(const json_t *there, const json_t *here, xlm_arena *a) {
  static const struct {
    const char *type, *name; // type NULL: all
    double unset;
  } settings[] = {{NULL, "factor", 1},
                  {"llama3", "low_freq_factor", 1},
                  {"llama3", "high_freq_factor", 4},
                  {"llama3", "original_max_position_embeddings", NAN},
                  {"yarn", "original_max_position_embeddings", NAN},
                  {"yarn", "beta_slow", 1},
                  {"yarn", "beta_fast", 32},
                  {"yarn", "truncate", 1}};
  const char *type = xlm_config_rope_type(there), *own = xlm_config_rope_type(here);
  if (strcmp(type, own) != 0) return xlm_arena_printf(a, "type %s there and %s here", type, own);
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    if (settings[i].type && strcmp(settings[i].type, type) != 0) continue;
    double x = number(there, settings[i].name, settings[i].unset);
    double y = number(here, settings[i].name, settings[i].unset);
    if (!same(x, y)) return text(settings[i].name, x, y, a);
  }
  double x = attention_factor(there), y = attention_factor(here);
  return strcmp(type, "yarn") != 0 || same(x, y) ? NULL : text("attention_factor", x, y, a);
}
