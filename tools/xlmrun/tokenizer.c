// xlmrun tokenizer: train one, and look at what one does.
#include "tools/xlmrun/tokenizer.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer/tokenizer.h"
#include "tools/xlmrun/visible.h"

const char command_tokenizer_usage[] =
    "usage: xlmrun tokenizer train FILE... --vocab-size N --output tokenizer.json [flags]\n"
    "       xlmrun tokenizer show TOKENIZER\n"
    "       xlmrun tokenizer encode TOKENIZER [TEXT...]\n"
    "       xlmrun tokenizer decode TOKENIZER [ID...]\n\n"
    "TOKENIZER: a file (tokenizer.json, *.model, *.tiktoken) or its folder. Without TEXT or ID: standard "
    "input.\n"
    "FILE: documents, as for xlmrun tokenize.";

static const char *read_input(session *s, size_t *n) {
  xlm_text all = xlm_text_new(s->arena);
  char part[4096];
  for (size_t k; (k = fread(part, 1, sizeof part, stdin));) xlm_text_addn(&all, part, k);
  *n = all.n;
  return all.data;
}

// The arguments from the i-th on, with spaces between; none: standard input.
static const char *text_of(session *s, uint32_t i, size_t *n) {
  const xlm_run_settings *r = s->settings;
  if (i >= r->n_positional) return read_input(s, n);
  xlm_text all = xlm_text_new(s->arena);
  for (uint32_t k = i; k < r->n_positional; k++)
    xlm_text_printf(&all, "%s%s", k > i ? " " : "", r->positional[k]);
  *n = all.n;
  return all.data;
}

static const char *piece_text(session *s, const xlm_tokenizer *t, int32_t id) {
  size_t n;
  const char *piece = xlm_tokenizer_piece(t, id, &n);
  xlm_text out = xlm_text_new(s->arena);
  if (piece) visible_line(&out, piece, n);
  return piece ? out.data : "(not in use)";
}

static xlm_status encode(session *s, const xlm_tokenizer *t) {
  xlm_tokens ids = {0};
  size_t n;
  const char *text = text_of(s, 2, &n);
  xlm_status status = xlm_tokenizer_encode(t, text, n, &ids, &s->err);
  for (int64_t i = 0; i < ids.n; i++) printf("%7d  %s\n", ids.at[i], piece_text(s, t, ids.at[i]));
  if (status == XLM_OK)
    printf("%s of %s: %.2f bytes per token\n", xlm_text_plural(s->arena, ids.n, "token"),
           xlm_text_plural(s->arena, (int64_t)n, "byte"), ids.n ? (double)n / (double)ids.n : 0);
  xlm_tokens_free(&ids);
  return status;
}

static xlm_status decode(session *s, const xlm_tokenizer *t) {
  size_t n;
  int32_t *ids = NULL;
  uint32_t count = 0, cap = 0;
  const char *text = text_of(s, 2, &n);
  for (char *end; *text; text = end) {
    if (isspace((unsigned char)*text) || *text == ',') {
      end = (char *)text + 1;
      continue;
    }
    long long id = strtoll(text, &end, 10);
    if (end == text) return xlm_fail(&s->err, XLM_USER, "'%.40s' is not an id", text);
    if (id < 0 || id >= xlm_tokenizer_size(t))
      return xlm_fail(&s->err, XLM_USER, "%lld is not an id of this tokenizer, which has %d", id,
                      xlm_tokenizer_size(t));
    XLM_PUSH(s->arena, ids, count, cap, (int32_t)id);
  }
  xlm_text out = xlm_text_new(s->arena), shown = xlm_text_new(s->arena);
  xlm_tokenizer_decode(t, ids, count, &out);
  visible_add(&shown, out.data, out.n, true);
  fwrite(shown.data, 1, shown.n, stdout);
  putchar('\n');
  return XLM_OK;
}

static void show_around(session *s, const xlm_tokenizer *t, const char *name,
                        int (*which)(const xlm_tokenizer *, const int32_t **)) {
  const int32_t *ids;
  int n = which(t, &ids);
  for (int i = 0; i < n; i++) printf("  %-13s%d %s\n", name, ids[i], piece_text(s, t, ids[i]));
}

static xlm_status show(session *s, const xlm_tokenizer *t) {
  static const char *const roles[] = {"begins text", "ends text", "pads", "unknown"};
  printf("%s\n  %-13s%s\n", xlm_tokenizer_path(t), "kind", xlm_tokenizer_kind(t));
  printf("  %-13s%s\n", "ids", xlm_text_thousands(s->arena, xlm_tokenizer_size(t)));
  printf("  %-13s%s\n", "merges", xlm_text_thousands(s->arena, xlm_tokenizer_merges(t)));
  for (int k = 0; k < 4; k++) {
    int32_t id = xlm_tokenizer_special(t, (xlm_token_role)k);
    if (id >= 0) printf("  %-13s%d %s\n", roles[k], id, piece_text(s, t, id));
  }
  show_around(s, t, "put before", xlm_tokenizer_before);
  show_around(s, t, "put behind", xlm_tokenizer_behind);
  for (int32_t i = 0; i < xlm_tokenizer_size(t); i++)
    if (xlm_tokenizer_is_special(t, i)) printf("  %-13s%d %s\n", "special", i, piece_text(s, t, i));
  return XLM_OK;
}

static const struct {
  const char *name;
  xlm_status (*run)(session *s, const xlm_tokenizer *t);
} looks[] = {{"show", show}, {"encode", encode}, {"decode", decode}};

static xlm_status look(session *s, size_t which) {
  xlm_tokenizer *t;
  if (s->settings->n_positional < 2)
    return xlm_fail(&s->err, XLM_USER, "which tokenizer? `xlmrun tokenizer %s tokenizer.json`",
                    looks[which].name);
  XLM_TRY(xlm_tokenizer_open(s->settings->positional[1], &t, &s->err));
  xlm_status status = looks[which].run(s, t);
  xlm_tokenizer_close(t);
  return status;
}

static xlm_status tokenizer(session *s) {
  const xlm_run_settings *r = s->settings;
  const char *name = r->n_positional ? r->positional[0] : "";
  XLM_TRY(xlm_settings_resolve(s->settings, NULL, 0, &s->err)); // flags that are none
  if (!strcmp(name, "train"))
    return tokenizer_train(s, (const char *const *)r->positional + 1, (int)r->n_positional - 1);
  for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
    if (!strcmp(name, looks[i].name)) return look(s, i);
  return xlm_fail(&s->err, XLM_USER, "%s: `xlmrun tokenizer` has train, show, encode and decode",
                  *name ? xlm_arena_printf(s->arena, "unknown '%s'", name) : "no task is given");
}

int command_tokenizer(int argc, char *const *argv) {
  return session_run('v', command_tokenizer_usage, argc, argv, tokenizer);
}
