// Ranks that are threads of one process, each with a stream and memory of a GPU: micro-batches are averaged on the
// device, gradients averaged over the ranks, and the parameters moved by AdamW, in one pass each.
//
//   cuda_all_reduce [ranks]
//
// test: 2
#include <tutti/communicators/threads.hpp>
#include <tutti/cuda/device_buffer.hpp>
#include <tutti/cuda/exact_arithmetic.cuh>
#include <tutti/cuda/reduce.cuh>
#include <tutti/cuda/staging.hpp>
#include <tutti/cuda/update.cuh>
#include <tutti/optimizers/adam.hpp>
#include <tutti/reducers/elementary.hpp>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace cuda = tutti::cuda;

namespace {

constexpr std::size_t n = 1 << 20;
constexpr int micro_batches = 4;

void copy(const cuda::stream& on, void* to, const void* from) {
  cuda::check(cudaMemcpyAsync(to, from, n * sizeof(float), cudaMemcpyDefault, on.handle()), "copy");
}

/// The parameters after one step, as rank `rank` of `ranks` has them.
template <class World> std::vector<float> step(World& world) {
  const cuda::stream on{world.rank() % cuda::device_count()};
  cuda::require_exact_arithmetic(on);

  // What a backward pass would leave: gradients of four micro-batches.
  std::array<cuda::device_buffer<float>, micro_batches> batches;
  std::vector<cuda::device_span<const float>> gradients;
  for (int b = 0; b < micro_batches; ++b) {
    batches[b] = cuda::device_buffer<float>{on, n};
    copy(on, batches[b].span().data(), std::vector<float>(n, float(1 + b + world.rank())).data());
    gradients.push_back(batches[b].span());
  }
  const cuda::device_buffer<float> parameters{on, n}, m{on, n}, v{on, n}, gradient{on, n};
  for (const auto* zeros : {&parameters, &m, &v})
    cuda::check(cudaMemsetAsync(zeros->span().data(), 0, n * sizeof(float), on.handle()), "zeros");

  cuda::reduce<tutti::mean, float>(on, {}, gradients, gradient.span());
  cuda::staging through;
  cuda::all_reduce(world, on, gradient.span(), through, tutti::mean{});
  const cuda::device_span<const float> agreed[] = {gradient.span()};
  cuda::update<tutti::sum, tutti::adamw, float>(on, {}, agreed, {.learning_rate = .5}, 1,
                                                {parameters.span(), {m.span(), v.span()}});

  std::vector<float> result(n);
  copy(on, result.data(), parameters.span().data());
  on.wait();
  return result;
}

} // namespace

int main(int argc, char** argv) {
  if (cuda::device_count() == 0) {
    std::puts("skipped: there is no GPU here");
    return 77;
  }
  const int ranks = argc > 1 ? std::atoi(argv[1]) : 2;
  std::atomic<int> right = 0;
  tutti::threads::run(ranks, [&](auto& world) {
    const std::vector<float> parameters = step(world);
    right += parameters.front() == parameters.back() && parameters.front() < -.49f && parameters.front() > -.51f;
  });
  std::printf("%d of %d ranks have moved all %zu parameters by the learning rate\n", right.load(), ranks, n);
  return right == ranks ? 0 : 1;
}
