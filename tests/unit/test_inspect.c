// What compiler/inspect says about texts: on every model that is shipped, on texts that end anywhere, and on
// texts with a character missing. What editors get of it: tests/lsp.
#include <ctype.h>

#include "compiler/inspect/inspect.h"
#include "compiler/parse/load.h"
#include "tests/unit/elaborate_text.h"

static const char *const models[] = {"llama", "gpt2", "qwen3", "mixtral", "deepseek", "freestyle"};
enum { MODELS = sizeof models / sizeof *models };

static const xlm_inspection *look(xlm_arena *a, const char *text, size_t n) {
  return xlm_inspect(a, xlm_source_load(a, "input.xlm", text, n), NULL);
}

static const char *text_at(xlm_arena *a, const xlm_inspection *v, xlm_span s) {
  return xlm_arena_strndup(a, v->source->text + s.begin, s.end - s.begin);
}

// Marks are in order, do not overlap, and those of symbols cover their name.
static void assert_marks(xlm_arena *a, const xlm_inspection *v) {
  for (uint32_t i = 0; i < v->n_marks; i++) {
    const xlm_mark *m = &v->marks[i];
    assert_true(m->span.begin < m->span.end && m->span.end <= v->source->n);
    if (i) assert_true(v->marks[i - 1].span.end <= m->span.begin);
    if (m->kind == XLM_MARK_SYMBOL) assert_string_equal(text_at(a, v, m->span), v->symbols[m->symbol].name);
    assert_ptr_equal(xlm_inspect_mark(v, m->span.begin), m);
  }
}

static void ask_everything(xlm_arena *a, const xlm_inspection *v, uint32_t offset) {
  xlm_text t = xlm_text_new(a);
  xlm_span span;
  xlm_completion *items;
  xlm_outline *outline;
  xlm_signature signature;
  if (xlm_inspect_hover(v, offset, &t, &span)) assert_true(t.n > 0);
  uint32_t n = xlm_inspect_complete(v, offset, a, &items);
  for (uint32_t i = 0; i < n; i++) assert_true(*items[i].label);
  if (xlm_inspect_signature(v, offset, a, &signature))
    for (uint32_t i = 0; i < signature.n; i++) assert_true(signature.part[i].end <= strlen(signature.label));
  n = xlm_inspect_outline(v, a, &outline);
  for (uint32_t i = 0; i < n; i++) assert_true(outline[i].parent == XLM_NO_SYMBOL || outline[i].parent < i);
  (void)xlm_inspect_renamable(v, offset, a, &span);
}

// --- every word of a model means something

static bool is_language(xlm_arena *a, const char *word) {
  static const char *const axes[] = {"dp", "tp", "pp", "cp", "ep", "free", "none"};
  bool statement;
  const char *known;
  for (int i = 0; (known = xlm_parse_word(a, i, &statement)); i++)
    if (!strcmp(known, word)) return true;
  for (size_t i = 0; i < sizeof axes / sizeof *axes; i++)
    if (!strcmp(axes[i], word)) return true;
  return false;
}

// Names without a symbol: of the model, of weights sections, of metrics; indices in paths of weights; the
// stream of tokens after `from`; keys of groups; the element of a parameter in a formula of a weights
// section.
static bool has_no_symbol(const char *text, const char *at) {
  static const char *const before[] = {"model ", "weights ", "metric ", "from "};
  for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
    size_t n = strlen(before[i]);
    if (at >= text + n && !strncmp(at - n, before[i], n)) return true;
  }
  for (const char *c = strstr(text, "\nweights "); c && c < at; c = strstr(c + 1, "\nweights "))
    if (strstr(c, "\n}") > at && !strncmp(at, "value", 5)) return true;
  const char *line = at;
  while (line > text && line[-1] != '\n') line--;
  for (const char *c = strstr(text, "\nconfig "); c && c < at; c = strstr(c + 1, "\nconfig "))
    if (strstr(c, "\n}") > at) return true; // keys
  bool index = at > text && at[-1] == '[' && at[1] == ']';
  return index || !strncmp(line, "group ", 6);
}

static void every_word(void **state) {
  (void)state;
  for (int k = 0; k < MODELS; k++) {
    size_t n;
    char *text = read_model(models[k], &n);
    xlm_arena *a = xlm_arena_new(0);
    const xlm_inspection *v = look(a, text, n);
    assert_int_equal(v->diags.n, 0);
    assert_marks(a, v);
    const char *const whole = v->source->text;
    for (const char *p = whole; *p;) {
      if (*p == '#' || *p == '"') {
        p += 1 + strcspn(p + 1, *p == '#' ? "\n" : "\"");
        p += *p != 0;
      } else if (isdigit((unsigned char)*p)) {
        while (isalnum((unsigned char)*p) || *p == '.') p++;
      } else if (!isalpha((unsigned char)*p)) {
        p++;
      } else {
        size_t length = 0;
        while (isalnum((unsigned char)p[length]) || p[length] == '_') length++;
        const xlm_mark *m = xlm_inspect_mark(v, (uint32_t)(p - whole));
        const char *word = xlm_arena_strndup(a, p, length);
        if (!m && !is_language(a, word) && !has_no_symbol(whole, p))
          fail_msg("%s: nothing stands at `%s` in: %.60s", models[k], word, p);
        p += length;
      }
    }
    xlm_arena_free(a);
    free(text);
  }
}

// --- every value of a model has a type and every name can be changed

static void values(void **state) {
  (void)state;
  for (int k = 0; k < MODELS; k++) {
    size_t n;
    char *text = read_model(models[k], &n);
    xlm_arena *a = xlm_arena_new(0);
    const xlm_inspection *v = look(a, text, n);
    for (uint32_t i = 0; i < v->n_symbols; i++) {
      const xlm_symbol *s = &v->symbols[i];
      xlm_text t = xlm_text_new(a);
      xlm_span span;
      bool tensor = s->kind == XLM_SYMBOL_PARAM || s->kind == XLM_SYMBOL_STATE || s->kind == XLM_SYMBOL_INPUT;
      if (s->kind == XLM_SYMBOL_BUILT_IN || !xlm_inspect_hover(v, s->span.begin, &t, &span)) continue;
      bool exists = !tensor;
      for (uint32_t r = 0; r < v->seen.n; r++) exists |= v->seen.at[r].span.begin == s->span.begin;
      if (tensor && exists && !strstr(t.data, "element"))
        fail_msg("%s: no type of `%s`: %s", models[k], s->name, t.data);
      if (s->kind == XLM_SYMBOL_DIM && strchr(t.data, '\n') == NULL)
        fail_msg("%s: no value of `%s`", models[k], s->name);
    }
    // parameters of all rounds together are those of the model
    double all = 0, seen = 0;
    for (xlm_node id = 1; id < v->graph->n_nodes; id++)
      if (xlm_node_is(&v->graph->nodes[id], XLM_LEAF_PARAMETER))
        all += (double)xlm_type_elements(xlm_val_type(v->graph, v->graph->nodes[id].out), v->graph->dims);
    for (uint32_t r = 0; r < v->seen.n; r++) {
      const xlm_seen *one = &v->seen.at[r];
      bool leaf = one->val && one->end == one->first + 1 &&
                  xlm_node_is(xlm_node_at(v->graph, one->first), XLM_LEAF_PARAMETER);
      if (leaf) seen += (double)xlm_type_elements(xlm_val_type(v->graph, one->val), v->graph->dims);
    }
    assert_true(all == seen && all > 0);
    xlm_arena_free(a);
    free(text);
  }
}

// Every name of a model but those that operations look for can be changed.
static void renames(void **state) {
  (void)state;
  for (int k = 0; k < MODELS; k += 2) {
    size_t n;
    char *text = read_model(models[k], &n);
    xlm_arena *a = xlm_arena_new(0);
    const xlm_inspection *v = look(a, text, n);
    int changed = 0;
    for (uint32_t i = 0; i < v->n_symbols; i += 3) {
      const xlm_symbol *s = &v->symbols[i];
      xlm_span *at;
      uint32_t count;
      if (s->kind == XLM_SYMBOL_BUILT_IN || !strcmp(s->name, "seq") || !strcmp(s->name, "batch")) continue;
      const char *name = s->name[0] == '_' ? "_a_new_name" : "a_new_name"; // the first may be unused
      const char *why = xlm_inspect_rename(v, s->span.begin, name, a, &at, &count);
      bool by_name = !strcmp(s->name, "experts");       // dispatch looks for it
      if (why && strstr(why, "other models")) continue; // of a file of blocks
      if (by_name != (why != NULL)) fail_msg("%s: `%s`: %s", models[k], s->name, why ? why : "renamed");
      if (!why) assert_true(count > 0);
      changed += !why;
    }
    assert_true(changed > 3);
    xlm_arena_free(a);
    free(text);
  }
}

// --- unfinished texts

static void prefixes(void **state) {
  (void)state;
  for (int k = 0; k < MODELS; k++) {
    size_t n;
    char *text = read_model(models[k], &n);
    for (size_t end = 0; end < n; end += 101) {
      char *part = malloc(end + 1); // so that a read behind it is found
      memcpy(part, text, end);
      part[end] = 0;
      xlm_arena *a = xlm_arena_new(0);
      const xlm_inspection *v = look(a, part, end);
      assert_marks(a, v);
      ask_everything(a, v, (uint32_t)end);
      ask_everything(a, v, (uint32_t)(end / 2));
      xlm_arena_free(a);
      free(part);
    }
    free(text);
  }
}

static void missing_characters(void **state) {
  (void)state;
  for (int k = 0; k < MODELS; k++) {
    size_t n;
    char *text = read_model(models[k], &n);
    for (size_t i = 0; i < n; i += 113) {
      char *part = malloc(n);
      memcpy(part, text, i);
      memcpy(part + i, text + i + 1, n - i);
      xlm_arena *a = xlm_arena_new(0);
      const xlm_inspection *v = look(a, part, n - 1);
      assert_marks(a, v);
      ask_everything(a, v, (uint32_t)i);
      xlm_arena_free(a);
      free(part);
    }
    free(text);
  }
}

static void hostile(void **state) { // texts that are no models
  (void)state;
  static const char *const texts[] = {"",
                                      "(((((((((",
                                      "[",
                                      "block",
                                      "block f(",
                                      "x = f(f(f(",
                                      "repeat a as a over",
                                      "\"",
                                      "weights w { a[ = \"{\" }",
                                      "weights w { a.b.c[i] = \"{i}{\" [a }",
                                      "block f(x[..]) -> [..] { return f(x) }\ny = f(y)",
                                      "dim a = b\ndim b = a\nparam w[a] ~ ones",
                                      "\xff\xfe",
                                      "a = \x80",
                                      "if if if { } else",
                                      "preset p { = }",
                                      "group { }",
                                      "input",
                                      "x[0] = x[1]\n(x, y) = x"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    xlm_arena *a = xlm_arena_new(0);
    const xlm_inspection *v = look(a, texts[i], strlen(texts[i]));
    assert_marks(a, v);
    for (uint32_t at = 0; at <= v->source->n + 1; at++) ask_everything(a, v, at);
    xlm_arena_free(a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_word), cmocka_unit_test(values),  cmocka_unit_test(renames),
      cmocka_unit_test(prefixes),   cmocka_unit_test(hostile), cmocka_unit_test(missing_characters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
