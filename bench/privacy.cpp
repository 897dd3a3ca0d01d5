// What accounting for privacy and its noise cost, on one core: Rényi accounting of 1,000 settings, an epsilon by
// privacy-loss distributions, and normal numbers of a cryptographic stream.
#include "report.hpp"

#include <tutti/federated/accountants/privacy_loss.hpp>
#include <tutti/federated/accountants/renyi.hpp>
#include <tutti/federated/privacy/secret_stream.hpp>

#include <chrono>
#include <vector>

namespace {

constexpr int repetitions = 5;

template <class Action>
double median_seconds(Action&& action) {
  std::vector<double> all;
  for (int k = 0; k < repetitions; ++k) {
    const auto begin = std::chrono::steady_clock::now();
    action();
    all.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return bench::median(all);
}

} // namespace

int main(int argc, char** argv) {
  bench::report report{"privacy", argc, argv};

  double sum = 0;
  const double settings = median_seconds([&] {
    for (int q = 0; q < 25; ++q)
      for (int z = 0; z < 40; ++z) {
        const tutti::noisy_release run{.002 + .004 * q, .6 + .05 * z, 1000};
        sum += tutti::renyi_accountant{}.epsilon({&run, 1}, 1e-5);
      }
  });
  report.row({{"what", "1,000 settings, Rényi, 345 orders"}, {"seconds", settings}});

  const tutti::noisy_release long_run{.04, 1.5, 2250};
  double epsilon = 0;
  const double losses =
      median_seconds([&] { epsilon = tutti::privacy_loss_accountant{}.epsilon({&long_run, 1}, 1e-5); });
  report.row({{"what", "2,250 releases, privacy losses"}, {"seconds", losses}, {"epsilon", epsilon}});

  std::vector<double> noise(1000000);
  const tutti::detail::secret_stream stream;
  const double normals = median_seconds([&] { stream.add_normals(1, 0, 1, noise); });
  report.row({{"what", "10^6 normal numbers, ChaCha20"}, {"seconds", normals}});

  if (!(sum > 0)) return 1;
  report.at_most("seconds of 1,000 settings of Rényi accounting", settings, 1);
  report.at_most("epsilon by privacy losses over 6.777", epsilon / 6.777, 1.01);
  report.at_least("epsilon by privacy losses over 6.777", epsilon / 6.777, .99);
  return report.finish();
}
