// Rules that stand contributions which may be anything, over 20 contributions of 10^6 floats, on one core: beside ByzFL
// where Python can import it (TUTTI_PYTHON, else python3), in turn; alone otherwise, and the table says so.
#include "python_peer.hpp"
#include "report.hpp"

#include <tutti/core/random.hpp>
#include <tutti/federated/gathered_clients.hpp>
#include <tutti/reducers/bulyan.hpp>
#include <tutti/reducers/geometric_median.hpp>
#include <tutti/reducers/krum.hpp>
#include <tutti/reducers/order_statistics.hpp>

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace {

constexpr int contributions = 20, f = 4, rounds = 5;
constexpr std::size_t length = 1000000;

class crowd {
public:
  crowd() : rows_(contributions, std::vector<float>(length)), out_(length) {
    tutti::random_stream draw{1};
    for (auto& row : rows_) {
      for (float& x : row) x = 2 * draw.uniform() - 1;
      starts_.push_back(row.data());
    }
  }
  template <class Rule>
  double seconds(const Rule& rule) {
    const auto begin = std::chrono::steady_clock::now();
    tutti::detail::reduce_rows<float>(rule, std::span<const float* const>{starts_}, length, out_.data());
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  bench::seconds_of all() {
    return {{"median", seconds(tutti::median{})},
            {"trimmed mean", seconds(tutti::trimmed_mean{.trim = f})},
            {"krum", seconds(tutti::krum{.f = f})},
            {"geometric median", seconds(tutti::geometric_median{})},
            {"bulyan", seconds(tutti::bulyan{.f = f})}};
  }

private:
  std::vector<std::vector<float>> rows_;
  std::vector<const float*> starts_;
  std::vector<float> out_;
};

} // namespace

int main(int argc, char** argv) {
  bench::report report{"robust", argc, argv};
  crowd here;
  (void)here.all(); // pages and caches
  const bench::python_peer peer{"robust/byzfl_rules.py", std::to_string(contributions) + " " + std::to_string(length) + " " +
                                                             std::to_string(f)};
  std::map<std::string, std::vector<double>> ours, theirs, ratios;
  for (int k = 0; k < rounds; ++k) {
    const bench::seconds_of mine = here.all(), other = peer.once();
    for (const auto& [rule, seconds] : mine) {
      ours[rule].push_back(seconds);
      if (!other.contains(rule)) continue;
      theirs[rule].push_back(other.at(rule));
      ratios[rule].push_back(other.at(rule) / seconds);
    }
  }
  for (const auto& [rule, seconds] : ours) {
    bench::json row{{"rule", rule}, {"seconds", bench::spread(seconds)}};
    row["ByzFL"] = theirs.contains(rule) ? bench::spread(theirs[rule]) : bench::json("not to be had");
    report.row(std::move(row));
  }
  for (const std::string rule : {"median", "trimmed mean", "krum", "geometric median"}) {
    report.at_most("seconds of " + rule, bench::median(ours[rule]), .1);
    if (peer.found()) report.at_least("ByzFL / tutti, " + rule, bench::median(ratios[rule]), 10);
  }
  return report.finish();
}
