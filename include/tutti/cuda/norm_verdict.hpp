// What kernels find of a gradient, and others go by.
#pragma once

#include <tutti/kernels/norm.hpp>

namespace tutti::cuda {

/// `squares`, the sum of the squares of the unscaled gradient; `factor`, by which gradients are to be multiplied;
/// `finite`, whether all of it is. It lies in device memory: cuda::judge_norm leaves it in its workspace.
using norm_verdict = tutti::detail::kernels::norm_verdict;

} // namespace tutti::cuda
