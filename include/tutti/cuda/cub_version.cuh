// That CUB is the one that nvcc brings: included before any other of its headers.
#pragma once

#include <cub/version.cuh>
#if CUB_VERSION < 300000
#error "tutti: this is not the CUB that nvcc brings - let no older one come first among the include directories"
#endif
