// In place of the header that needs CUB.
#pragma once

#include <tutti/cuda/launch.cuh>
