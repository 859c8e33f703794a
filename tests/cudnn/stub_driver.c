// A libcuda.so.1 with which cuDNN plans for a described card: kernels are "loaded", and none can run. What
// the library looks up and planning does not call answers that it is a stub (CUDA_ERROR_STUB_LIBRARY).
#define SUCCEEDS(name)                                                                                       \
  int name(void);                                                                                            \
  int name(void) {                                                                                           \
    return 0;                                                                                                \
  }
#define GIVES(name) /* an address that is not NULL */                                                        \
  int name(void **out);                                                                                      \
  int name(void **out) {                                                                                     \
    static char thing;                                                                                       \
    *out = &thing;                                                                                           \
    return 0;                                                                                                \
  }
#define STUBBED(name)                                                                                        \
  int name(void);                                                                                            \
  int name(void) {                                                                                           \
    return 34;                                                                                               \
  }
#define TEXT(name)                                                                                           \
  int name(int error, const char **text);                                                                    \
  int name(int error, const char **text) {                                                                   \
    (void)error;                                                                                             \
    *text = "there is no driver";                                                                            \
    return 0;                                                                                                \
  }

TEXT(cuGetErrorName)
TEXT(cuGetErrorString)
GIVES(cuLibraryLoadData)
GIVES(cuLibraryGetModule)
GIVES(cuLibraryGetKernel)
GIVES(cuKernelGetFunction)
GIVES(cuModuleLoadData)
GIVES(cuModuleLoadDataEx)
GIVES(cuModuleGetFunction)
SUCCEEDS(cuLibraryUnload)
SUCCEEDS(cuModuleUnload)
SUCCEEDS(cuKernelSetAttribute)
SUCCEEDS(cuFuncSetAttribute)

int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks);
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks) {
  *blocks = 1;
  return 0;
}

STUBBED(cuInit)
STUBBED(cuDriverGetVersion)
STUBBED(cuDeviceGet)
STUBBED(cuDeviceGetCount)
STUBBED(cuDeviceGetAttribute)
STUBBED(cuDevicePrimaryCtxRetain)
STUBBED(cuDevicePrimaryCtxRelease)
STUBBED(cuDevicePrimaryCtxReset)
STUBBED(cuCtxGetCurrent)
STUBBED(cuCtxGetDevice)
STUBBED(cuCtxGetLimit)
STUBBED(cuCtxPushCurrent)
STUBBED(cuCtxPopCurrent)
STUBBED(cuStreamGetCtx)
STUBBED(cuStreamSynchronize)
STUBBED(cuFuncGetAttribute)
STUBBED(cuKernelGetAttribute)
STUBBED(cuLaunchKernel)
STUBBED(cuLaunchKernelEx)
STUBBED(cuLaunchCooperativeKernel)
STUBBED(cuLibraryLoadFromFile)
STUBBED(cuLinkCreate)
STUBBED(cuLinkCreate_v2)
STUBBED(cuLinkAddData)
STUBBED(cuLinkAddData_v2)
STUBBED(cuLinkAddFile_v2)
STUBBED(cuLinkComplete)
STUBBED(cuLinkDestroy)
STUBBED(cuMemcpyDtoH_v2)
STUBBED(cuModuleGetGlobal_v2)
STUBBED(cuModuleLoadFatBinary)
STUBBED(cuOccupancyMaxPotentialClusterSize)
STUBBED(cuTensorMapEncodeTiled)
