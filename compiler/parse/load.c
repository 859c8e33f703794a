// Loading: each file is parsed by itself to find what it uses, depth first; then the texts are put together
// in the form of runtime/plan/source.h. A file is known by its real path, so that two ways to it are one
// file.
#include "compiler/parse/load.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/parse/ast.h"
#include "runtime/base/map.h"
#include "runtime/base/share.h"
#include "runtime/base/text.h"

enum { MOST_FILES = 256, MOST_BYTES = 4 << 20, MOST_NAMES = 500 };

typedef struct file {
  const char *path, *place, *real; // for messages, the same on every machine; to open it; resolved
  const char *text;
  size_t n;
  int user;       // the file by which it was found first
  bool open;      // being read: it uses the current file, directly or not
  uint32_t begin; // in the whole text
} file;

typedef struct failure {
  int file;
  uint32_t at; // in the file
  const char *text, *help; // help: NULL = none
} failure;

typedef struct loader {
  xlm_arena *a;
  file *files;
  int n_files, cap_files;
  failure *failures;
  uint32_t n_failures, cap_failures;
  size_t bytes;
} loader;

// --- paths

// The folder of a path, with its slash; "" for the current one.
static const char *folder_of(xlm_arena *a, const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? xlm_arena_strndup(a, path, (size_t)(slash - path) + 1) : "";
}

// folder + name, without `.` and, where a folder precedes it, `..`.
static const char *join(xlm_arena *a, const char *folder, const char *name) {
  const char *whole = *name == '/' ? name : xlm_arena_printf(a, "%s%s", folder, name);
  char *out = xlm_arena_alloc(a, strlen(whole) + 1), *end = out;
  if (*whole == '/') *end++ = '/';
  char *const root = end;
  for (const char *p = whole; *p;) {
    size_t n = strcspn(p, "/");
    char *last = end;
    while (last > root && last[-1] != '/') last--;
    size_t n_last = (size_t)(end - last);
    bool up = n == 2 && !memcmp(p, "..", 2) && n_last && !(n_last == 2 && !memcmp(last, "..", 2));
    if (up) {
      end = last > root ? last - 1 : root;
    } else if (n && !(n == 1 && *p == '.')) {
      if (end > root) *end++ = '/';
      memcpy(end, p, n);
      end += n;
    }
    p += n;
    p += strspn(p, "/");
  }
  *end = 0;
  for (char *c = out; *c; c++)
    if ((unsigned char)*c < ' ') *c = '?'; // a path stands in a line
  return out;
}

static const char *real_path(xlm_arena *a, const char *path) {
  char found[PATH_MAX];
  return realpath(path, found) ? xlm_arena_strdup(a, found) : path;
}

// --- failures

static void fail(loader *l, int user, uint32_t at, const char *text, const char *help) {
  XLM_PUSH(l->a, l->failures, l->n_failures, l->cap_failures, ((failure){user, at, text, help}));
}

// A file of a similar name in the folder that the path names.
static const char *near_file(loader *l, const char *path) {
  const char *folder = folder_of(l->a, path), *base = path + strlen(folder), *names[MOST_NAMES];
  DIR *d = opendir(*folder ? folder : ".");
  size_t n = 0;
  for (struct dirent *entry; d && n < MOST_NAMES && (entry = readdir(d));)
    if (entry->d_name[0] != '.') names[n++] = xlm_arena_strdup(l->a, entry->d_name);
  if (d) closedir(d);
  return xlm_text_nearest(base, names, n);
}

// The shipped block of that file name, whatever the folder: attention.xlm, models/blocks/attention, ..
static const char *shipped_block(loader *l, const char *name) {
  const char *base = name + strlen(folder_of(l->a, name)), *ending = strstr(base, ".xlm") ? "" : ".xlm";
  const char *path = xlm_arena_printf(l->a, "blocks/%s%s", base, ending);
  bool there = !access(xlm_arena_printf(l->a, "%s/%s", xlm_share_models(l->a), path), R_OK);
  return there && strcmp(path, name) != 0 ? path : NULL;
}

static void missing(loader *l, int user, const xlm_stmt *s, const char *here, const char *shipped) {
  const char *name = s->name->text, *near = near_file(l, here), *block = shipped_block(l, name);
  if (!near) near = near_file(l, shipped);
  const char *help =
      block  ? xlm_arena_printf(l->a, "did you mean `%s`?", block)
      : near ? xlm_arena_printf(l->a, "did you mean `%s%s`?", folder_of(l->a, name), near)
             : xlm_arena_printf(l->a,
                                "it is neither `%s` nor in the folder of the shipped models, which has "
                                "`blocks/attention.xlm` and others",
                                here);
  fail(l, user, s->span.begin, xlm_arena_printf(l->a, "there is no file `%s`", name), help);
}

static void report_cycle(loader *l, int user, const xlm_stmt *s, int target) {
  xlm_text way = xlm_text_new(l->a);
  if (target == user) {
    fail(l, user, s->span.begin, xlm_arena_printf(l->a, "`%s` uses itself", l->files[target].path),
         "remove the line");
    return;
  }
  xlm_text_printf(&way, "`%s`", l->files[target].path);
  for (int i = user; i != target; i = l->files[i].user)
    xlm_text_printf(&way, ", which is used by `%s`", l->files[i].path);
  fail(l, user, s->span.begin, xlm_arena_printf(l->a, "a cycle of files: this uses %s", way.data),
       "move the blocks that both need into a file of their own");
}

// --- reading

static bool has_use(const char *text, size_t n) { // a line that may be one
  for (size_t i = 0; i < n; i++) {
    while (i < n && (text[i] == ' ' || text[i] == '\t')) i++;
    if (n - i > 3 && !memcmp(text + i, "use", 3)) return true;
    while (i < n && text[i] != '\n') i++;
  }
  return false;
}

static int add_file(loader *l, const char *path, const char *place, const char *real, const char *text,
                    size_t n, int user) {
  bool mark =
      n >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3) && user >= 0; // a byte order mark is the first of a file
  file f = {.path = path,
            .place = place,
            .real = real,
            .text = text + (mark ? 3 : 0),
            .n = n - (mark ? 3 : 0),
            .user = user};
  XLM_PUSH(l->a, l->files, l->n_files, l->cap_files, f);
  l->bytes += n;
  return l->n_files - 1;
}

static bool read_file(loader *l, int user, const xlm_stmt *s, const char *path, const char *place,
                      const char *real, int *added) {
  xlm_map m;
  xlm_error err = {0};
  const char *why = NULL, *help = "blocks are in ordinary model files";
  if (l->n_files == MOST_FILES) {
    fail(l, user, s->span.begin, xlm_arena_printf(l->a, "more than %d files", MOST_FILES),
         "put several blocks into one file");
    return false;
  }
  if (xlm_map_open(place, &m, &err) != XLM_OK) {
    fail(l, user, s->span.begin, xlm_arena_strdup(l->a, err.text), err.status == XLM_USER ? help : NULL);
    return false;
  }
  if (m.n > MOST_BYTES || l->bytes > MOST_BYTES)
    why = "`%s` is too large: a model with all its files has at most 4 MiB";
  if (!why && m.n && xlm_text_has_files((const char *)m.data))
    why = "`%s` is a model with its files, as a checkpoint stores it",
    help = "use the file that it came from";
  if (!why)
    *added = add_file(l, path, place, real, xlm_arena_strndup(l->a, (const char *)m.data, m.n), m.n, user);
  xlm_map_close(&m);
  if (why) fail(l, user, s->span.begin, xlm_arena_printf(l->a, *why == '`' ? why : "%s", path), help);
  return !why;
}

static int known(const loader *l, const char *real) {
  for (int i = 0; i < l->n_files; i++)
    if (!strcmp(l->files[i].real, real)) return i;
  return -1;
}

static void load_used(loader *l, int i);

static void load_one(loader *l, int user, const xlm_stmt *s, bool *used) {
  const char *name = s->name->text;
  const char *here = join(l->a, folder_of(l->a, l->files[user].place), name);
  const char *shipped = join(l->a, xlm_arena_printf(l->a, "%s/", xlm_share_models(l->a)), name);
  bool is_shipped = access(here, F_OK) && !access(shipped, F_OK);
  const char *place = is_shipped ? shipped : here;
  const char *path = join(l->a, is_shipped ? "models/" : folder_of(l->a, l->files[user].path), name);
  if (access(place, F_OK)) {
    missing(l, user, s, here, shipped);
    return;
  }
  const char *real = real_path(l->a, place);
  int target = known(l, real);
  if (target >= 0 && l->files[target].open) {
    report_cycle(l, user, s, target);
  } else if (target >= 0 && used[target]) {
    fail(l, user, s->span.begin, xlm_arena_printf(l->a, "`%s` is used twice", s->name->text),
         "remove one of the lines");
  } else if (target >= 0) {
    used[target] = true;
  } else if (read_file(l, user, s, path, place, real, &target)) {
    used[target] = true;
    load_used(l, target);
  }
}

static void load_used(loader *l, int i) {
  if (!has_use(l->files[i].text, l->files[i].n)) return;
  xlm_diags ignored; // reported when the whole is parsed
  const xlm_source *s = xlm_source_new(l->a, l->files[i].path, l->files[i].text, l->files[i].n);
  xlm_diags_init(&ignored, l->a, s);
  bool used[MOST_FILES] = {0};
  l->files[i].open = true;
  for (const xlm_stmt *u = xlm_parse(l->a, s, &ignored)->stmts; u; u = u->next)
    if (u->kind == XLM_STMT_USE) load_one(l, i, u, used);
  l->files[i].open = false;
}

// --- the whole

static const char *put_together(loader *l, size_t *n) {
  xlm_text t = xlm_text_new(l->a);
  for (int i = 0; i < l->n_files; i++) {
    const file *f = &l->files[i];
    xlm_text_printf(&t, XLM_FILE_LINE "%s\n", f->path);
    l->files[i].begin = (uint32_t)t.n;
    xlm_text_addn(&t, f->text, f->n);
    if (!f->n || f->text[f->n - 1] != '\n') xlm_text_add(&t, "\n");
  }
  *n = t.n;
  return t.data;
}

static const xlm_source *finish(loader *l) {
  const file *main = &l->files[0];
  const char *text = main->text;
  size_t n = main->n;
  if (l->n_files > 1) text = put_together(l, &n);
  xlm_source *s = xlm_source_new(l->a, main->path, text, n);
  xlm_source_failure *f = XLM_NEW_N(l->a, xlm_source_failure, l->n_failures);
  for (uint32_t i = 0; i < l->n_failures; i++)
    f[i] = (xlm_source_failure){l->files[l->failures[i].file].begin + l->failures[i].at, l->failures[i].text,
                                l->failures[i].help};
  s->failures = f;
  s->n_failures = l->n_failures;
  s->loaded = true;
  return s;
}

const xlm_source *xlm_source_load_at(xlm_arena *a, const char *path, const char *place, const char *text,
                                     size_t n) {
  loader l = {.a = a};
  if (!n || n > MOST_BYTES || xlm_text_has_files(text)) return xlm_source_new(a, path, text, n);
  add_file(&l, path, place, real_path(a, place), text, n, -1);
  load_used(&l, 0);
  return finish(&l);
}

const xlm_source *xlm_source_load(xlm_arena *a, const char *path, const char *text, size_t n) {
  return xlm_source_load_at(a, path, path, text, n);
}
