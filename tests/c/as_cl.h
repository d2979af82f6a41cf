/*
 * Included before a file of src/, makes mingw-w64's gcc (and, for arm64, clang with its headers) see what cl.exe would:
 * the names by which compiler.h knows it, once all headers that know others have been read. What cl.exe itself refuses
 * or understands otherwise, this does not show.
 */
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0602

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <windows.h>

#include <intrin.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define _M_X64 100
#undef __x86_64__
#else
#include <arm_neon.h>
#define _M_ARM64 1
#define ARM64_FPCR 0x5A20
__int64 _ReadStatusReg(int which);
void _WriteStatusReg(int which, __int64 value);
void __yield(void);
void __prefetch(const void *p);
#undef __aarch64__
#endif

#define _MSC_VER 1937
#undef __MINGW_PRINTF_FORMAT
#undef __FMA__
#undef __forceinline
#define __forceinline __inline__ __attribute__((always_inline))
