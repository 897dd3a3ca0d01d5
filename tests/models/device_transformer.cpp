// The transformer of a GPU on a machine that is the host: the losses and gradients of the model that it stands for.
#include "device_transformer.hpp"
#include "transformer.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace {

struct host_machine {
  template <class X> class room {
  public:
    room(host_machine&, std::size_t n) : values_(n, X(77)) {} // whatever was there
    X* data() const { return values_.data(); }

  private:
    mutable std::vector<X> values_;
  };
  template <class X> void put(X* to, const X* from, std::size_t n) { std::copy_n(from, n, to); }
  /// In no order.
  template <class Kernel> void each(std::size_t n, const Kernel& kernel) {
    for (std::size_t i = n; i-- > 0;) kernel(i);
  }
  void gemm(bool ta, bool tb, int m, int n, int k, const float* a, int lda, const float* b, int ldb, float beta,
            float* c, int ldc) {
    const auto at = [](int row, int column, int ld) { return std::size_t(row + column * ld); };
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < m; ++i) {
        float sum = 0;
        for (int l = 0; l < k; ++l)
          sum += a[ta ? at(l, i, lda) : at(i, l, lda)] * b[tb ? at(j, l, ldb) : at(l, j, ldb)];
        float& out = c[at(i, j, ldc)];
        out = sum + (beta == 0 ? 0 : beta * out);
      }
  }
};

/// By how much the two differ most, beside the largest gradient; tensors are to be ready from the last to the first.
double difference(models::transformer_shape shape, int batch) {
  models::transformer host{shape}, twin{shape};
  std::minstd_rand random{3};
  std::uniform_real_distribution<float> uniform{-.3f, .3f};
  for (const auto& tensor : host.parameters())
    for (float& v : tensor.values) v = uniform(random);
  std::vector<float*> parameters, gradients;
  for (const auto& tensor : host.parameters()) parameters.push_back(tensor.values.data());
  for (const auto& tensor : twin.gradients()) gradients.push_back(tensor.values.data());
  std::vector<std::uint8_t> rows;
  for (int i = 0; i < batch * (shape.context + 1); ++i) rows.push_back(std::uint8_t(random() % 11)); // some come often

  host_machine machine;
  models::device_transformer<host_machine> device{machine, shape, batch, parameters, gradients};
  double worst = 0;
  for (int again = 0; again < 2; ++again) {
    std::vector<std::size_t> ready;
    const float wanted = host.loss_and_gradients(rows, batch);
    device.loss_and_gradients(rows, [&](std::size_t i) { ready.push_back(i); });
    worst = std::max(worst, double(std::abs(*device.loss() - wanted)));
    BOOST_CHECK(ready.size() == parameters.size() && std::is_sorted(ready.rbegin(), ready.rend()));
    float most = 0;
    for (const float g : host.flat_gradients()) most = std::max(most, std::abs(g));
    for (std::size_t k = 0; k < host.gradients().size(); ++k)
      for (std::size_t i = 0; i < host.gradients()[k].values.size(); ++i)
        worst = std::max(worst, double(std::abs(host.gradients()[k].values[i] - gradients[k][i]) / most));
    std::shuffle(rows.begin(), rows.end(), random);
  }
  return worst;
}

} // namespace

BOOST_AUTO_TEST_SUITE(device_transformer)

BOOST_AUTO_TEST_CASE(it_has_the_losses_and_gradients_of_the_host) {
  BOOST_CHECK_LT(difference({.context = 7, .width = 12, .heads = 3, .layers = 2}, 3), 1e-5);
  BOOST_CHECK_LT(difference({.context = 5, .width = 8, .heads = 1, .layers = 0}, 1), 1e-5);
  BOOST_CHECK_LT(difference({.context = 1, .width = 4, .heads = 2, .layers = 1}, 2), 1e-5);
}

BOOST_AUTO_TEST_SUITE_END()
