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

// Arithmetic loops state themselves that a multiplication and an addition are two roundings, so
// that -march=native or -ffp-contract=fast cannot give two ranks different bits. g++ takes it as an
// attribute of the function, clang as a pragma at the head of the body.
#if defined(__clang__)
#define TUTTI_UNFUSED
#define TUTTI_UNFUSED_BODY _Pragma("clang fp contract(off)")
#elif defined(__GNUC__)
#define TUTTI_UNFUSED __attribute__((optimize("fp-contract=off")))
#define TUTTI_UNFUSED_BODY
#else
#define TUTTI_UNFUSED
#define TUTTI_UNFUSED_BODY
#endif
