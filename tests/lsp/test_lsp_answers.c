// What `xlmc lsp` answers about models: hover, definitions, renames, completion, whole documents, several
// files.
#include "tests/lsp/session.h"

static void hover_says(client *c, const char *text, const char *what, int n, const char *const *words) {
  json_t *answer = ask_at(c, "textDocument/hover", text, what, n, 0);
  const char *value =
      json_string_value(json_object_get(json_object_get(result_of(answer), "contents"), "value"));
  if (!value) fail_msg("nothing about `%s`", what);
  for (; *words; words++)
    if (!strstr(value, *words)) fail_msg("about `%s` not `%s` but:\n%s", what, *words, value);
  json_decref(answer);
}
#define SAYS(c, text, what, n, ...) hover_says(c, text, what, n, (const char *const[]){__VA_ARGS__, NULL})

static void hover_on_several_results(void **state) {
  (void)state;
  const char *text = "dim a = 4\ndim b = 3\nparam w[a] ~ ones\nparam v[b] ~ ones\n"
                     "block f(x[a], y[b]) -> [a], [b] {\n  return (x * 2, y * y)\n}\n"
                     "(p, q) = f(w, v)\nloss mean(p) + mean(q)\n";
  client c = running(text);
  SAYS(&c, text, "f(w", 0, "f32[a 4]", "f32[b 3]", "all operations in it: 7 FLOP");
  SAYS(&c, text, "q) =", 0, "f32[b 3]");
  leave(&c);
}

static void hover(void **state) {
  (void)state;
  client c = running(small);
  SAYS(&c, small, "embed[", 0, "param embed[vocab, hidden] ~ normal(0.02)", "f32[vocab 16, hidden 8]",
       "128 parameters", "512 B", "`hidden` over tp");
  SAYS(&c, small, "scale[", 0, "f32[hidden 8]", "3 times, `i.0.pre` to `i.2.pre`", "24 parameters in all");
  SAYS(&c, small, "hidden =", 0, "dimension", "`8`", "over tp");
  SAYS(&c, small, "eps ", 0, "`1e-05`");
  SAYS(&c, small, "h = h", 0, "variable", "f32[batch 4, seq 512, hidden 8]", "FLOP", "3 times");
  SAYS(&c, small, "i {", 0, "index of a repeat", "`0` to `2`");
  SAYS(&c, small, "norm.pre", 0, "block norm(x[.., hidden]) -> [.., hidden]", "Scales and centres.",
       "24 parameters in all");
  SAYS(&c, small, "@", 0, "contract(", "f32[batch 4, seq 512, vocab 16]", "524 KFLOP");
  SAYS(&c, small, "rmsnorm", 0, "rmsnorm(", "FLOP");
  SAYS(&c, small, "cross_entropy", 0, "cross_entropy(", "f32[]");
  SAYS(&c, small, "ones", 0, "1");
  SAYS(&c, small, "batch", 0, "built in");
  SAYS(&c, small, "epsilon = 1", 0, "let eps");
  SAYS(&c, small, "h = h", 0, "h = h + norm.pre(h)");
  SAYS(&c, small, "h @ embed", 0, "h = lookup(embed, tokens)");
  json_t *answer = ask_at(&c, "textDocument/hover", small, "# Scales", 0, 3);
  assert_true(json_is_null(result_of(answer)));
  json_decref(answer);
  leave(&c);
}

// Is the definition of `what` at `whose`?
static void defined_at(client *c, const char *text, const char *what, int n, int into, const char *whose,
                       int k) {
  int line, column;
  json_t *answer = ask_at(c, "textDocument/definition", text, what, n, into);
  place(text, whose, k, 0, &line, &column);
  if (!json_is_object(result_of(answer))) fail_msg("`%s` is not defined", what);
  assert_string_equal(json_string_value(json_object_get(result_of(answer), "uri")), client_uri);
  assert_starts(result_of(answer), line, column);
  json_decref(answer);
}

static void definitions(void **state) {
  (void)state;
  char *llama = read_llama();
  client c = running(llama);
  defined_at(&c, llama, "norm.pre(", 0, 1, "norm(x[", 0);
  defined_at(&c, llama, "norm.pre(", 0, 5, "norm(x[", 0); // the instance
  defined_at(&c, llama, "wo[heads, head, hidden]", 0, 4, "heads    = 12", 0);
  defined_at(&c, llama, "attend(q", 0, 7, "q = rope", 0);
  defined_at(&c, llama, "mlp(norm", 0, 0, "mlp(x[", 0);
  defined_at(&c, llama, "x @ wq", 0, 4, "wq[", 0);
  defined_at(&c, llama, "x @ wq", 0, 0, "x[batch, seq, hidden]", 0);
  defined_at(&c, llama, "base = theta", 0, 7, "theta    = 10000", 0);
  defined_at(&c, llama, "output logits", 0, 7, "logits = norm", 0);
  defined_at(&c, llama, "layers[i].mlp.up ", 0, 0, "layers   = 12", 0); // a path of the weights
  defined_at(&c, llama, "layers[i].mlp.up ", 0, 10, "mlp(x[", 0);
  defined_at(&c, llama, "layers[i].mlp.up ", 0, 14, "up[hidden", 0);
  defined_at(&c, llama, "unembed                =", 0, 0, "unembed[hidden", 0);
  defined_at(&c, llama, "kv_heads = 8", 0, 0, "kv_heads = heads", 0);             // a preset
  json_t *answer = ask_at(&c, "textDocument/definition", llama, "rmsnorm", 0, 0); // of the language
  assert_true(json_is_null(result_of(answer)));
  json_decref(answer);
  leave(&c);
  free(llama);
}

static bool is_word(char ch) {
  return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';
}

// The text with a word replaced wherever it stands outside comments, strings and `as` names.
static char *replaced(const char *text, const char *word, const char *by) {
  size_t n = strlen(word);
  char *out = calloc(1, strlen(text) * 2 + 64), *to = out;
  for (const char *p = text; *p;) {
    bool begins = p == text || !is_word(p[-1]);
    if (*p == '#' || *p == '"') {
      char close = *p == '#' ? '\n' : '"';
      do *to++ = *p++;
      while (*p && *p != close);
    } else if (begins && !strncmp(p, word, n) && !is_word(p[n])) {
      to = stpcpy(to, by);
      p += n;
      continue;
    }
    if (*p) *to++ = *p++;
  }
  return out;
}

static json_t *rename_to(client *c, const char *text, const char *what, int n, int into, const char *name) {
  json_t *params = at(text, what, n, into);
  json_object_set_new(params, "newName", json_string(name));
  return ask(c, "textDocument/rename", params);
}

static const json_t *edits_of(json_t *answer) {
  return json_object_get(json_object_get(result_of(answer), "changes"), client_uri);
}

static void renames(void **state) {
  (void)state;
  static const struct {
    const char *at, *name, *by;
  } of_llama[] = {{"kv_heads, ffn", "kv_heads", "groups"}, {"theta)", "theta", "turn"},
                  {"attention(norm", "attention", "mix"},  {"wq[", "wq", "query"},
                  {"layers as", "layers", "depth"},        {"unembed)", "unembed", "head_weights"},
                  {"logits, targets", "logits", "scores"}, {"tokens)", "tokens", "text"}};
  char *llama = read_llama();
  client c = running(llama);
  for (size_t i = 0; i < sizeof of_llama / sizeof *of_llama; i++) {
    json_t *answer = rename_to(&c, llama, of_llama[i].at, 0, 0, of_llama[i].by);
    char *have = edited(llama, edits_of(answer)), *want = replaced(llama, of_llama[i].name, of_llama[i].by);
    assert_string_equal(have, want);
    json_decref(answer);
    free(have), free(want);
  }
  // the variable `h`, assigned at the top and in a repeat; not the arguments `x`
  json_t *answer = rename_to(&c, llama, "h = lookup", 0, 0, "state_of_stream");
  char *have = edited(llama, edits_of(answer)), *want = replaced(llama, "h", "state_of_stream");
  assert_string_equal(have, want);
  assert_int_equal(json_array_size(open_text(&c, have)), 0);
  json_decref(answer);
  free(have), free(want);
  leave(&c);
  free(llama);
}

static void scopes(void **state) { // one name, several things
  (void)state;
  const char *text = "dim a = 4\n"
                     "param w[a] ~ ones\n"
                     "block f(x[a]) -> [a] {\n  y = x * 2\n  return y\n}\n"
                     "block g(x[a]) -> [a] {\n  y = x * 3\n  return y\n}\n"
                     "y = f(x = w)\n"
                     "repeat 2 {\n  z = y * 2\n  y = z\n}\n"
                     "repeat 2 {\n  z = y * 3\n  y = z\n}\n"
                     "loss mean(g(y))\n";
  client c = running(text);
  json_t *answer = rename_to(&c, text, "x[a]", 0, 0, "input_of_f");
  assert_int_equal(json_array_size(edits_of(answer)), 3); // with the name of the argument in the call
  json_decref(answer);
  answer = rename_to(&c, text, "y = x * 2", 0, 0, "t");
  assert_int_equal(json_array_size(edits_of(answer)), 2);
  json_decref(answer);
  answer = rename_to(&c, text, "y = f", 0, 0, "t");
  assert_int_equal(json_array_size(edits_of(answer)), 6);
  json_decref(answer);
  answer = rename_to(&c, text, "z = y * 3", 0, 0, "t");
  assert_int_equal(json_array_size(edits_of(answer)), 2);
  json_decref(answer);
  answer = ask_at(&c, "textDocument/documentHighlight", text, "y = f", 0, 0);
  assert_int_equal(json_array_size(result_of(answer)), 6);
  json_decref(answer);
  refused(rename_to(&c, text, "z = y * 2", 0, 0, "y"), FAILED, "another thing"); // it would compile
  json_t *params = at(text, "y = f", 0, 0);
  json_object_set_new(params, "context", json_pack("{s:b}", "includeDeclaration", 0));
  answer = ask(&c, "textDocument/references", params);
  assert_int_equal(json_array_size(result_of(answer)), 5);
  json_decref(answer);
  leave(&c);
}

static void refused_renames(void **state) {
  (void)state;
  char *llama = read_llama();
  client c = running(llama);
  refused(rename_to(&c, llama, "hidden   =", 0, 0, "ffn"), FAILED, "E0205");         // taken
  refused(rename_to(&c, llama, "q = rope", 0, 0, "k"), FAILED, "E0224");             // another variable
  refused(rename_to(&c, llama, "wq[", 0, 0, "wk"), FAILED, "E0205");                 // another parameter
  refused(rename_to(&c, llama, "hidden   =", 0, 0, "if"), FAILED, "E01");            // a word of the language
  refused(rename_to(&c, llama, "hidden   =", 0, 0, "two words"), FAILED, "letters"); // no name
  refused(rename_to(&c, llama, "hidden   =", 0, 0, "9lives"), FAILED, "digit");
  refused(rename_to(&c, llama, "seq      =", 0, 0, "length"), FAILED, "built in");
  refused(rename_to(&c, llama, "batch  ", 0, 0, "samples"), FAILED, "built in");
  refused(rename_to(&c, llama, "rope(x", 0, 0, "turn"), FAILED, "word of the language");
  refused(rename_to(&c, llama, "causal", 0, 0, "masked"), FAILED, "word of the language");
  refused(rename_to(&c, llama, "hidden_size", 0, 0, "width"), FAILED, "rename `hidden`");
  refused(rename_to(&c, llama, "norm.pre(", 0, 5, "first"), FAILED, "instance");
  refused(ask_at(&c, "textDocument/prepareRename", llama, "# A whole", 0, 4), FAILED, "no name");
  json_t *answer = ask_at(&c, "textDocument/prepareRename", llama, "kv_heads", 0, 2);
  assert_string_equal(json_string_value(json_object_get(result_of(answer), "placeholder")), "kv_heads");
  json_decref(answer);
  // a pattern that would match something else
  char *grouped = calloc(1, strlen(llama) + 256);
  sprintf(grouped, "%s\ngroup \"layers.*.attention.*\" { lr = 0.5 }\ngroup \"*\" { lr = 2 }\n", llama);
  assert_int_equal(json_array_size(open_text(&c, grouped)), 0);
  refused(rename_to(&c, grouped, "attention(norm", 0, 0, "mix"), FAILED, "E0802");
  json_decref(rename_to(&c, grouped, "mlp(norm", 0, 0, "mix"));
  leave(&c);
  free(grouped);
  free(llama);
}

// --- completion

// Does completion at the `|` of the text offer a label?
static bool offers(client *c, const char *text, const char *label) {
  const char *mark = strchr(text, '|');
  char *plain = calloc(1, strlen(text) + 1);
  memcpy(plain, text, (size_t)(mark - text));
  strcat(plain, mark + 1);
  (void)open_text(c, plain);
  json_t *answer = ask_at(c, "textDocument/completion", text, "|", 0, 0);
  const json_t *items = json_object_get(result_of(answer), "items"), *i;
  bool found = false;
  size_t k;
  json_array_foreach(items, k, i) found |= !strcmp(json_string_value(json_object_get(i, "label")), label);
  json_decref(answer);
  free(plain);
  return found;
}

#define HEAD                                                                                                 \
  "dim a = 4\nlet eps = 1e-5\nparam w[a] ~ ones\nblock f(x[a], scale) -> [a] {\n  inside = x * scale\n  "    \
  "return inside\n}\n"

static void completion(void **state) {
  (void)state;
  client c = running(NULL);
  static const struct {
    const char *text, *label;
    bool offered;
  } cases[] = {
      {HEAD "|", "repeat", true},
      {HEAD "pa|", "param", true},
      {HEAD "|", "rmsnorm", false},
      {HEAD "y = |", "w", true},
      {HEAD "y = |", "f", true},
      {HEAD "y = rms|", "rmsnorm", true},
      {HEAD "y = |", "inside", false},
      {HEAD "y = |", "param", false},
      {HEAD "z = w * 2\ny = w * (z + |", "z", true},
      {HEAD "y = |\nz = w * 2", "z", false},
      {HEAD "y = attend(|", "causal", true},
      {HEAD "y = attend(w, w, w, |", "window", true},
      {HEAD "y = attend(w, w, w, cau|)", "causal", true},
      {HEAD "y = f(w, |", "scale", true},
      {HEAD "y = f(|", "causal", false},
      {HEAD "y = sum(w, over |", "a", true},
      {HEAD "y = sum(w, over |", "eps", false},
      {HEAD "param v[|", "a", true},
      {HEAD "param v[|", "w", false},
      {HEAD "param v[a] ~ |", "normal", true},
      {HEAD "param v[a] ~ |", "w", false},
      {HEAD "param v[a] ~ normal(|", "eps", true},
      {HEAD "param v[a over |", "tp", true},
      {HEAD "shard |", "a", true},
      {HEAD "shard a over |", "tp", true},
      {HEAD "shard a over |", "a", false},
      {HEAD "input t[batch, seq] of |", "a", true},
      {HEAD "repeat 2 as i over |", "pp", true},
      {HEAD "repeat 2 as i {\n  y = |\n}", "i", true},
      {HEAD "preset p { |", "eps", true},
      {HEAD "preset p { a = 3  |", "eps", true},
      {HEAD "preset p { a = 3  |", "w", false},
      {HEAD "group \"w\" { |", "weight_decay", true},
      {HEAD "group \"w\" { optimizer = |", "muon", true},
      {HEAD "block g(x[|", "a", true},
      {HEAD "# y = |", "w", false},
      {HEAD "check a == 4, \"|", "w", false},
      {HEAD "block g(x[a]) -> [a] {\n  y = |\n}", "x", true},
      {HEAD "block g(x[a]) -> [a] {\n  y = |\n}", "scale", false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (offers(&c, cases[i].text, cases[i].label) != cases[i].offered)
      fail_msg("`%s` is %s at the end of\n%s", cases[i].label, cases[i].offered ? "missing" : "offered",
               cases[i].text + strlen(HEAD));
  leave(&c);
}

static void signatures(void **state) {
  (void)state;
  const char *text = HEAD "y = f(w, \n";
  client c = running(NULL);
  (void)open_text(&c, text);
  json_t *answer = ask_at(&c, "textDocument/signatureHelp", text, "f(w, ", 0, 5);
  const json_t *one = json_array_get(json_object_get(result_of(answer), "signatures"), 0);
  assert_string_equal(json_string_value(json_object_get(one, "label")), "f(x[a], scale)");
  assert_int_equal(json_integer_value(json_object_get(result_of(answer), "activeParameter")), 1);
  json_decref(answer);
  answer = ask_at(&c, "textDocument/signatureHelp", text, "dim", 0, 2);
  assert_true(json_is_null(result_of(answer)));
  json_decref(answer);
  leave(&c);
}

// --- whole documents

static const json_t *child(const json_t *list, const char *name) {
  size_t i;
  const json_t *s;
  json_array_foreach(list, i, s) if (!strcmp(json_string_value(json_object_get(s, "name")), name)) return s;
  fail_msg("no symbol `%s`", name);
  return NULL;
}

static void document_symbols(void **state) {
  (void)state;
  char *llama = read_llama();
  client c = running(llama);
  json_t *params = json_pack("{s:{s:s}}", "textDocument", "uri", client_uri),
         *answer = ask(&c, "textDocument/documentSymbol", params);
  const json_t *block = child(result_of(answer), "attention");
  assert_int_equal(json_array_size(json_object_get(block, "children")), 4);
  (void)child(json_object_get(block, "children"), "wo");
  (void)child(result_of(answer), "unembed");
  (void)child(result_of(answer), "l3_405b");
  (void)child(result_of(answer), "repeat layers");
  json_decref(answer);
  leave(&c);
  free(llama);
}

static void formatting(void **state) {
  (void)state;
  const char *untidy = "model  a # why\ndim hidden=4\n\n\n\nparam w[hidden]~ones\nloss mean(w)\n",
             *tidy = "model a  # why\ndim hidden = 4\n\nparam w[hidden] ~ ones\nloss mean(w)\n";
  client c = running(untidy);
  json_t *answer =
      ask(&c, "textDocument/formatting", json_pack("{s:{s:s}}", "textDocument", "uri", client_uri));
  char *have = edited(untidy, result_of(answer));
  assert_string_equal(have, tidy);
  json_decref(answer);
  (void)open_text(&c, tidy);
  answer = ask(&c, "textDocument/formatting", json_pack("{s:{s:s}}", "textDocument", "uri", client_uri));
  assert_int_equal(json_array_size(result_of(answer)), 0);
  json_decref(answer);
  free(have);
  leave(&c);
}

// --- models of several files

static void several_files(void **state) {
  (void)state;
  char folder[] = "/tmp/xlm_lsp_XXXXXX", path[128], uri[160];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/twice.xlm", folder);
  snprintf(uri, sizeof uri, "file://%s/main.xlm", folder);
  FILE *f = fopen(path, "w");
  fputs("# Doubles.\nblock twice(x[..]) -> [..] {\n  y = x * 2\n  return y\n}\n", f);
  fclose(f);
  const char *text = "use \"twice.xlm\"\ndim a = 4\nparam w[a] ~ ones\nh = twice(w)\nloss mean(h)\n";
  client c = running(NULL);
  client_uri = uri;
  assert_int_equal(json_array_size(open_text(&c, text)), 0);
  SAYS(&c, text, "twice(w", 0, "block twice(x[..]) -> [..]", "Doubles.", "f32[a 4]");
  SAYS(&c, text, "h)", 0, "f32[a 4]");
  json_t *answer = ask_at(&c, "textDocument/definition", text, "twice(w", 0, 1);
  assert_starts(result_of(answer), 1, 6);
  const char *there = json_string_value(json_object_get(result_of(answer), "uri"));
  assert_true(there && strstr(there, "/twice.xlm"));
  json_decref(answer);
  defined_at(&c, text, "h)", 0, 0, "h = twice", 0);
  refused(rename_to(&c, text, "twice(w", 0, 0, "double"), FAILED, "other models");
  answer = rename_to(&c, text, "h = twice", 0, 0, "doubled");
  char *have = edited(text, edits_of(answer)), *want = replaced(text, "h", "doubled");
  assert_string_equal(have, want);
  json_decref(answer);
  answer = ask(&c, "textDocument/documentSymbol", json_pack("{s:{s:s}}", "textDocument", "uri", uri));
  assert_int_equal(json_array_size(result_of(answer)), 2);
  json_decref(answer);
  // the other file breaks and the editor saves it
  f = fopen(path, "w");
  fputs("block twice(x[..]) -> [..] {\n  return z * 2\n}\n", f);
  fclose(f);
  notify(&c, "textDocument/didSave", json_pack("{s:{s:s}}", "textDocument", "uri", "file:///elsewhere"));
  const json_t *d = json_array_get(published(&c), 0);
  assert_code(d, "E0201");
  assert_starts(d, 0, 0);
  assert_non_null(strstr(json_string_value(json_object_get(d, "message")), "twice.xlm:2: unknown name `z`"));
  unlink(path);
  rmdir(folder);
  client_uri = URI;
  free(have), free(want);
  leave(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hover_on_several_results),
      cmocka_unit_test(hover),
      cmocka_unit_test(definitions),
      cmocka_unit_test(renames),
      cmocka_unit_test(scopes),
      cmocka_unit_test(refused_renames),
      cmocka_unit_test(completion),
      cmocka_unit_test(signatures),
      cmocka_unit_test(document_symbols),
      cmocka_unit_test(formatting),
      cmocka_unit_test(several_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
