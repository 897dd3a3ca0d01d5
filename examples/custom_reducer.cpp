// A reducer of one's own: log(e^a + e^b), the sum of probabilities that are kept as logarithms.
// One line makes it a part; its laws are checked before it is trusted.
// test: 5
#include <tutti/reducers/laws.hpp>
#include <tutti/tutti.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

struct log_sum {
  using part = tutti::reducer_part; // this is what makes it a reducer

  template <class A>
  A identity() const {
    return -std::numeric_limits<A>::infinity(); // log of 0
  }
  template <class A>
  A combine(A a, A b) const {
    const A high = a < b ? b : a, low = a < b ? a : b;
    return low == identity<A>() ? high : high + std::log1p(std::exp(low - high));
  }
};

int main(int argc, char** argv) try {
  const auto laws = tutti::check_reducer<double>(log_sum{});
  std::printf("laws: %s\n", laws ? "hold" : laws.text().c_str());

  const int ranks = argc > 1 ? std::atoi(argv[1]) : 4;
  double result = 0;
  tutti::threads::run(ranks, [&](auto& world) {
    std::vector<double> data{std::log(1.0 + world.rank())};
    tutti::all_reduce(world, data, log_sum{}, tutti::ring{}); // parts in any order
    if (world.rank() == 0) result = std::exp(data[0]);
  });

  const double wanted = ranks * (ranks + 1) / 2.0;
  std::printf("the sum of 1 to %d through logarithms: %.12g\n", ranks, result);
  return laws && std::abs(result - wanted) < 1e-12 * wanted ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
