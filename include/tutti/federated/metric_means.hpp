// metric_means: what clients say of their training, averaged over all ranks; the same bits on any number of them.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/element.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/federated/ratio_of_sums.hpp>
#include <tutti/federated/round_report.hpp>
#include <tutti/federated/trained.hpp>
#include <tutti/reducers/binned.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Names stay from round to round, so that only a new one allocates.
class metric_means {
public:
  void clear() {
    for (sums& one : sums_) one.weighed = one.examples = {};
  }
  /// Of a client of this rank that counts and used so many examples.
  void add(const client_metrics& all, double examples) {
    for (const client_metric& one : all.all())
      if (is_finite(one.value) && examples > 0) {
        sums& to = named(sums_, one.name);
        to.weighed.add(detail::exactly([&] { return one.value * examples; }));
        to.examples.add(examples);
      }
  }
  /// How many words this rank has to tell.
  std::size_t words() const {
    std::size_t n = 0;
    for (const sums& one : sums_) n += words_of(one);
    return n;
  }
  /// Collective, where a rank has anything to tell; `most` is the most words of one.
  std::vector<metric_mean> meet(control& ranks, std::size_t most) const {
    std::vector<std::uint64_t> mine;
    mine.reserve(most + 1);
    for (const sums& one : sums_) write(one, mine);
    mine.resize(most + 1); // a name of no length ends them
    const std::vector<std::uint64_t> told = ranks.gather(mine);
    std::vector<sums> all;
    for (std::size_t r = 0; r < told.size(); r += mine.size()) read(std::span{told}.subspan(r, mine.size()), all);
    return means_of(std::move(all));
  }
  /// Of what this rank has heard alone.
  std::vector<metric_mean> here() const { return means_of(sums_); }

private:
  struct sums {
    std::string name;
    binned<double> weighed, examples;
  };
  static std::vector<metric_mean> means_of(std::vector<sums> all) {
    std::ranges::sort(all, {}, &sums::name);
    std::vector<metric_mean> means;
    for (const sums& one : all)
      if (const double examples = one.examples.value(); examples > 0)
        means.push_back({one.name, detail::exactly([&] { return one.weighed.value() / examples; }), examples});
    return means;
  }
  static constexpr std::size_t of_number = std::tuple_size_v<binned_words>;

  static sums& named(std::vector<sums>& among, std::string_view name) {
    for (sums& one : among)
      if (one.name == name) return one;
    return among.emplace_back(sums{std::string{name}, {}, {}});
  }
  /// One more than its length, its letters, two numbers.
  static std::size_t words_of(const sums& one) { return 1 + (one.name.size() + 7) / 8 + 2 * of_number; }
  static void write(const sums& one, std::vector<std::uint64_t>& to) {
    to.push_back(one.name.size() + 1);
    const std::size_t letters = to.size();
    to.resize(letters + (one.name.size() + 7) / 8);
    std::memcpy(to.data() + letters, one.name.data(), one.name.size());
    for (const binned<double>& number : {one.weighed, one.examples})
      for (const std::uint64_t word : std::bit_cast<binned_words>(number)) to.push_back(word);
  }
  static void read(std::span<const std::uint64_t> words, std::vector<sums>& all) {
    while (words[0] != 0) {
      const std::size_t length = std::size_t(words[0] - 1), letters = (length + 7) / 8;
      const std::string_view name{reinterpret_cast<const char*>(words.data() + 1), length};
      sums& to = named(all, name);
      detail::add_words(to.weighed, words.subspan(1 + letters, of_number));
      detail::add_words(to.examples, words.subspan(1 + letters + of_number, of_number));
      words = words.subspan(1 + letters + 2 * of_number);
    }
  }

  std::vector<sums> sums_;
};

} // namespace tutti::detail
