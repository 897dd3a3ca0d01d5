// Partitioners: whose example is which, where one data set is to be cut into clients.
//
//   partition(labels, clients, seed) -> rows of each client, ascending
//
// Every row, 0 to labels.size() - 1, is one client's; a client may have none where there are fewer rows than clients,
// or where a distribution is that uneven. All draws are named by the seed: the same on every rank and machine with the
// same std::log and std::exp.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

namespace tutti {

/// The rows of each client.
using client_rows = std::vector<std::vector<std::uint32_t>>;

namespace detail {

inline void require_partition(bool holds, const char* what) {
  if (holds) return;
  throw error{{.code = error_code::invalid_argument, .call = "partition", .detail = what}};
}
inline void require_clients(int clients) {
  detail::require_partition(clients >= 1, "there are no clients to cut the data for - give at least 1");
}
inline std::vector<std::uint32_t> shuffled_rows(std::size_t n, random_stream& draw) {
  std::vector<std::uint32_t> rows(n);
  for (std::size_t k = 0; k < n; ++k) rows[k] = std::uint32_t(k);
  for (std::size_t k = n; k > 1; --k) std::swap(rows[k - 1], rows[draw.below(std::uint32_t(k))]);
  return rows;
}
inline client_rows in_order(client_rows all) {
  for (auto& rows : all) std::sort(rows.begin(), rows.end());
  return all;
}

/// Deals rows to clients in these proportions, which need not add up to anything: each gets what lies between two
/// borders, and the borders are rounded, so that nothing is lost.
inline void deal(const std::vector<std::uint32_t>& rows, const std::vector<double>& shares, client_rows& to) {
  double total = 0, before = 0;
  for (const double s : shares) total += s;
  std::size_t begin = 0;
  for (std::size_t c = 0; c < shares.size(); ++c) {
    before += shares[c];
    const double border = c + 1 == shares.size() ? double(rows.size()) : double(rows.size()) * (before / total) + .5;
    const std::size_t end = (std::max)(begin, (std::min)(std::size_t(border), rows.size()));
    for (std::size_t k = begin; k < end; ++k) to[c].push_back(rows[k]);
    begin = end;
  }
}

/// Uniform in (0, 1).
inline double open_uniform(random_stream& draw) { return (double(draw()) + .5) * 0x1p-32; }
inline double normal_number(random_stream& draw) { // Box and Muller
  const double radius = std::sqrt(-2 * std::log(detail::open_uniform(draw)));
  return radius * std::cos(2 * std::numbers::pi * detail::open_uniform(draw));
}
/// The logarithm of a gamma-distributed number: for a small shape the number itself would be 0. Marsaglia, Tsang, "A
/// simple method for generating gamma variables" (ACM TOMS 2000), with a shape of one more and u^(1/shape).
inline double log_gamma_number(double shape, random_stream& draw) {
  const double d = shape + 1 - 1. / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = detail::normal_number(draw), root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(detail::open_uniform(draw)) < x * x / 2 + d - d * v + d * std::log(v))
      return std::log(d * v) + std::log(detail::open_uniform(draw)) / shape;
  }
}

} // namespace detail

/// As equal in number as can be, of rows in a random order.
struct iid_partition {
  template <class Label>
  client_rows operator()(std::span<const Label> labels, int clients, std::uint64_t seed) const {
    detail::require_clients(clients);
    random_stream draw{seed};
    client_rows out(static_cast<std::size_t>(clients));
    detail::deal(detail::shuffled_rows(labels.size(), draw), std::vector<double>(out.size(), 1.0), out);
    return detail::in_order(std::move(out));
  }
};

/// Rows sorted by label are cut into clients * each shards as equal as can be, and each client is dealt `each` of them:
/// McMahan et al. 2017, section 3, with 2.
struct shard_partition {
  int each = 2;

  template <class Label>
  client_rows operator()(std::span<const Label> labels, int clients, std::uint64_t seed) const {
    detail::require_clients(clients);
    detail::require_partition(each >= 1, "a client has no shards - give at least 1 each");
    random_stream draw{seed};
    std::vector<std::uint32_t> sorted = detail::shuffled_rows(labels.size(), draw);
    std::stable_sort(sorted.begin(), sorted.end(), [&](auto a, auto b) { return labels[a] < labels[b]; });
    const std::size_t shards = std::size_t(clients) * std::size_t(each);
    client_rows cut(shards), out(static_cast<std::size_t>(clients));
    detail::deal(sorted, std::vector<double>(shards, 1.0), cut);
    const auto order = detail::shuffled_rows(shards, draw);
    for (std::size_t k = 0; k < shards; ++k)
      out[k / std::size_t(each)].insert(out[k / std::size_t(each)].end(), cut[order[k]].begin(), cut[order[k]].end());
    return detail::in_order(std::move(out));
  }
};

/// The rows of each label are dealt in proportions from a symmetric Dirichlet distribution: with a small `alpha` almost
/// all of a label are one client's, with a great one it is nearly iid. Hsu, Qi, Brown, arXiv 1909.06335.
struct dirichlet_partition {
  double alpha = 0.3;

  template <class Label>
  client_rows operator()(std::span<const Label> labels, int clients, std::uint64_t seed) const {
    detail::require_clients(clients);
    detail::require_partition(alpha > 0 && is_finite(alpha),
                              "alpha is not a positive number - give .1 for uneven, 100 for even");
    random_stream draw{seed};
    std::map<Label, std::vector<std::uint32_t>> of_label;
    for (const std::uint32_t row : detail::shuffled_rows(labels.size(), draw)) of_label[labels[row]].push_back(row);
    client_rows out(static_cast<std::size_t>(clients));
    for (const auto& [label, rows] : of_label) {
      std::vector<double> shares(out.size());
      for (double& s : shares) s = detail::log_gamma_number(alpha, draw);
      const double greatest = *std::max_element(shares.begin(), shares.end());
      for (double& s : shares) s = std::exp(s - greatest);
      detail::deal(rows, shares, out);
    }
    return detail::in_order(std::move(out));
  }
};

/// Client k of an order that is drawn has a share in proportion to (k + 1)^-exponent of rows in a random order.
struct power_law_partition {
  double exponent = 1;

  template <class Label>
  client_rows operator()(std::span<const Label> labels, int clients, std::uint64_t seed) const {
    detail::require_clients(clients);
    detail::require_partition(exponent >= 0 && is_finite(exponent),
                              "the exponent of a power law is negative or not finite - give 1, or 0 for equal shares");
    random_stream draw{seed};
    const auto rows = detail::shuffled_rows(labels.size(), draw);
    const auto place = detail::shuffled_rows(std::size_t(clients), draw);
    std::vector<double> shares;
    for (const std::uint32_t k : place) shares.push_back(std::pow(double(k) + 1, -exponent));
    client_rows out(static_cast<std::size_t>(clients));
    detail::deal(rows, shares, out);
    return detail::in_order(std::move(out));
  }
};

/// Each client has `labels` of the labels, as many clients each as can be, and sizes as in power_law_partition: of a
/// label those who have it are dealt shares by their size. Li et al. 2020 (FedProx, section 5.1) cut MNIST so for 1,000
/// clients of two digits.
struct label_power_law_partition {
  int labels = 2;
  double exponent = 1;

  template <class Label>
  client_rows operator()(std::span<const Label> given, int clients, std::uint64_t seed) const {
    detail::require_clients(clients);
    detail::require_partition(labels >= 1, "a client has no labels - give at least 1 each");
    detail::require_partition(exponent >= 0 && is_finite(exponent),
                              "the exponent of a power law is negative or not finite - give 1, or 0 for equal shares");
    random_stream draw{seed};
    std::map<Label, std::vector<std::uint32_t>> of_label;
    for (const std::uint32_t row : detail::shuffled_rows(given.size(), draw)) of_label[given[row]].push_back(row);
    const auto place = detail::shuffled_rows(std::size_t(clients), draw);
    client_rows out(static_cast<std::size_t>(clients));
    std::size_t first = 0; // client c has the labels first, first + 1, ... from labels c on, around
    for (const auto& [label, rows] : of_label) {
      std::vector<double> shares(out.size());
      double total = 0;
      for (std::size_t c = 0; c < out.size(); ++c) {
        const std::size_t away = (first + of_label.size() - c % of_label.size()) % of_label.size();
        if (away < std::size_t(labels)) shares[c] = std::pow(double(place[c]) + 1, -exponent);
        total += shares[c];
      }
      if (total == 0) shares.assign(shares.size(), 1); // a label that nobody is to have is everybody's
      detail::deal(rows, shares, out);
      ++first;
    }
    return detail::in_order(std::move(out));
  }
};

/// What belongs together stays together: the rows of each key, a writer or a speaker, are one client, in the order of
/// the keys.
template <class Key>
client_rows partition_by_key(std::span<const Key> keys) {
  std::map<Key, std::vector<std::uint32_t>> of_key;
  for (std::size_t k = 0; k < keys.size(); ++k) of_key[keys[k]].push_back(std::uint32_t(k));
  client_rows out;
  for (auto& [key, rows] : of_key) out.push_back(std::move(rows));
  return out;
}

} // namespace tutti
