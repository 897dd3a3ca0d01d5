// What every collective means, by the plainest loops: the definition that every other is compared
// with.
//
// Inputs and outputs are one vector a rank. Contributions are folded in rank order, from the left.
// Nothing is sent, nothing is fast.
#pragma once

#include <tutti/collectives/call.hpp>
#include <tutti/reducers/reducer.hpp>
#include <tutti/reducers/weights.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace tutti::reference {

template <class T> using per_rank = std::vector<std::vector<T>>;

/// The reduction of all inputs; `weights` are options::weight of each rank, all 1 when empty.
template <element T, class R>
std::vector<T> reduction(const per_rank<T>& in, const R& r,
                         const std::vector<double>& weights = {});

namespace detail {

/// The reducer that is left when R has seen the data.
template <element T, agreeing_reducer R> auto agreed(const per_rank<T>& in, const R& r) {
  using combined = typename R::agreement_reducer;
  const auto nothing = combined{}.template identity<double>();
  std::vector<double> numbers(std::size_t(r.agreement(in[0].size(), int(in.size()))), nothing);
  if constexpr (observes_gathered<R, T>) {
    std::vector<const T*> rows;
    for (const auto& one : in) rows.push_back(one.data());
    r.observe_gathered(gathered_rows<T>{rows, in[0].size()}, std::size_t{0}, std::span{numbers});
  } else {
    for (const auto& one : in) {
      std::vector<double> seen(numbers.size(), nothing);
      r.observe(std::span<const T>{one}, std::span<double>{seen});
      for (std::size_t k = 0; k < seen.size(); ++k)
        numbers[k] = combined{}.combine(numbers[k], seen[k]);
    }
  }
  return r.agreed(std::span<const double>{numbers});
}

} // namespace detail

template <element T, class R>
std::vector<T> reduction(const per_rank<T>& in, const R& r, const std::vector<double>& weights) {
  if constexpr (agreeing_reducer<R>) {
    return reference::reduction(in, detail::agreed(in, r), weights);
  } else {
    using A = reducer_accumulator_t<R, T>;
    std::vector<double> counts = weights.empty() ? std::vector<double>(in.size(), 1.0) : weights;
    if constexpr (has_relative_weights<R>) tutti::detail::scale_weights(counts);
    const double total = tutti::detail::total_weight(counts);
    std::vector<T> out;
    for (std::size_t i = 0; i < in[0].size(); ++i) {
      std::vector<A> column;
      for (std::size_t k = 0; k < in.size(); ++k)
        if (counts[k] != 0)
          column.push_back(tutti::detail::lift<R, T>(r, in[k][i], counts[k], i));
      A result = column[0];
      if constexpr (folding_reducer<R, T>)
        for (std::size_t k = 1; k < column.size(); ++k) result = r.combine(result, column[k]);
      else result = r.gather(std::span<A>{column});
      out.push_back(tutti::detail::lower<T>(r, result, total, i));
    }
    return out;
  }
}

template <element T, class R>
per_rank<T> all_reduce(const per_rank<T>& in, const R& r, const std::vector<double>& weights = {}) {
  return per_rank<T>(in.size(), reference::reduction(in, r, weights));
}

/// Empty but at root.
template <element T, class R>
per_rank<T> reduce(const per_rank<T>& in, const R& r, int root,
                   const std::vector<double>& weights = {}) {
  per_rank<T> out(in.size());
  out[std::size_t(root)] = reference::reduction(in, r, weights);
  return out;
}

/// Each rank its block of a whole: `shards` of any length as shard_of cuts them.
template <class T> per_rank<T> shards(const std::vector<T>& whole, int size) {
  per_rank<T> out;
  for (int rank = 0; rank < size; ++rank) {
    const shard mine = shard_of(whole.size(), rank, size);
    out.emplace_back(whole.begin() + std::ptrdiff_t(mine.begin),
                     whole.begin() + std::ptrdiff_t(mine.end));
  }
  return out;
}

template <element T, class R>
per_rank<T> reduce_scatter(const per_rank<T>& in, const R& r,
                           const std::vector<double>& weights = {}) {
  return reference::shards(reference::reduction(in, r, weights), int(in.size()));
}

template <class T> per_rank<T> gather(const per_rank<T>& in, int root) {
  per_rank<T> out(in.size());
  for (const auto& one : in)
    out[std::size_t(root)].insert(out[std::size_t(root)].end(), one.begin(), one.end());
  return out;
}

template <class T> per_rank<T> all_gather(const per_rank<T>& in) {
  return per_rank<T>(in.size(), reference::gather(in, 0)[0]);
}

template <class T> per_rank<T> broadcast(const per_rank<T>& in, int root) {
  return per_rank<T>(in.size(), in[std::size_t(root)]);
}

template <class T> per_rank<T> scatter(const per_rank<T>& in, int root) {
  return reference::shards(in[std::size_t(root)], int(in.size()));
}

template <class T> per_rank<T> all_to_all(const per_rank<T>& in) {
  const int size = int(in.size());
  per_rank<T> out(in.size());
  for (int to = 0; to < size; ++to)
    for (int from = 0; from < size; ++from) {
      const auto block = reference::shards(in[std::size_t(from)], size)[std::size_t(to)];
      out[std::size_t(to)].insert(out[std::size_t(to)].end(), block.begin(), block.end());
    }
  return out;
}

} // namespace tutti::reference
