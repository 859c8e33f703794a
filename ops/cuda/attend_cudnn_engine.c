// A plan of cuDNN for a graph of attention: descriptors, the choice of an engine, execution. See
// attend_cudnn.h.
#include <string.h>

#include "ops/cuda/attend_cudnn_priv.h"

// ---- descriptors ----

void dnn_check(dnn_builder *b, int status, const char *what) {
  if (status && !b->bad) b->bad = status, b->what = what;
}

dnn_desc dnn_create(dnn_builder *b, int kind) {
  dnn_desc d = NULL;
  if (b->bad) return NULL;
  XLM_ASSERT(b->made->n < XLM_CUDNN_DESCRIPTORS, "more than %d descriptors", XLM_CUDNN_DESCRIPTORS);
  dnn_check(b, b->dnn->desc_create(kind, &d), "creating a descriptor");
  return d ? b->made->desc[b->made->n++] = d : NULL;
}

void dnn_set(dnn_builder *b, dnn_desc d, int attribute, int type, int64_t n, const void *values) {
  if (!b->bad) dnn_check(b, b->dnn->set(d, attribute, type, n, values), "setting an attribute");
}

void dnn_set_desc(dnn_builder *b, dnn_desc d, int attribute, dnn_desc value) {
  dnn_set(b, d, attribute, DNN_T_DESCRIPTOR, 1, &value);
}

void dnn_set_int(dnn_builder *b, dnn_desc d, int attribute, int64_t value) {
  dnn_set(b, d, attribute, DNN_T_INT64, 1, &value);
}

void dnn_set_type(dnn_builder *b, dnn_desc d, int attribute, int data_type) {
  dnn_set(b, d, attribute, DNN_T_DATA_TYPE, 1, &data_type);
}

void dnn_finalize(dnn_builder *b, dnn_desc d, const char *what) {
  if (!b->bad) dnn_check(b, b->dnn->finalize(d), what);
}

// ---- engines ----

static dnn_desc knob(dnn_builder *b, int type, int64_t value) {
  dnn_desc k = dnn_create(b, DNN_KNOB_CHOICE);
  dnn_set(b, k, DNN_KNOB_TYPE, DNN_T_KNOB, 1, &type);
  dnn_set_int(b, k, DNN_KNOB_VALUE, value);
  dnn_finalize(b, k, "a setting of an engine");
  return k;
}

// Blackwell's own backward, which heuristics offer only with atomic additions: engine 5 adds in a fixed order
// with these settings, from 9.18 on (cudnn-frontend, SDPA backward, is_deterministic_algorithm). From 9.23 on
// they are others.
static bool has_explicit_config(const xlm_cudnn *dnn) {
  return dnn->version() >= 91800 && dnn->version() < 92300;
}

bool xlm_cudnn_attends(const xlm_cudnn *dnn, const char *arch) {
  return strcmp(arch, "sm_100") || has_explicit_config(dnn);
}

static dnn_desc explicit_config(dnn_builder *b, const xlm_cudnn_place *where, dnn_desc graph) {
  dnn_desc engine = dnn_create(b, DNN_ENGINE), config = dnn_create(b, DNN_ENGINE_CONFIG);
  dnn_set_desc(b, engine, DNN_ENGINE_GRAPH, graph);
  dnn_set_int(b, engine, DNN_ENGINE_INDEX, 5);
  if (!where->handle) dnn_set_desc(b, engine, DNN_ENGINE_DEVICE, where->device);
  dnn_finalize(b, engine, "an engine");
  dnn_desc knobs[] = {knob(b, DNN_KNOB_KERNEL, 31), knob(b, DNN_KNOB_STAGES, 2)};
  dnn_set_desc(b, config, DNN_CONFIG_ENGINE, engine);
  dnn_set(b, config, DNN_CONFIG_KNOBS, DNN_T_DESCRIPTOR, 2, knobs);
  dnn_finalize(b, config, "a configuration of an engine");
  return config;
}

enum { CONFIGS = 8 };

static int64_t ask_heuristics(dnn_builder *b, const xlm_cudnn_place *where, dnn_desc graph,
                              dnn_desc *configs) {
  dnn_desc h = dnn_create(b, DNN_HEURISTICS);
  int mode = DNN_HEURISTIC_A;
  int64_t n = 0;
  dnn_set_desc(b, h, DNN_HEURISTICS_GRAPH, graph);
  dnn_set(b, h, DNN_HEURISTICS_MODE, DNN_T_HEURISTIC_MODE, 1, &mode);
  if (!where->handle) dnn_set_desc(b, h, DNN_HEURISTICS_DEVICE, where->device);
  dnn_finalize(b, h, "heuristics");
  for (int i = 0; i < CONFIGS; i++) configs[i] = dnn_create(b, DNN_ENGINE_CONFIG);
  if (!b->bad)
    dnn_check(b, b->dnn->get(h, DNN_HEURISTICS_RESULTS, DNN_T_DESCRIPTOR, CONFIGS, &n, configs),
              "heuristics");
  return b->bad ? 0 : n;
}

// Makes the plan of a configuration; false: there is none within `most` bytes.
static bool try_config(dnn_builder *b, const xlm_cudnn_place *where, dnn_desc config, uint64_t most) {
  dnn_desc plan = dnn_create(b, DNN_PLAN);
  int64_t bytes = 0, n = 0;
  if (where->handle) dnn_set(b, plan, DNN_PLAN_HANDLE, DNN_T_HANDLE, 1, &where->handle);
  if (!where->handle) dnn_set_desc(b, plan, DNN_PLAN_DEVICE, where->device);
  dnn_set_desc(b, plan, DNN_PLAN_CONFIG, config);
  if (b->bad || b->dnn->finalize(plan)) return false;
  dnn_check(b, b->dnn->get(plan, DNN_PLAN_WORKSPACE, DNN_T_INT64, 1, &n, &bytes), "workspace");
  if (b->bad || (uint64_t)bytes > most) return false;
  b->made->plan = plan, b->made->workspace = (uint64_t)bytes;
  return true;
}

static bool choose(dnn_builder *b, const xlm_cudnn_place *where, const xlm_cudnn_attend *a, uint64_t most) {
  dnn_desc configs[CONFIGS], graph = xlm_cudnn_graph(b, a, where->handle);
  if (b->bad) return false;
  if (a->backward && where->major == 10 && has_explicit_config(b->dnn)) {
    if (try_config(b, where, explicit_config(b, where, graph), most)) return true;
    b->bad = 0;
  }
  int64_t n = ask_heuristics(b, where, graph, configs);
  for (int64_t i = 0; i < n; i++)
    if (try_config(b, where, configs[i], most)) return true;
  return false;
}

static xlm_status failed(const xlm_cudnn *dnn, int status, const char *what, xlm_error *err) {
  char text[256] = "";
  int version = (int)dnn->version();
  dnn->last_error(text, sizeof text);
  text[strcspn(text, "\n")] = '\0';
  return xlm_fail(err, XLM_ENV, "cuDNN %d.%d.%d: %s: %s (%d)", version / 10000, version / 100 % 100,
                  version % 100, what, text, status);
}

xlm_status xlm_cudnn_plan_make(xlm_cudnn_plan *out, const xlm_cudnn *dnn, const xlm_cudnn_place *where,
                               const xlm_cudnn_attend *a, uint64_t most, xlm_error *err) {
  *out = (xlm_cudnn_plan){.dnn = dnn};
  dnn_builder b = {.dnn = dnn, .made = out};
  if (choose(&b, where, a, most)) return XLM_OK;
  xlm_cudnn_plan_free(out);
  if (b.bad) return failed(dnn, b.bad, b.what, err);
  int version = (int)dnn->version();
  return xlm_fail(
      err, XLM_ENV,
      "cuDNN %d.%d.%d has no %s for attention of %lld x %lld heads of %lld on this card within the planned "
      "%llu bytes of workspace: plan with --attention own",
      version / 10000, version / 100 % 100, version % 100, a->backward ? "gradients" : "kernel",
      (long long)a->queries, (long long)a->heads, (long long)a->features, (unsigned long long)most);
}

void xlm_cudnn_plan_free(xlm_cudnn_plan *p) {
  while (p->n) (void)p->dnn->desc_destroy(p->desc[--p->n]);
}

// ---- running it ----

static int fill_pack(const xlm_cudnn_plan *p, dnn_desc pack, void *const *at, void *workspace) {
  void *addresses[XLM_CUDNN_TENSORS];
  int64_t ids[XLM_CUDNN_TENSORS], n = 0;
  for (int i = 0; i < XLM_CUDNN_TENSORS; i++)
    if (at[i]) ids[n] = i, addresses[n++] = at[i];
  int bad = p->dnn->set(pack, DNN_PACK_IDS, DNN_T_INT64, n, ids);
  if (!bad) bad = p->dnn->set(pack, DNN_PACK_POINTERS, DNN_T_POINTER, n, addresses);
  if (!bad) bad = p->dnn->set(pack, DNN_PACK_WORKSPACE, DNN_T_POINTER, 1, &workspace);
  return bad ? bad : p->dnn->finalize(pack);
}

xlm_status xlm_cudnn_plan_run(const xlm_cudnn_plan *p, dnn_handle handle, void *const at[XLM_CUDNN_TENSORS],
                              void *workspace, xlm_error *err) {
  dnn_desc pack = NULL;
  int bad = p->dnn->desc_create(DNN_VARIANT_PACK, &pack);
  if (!bad) bad = fill_pack(p, pack, at, workspace);
  if (!bad) bad = p->dnn->execute(handle, p->plan, pack);
  xlm_status s = bad ? failed(p->dnn, bad, "attention", err) : XLM_OK;
  if (pack) (void)p->dnn->desc_destroy(pack);
  return s;
}
