// Settings of a run: the table settings.def, with values from a YAML file and the command line.
//
// Precedence: command line, run file, checkpoint, default. A source with higher precedence replaces a list as
// a whole, but of a map only the names it gives: `--layers 2` leaves the other dims of the run file
// unchanged. Every error is XLM_USER with the place (file:line or flag) and, for unknown names, the nearest
// known one.
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
  XLM_SETTING_LIST,     // repeated flags and several values accumulate
  XLM_SETTING_OPTIONAL, // text that may be omitted: then "latest"
  XLM_SETTING_MAP,      // NAME=VALUE, repeated; precedence applies per name
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
  xlm_setting_origin *origin; // of a map: [n], in order of precedence, lowest first
} xlm_setting_value;

typedef struct xlm_public_name { // of a model: a name for a dim or let in flags
  const char *name, *of;         // of: the dim's own name
} xlm_public_name;

typedef struct xlm_extra_flag { // a flag that is not in the table: a public name of the model, to be resolved
                                // later
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
  const char *const *own_flags; // flags of the tool that are not in the table, without dashes, for
                                // suggestions
  int n_own_flags;
} xlm_run_settings;

xlm_run_settings *xlm_settings_new(xlm_arena *a, char tool);
xlm_status xlm_settings_flags(xlm_run_settings *s, int argc, char *const *argv,
                              xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_settings_file(xlm_run_settings *s, const char *path, xlm_error *err) XLM_MUST_CHECK;
// Sets a value from `source`; ignored if a source of higher precedence has set it. Lists: appends to values
// of the same source. Maps: of entries with the same name, the one with the highest precedence applies;
// within one source, the last.
xlm_status xlm_settings_put(xlm_run_settings *s, xlm_setting_id id, const char *text,
                            xlm_setting_source source, const char *where, xlm_error *err) XLM_MUST_CHECK;
// Turns extra flags into `set` entries and, of several names for one dim, keeps the one with the highest
// precedence; names: the model's dims and lets with their aliases.
xlm_status xlm_settings_resolve(xlm_run_settings *s, const xlm_public_name *names, int n,
                                xlm_error *err) XLM_MUST_CHECK;
// The last step of xlm_settings_resolve.
void xlm_settings_merge(xlm_run_settings *s, const xlm_public_name *names, int n);
// Is it a model file, a saved plan, a checkpoint or a folder of checkpoints, rather than data?
bool xlm_settings_names_run(const char *word);
bool xlm_settings_find(const char *section, const char *key, xlm_setting_id *out);
// The inverse: from "train.zero"; false when there is no such setting.
bool xlm_settings_find_path(const char *path, xlm_setting_id *out);

static inline bool xlm_setting_is_list(xlm_setting_id id) { // or a map
  return xlm_setting_table[id].type == XLM_SETTING_LIST || xlm_setting_table[id].type == XLM_SETTING_MAP;
}
// A value as a single text, for files that store settings; a list or map has one item per line.
const char *xlm_settings_whole(const xlm_run_settings *s, xlm_setting_id id);
xlm_status xlm_settings_put_whole(xlm_run_settings *s, xlm_setting_id id, const char *text,
                                  xlm_setting_source source, const char *where,
                                  xlm_error *err) XLM_MUST_CHECK;

// Does a plan depend on it? Then it cannot be changed for a saved plan.
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

// "true", "yes", "on", "1" and their opposites; false for anything else.
bool xlm_settings_truth(const char *text, bool *out);
// "24GiB", "800 MB", "1.5e9" -> bytes; false for anything else.
bool xlm_settings_bytes(const char *text, uint64_t *out);

void xlm_settings_print(const xlm_run_settings *s, xlm_text *out); // as a run file for the same run
void xlm_settings_help(char tool, xlm_text *out); // one line per flag, as long as it is; see terminal.h
char *xlm_settings_flag(const xlm_setting_info *k, xlm_arena *a); // "--tp, --tensor-parallel-size N"
void xlm_settings_document(xlm_text *out);                         // all settings as a Markdown table

#endif
