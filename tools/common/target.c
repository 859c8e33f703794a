// Selects the target of a plan.
#include <stdlib.h>
#include <string.h>

#include "runtime/device/device.h"
#include "tools/common/request.h"

static const xlm_backend *with_arch(const char *arch) {
  for (int i = 0; xlm_backends[i]; i++)
    if (xlm_backends[i]->title && xlm_target_arch(&xlm_backends[i]->info, arch) >= 0) return xlm_backends[i];
  return NULL;
}

static void add_archs(xlm_text *t, const xlm_backend *b) {
  xlm_text_printf(t, "%s%s has", t->n ? "; " : "", b->info.name);
  for (int k = 0; b->info.archs[k]; k++) xlm_text_printf(t, "%s %s", k ? "," : "", b->info.archs[k]);
}

static xlm_status no_arch(const xlm_run_settings *s, const char *where, const char *arch,
                          const xlm_backend *only, xlm_error *err) {
  xlm_text t = xlm_text_new(s->arena);
  for (int i = 0; xlm_backends[i]; i++)
    if (xlm_backends[i]->title && (!only || only == xlm_backends[i])) add_archs(&t, xlm_backends[i]);
  return xlm_fail(err, XLM_USER, "%s: unknown arch '%s': %s", where, arch, t.data);
}

// The requested arch: from flag or run file, or from the environment; "" = none.
static const char *asked(const xlm_run_settings *s, const char **where) {
  const char *told = xlm_setting_text(s, XLM_SET_arch), *variable = getenv("XLM_CPU_ISA");
  *where = *told ? s->value[XLM_SET_arch].where : "XLM_CPU_ISA";
  return *told ? told : variable ? variable : "";
}

static xlm_status of_cluster(const xlm_run_settings *s, const xlm_cluster *c, const xlm_backend **b,
                             const char **arch, xlm_error *err) {
  *b = xlm_backend_find(c->backend);
  if (!*b)
    return xlm_fail(err, XLM_USER, "the cluster %s names a backend '%s', which does not exist", c->name,
                    c->backend);
  if (xlm_target_arch(&(*b)->info, c->arch) < 0) return no_arch(s, c->name, c->arch, *b, err);
  *arch = xlm_setting_text(s, XLM_SET_arch);
  if (!**arch)
    *arch = c->arch;
  else if (xlm_target_arch(&(*b)->info, *arch) < 0)
    return no_arch(s, s->value[XLM_SET_arch].where, *arch, *b, err);
  return XLM_OK;
}

// A device that is asked for and runs other kernels than the CPU's: its machine is this one.
static xlm_status of_device(const xlm_device_kind *kind, const xlm_run_settings *s, const xlm_backend **b,
                            const char **arch, xlm_error *err) {
  *b = xlm_backend_find(kind->backend);
  *arch = xlm_setting_text(s, XLM_SET_arch);
  xlm_status here = kind->check ? kind->check(err) : XLM_OK;
  if (here != XLM_OK && s->tool == 'p')
    return xlm_fail(err, here, "%s; to plan for a GPU elsewhere give --cluster h100 instead",
                    xlm_arena_strdup(s->arena, err->text));
  if (here != XLM_OK) return here;
  if (!**arch) *arch = (*b)->here();
  if (!*arch)
    return xlm_fail(err, XLM_ENV, "this xlm has no %s kernels: see docs/gpu.md for a build with them",
                    (*b)->title);
  return xlm_target_arch(&(*b)->info, *arch) < 0 ? no_arch(s, s->value[XLM_SET_arch].where, *arch, *b, err)
                                                 : XLM_OK;
}

static xlm_status of_machine(const xlm_run_settings *s, const xlm_backend **b, const char **arch,
                             xlm_error *err) {
  const char *where, *device = xlm_setting_text(s, XLM_SET_device);
  const xlm_device_kind *kind = NULL;
  if (*device) XLM_TRY(xlm_device_find(device, &kind, err));
  if (kind && strcmp(kind->backend, "cpu")) return of_device(kind, s, b, arch, err);
  *arch = asked(s, &where);
  *b = **arch ? with_arch(*arch) : xlm_backend_find("cpu");
  if (!*b) return no_arch(s, where, *arch, NULL, err);
  if (!**arch) *arch = (*b)->here();
  return XLM_OK;
}

// `here`: the target is this machine, and its libraries are those of the run.
static bool own_attention(const xlm_run_settings *s, const xlm_target *t, const xlm_backend *b, bool here) {
  const char *asked = xlm_setting_text(s, XLM_SET_attention);
  if (strcmp(asked, "auto")) return !strcmp(asked, "own");
  return here && b->has_attention && !b->has_attention(t->arch);
}

xlm_status xlm_request_target(const xlm_run_settings *s, const xlm_cluster *cluster, int64_t ranks,
                              xlm_compile_options *o, xlm_error *err) {
  const xlm_backend *b;
  const char *arch = "";
  XLM_TRY(cluster ? of_cluster(s, cluster, &b, &arch, err) : of_machine(s, &b, &arch, err));
  bool told = xlm_setting_int(s, XLM_SET_threads) > 0;
  int64_t threads =
      cluster && !told ? (int64_t)cluster->threads : xlm_request_threads(s) / (ranks > 0 ? ranks : 1);
  o->backend = &b->info;
  o->target = xlm_backend_target(b, arch, threads > 1 ? (int)threads : 1);
  o->target.own_attention = own_attention(s, &o->target, b, !cluster && *xlm_setting_text(s, XLM_SET_device));
  return XLM_OK;
}
