// xlmrun export: weights as the files of other tools.
#include <stdio.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/interchange/export_folder.h"
#include "runtime/interchange/gguf.h"
#include "runtime/interchange/gguf_tokenizer.h"
#include "runtime/interchange/lora_merge.h"
#include "runtime/interchange/peft.h"
#include "tools/xlmrun/init_from.h"
#include "tools/xlmrun/run_tokenizer.h"
#include "tools/xlmrun/weights.h"

const char command_export_usage[] =
    "usage: xlmrun export [CHECKPOINT] --format FORMAT --output PATH [flags]\n"
    "       xlmrun export MODEL.xlm --init-from WEIGHTS --format FORMAT --output PATH [flags]\n\n"
    "safetensors: a folder, for transformers, vLLM and others. gguf: a file, for llama.cpp. peft: the "
    "adapters of a run with --lora alone, as a folder for PEFT.";

static const char *const gguf = "gguf"; // the sections of the model text for such files

static const char *source_folder(const session *s) { // where a tokenizer may be beside the weights
  return s->checkpoint ? s->checkpoint->path : xlm_setting_text(s->settings, XLM_SET_init_from);
}

static xlm_status check_output(session *s, const char *path) {
  if (*path) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER, "where to? give --output, a new folder (safetensors) or a file (gguf)");
}

// ---- safetensors ----

static xlm_status folder_options(session *s, xlm_export_options *o) {
  const char *type = xlm_setting_text(s->settings, XLM_SET_export_type);
  xlm_st_dtype dtype = !strcmp(type, "bf16") ? XLM_ST_BF16 : !strcmp(type, "f16") ? XLM_ST_F16 : XLM_ST_F32;
  if (!strcmp(type, "q8_0"))
    return xlm_fail(&s->err, XLM_USER, "--type q8_0 is a type of gguf; safetensors have f32, bf16 and f16");
  *o = (xlm_export_options){.dtype = dtype, .beside = source_folder(s)};
  return XLM_OK;
}

static xlm_status export_folder(session *s, const char *path) {
  xlm_export_options o;
  xlm_weights *w;
  XLM_TRY(folder_options(s, &o));
  XLM_TRY(run_tokenizer_tokens(s, &o.tokens));
  XLM_TRY(xlm_weights_new(s->store, s->plan, &w, &s->err));
  xlm_status status = xlm_export_folder(path, s->plan, w, &o, &s->err);
  xlm_weights_free(w);
  return status;
}

// ---- gguf ----

// The plan of the same model with the sections for such files.
static xlm_status plan_for(session *s, const char *section, const xlm_plan **out) {
  xlm_compile_options o = s->options;
  xlm_diags d;
  o.settings.section = section;
  xlm_diags_init(&d, s->arena, s->source);
  *out = s->source ? xlm_compile(s->arena, s->source, &o, &d, NULL, NULL).plan : NULL;
  if (*out && (*out)->weights_name) return XLM_OK;
  return xlm_fail(
      &s->err, XLM_USER,
      "the model `%s` has no section `weights %s`, which says how its weights are named and stored "
      "there (docs/weights.md); give a model text that has one: xlmrun export MODEL.xlm --init-from "
      "CHECKPOINT ..",
      s->plan->model, section);
}

static xlm_status put_tokenizer(session *s, xlm_gguf_keys *k) {
  const char *path = run_tokenizer_path(s);
  if (path) return xlm_gguf_put_tokenizer(k, s->arena, path, corpus_vocab(s), &s->err);
  if (session_tokens_are_bytes(s))
    xlm_gguf_put_bytes_tokenizer(k);
  else
    xlm_gguf_put_no_tokenizer(k);
  return XLM_OK;
}

static xlm_status write_gguf(session *s, const xlm_plan *p, const xlm_weights *w, const char *path) {
  xlm_gguf_type type;
  xlm_gguf_keys tokens = xlm_gguf_keys_new(s->arena);
  if (!xlm_gguf_type_find(xlm_setting_text(s->settings, XLM_SET_export_type), &type)) type = XLM_GGUF_F32;
  XLM_TRY(put_tokenizer(s, &tokens));
  return xlm_gguf_write(path, p, w, type, &tokens, &s->err);
}

static xlm_status export_gguf(session *s, const char *path) {
  const xlm_plan *p;
  xlm_weights *w;
  XLM_TRY(plan_for(s, gguf, &p));
  XLM_TRY(xlm_file_can_replace(path, &s->err));
  XLM_TRY(xlm_weights_new(s->store, p, &w, &s->err));
  xlm_status status = write_gguf(s, p, w, path);
  xlm_weights_free(w);
  return status;
}

// ---- all ----

// A folder of adapters has no other parameters that were trained.
static xlm_status export_adapters(session *s, const char *path) {
  const char *groups = s->checkpoint ? xlm_checkpoint_setting_of(s->checkpoint, ".groups") : NULL,
             *base = s->checkpoint ? xlm_checkpoint_setting_of(s->checkpoint, "train.init_from")
                                   : xlm_setting_text(s->settings, XLM_SET_init_from);
  xlm_export_options o;
  XLM_TRY(folder_options(s, &o));
  if (groups && strstr(groups, "frozen=false"))
    return xlm_fail(&s->err, XLM_USER,
                    "a group of the run trained parameters besides its adapters (frozen=false), and a folder "
                    "of PEFT would lack them: --format safetensors writes all weights, with adapters merged");
  return xlm_peft_export(path, s->plan, s->store, init_from_scale, &s->options.train, base ? base : "", &o,
                         &s->err);
}

static xlm_status write_out(session *s, const char *path) {
  const char *format = xlm_setting_text(s->settings, XLM_SET_export_format);
  if (!strcmp(format, "peft")) return export_adapters(s, path);
  XLM_TRY(xlm_lora_merge(s->store, init_from_scale, &s->options.train, &s->err));
  return strcmp(format, gguf) ? export_folder(s, path) : export_gguf(s, path);
}

static xlm_status export(session *s) {
  const char *path = xlm_setting_text(s->settings, XLM_SET_export_output);
  XLM_TRY(weights_open(s));
  XLM_TRY(check_output(s, path));
  XLM_TRY(session_compile(s, XLM_WITH_EVAL, 1));
  if (s->mpi) return xlm_fail(&s->err, XLM_USER, "export is one process: start it without mpirun");
  XLM_TRY(session_open(s));
  XLM_TRY(session_fill(s, true));
  XLM_TRY(write_out(s, path));
  printf("%s\n", path);
  return XLM_OK;
}

int command_export(int argc, char *const *argv) {
  return session_run('x', command_export_usage, argc, argv, export);
}
