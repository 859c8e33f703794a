// xlmc fmt: canonical text. --write replaces the file atomically through a temporary one beside it.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/xlmc/xlmc.h"

const char xlmc_fmt_usage[] =
    "usage: xlmc fmt MODEL.xlm [--write | --check] [--output FILE]\n"
    "  --write   replace the file\n  --check   print nothing; exit 1 when the text is not canonical\n";

static int replace_file(const char *path, const xlm_text *t, xlm_arena *a) {
  const char *temporary = xlm_arena_printf(a, "%s.xlmc-%ld", path, (long)getpid());
  struct stat st;
  FILE *f = fopen(temporary, "wb");
  bool ok = f && fwrite(t->data, 1, t->n, f) == t->n && !fflush(f) && !fsync(fileno(f));
  if (ok && !stat(path, &st)) ok = !fchmod(fileno(f), st.st_mode & 07777);
  if (f && fclose(f)) ok = false;
  if (ok && !rename(temporary, path)) return XLMC_OK;
  fprintf(stderr, "xlmc: cannot write `%s`: %s\n", path, strerror(errno));
  (void)unlink(temporary);
  return XLMC_ENV;
}

static int format(xlmc_job *j) {
  xlm_status s =
      xlm_settings_resolve(j->settings, NULL, 0, &j->err); // flags named by the model have no effect here
  if (s == XLM_OK && j->flags.write && j->shipped)
    s = xlm_fail(&j->err, XLM_USER, "there is no file `%s` here: --write does not change the shipped model",
                 j->source->path);
  if (s != XLM_OK) return xlmc_fail(j, s);
  j->source = xlm_source_new(j->arena, j->source->path, j->text, j->n); // this file alone
  xlm_diags_init(&j->diags, j->arena, j->source);
  const xlm_ast *ast = xlm_parse(j->arena, j->source, &j->diags);
  if (xlmc_tell(j) != XLMC_OK) return XLMC_USER;
  xlm_text t = xlm_text_new(j->arena);
  xlm_format(ast, &t);
  bool same = t.n == j->source->n && !memcmp(t.data, j->source->text, t.n);
  if (j->flags.check) {
    if (!same)
      fprintf(stderr, "xlmc: `%s` is not in canonical form; `xlmc fmt --write %s`\n", j->source->path,
              j->source->path);
    return same ? XLMC_OK : XLMC_USER;
  }
  if (j->flags.write) return same ? XLMC_OK : replace_file(j->source->path, &t, j->arena);
  return xlmc_print(j, t.data, t.n);
}

int xlmc_fmt(int argc, char *const *argv) {
  return xlmc_run(argc, argv, xlmc_fmt_usage, format);
}
