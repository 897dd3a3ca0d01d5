// trained: what a client may say of its training, beside the parameters that it wrote.
#pragma once

#include <tutti/core/error.hpp>

#include <array>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>

namespace tutti {

/// What `name` refers to outlives the round: a literal.
struct client_metric {
  std::string_view name;
  double value = 0;
};

/// At most so many of a client, kept in place. Throws invalid_argument for more.
class client_metrics {
public:
  static constexpr std::size_t most = 16;

  client_metrics() = default;
  client_metrics(std::initializer_list<client_metric> all) {
    for (const client_metric& one : all) add(one);
  }
  void add(const client_metric& one) {
    if (count_ == most)
      throw error{{.code = error_code::invalid_argument,
                   .call = "client_metrics",
                   .detail = "a client tells more than 16 metrics - tell fewer"}};
    values_[count_++] = one;
  }
  std::span<const client_metric> all() const noexcept { return {values_.data(), count_}; }

private:
  std::array<client_metric, most> values_{};
  std::size_t count_ = 0;
};

/// What population::train may return.
struct trained {
  /// How many examples it has used: its weight, where clients are weighed. At most examples(client), which it is where
  /// this is left out; with more or a number that cannot be the client is left out as malformed, with none as one that
  /// has no examples.
  std::optional<double> examples = {};
  /// Averaged over the clients that count, by the examples that they used, in round_report::metrics; those that are no
  /// number are not.
  client_metrics metrics = {};
};

} // namespace tutti
