// Makes public headers valid C++, since .cu files include them: C linkage, and keywords that C++ spells
// differently.
#ifndef XLM_BASE_CXX_H
#define XLM_BASE_CXX_H

#ifdef __cplusplus
#define XLM_C_BEGIN extern "C" {
#define XLM_C_END }
#define XLM_NORETURN [[noreturn]]
#else
#define XLM_C_BEGIN
#define XLM_C_END
#define XLM_NORETURN _Noreturn
#endif

#ifdef __CUDACC__ // functions that host and kernels share
#define XLM_HOST_DEVICE __host__ __device__
#else
#define XLM_HOST_DEVICE
#endif

#endif
