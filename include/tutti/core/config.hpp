// The only macros of tutti. Each is an attribute or a number; none changes what a function means.
#pragma once

#define TUTTI_VERSION_MAJOR 0
#define TUTTI_VERSION_MINOR 1
#define TUTTI_VERSION_PATCH 0

// A function whose body may also run inside a CUDA kernel.
#if defined(__CUDACC__)
#define TUTTI_HD __host__ __device__
#else
#define TUTTI_HD
#endif

// A kernel, which other shared libraries do not see.
#define TUTTI_KERNEL __attribute__((visibility("hidden"))) __global__

// Whether the compiler could fuse a multiplication and an addition on this target.
#if defined(__GNUC__) && (!defined(__x86_64__) || defined(__FMA__))
#define TUTTI_MAY_FUSE 1
#else
#define TUTTI_MAY_FUSE 0
#endif

// At the head of a body with clang: a multiplication and an addition are two roundings, whatever
// -ffp-contract says. With g++ the same is said at the product itself, see core/rounded.hpp.
#if defined(__clang__)
#define TUTTI_UNFUSED _Pragma("clang fp contract(off)")
#else
#define TUTTI_UNFUSED
#endif

// A function compiled for AVX2 with all that it calls, for processors that have it. There is no fused multiplication
// among these instructions, so bits are the same; see core/widely.hpp.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__CUDACC__)
#define TUTTI_FOR_AVX2 __attribute__((target("avx2"), flatten))
#define TUTTI_HAS_AVX2 (__builtin_cpu_supports("avx2") != 0)
#else
#define TUTTI_FOR_AVX2
#define TUTTI_HAS_AVX2 false
#endif
