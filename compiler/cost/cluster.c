// Reads cluster files (YAML). A table lists every key, its range and its field.
#include "compiler/cost/cluster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/yaml.h"

typedef struct key {
  const char *section, *name;
  size_t at;
  double low, high;
} key;

#define AT(field) offsetof(xlm_cluster, field)
static const key keys[] = {
    {"", "devices_per_node", AT(devices_per_node), 1, 1 << 20},
    {"device", "threads", AT(threads), 1, 4096},
    {"device", "memory", AT(memory), 1, 1e18},                     // bytes
    {"device", "reserved", AT(reserved), 0, 1e18},                 // bytes
    {"device", "flops_bf16", AT(flops_bf16), 1, 1e21},             // FLOP/s
    {"device", "flops_f32", AT(flops_f32), 1, 1e21},               // FLOP/s
    {"device", "gemm_large", AT(gemm_large), 1e-6, 1},             // fraction of the peak
    {"device", "gemm_large_at", AT(gemm_large_at), 1, 1e21},       // FLOPs of one product
    {"device", "gemm_small", AT(gemm_small), 1e-6, 1},             // fraction of the peak
    {"device", "gemm_small_at", AT(gemm_small_at), 1, 1e21},       // FLOPs of one product
    {"device", "attention", AT(attention), 1e-6, 1},               // fraction of the peak
    {"device", "vector_flops", AT(vector_flops), 1, 1e21},         // FLOP/s
    {"device", "memory_bandwidth", AT(memory_bandwidth), 1, 1e18}, // bytes/s
    {"device", "best_gemm", AT(best_gemm), 1e-6, 1},               // fraction of the peak
    {"device", "best_attention", AT(best_attention), 1e-6, 1},     // fraction of the peak
    {"device", "best_bandwidth", AT(best_bandwidth), 1, 1e18},     // bytes/s
    {"device", "launch", AT(launch), 0, 1},                        // seconds
    {"intra", "bandwidth", AT(intra_bandwidth), 1, 1e18},          // bytes/s, one device, one direction
    {"intra", "latency", AT(intra_latency), 0, 1},                 // seconds
    {"inter", "bandwidth", AT(inter_bandwidth), 1, 1e18},
    {"inter", "latency", AT(inter_latency), 0, 1},
};
enum { KEYS = sizeof keys / sizeof *keys };

static const struct {
  const char *name;
  size_t at;
} texts[] = {{"backend", AT(backend)}, {"arch", AT(arch)}}; // of the section `device`
enum { TEXTS = sizeof texts / sizeof *texts };

static const char **text_at(xlm_cluster *c, int i) {
  return (const char **)(void *)((char *)c + texts[i].at);
}

typedef struct reader {
  xlm_arena *a;
  const char *path;
  xlm_cluster *out;
  bool given[KEYS];
  xlm_error *err;
} reader;

static const char *scalar(const xlm_yaml *n) { // NULL: not a scalar
  return n->kind <= XLM_YAML_SCALAR ? n->text : NULL;
}

static const char *dotted(const reader *r, const char *section, const char *name) {
  return *section ? xlm_arena_printf(r->a, "%s.%s", section, name) : name;
}

static xlm_status unknown(const reader *r, const xlm_yaml *n, const char *section, const char *name) {
  const char *all[KEYS + TEXTS + 4] = {"name", "device", "intra", "inter"};
  size_t count = *section ? 0 : 4;
  for (int i = 0; i < KEYS; i++) {
    if (strcmp(keys[i].name, name) == 0 && strcmp(keys[i].section, section) && *keys[i].section)
      return xlm_fail(r->err, XLM_USER, "%s:%zu: '%s' belongs in the section `%s:`", r->path, n->line, name,
                      keys[i].section);
    if (!strcmp(keys[i].section, section)) all[count++] = keys[i].name;
  }
  for (int i = 0; i < TEXTS && !strcmp(section, "device"); i++) all[count++] = texts[i].name;
  const char *near = xlm_text_nearest(name, all, count);
  return xlm_fail(r->err, XLM_USER, "%s:%zu: unknown key '%s'%s%s%s", r->path, n->line,
                  dotted(r, section, name), near ? "; did you mean '" : "", near ? near : "",
                  near ? "'?" : "");
}

static xlm_status put(reader *r, const xlm_yaml *at, int i, const char *text) {
  char *end = NULL;
  double x = text ? strtod(text, &end) : 0;
  if (!text || end == text || *end || !(x >= keys[i].low && x <= keys[i].high))
    return xlm_fail(r->err, XLM_USER, "%s:%zu: '%s' must be a number between %g and %g, not '%s'", r->path,
                    at->line, dotted(r, keys[i].section, keys[i].name), keys[i].low, keys[i].high,
                    text ? text : "a list");
  r->given[i] = true;
  *(double *)((char *)r->out + keys[i].at) = x;
  return XLM_OK;
}

static bool is_section(const char *name) {
  for (int i = 0; i < KEYS; i++)
    if (*name && !strcmp(keys[i].section, name)) return true;
  return false;
}

static xlm_status read_mapping(reader *r, const xlm_yaml *map, const char *section);

static xlm_status read_pair(reader *r, const xlm_yaml *k, const xlm_yaml *v, const char *section) {
  const char *name = scalar(k), *value = scalar(v);
  if (!name) return xlm_fail(r->err, XLM_USER, "%s:%zu: a key must be a name", r->path, k->line);
  if (!*section && !strcmp(name, "name") && value) {
    r->out->name = value;
    return XLM_OK;
  }
  if (!*section && is_section(name)) {
    if (v->kind == XLM_YAML_MAP) return read_mapping(r, v, name);
    return xlm_fail(r->err, XLM_USER, "%s:%zu: the section `%s` must have keys and values", r->path, v->line,
                    name);
  }
  for (int i = 0; i < TEXTS && value; i++)
    if (!strcmp(section, "device") && !strcmp(texts[i].name, name)) {
      *text_at(r->out, i) = value;
      return XLM_OK;
    }
  for (int i = 0; i < KEYS; i++)
    if (!strcmp(keys[i].section, section) && !strcmp(keys[i].name, name)) return put(r, v, i, value);
  return unknown(r, k, section, name);
}

static xlm_status read_mapping(reader *r, const xlm_yaml *map, const char *section) {
  for (int i = 0; i < map->n; i++) XLM_TRY(read_pair(r, map->at[i].key, map->at[i].value, section));
  return XLM_OK;
}

static xlm_status check(const reader *r) {
  for (int i = 0; i < KEYS; i++)
    if (!r->given[i])
      return xlm_fail(r->err, XLM_USER, "%s: the key '%s' is missing", r->path,
                      dotted(r, keys[i].section, keys[i].name));
  for (int i = 0; i < TEXTS; i++)
    if (!*text_at(r->out, i))
      return xlm_fail(r->err, XLM_USER, "%s: the key 'device.%s' is missing", r->path, texts[i].name);
  if (r->out->gemm_large_at <= r->out->gemm_small_at)
    return xlm_fail(r->err, XLM_USER, "%s: device.gemm_large_at must be above device.gemm_small_at", r->path);
  if (xlm_cluster_room(r->out) == 0)
    return xlm_fail(r->err, XLM_USER, "%s: device.reserved leaves nothing of device.memory", r->path);
  return XLM_OK;
}

xlm_status xlm_cluster_read(xlm_arena *a, const char *path, const char *text, size_t n, xlm_cluster *out,
                            xlm_error *err) {
  const xlm_yaml *root;
  reader r = {.a = a, .path = path, .out = out, .err = err};
  *out = (xlm_cluster){.name = path};
  XLM_TRY(xlm_yaml_read(a, path, text, n, &root, err));
  if (root->kind != XLM_YAML_MAP)
    return xlm_fail(err, XLM_USER, "%s: a cluster file must have keys and values", path);
  XLM_TRY(read_mapping(&r, root, ""));
  return check(&r);
}
