// Classifies words on the command line, where several may follow a flag (`--data a.txt b.txt plan.json`).
// Model files are recognised by name, plans and checkpoints by content.
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "tools/common/settings.h"

static bool ends_with(const char *path, const char *end) {
  size_t n = strlen(path), m = strlen(end);
  return n > m && !strcmp(path + n - m, end);
}

static bool is_plan(const char *path) {
  char head[256];
  size_t n = xlm_file_head(path, head, sizeof head - 1);
  head[n] = 0;
  return head[strspn(head, " \t\r\n")] == '{' && strstr(head, "\"xlm_plan\"");
}

static bool holds_manifest(const char *folder) {
  char path[4096];
  return (size_t)snprintf(path, sizeof path, "%s/manifest.json", folder) < sizeof path && !access(path, F_OK);
}

// A checkpoint, or a folder of them.
static bool is_checkpoint(const char *path) {
  if (holds_manifest(path)) return true;
  DIR *d = opendir(path);
  bool found = false;
  for (struct dirent *e; d && !found && (e = readdir(d));) {
    char in[4096];
    bool named = !strncmp(e->d_name, "step-", 5) &&
                 (size_t)snprintf(in, sizeof in, "%s/%s", path, e->d_name) < sizeof in;
    found = named && holds_manifest(in);
  }
  if (d) closedir(d);
  return found;
}

bool xlm_settings_names_run(const char *word) {
  return ends_with(word, ".xlm") || is_plan(word) || is_checkpoint(word);
}
