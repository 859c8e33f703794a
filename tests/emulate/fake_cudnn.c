// cuDNN's backend API on the host: descriptors are held to their rules, and a graph of operations is computed
// tensor by tensor, as it is written: no pattern is recognised, so a graph that says something else gives
// something else. The workspace is what the library asks for on an H100. A broken rule is a status other than
// 0 and a line on standard error.
#include "tests/emulate/fake_cudnn_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// tests/emulate/emulate.h
const char *emu_enqueue(void *stream, const char *what, const char *(*run)(void *), void (*drop)(void *),
                        void *arg);

// ---- a graph as a program ----

static int read_tensor(dnn_desc d, tensor *t) {
  if (!d || d->alive != MAGIC || d->kind != DNN_TENSOR) return fake_cudnn_broken(BAD_PARAM, "no tensor");
  if (!d->finalized) return fake_cudnn_broken(NOT_FINALIZED, "a tensor that is not finalized");
  memset(t, 0, sizeof *t); // tensors are compared
  t->id = fake_desc_int64(d, DNN_TENSOR_ID), t->type = fake_desc_int(d, DNN_TENSOR_TYPE);
  t->alignment = fake_desc_int64(d, DNN_TENSOR_ALIGNMENT);
  t->is_virtual = *(const bool *)fake_desc_find(d, DNN_TENSOR_IS_VIRTUAL);
  t->is_value = *(const bool *)fake_desc_find(d, DNN_TENSOR_IS_VALUE);
  memcpy(t->size, fake_desc_find(d, DNN_TENSOR_SIZES), sizeof t->size);
  memcpy(t->stride, fake_desc_find(d, DNN_TENSOR_STRIDES), sizeof t->stride);
  for (int i = 0; i < RANK; i++)
    if (t->size[i] < 1 || t->stride[i] < 1) return fake_cudnn_broken(BAD_PARAM, "a size or stride below 1");
  return OK;
}

static int add_tensor(program *p, dnn_desc d, int *at) {
  tensor t;
  *at = -1;
  if (!d) return OK;
  int bad = read_tensor(d, &t);
  if (bad) return bad;
  for (int i = 0; i < p->n_tensors; i++) {
    if (p->tensor[i].id != t.id) continue;
    *at = i;
    return memcmp(&p->tensor[i], &t, sizeof t) ? fake_cudnn_broken(BAD_PARAM, "two tensors with one number")
                                               : OK;
  }
  if (p->n_tensors == TENSORS) return fake_cudnn_broken(NOT_SUPPORTED, "too many tensors");
  *at = p->n_tensors;
  p->tensor[p->n_tensors++] = t;
  return OK;
}

static int read_operation(program *p, dnn_desc d, operation *o) {
  static const struct {
    int kind, x, b, t, y, desc, mode;
  } kinds[] = {{DNN_OPERATION_MATMUL, DNN_OPERATION_MATMUL_A, DNN_OPERATION_MATMUL_B, -1,
                DNN_OPERATION_MATMUL_C, DNN_OPERATION_MATMUL_DESC, -1},
               {DNN_OPERATION_POINTWISE, DNN_OPERATION_POINTWISE_X, DNN_OPERATION_POINTWISE_B,
                DNN_OPERATION_POINTWISE_T, DNN_OPERATION_POINTWISE_Y, DNN_OPERATION_POINTWISE_DESC,
                DNN_POINTWISE_MODE},
               {DNN_OPERATION_REDUCTION, DNN_OPERATION_REDUCTION_X, -1, -1, DNN_OPERATION_REDUCTION_Y,
                DNN_OPERATION_REDUCTION_DESC, DNN_REDUCTION_OPERATOR},
               {DNN_OPERATION_RESHAPE, DNN_RESHAPE_X, -1, -1, DNN_RESHAPE_Y, -1, -1}};
  if (!d->finalized) return fake_cudnn_broken(NOT_FINALIZED, "an operation that is not finalized");
  *o = (operation){.kind = d->kind};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (kinds[i].kind != d->kind) continue;
    dnn_desc how = fake_desc_at(d, kinds[i].desc);
    if (how && !how->finalized) return fake_cudnn_broken(NOT_FINALIZED, "a function that is not finalized");
    if (kinds[i].mode >= 0) o->mode = fake_desc_int(how, kinds[i].mode);
    if (how && how->kind == DNN_POINTWISE) o->axis = fake_desc_int64(how, DNN_POINTWISE_AXIS);
    int bad = add_tensor(p, fake_desc_at(d, kinds[i].x), &o->x);
    if (!bad) bad = add_tensor(p, fake_desc_at(d, kinds[i].b), &o->b);
    if (!bad) bad = add_tensor(p, fake_desc_at(d, kinds[i].t), &o->t);
    return bad ? bad : add_tensor(p, fake_desc_at(d, kinds[i].y), &o->y);
  }
  return fake_cudnn_broken(BAD_PARAM, "no operation");
}

// What an operation reads is an operand, or computed before.
static int check_order(const program *p) {
  bool known[TENSORS] = {false};
  for (int i = 0; i < p->n_operations; i++) {
    const operation *o = &p->operation[i];
    const int in[] = {o->x, o->b, o->t};
    for (int k = 0; k < 3; k++)
      if (in[k] >= 0 && p->tensor[in[k]].is_virtual && !known[in[k]])
        return fake_cudnn_broken(BAD_PARAM, "a virtual tensor that is not computed");
    known[o->y] = true;
  }
  return OK;
}

static int read_graph(dnn_desc graph, program *p) {
  const dnn_desc *ops = fake_desc_find(graph, DNN_GRAPH_OPERATIONS);
  int64_t n = fake_desc_count(graph, DNN_GRAPH_OPERATIONS);
  if (n > OPERATIONS) return fake_cudnn_broken(NOT_SUPPORTED, "too many operations");
  memset(p, 0, sizeof *p);
  for (int64_t i = 0; i < n; i++) {
    int bad = read_operation(p, ops[i], &p->operation[p->n_operations++]);
    if (bad) return bad;
    p->products += ops[i]->kind == DNN_OPERATION_MATMUL;
  }
  return check_order(p);
}

static void release(program *p) {
  if (p && __atomic_sub_fetch(&p->users, 1, __ATOMIC_ACQ_REL) == 0) free(p);
}

static int desc_destroy(dnn_desc d) {
  if (!d || d->alive != MAGIC) return fake_cudnn_broken(BAD_PARAM, "no descriptor");
  for (int i = 0; i < d->n; i++) free(d->at[i].values);
  release(d->program);
  d->alive = 0;
  free(d);
  return OK;
}

// ---- finalizing ----

static int make_plan(dnn_desc plan) {
  dnn_desc config = fake_desc_at(plan, DNN_PLAN_CONFIG),
           graph = config ? fake_desc_at(config, CONFIG_GRAPH) : NULL;
  if (!graph) return fake_cudnn_broken(BAD_PARAM, "a configuration that no heuristic gave");
  plan->program = malloc(sizeof *plan->program);
  if (!plan->program) return 4003;
  int bad = read_graph(graph, plan->program);
  plan->program->users = 1;
  return bad;
}

static int finalize(dnn_desc d) {
  program p;
  if (!d || d->alive != MAGIC) return fake_cudnn_broken(BAD_PARAM, "no descriptor");
  int bad = fake_desc_complete(d);
  if (!bad) bad = d->kind == DNN_GRAPH ? read_graph(d, &p) : d->kind == DNN_PLAN ? make_plan(d) : OK;
  if (d->kind == DNN_VARIANT_PACK &&
      fake_desc_count(d, DNN_PACK_IDS) != fake_desc_count(d, DNN_PACK_POINTERS))
    bad = fake_cudnn_broken(BAD_PARAM, "numbers without addresses");
  d->finalized = !bad;
  return bad;
}

// What the library asks for on an H100: the gradients of scores, and dk and dv of all heads.
static int64_t workspace_of(const program *p) {
  int64_t scores = 0, shared = 0;
  for (int i = 0; i < p->n_operations; i++) {
    const operation *o = &p->operation[i];
    const tensor *x = &p->tensor[o->x], *y = &p->tensor[o->y];
    if (o->kind == DNN_OPERATION_MATMUL && y->is_virtual && y->type == DNN_FLOAT)
      scores = 2 * fake_cudnn_elements(y);
    if (o->kind == DNN_OPERATION_REDUCTION && x->size[1] != y->size[1]) shared += 2 * fake_cudnn_elements(x);
  }
  return 256 + (p->products > 2 ? scores + shared : 0);
}

static int get(dnn_desc d, int name, int type, int64_t room, int64_t *n, void *values) {
  if (!d || d->alive != MAGIC || room < 1) return fake_cudnn_broken(BAD_PARAM, "no descriptor, or no room");
  if (!d->finalized) return fake_cudnn_broken(NOT_FINALIZED, "asking a descriptor that is not finalized");
  *n = 1;
  if (d->kind == DNN_PLAN && name == DNN_PLAN_WORKSPACE && type == DNN_T_INT64) {
    *(int64_t *)values = workspace_of(d->program);
    return OK;
  }
  if (d->kind != DNN_HEURISTICS || name != DNN_HEURISTICS_RESULTS || type != DNN_T_DESCRIPTOR)
    return fake_cudnn_broken(BAD_PARAM, "nothing that can be asked");
  dnn_desc config = *(dnn_desc *)values, graph = fake_desc_at(d, DNN_HEURISTICS_GRAPH);
  if (!config || config->alive != MAGIC || config->kind != DNN_ENGINE_CONFIG || config->n ||
      !graph->finalized)
    return fake_cudnn_broken(BAD_PARAM, "no new configuration, or no graph");
  attribute a = {CONFIG_GRAPH, DNN_T_DESCRIPTOR, 1, malloc(sizeof graph)};
  if (!a.values) return 4003;
  memcpy(a.values, &graph, sizeof graph);
  config->at[config->n++] = a;
  config->finalized = true;
  return OK;
}

// ---- executing ----

typedef struct pending { // an execution on a stream
  program *p;
  void *address[TENSORS], *workspace;
  float value[TENSORS];
} pending;

static const char *run(void *arg) { // any number of times
  const pending *now = arg;
  program p = *now->p;
  memset(now->workspace, 0xFF, (size_t)workspace_of(&p)); // NaN
  bool ok = true;
  for (int i = 0; i < p.n_tensors; i++) {
    tensor *t = &p.tensor[i];
    t->address = now->address[i], t->value = now->value[i];
    if (t->is_virtual) ok &= (t->values = malloc((size_t)fake_cudnn_elements(t) * sizeof(float))) != NULL;
  }
  if (ok) fake_cudnn_compute(&p);
  for (int i = 0; i < p.n_tensors; i++) free(p.tensor[i].values);
  return ok ? NULL : "no memory for the fake cuDNN";
}

static void drop(void *arg) {
  pending *now = arg;
  release(now->p);
  free(now);
}

static int take_addresses(pending *now, dnn_desc pack) {
  const int64_t *ids = fake_desc_find(pack, DNN_PACK_IDS);
  void *const *addresses = fake_desc_find(pack, DNN_PACK_POINTERS);
  int64_t n = fake_desc_count(pack, DNN_PACK_IDS), used = 0;
  for (int i = 0; i < now->p->n_tensors; i++) {
    const tensor *t = &now->p->tensor[i];
    if (t->is_virtual) continue;
    int64_t k = 0;
    while (k < n && ids[k] != t->id) k++;
    if (k == n || !addresses[k]) return fake_cudnn_broken(BAD_PARAM, "a tensor without an address");
    used++;
    now->address[i] = addresses[k];
    if (t->is_value)
      now->value[i] =
          t->type == DNN_INT32 ? (float)*(const int32_t *)addresses[k] : *(const float *)addresses[k];
    else if ((uintptr_t)addresses[k] % (uintptr_t)t->alignment)
      return fake_cudnn_broken(2003, "a tensor is less aligned than it says");
  }
  return used == n ? OK : fake_cudnn_broken(BAD_PARAM, "an address that no tensor has");
}

static int execute(dnn_handle h, dnn_desc plan, dnn_desc pack) {
  if (h->alive != MAGIC || !plan->finalized || !pack->finalized)
    return fake_cudnn_broken(NOT_FINALIZED, "no plan or pack");
  pending *now = calloc(1, sizeof *now);
  if (!now) return 4003;
  now->p = plan->program, now->workspace = *(void *const *)fake_desc_find(pack, DNN_PACK_WORKSPACE);
  __atomic_add_fetch(&now->p->users, 1, __ATOMIC_ACQ_REL);
  int bad = take_addresses(now, pack);
  if (!bad && (!now->workspace || (uintptr_t)now->workspace % 64))
    bad = fake_cudnn_broken(BAD_PARAM, "no aligned workspace");
  if (!bad && h->stream)
    return emu_enqueue(h->stream, "cudnnBackendExecute", run, drop, now) ? BAD_PARAM : OK;
  if (!bad && run(now)) bad = BAD_PARAM;
  drop(now);
  return bad;
}

// ---- the table ----

static int create(dnn_handle *h) {
  *h = calloc(1, sizeof **h);
  if (*h) (*h)->alive = MAGIC;
  return *h ? OK : 4003;
}

static int destroy(dnn_handle h) {
  if (!h || h->alive != MAGIC) return fake_cudnn_broken(BAD_PARAM, "no handle");
  h->alive = 0;
  free(h);
  return OK;
}

static int set_stream(dnn_handle h, void *stream) {
  h->stream = stream;
  return OK;
}

static size_t version(void) {
  return 91900;
}

static void last_error(char *text, size_t size) {
  snprintf(text, size, "see standard error");
}

xlm_status xlm_cudnn_table(const xlm_cudnn **out, xlm_error *err) {
  static const xlm_cudnn table = {version,      last_error,    create, destroy,  set_stream, fake_desc_create,
                                  desc_destroy, fake_desc_set, get,    finalize, execute};
  (void)err;
  *out = &table;
  return XLM_OK;
}
