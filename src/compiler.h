/*
 * What compilers and their processors call by different names: the one place that asks for them. system.h is the same
 * for operating systems.
 */
#ifndef CYLSTM_COMPILER_H
#define CYLSTM_COMPILER_H

#include <stdio.h> /* __MINGW_PRINTF_FORMAT */

#if defined(__FAST_MATH__) || defined(_M_FP_FAST)
#error "cylstm promises bits: compile without -ffast-math or /fp:fast"
#endif

/* No contraction. gcc takes no notice of a pragma: -ffp-contract=off. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define CYLSTM_X86_64
#elif defined(__aarch64__) || defined(_M_ARM64)
#define CYLSTM_AARCH64
#endif

#if defined(_MSC_VER) /* cl.exe, or clang in its place */

#include <intrin.h>
#define ALWAYS_INLINE static __forceinline
#define NEVER_INLINE __declspec(noinline)
#define THREAD_LOCAL __declspec(thread)
#define PRINTF_LIKE(text, first)
#if defined(CYLSTM_AARCH64)
#define PREFETCH(p) __prefetch(p)
#else
#define PREFETCH(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)
#endif
#if defined(__AVX2__)
#define CYLSTM_HAS_FMA /* /arch:AVX2 means both */
#endif

#else

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NEVER_INLINE __attribute__((noinline))
#define THREAD_LOCAL _Thread_local
#if defined(__MINGW_PRINTF_FORMAT) /* whose printf is the system's or mingw-w64's own */
#define PRINTF_LIKE(text, first) __attribute__((format(__MINGW_PRINTF_FORMAT, text, first)))
#else
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#endif
#define PREFETCH(p) __builtin_prefetch(p)
#if defined(__FMA__)
#define CYLSTM_HAS_FMA
#endif

#endif

#endif
