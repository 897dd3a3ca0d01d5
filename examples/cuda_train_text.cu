// The main job on GPUs: train_text's model and recipe on ranks that are threads, each with a stream of a GPU. What
// train_text --device cuda starts. Parameters, gradients and AdamW's moments stay on the device; matrix products are
// cuBLAS's, and all else the kernels of models/transformer_kernels.hpp.
//
// test: --steps 30 --ranks 2 --batch 4 --score 4096
// test: --steps 10 --ranks 1 --batch 2 --accumulate 2 --clip 1 --score 4096
#define EIGEN_NO_CUDA // what it computes is the host's
#include "models/device_transformer.hpp"
#include "models/recipes.hpp"
#include "models/text.hpp"

#include <tutti/cuda/device_verbs.cuh>
#include <tutti/tutti.hpp>

#include <CLI/CLI.hpp>
#include <cublas_v2.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

namespace gpu = tutti::cuda; // CUB has a cuda of its own

namespace {

struct settings {
  std::string data;
  int ranks = 2, accumulate = 1;
  double clip = 0;
  models::text_recipe recipe;
  std::uint64_t seed = 1;
  std::string sample = "The ";
  std::size_t score = 0;
};

template <class Kernel> __global__ void run(std::size_t n, Kernel kernel) {
  const std::size_t i = std::size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) kernel(i);
}

/// A stream as device_transformer needs it.
class machine {
public:
  template <class X> class room {
  public:
    room(machine& on, std::size_t n) : values_{on.on_, n} {}
    X* data() const { return values_.span().data(); }

  private:
    gpu::device_buffer<X> values_;
  };

  explicit machine(const gpu::stream& on) : on_{on} {
    check(cublasCreate(&blas_), "cublasCreate");
    check(cublasSetStream(blas_, on.handle()), "cublasSetStream");
  }
  ~machine() { cublasDestroy(blas_); }
  machine(const machine&) = delete;

  template <class X> void put(X* to, const X* from, std::size_t n) { copy(to, from, n); }
  template <class X> void copy(X* to, const X* from, std::size_t n) { // pageable memory of the host is read at once
    gpu::check(cudaMemcpyAsync(to, from, n * sizeof(X), cudaMemcpyDefault, on_.handle()), "cudaMemcpyAsync");
  }
  template <class Kernel> void each(std::size_t n, const Kernel& kernel) {
    constexpr std::size_t lanes = 128;
    run<<<unsigned((n + lanes - 1) / lanes), lanes, 0, on_.handle()>>>(n, kernel);
    gpu::check(cudaPeekAtLastError(), "a kernel of the model");
  }
  void gemm(bool ta, bool tb, int m, int n, int k, const float* a, int lda, const float* b, int ldb, float beta,
            float* c, int ldc) {
    const float one = 1;
    const auto op = [](bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
    check(cublasSgemm(blas_, op(ta), op(tb), m, n, k, &one, a, lda, b, ldb, &beta, c, ldc), "cublasSgemm");
  }

private:
  static void check(cublasStatus_t status, const char* call) {
    if (status != CUBLAS_STATUS_SUCCESS)
      throw tutti::error{
          {.code = tutti::error_code::transport, .call = call, .native = cublasGetStatusName(status)}};
  }

  const gpu::stream& on_;
  cublasHandle_t blas_ = nullptr;
};

/// One rank: trains, and scores its share of the held-out text on the host.
void train(tutti::threads::communicator& world, const settings& s, const models::text_data& text) {
  const auto& recipe = s.recipe;
  const gpu::stream on{world.rank() % gpu::device_count()};
  const gpu::current_device held{on.device()};
  machine device{on};
  models::transformer model{recipe.shape}; // on the host: first values, and what is scored
  model.initialise(s.seed);
  std::vector<machine::room<float>> values, changes;
  std::vector<gpu::device_tensor<float>> parameters;
  std::vector<gpu::device_tensor<const float>> gradients;
  std::vector<float*> w, g;
  for (const auto& tensor : model.parameters()) {
    const std::size_t n = tensor.values.size();
    w.push_back(values.emplace_back(device, n).data());
    g.push_back(changes.emplace_back(device, n).data());
    device.put(w.back(), tensor.values.data(), n);
    parameters.push_back({tensor.name, gpu::device_span<float>{w.back(), n, on.device()}, tensor.shape});
    gradients.push_back({tensor.name, gpu::device_span<const float>{g.back(), n, on.device()}, tensor.shape});
  }
  models::device_transformer<machine> net{device, recipe.shape, recipe.batch, w, g};

  tutti::strategy strategy{world, tutti::mean{}, tutti::synchronous{}};
  auto trainer = strategy.bind(parameters,
                               tutti::adamw{.learning_rate = recipe.peak_learning_rate,
                                            .beta2 = recipe.beta2,
                                            .weight_decay = recipe.weight_decay},
                               tutti::training_options{.clip = s.clip}, gpu::device_memory{on});
  std::vector<std::uint8_t> rows;
  for (int step = 0; step < recipe.steps; ++step) {
    const auto next_rows = [&](int batch) {
      models::sample_rows(text.training(), recipe.shape.context, recipe.batch, s.seed,
                          std::uint64_t(step) * std::uint64_t(s.accumulate) + std::uint64_t(batch),
                          std::uint64_t(world.rank()), rows);
    };
    for (int batch = 0; batch + 1 < s.accumulate; ++batch) {
      next_rows(batch);
      net.loss_and_gradients(rows, [](std::size_t) {});
      trainer.accumulate(gradients);
    }
    next_rows(s.accumulate - 1);
    trainer.optimizer().learning_rate = recipe.learning_rate(step);
    trainer.begin(gradients);
    net.loss_and_gradients(rows, [&](std::size_t tensor) { trainer.ready(tensor); });
    trainer.finish();
    if (world.rank() == 0 && (step + 1) % 100 == 0) {
      float loss = 0;
      device.copy(&loss, net.loss(), 1);
      on.wait();
      std::printf("step %d  loss %.3f\n", step + 1, double(loss));
    }
  }
  trainer.finalize();

  const auto tensors = model.parameters();
  for (std::size_t k = 0; k < tensors.size(); ++k)
    device.copy(tensors[k].values.data(), w[k], tensors[k].values.size());
  on.wait();
  const auto mine = models::held_out_score(model, text, std::size_t(world.rank()), std::size_t(world.size()), s.score);
  std::array<double, 2> sums{mine.nats, double(mine.bytes)};
  tutti::all_reduce(world, sums);
  if (world.rank() == 0)
    std::printf("--- sample ---\n%s%s\n--------------\nheld-out loss  %g nats per byte\n", s.sample.c_str(),
                model.sample(s.sample, 300, 0.8, s.seed).c_str(), sums[0] / sums[1]);
}

} // namespace

int main(int argc, char** argv) try {
  settings s;
  CLI::App app{"Trains train_text's transformer on GPUs, on several ranks that are threads"};
  app.option_defaults()->always_capture_default();
  app.add_option("--data", s.data, "a file or folder; default: tutti's README.md, docs, include");
  app.add_option("--ranks", s.ranks, "how many; several may share a GPU")->check(CLI::Range(1, 256));
  app.add_option("--accumulate", s.accumulate, "batches that make one step")->check(CLI::Range(1, 4096));
  app.add_option("--clip", s.clip, "the greatest norm of a gradient; 0 for any")->check(CLI::NonNegativeNumber);
  app.add_option("--steps", s.recipe.steps, "of each rank")->check(CLI::Range(1, 1000000));
  app.add_option("--batch", s.recipe.batch, "rows of a rank's step")->check(CLI::Range(1, 4096));
  app.add_option("--learning-rate", s.recipe.peak_learning_rate, "at its highest");
  app.add_option("--seed", s.seed, "names every random draw");
  app.add_option("--sample", s.sample, "what the generated sample continues");
  app.add_option("--score", s.score, "bytes of held-out text to score the model by; 0 for all");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e);
  }
  if (gpu::device_count() == 0) {
    std::puts("skipped: there is no GPU here");
    return 77;
  }
  const std::filesystem::path source{TUTTI_SOURCE_DIR};
  const auto text = s.data.empty() ? models::text_data::read(std::vector{source / "README.md", source / "docs",
                                                                         source / "include"})
                                   : models::text_data::read(std::filesystem::path{s.data});
  text.require(s.recipe.shape.context, 1);
  tutti::threads::run(s.ranks, [&](tutti::threads::communicator& world) { train(world, s, text); });
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
