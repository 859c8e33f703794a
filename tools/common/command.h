// The commands of a program as data: from it and the table of settings come the help, the man pages and the
// completion of shells.
//
// A command's flags that are not settings stand in its usage text, and only there:
//   usage: xlmc plan MODEL.xlm [settings] [--format text|json] [--output FILE]
//     --format json          the plan itself ..
// A flag is a word that begins with two dashes; the word after one blank is its operand, unless it is in
// brackets of its own or a flag, too. An operand a|b|c lists the values, FILE is a file, DIR a folder.
#ifndef XLM_TOOLS_COMMAND_H
#define XLM_TOOLS_COMMAND_H

#include <stdbool.h>

#include "runtime/base/text.h"

typedef struct xlm_command {
  const char *name;
  int (*run)(int argc, char *const *argv); // what follows the command's name; returns the exit code
  const char *what;                        // one line
  char settings;                           // letter of the settings it takes (settings.def); 0: none
  const char *usage;                       // as printed by --help before the settings; NULL: the name alone
} xlm_command;

typedef struct xlm_hint { // a word that people try, and what to type instead
  const char *word, *instead;
} xlm_hint;

typedef struct xlm_program {
  const char *name, *what; // for its man page: what it does, without a capital and a full stop
  const xlm_command *commands;
  int n_commands;
  const char *const *exits; // "0 done", ..; ends with NULL
  const xlm_hint *hints;    // for words that are no commands; ends with {NULL}
  bool (*mpi)(void);        // was it built with MPI? NULL: it has no use for it
} xlm_program;

// Runs the command that argv names; --help, --version, `help COMMAND`; `manual DIR`: writes the man pages,
// `complete WORD..`: see complete.c. Returns the exit code.
int xlm_program_run(const xlm_program *p, int argc, char **argv);
const xlm_command *xlm_program_find(const xlm_program *p, const char *name); // NULL: there is none

typedef struct xlm_usage_flag {
  const char *name, *operand; // in the usage text, without dashes; n_operand 0: a switch
  size_t n_name, n_operand;
} xlm_usage_flag;
// The next flag of a usage text from *at on; false: there is none. A flag may come several times.
bool xlm_usage_next(const char **at, xlm_usage_flag *out);
// The lines of the usage text with forms of the command, without "usage:" and indentation: each call gives
// the next; false: there is none, and *at is at the rest.
bool xlm_usage_form(const char **at, const char **form, size_t *n);

void xlm_version(const xlm_program *p, xlm_text *out);
// The page of a command, or of the program (c NULL), as man(7) text.
void xlm_manual(const xlm_program *p, const xlm_command *c, xlm_text *out);
// Completions of the last of n words, one per line; see complete.c.
void xlm_complete(const xlm_program *p, const char *const *words, int n, xlm_text *out);

#endif
