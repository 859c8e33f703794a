// Kernels are written once over constant tile sizes; these macros make the compiler propagate the constants
// and unroll.
#ifndef XLM_OPS_CPU_INLINE_PRIV_H
#define XLM_OPS_CPU_INLINE_PRIV_H

#define XLM_INLINE static inline __attribute__((always_inline))
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || defined(XLM_SANITIZED)
#define XLM_UNROLL _Pragma("clang loop unroll(disable)") // checked code would be too large
#else
#define XLM_UNROLL _Pragma("clang loop unroll(full)")
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define XLM_UNROLL
#else
#define XLM_UNROLL _Pragma("GCC unroll 16")
#endif

#endif
