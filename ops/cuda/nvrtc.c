// See nvrtc.h.
#include "ops/cuda/nvrtc.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/hash.h"
#include "runtime/base/library.h"

// The library's interface (nvrtc.h of the CUDA toolkit), as far as it is used.
typedef struct program *nvrtc_program;
typedef struct nvrtc_table {
  int (*version)(int *major, int *minor);
  const char *(*error)(int result);
  int (*create)(nvrtc_program *p, const char *source, const char *name, int n_headers,
                const char *const *headers, const char *const *names);
  int (*compile)(nvrtc_program p, int n, const char *const *options);
  int (*log_size)(nvrtc_program p, size_t *n);
  int (*log)(nvrtc_program p, char *text);
  int (*cubin_size)(nvrtc_program p, size_t *n);
  int (*cubin)(nvrtc_program p, char *data);
  int (*destroy)(nvrtc_program *p);
} nvrtc_table;

static const xlm_library_symbol symbols[] = {
    {"nvrtcVersion", offsetof(nvrtc_table, version)},
    {"nvrtcGetErrorString", offsetof(nvrtc_table, error)},
    {"nvrtcCreateProgram", offsetof(nvrtc_table, create)},
    {"nvrtcCompileProgram", offsetof(nvrtc_table, compile)},
    {"nvrtcGetProgramLogSize", offsetof(nvrtc_table, log_size)},
    {"nvrtcGetProgramLog", offsetof(nvrtc_table, log)},
    {"nvrtcGetCUBINSize", offsetof(nvrtc_table, cubin_size)},
    {"nvrtcGetCUBIN", offsetof(nvrtc_table, cubin)},
    {"nvrtcDestroyProgram", offsetof(nvrtc_table, destroy)},
};

static const char prelude[] = "typedef unsigned short u16;\n"
                              "typedef unsigned int u32;\n"
                              "typedef long long i64;\n"
                              "#define FUNCTION static __device__ __forceinline__\n"
                              "#define ALIGN(n) alignas(n)\n"
                              "#define BLOCK ((i64)blockIdx.x)\n"
                              "#define THREAD ((i64)threadIdx.x)\n"
                              "#define BLOCKS ((i64)gridDim.x)\n"
                              "#define float_of __uint_as_float\n"
                              "#define u32_of __float_as_uint\n"
                              "FUNCTION u16 down(float x) {\n"
                              "  u16 h;\n"
                              "  asm(\"cvt.rn.bf16.f32 %0, %1;\" : \"=h\"(h) : \"f\"(x));\n"
                              "  return h;\n"
                              "}\n"
                              "FUNCTION u32 pair(float x, float y) {\n"
                              "  u32 u;\n"
                              "  asm(\"cvt.rn.bf16x2.f32 %0, %1, %2;\" : \"=r\"(u) : \"f\"(y), \"f\"(x));\n"
                              "  return u;\n"
                              "}\n"
                              // The compiler does not always merge the members' stores.
                              "template <class T> FUNCTION void STORE(T *to, const T &from) {\n"
                              "  if constexpr (sizeof(T) % 16) *to = from;\n"
                              "  else for (int i = 0; i < (int)sizeof(T) / 16; i++) {\n"
                              "    uint4 u;\n"
                              "    memcpy(&u, (const char *)&from + 16 * i, 16);\n"
                              "    __stcg((uint4 *)to + i, u);\n"
                              "  }\n"
                              "}\n"
                              "#define BARRIER __syncthreads\n"
                              "#define SHUFFLE_XOR(x, bits) __shfl_xor_sync(0xffffffffu, x, bits)\n"
                              "#define SHARED(type, name, n) __shared__ type name[n]\n"
                              "#define UNROLL _Pragma(\"unroll\")\n"
                              "#define KERNEL(operands, threads, blocks) extern \"C\" __global__ void "
                              "__launch_bounds__(threads, blocks) kernel(const operands p)\n";

static const char *const fixed_options[] = {"--fmad=false", "--std=c++17",
                                            "--device-as-default-execution-space"};
enum { N_OPTIONS = sizeof fixed_options / sizeof *fixed_options };

static nvrtc_table table;
static bool is_loaded;
static char version[32];

static void load(void) {
  static const char *const names[] = {"libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", NULL};
  int major = 0, minor = 0;
  if (!xlm_library_load(names, symbols, sizeof symbols / sizeof *symbols, &table, NULL)) return;
  if (table.version(&major, &minor)) return;
  snprintf(version, sizeof version, "%d.%d", major, minor);
  is_loaded = true;
}

static bool is_here(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, load);
  return is_loaded;
}

uint64_t xlm_nvrtc_key(const char *source, const char *arch) {
  const char *const parts[] = {prelude, source, arch, is_here() ? version : ""};
  xlm_hash h;
  xlm_hash_start(&h);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) xlm_hash_add(&h, parts[i], strlen(parts[i]) + 1);
  for (size_t i = 0; i < N_OPTIONS; i++) xlm_hash_add(&h, fixed_options[i], strlen(fixed_options[i]) + 1);
  return xlm_hash_value(&h);
}

static xlm_status refused(nvrtc_program p, xlm_arena *a, const char *arch, int result, xlm_error *err) {
  size_t n = 0;
  char *log = NULL;
  if (!table.log_size(p, &n) && n) {
    log = xlm_arena_alloc(a, n + 1);
    if (table.log(p, log)) log = NULL;
  }
  return xlm_fail(err, XLM_ENV, "NVRTC %s cannot compile a kernel for %s: %s\n%s", version, arch,
                  table.error(result), log ? log : "");
}

xlm_status xlm_nvrtc_compile(const char *source, const char *arch, xlm_arena *a, xlm_nvrtc_image *out,
                             xlm_error *err) {
  if (!is_here())
    return xlm_fail(
        err, XLM_ENV,
        "kernels for %s are compiled when a plan is loaded, and libnvrtc.so (of CUDA 12 or later) was not "
        "found: add its folder to LD_LIBRARY_PATH",
        arch);
  nvrtc_program p = NULL;
  const char *text = xlm_arena_printf(a, "%s%s", prelude, source);
  const char *options[N_OPTIONS + 1] = {xlm_arena_printf(a, "--gpu-architecture=%s", arch)};
  memcpy(options + 1, fixed_options, sizeof fixed_options);
  int result = table.create(&p, text, "generated.cu", 0, NULL, NULL);
  if (result) return xlm_fail(err, XLM_ENV, "NVRTC %s: %s", version, table.error(result));
  xlm_status s = XLM_OK;
  if ((result = table.compile(p, sizeof options / sizeof *options, options)))
    s = refused(p, a, arch, result, err);
  if (s == XLM_OK && (result = table.cubin_size(p, &out->bytes)))
    s = xlm_fail(err, XLM_ENV, "NVRTC %s: %s", version, table.error(result));
  if (s == XLM_OK) {
    out->data = xlm_arena_alloc(a, out->bytes);
    if ((result = table.cubin(p, out->data)))
      s = xlm_fail(err, XLM_ENV, "NVRTC %s: %s", version, table.error(result));
  }
  (void)table.destroy(&p);
  return s;
}
