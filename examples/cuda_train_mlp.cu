// A network of one hidden layer on ranks that are threads, each with a stream of a GPU: handwritten digits, MNIST below
// TUTTI_DATA or generated ones. Parameters, gradients and AdamW's moments stay on the device; matrix products are
// cuBLAS's.
//
//   cuda_train_mlp [ranks] [steps]
//
// test: 2 150
#include "models/mnist.hpp"

#include <tutti/cuda/device_verbs.cuh>
#include <tutti/tutti.hpp>

#include <cublas_v2.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace gpu = tutti::cuda; // CUB has a cuda of its own

namespace {

constexpr int inputs = models::image_pixels, hidden = 128, classes = models::digit_classes, batch = 64;

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw tutti::error{{.code = tutti::error_code::transport,
                        .call = call,
                        .native = cublasGetStatusName(status)}};
}

// --- kernels: one thread for each value, or for each image --------------------------------------

/// Image k of the batch is image (first + k stride) % count of the set.
__global__ void read_images(const std::uint8_t* pixels, std::size_t count, std::size_t first, std::size_t stride,
                            float* x) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= batch * inputs) return;
  const std::size_t image = (first + std::size_t(i / inputs) * stride) % count;
  x[i] = float(pixels[image * inputs + std::size_t(i % inputs)]) / 255.0f;
}
__global__ void add_bias_and_rectify(const float* bias, float* h) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < batch * hidden) h[i] = fmaxf(h[i] + bias[i % hidden], 0.0f);
}
/// Logits become the gradient of the mean cross-entropy by them; counts the images that are told right.
__global__ void judge(const std::uint8_t* labels, std::size_t count, std::size_t first, std::size_t stride,
                      const float* bias, float* logits, int* right) {
  const int k = int(threadIdx.x);
  if (k >= batch) return;
  const int label = labels[(first + std::size_t(k) * stride) % count];
  float* const z = logits + k * classes;
  int best = 0;
  for (int c = 0; c < classes; ++c) {
    z[c] += bias[c];
    if (z[c] > z[best]) best = c;
  }
  const float most = z[best];
  float total = 0;
  for (int c = 0; c < classes; ++c) total += expf(z[c] - most);
  for (int c = 0; c < classes; ++c) z[c] = (expf(z[c] - most) / total - (c == label ? 1.0f : 0.0f)) / batch;
  if (best == label) atomicAdd(right, 1);
}
__global__ void where_rectified(const float* h, float* by_h) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < batch * hidden && h[i] == 0.0f) by_h[i] = 0.0f;
}

constexpr unsigned blocks_of(int n) { return unsigned((n + 255) / 256); }

// --- the network --------------------------------------------------------------------------------

/// Matrices stand column by column: w1 is inputs x hidden, w2 hidden x classes, a batch has an image in each column.
class network {
public:
  explicit network(const gpu::stream& on)
      : on_{on}, x_{on, batch * inputs}, h_{on, batch * hidden}, by_h_{on, batch * hidden}, z_{on, batch * classes},
        ones_{on, batch}, right_{on, 1} {
    check(cublasCreate(&blas_), "cublasCreate");
    check(cublasSetStream(blas_, on.handle()), "cublasSetStream");
    std::minstd_rand random{7};
    std::uniform_real_distribution<float> uniform{-1, 1};
    for (const auto& [name, n, scale] :
         {shape{"w1", inputs * hidden, std::sqrt(6.0f / inputs)}, shape{"b1", hidden, 0},
          shape{"w2", hidden * classes, std::sqrt(6.0f / hidden)}, shape{"b2", classes, 0}}) {
      std::vector<float> first(std::size_t(n), 0.0f);
      for (float& w : first) w = scale * uniform(random);
      values_.emplace_back(on, first.size());
      gradients_.emplace_back(on, first.size());
      put(values_.back(), first);
      parameters.push_back({name, values_.back().span()});
      gradients.push_back({name, gradients_.back().span()});
    }
    put(ones_, std::vector<float>(batch, 1.0f));
  }
  ~network() { cublasDestroy(blas_); }
  network(const network&) = delete;

  std::vector<gpu::device_tensor<float>> parameters;
  std::vector<gpu::device_tensor<const float>> gradients;

  /// Images and labels on the device.
  struct images {
    images(const gpu::stream& on, const models::image_set& of)
        : pixels{on, of.pixels.size()}, labels{on, of.labels.size()} {
      network::copy(on, pixels.span().data(), of.pixels.data(), of.pixels.size());
      network::copy(on, labels.span().data(), of.labels.data(), of.labels.size());
    }
    gpu::device_buffer<std::uint8_t> pixels, labels;
  };

  /// All of it is work of the stream.
  void forward(const images& of, std::size_t first, std::size_t stride) {
    const std::size_t count = of.labels.size();
    read_images<<<blocks_of(batch * inputs), 256, 0, on_.handle()>>>(of.pixels.span().data(), count, first, stride,
                                                                     to(x_));
    product(CUBLAS_OP_T, CUBLAS_OP_N, hidden, batch, inputs, w(0), inputs, to(x_), inputs, to(h_), hidden);
    add_bias_and_rectify<<<blocks_of(batch * hidden), 256, 0, on_.handle()>>>(w(1), to(h_));
    product(CUBLAS_OP_T, CUBLAS_OP_N, classes, batch, hidden, w(2), hidden, to(h_), hidden, to(z_), classes);
    judge<<<1, batch, 0, on_.handle()>>>(of.labels.span().data(), count, first, stride, w(3), to(z_), to(right_));
    gpu::check(cudaPeekAtLastError(), "forward");
  }
  void backward() {
    product(CUBLAS_OP_N, CUBLAS_OP_T, hidden, classes, batch, to(h_), hidden, to(z_), classes, g(2), hidden);
    sum_of_columns(classes, to(z_), g(3));
    product(CUBLAS_OP_N, CUBLAS_OP_N, hidden, batch, classes, w(2), hidden, to(z_), classes, to(by_h_), hidden);
    where_rectified<<<blocks_of(batch * hidden), 256, 0, on_.handle()>>>(to(h_), to(by_h_));
    product(CUBLAS_OP_N, CUBLAS_OP_T, inputs, hidden, batch, to(x_), inputs, to(by_h_), hidden, g(0), inputs);
    sum_of_columns(hidden, to(by_h_), g(1));
    gpu::check(cudaPeekAtLastError(), "backward");
  }
  /// The share of all images that it tells right.
  double accuracy(const images& of) {
    const int batches = int(of.labels.size() / batch);
    gpu::check(cudaMemsetAsync(to(right_), 0, sizeof(int), on_.handle()), "zero");
    for (int b = 0; b < batches; ++b) forward(of, std::size_t(b * batch), 1);
    int right = 0;
    copy(on_, &right, to(right_), 1);
    on_.wait();
    return double(right) / (batches * batch);
  }

private:
  struct shape {
    const char* name;
    int n;
    float scale;
  };
  template <class T> static void copy(const gpu::stream& on, T* to, const T* from, std::size_t n) {
    gpu::check(cudaMemcpyAsync(to, from, n * sizeof(T), cudaMemcpyDefault, on.handle()), "cudaMemcpyAsync");
  }
  void put(const gpu::device_buffer<float>& to, const std::vector<float>& values) {
    copy(on_, to.span().data(), values.data(), values.size());
    on_.wait();
  }
  template <class T> static T* to(const gpu::device_buffer<T>& of) { return of.span().data(); }
  float* w(std::size_t k) const { return to(values_[k]); }
  float* g(std::size_t k) const { return to(gradients_[k]); }
  void product(cublasOperation_t op_a, cublasOperation_t op_b, int rows, int columns, int inner, const float* a,
               int lda, const float* b, int ldb, float* c, int ldc) {
    const float one = 1, zero = 0;
    check(cublasSgemm(blas_, op_a, op_b, rows, columns, inner, &one, a, lda, b, ldb, &zero, c, ldc), "cublasSgemm");
  }
  void sum_of_columns(int rows, const float* of, float* sum) {
    const float one = 1, zero = 0;
    check(cublasSgemv(blas_, CUBLAS_OP_N, rows, batch, &one, of, rows, to(ones_), 1, &zero, sum, 1), "cublasSgemv");
  }

  const gpu::stream& on_;
  cublasHandle_t blas_ = nullptr;
  std::vector<gpu::device_buffer<float>> values_, gradients_;
  gpu::device_buffer<float> x_, h_, by_h_, z_, ones_;
  gpu::device_buffer<int> right_;
};

/// How much of the test set rank 0 tells right in the end.
double train(int ranks, int steps, const models::digits& data) {
  std::atomic<double> accuracy = 0;
  tutti::threads::run(ranks, [&](auto& world) {
    const int devices = gpu::device_count();
    const gpu::stream on{world.rank() % devices};
    const gpu::current_device held{on.device()};
    network net{on};
    const network::images training{on, data.training}, test{on, data.test};
    tutti::strategy strategy{world, tutti::mean{}, tutti::synchronous{}};
    auto trainer = strategy.bind(net.parameters, tutti::adamw{.learning_rate = 2e-3}, gpu::device_memory{on});
    for (int s = 0; s < steps; ++s) {
      const auto stride = std::size_t(ranks);
      net.forward(training, std::size_t(s) * batch * stride + std::size_t(world.rank()), stride);
      net.backward();
      trainer.step(net.gradients);
    }
    trainer.finalize();
    if (world.rank() == 0) accuracy = net.accuracy(test);
  });
  return accuracy;
}

} // namespace

int main(int argc, char** argv) {
  if (gpu::device_count() == 0) {
    std::puts("skipped: there is no GPU here");
    return 77;
  }
  const int ranks = argc > 1 ? std::atoi(argv[1]) : 2, steps = argc > 2 ? std::atoi(argv[2]) : 500;
  if (ranks < 1 || steps < 1) {
    std::fputs("cuda_train_mlp: give at least one rank and one step\n", stderr);
    return 1;
  }
  const models::digits data = models::find_digits();
  const double accuracy = train(ranks, steps, data);
  std::printf("%s: %d ranks tell %.1f %% of the test images right after %d steps\n", data.source.c_str(), ranks,
              100 * accuracy, steps);
  return accuracy > .85 ? 0 : 1;
}
