// Settings of a run: from the table in settings.def, a YAML file and the command line.
//
// A later source never undoes a stronger one: command line over file over checkpoint over defaults. A
// stronger source replaces a list as a whole, and of a map the names it gives: `--layers 2` leaves the other
// dims of the run file alone. Every mistake is an XLM_USER error with the place (file:line or flag) and, for
// unknown names, the nearest known one.
#ifndef XLM_TOOLS_SETTINGS_H
#define XLM_TOOLS_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/text.h"

typedef enum xlm_setting_type {
  XLM_SETTING_INT,
  XLM_SETTING_FLOAT,
  XLM_SETTING_TEXT,
  XLM_SETTING_BOOL,
  XLM_SETTING_CHOICE,
  XLM_SETTING_LIST,     // repeated flags and several values in a row add up
  XLM_SETTING_OPTIONAL, // text that may be left out: then "latest"
  XLM_SETTING_MAP,      // NAME=VALUE, repeated; each name is a setting of its own
  XLM_SETTING_BYTES,    // "24GiB"; in `f`
} xlm_setting_type;

typedef enum xlm_setting_id {
#define XLM_SETTING(id, ...) XLM_SET_##id,
#include "tools/common/settings.def"
#undef XLM_SETTING
  XLM_SETTING_COUNT,
} xlm_setting_id;

typedef struct xlm_setting_info {
  const char *id;
  xlm_setting_type type;
  const char *section, *key, *flags, *initial;
  double low, high;
  const char *choices, *tools, *help;
} xlm_setting_info;
extern const xlm_setting_info xlm_setting_table[XLM_SETTING_COUNT];

typedef enum xlm_setting_source {
  XLM_FROM_DEFAULT,
  XLM_FROM_CHECKPOINT,
  XLM_FROM_FILE,
  XLM_FROM_FLAG
} xlm_setting_source;

typedef struct xlm_setting_origin { // of one entry of a map
  xlm_setting_source source;
  const char *where;
} xlm_setting_origin;

typedef struct xlm_setting_value {
  xlm_setting_source source;
  const char *where; // "--max-steps", "run.yaml:12"
  const char *text;  // "" = unset
  int64_t i;
  double f;
  bool b;
  const char **list, **list_where; // of a list: its items, and where each was given
  int n;
  xlm_setting_origin *origin; // of a map: [n], the weakest first
} xlm_setting_value;

typedef struct xlm_public_name { // of a model: how a dim or let may be called
  const char *name, *of;         // of: the dim's own name
} xlm_public_name;

typedef struct xlm_extra_flag { // a flag not in the table: a public name of the model, to be resolved against
                                // it
  const char *flag, *value;
} xlm_extra_flag;

typedef struct xlm_run_settings {
  xlm_arena *arena;
  char tool; // letter of the table's `tools`
  xlm_setting_value value[XLM_SETTING_COUNT];
  const char **positional;
  uint32_t n_positional;
  xlm_extra_flag *extra;
  uint32_t n_extra;
  const char *config; // --config
  bool print_config, help;
  const char *const *own_flags; // flags of the tool beside the table, without dashes, for suggestions
  int n_own_flags;
} xlm_run_settings;

xlm_run_settings *xlm_settings_new(xlm_arena *a, char tool);
xlm_status xlm_settings_flags(xlm_run_settings *s, int argc, char *const *argv,
                              xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_settings_file(xlm_run_settings *s, const char *path, xlm_error *err) XLM_MUST_CHECK;
// Gives one value from `source`; ignored when a stronger source gave one. Lists: adds to what the same source
// gave. Maps: of entries with one name the strongest counts, of one source the last.
xlm_status xlm_settings_put(xlm_run_settings *s, xlm_setting_id id, const char *text,
                            xlm_setting_source source, const char *where, xlm_error *err) XLM_MUST_CHECK;
// Turns extra flags into `set` entries, and leaves of those that mean one dim the strongest; names: the
// model's dims and lets with their aliases.
xlm_status xlm_settings_resolve(xlm_run_settings *s, const xlm_public_name *names, int n,
                                xlm_error *err) XLM_MUST_CHECK;
// What resolve does last.
void xlm_settings_merge(xlm_run_settings *s, const xlm_public_name *names, int n);
// A model file, a saved plan, a checkpoint or a folder of checkpoints: what a command is about, and no data.
bool xlm_settings_names_run(const char *word);
bool xlm_settings_find(const char *section, const char *key, xlm_setting_id *out);
// The other way round: "train.zero"; false when there is no such setting.
bool xlm_settings_find_path(const char *path, xlm_setting_id *out);

static inline bool xlm_setting_is_list(xlm_setting_id id) { // or a map
  return xlm_setting_table[id].type == XLM_SETTING_LIST || xlm_setting_table[id].type == XLM_SETTING_MAP;
}
// A value as one text, for files that keep settings: of a list or map one item a line.
const char *xlm_settings_whole(const xlm_run_settings *s, xlm_setting_id id);
xlm_status xlm_settings_put_whole(xlm_run_settings *s, xlm_setting_id id, const char *text,
                                  xlm_setting_source source, const char *where,
                                  xlm_error *err) XLM_MUST_CHECK;

// Does a plan depend on it? Then it cannot be chosen anew for a saved plan.
bool xlm_settings_makes_plan(xlm_setting_id id);

static inline bool xlm_setting_given(const xlm_run_settings *s, xlm_setting_id id) {
  return s->value[id].source != XLM_FROM_DEFAULT || s->value[id].text[0];
}
static inline const char *xlm_setting_text(const xlm_run_settings *s, xlm_setting_id id) {
  return s->value[id].text;
}
static inline int64_t xlm_setting_int(const xlm_run_settings *s, xlm_setting_id id) {
  return s->value[id].i;
}
static inline double xlm_setting_float(const xlm_run_settings *s, xlm_setting_id id) {
  return s->value[id].f;
}
static inline bool xlm_setting_bool(const xlm_run_settings *s, xlm_setting_id id) {
  return s->value[id].b;
}

// "true", "yes", "on", "1" and their opposites; false when it is none of them.
bool xlm_settings_truth(const char *text, bool *out);
// "24GiB", "800 MB", "1.5e9" -> bytes; false when it is nothing of the kind.
bool xlm_settings_bytes(const char *text, uint64_t *out);

void xlm_settings_print(const xlm_run_settings *s, xlm_text *out); // as a run file that gives the same run
void xlm_settings_help(char tool, xlm_text *out);                  // one line per flag
void xlm_settings_document(xlm_text *out);                         // all settings as a Markdown table

#endif
