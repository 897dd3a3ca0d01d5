// The graphs of gossip, each a mixing (topologies/mixing.hpp). Cost of a round: a message of the values to each
// neighbour, and one from it.
#pragma once

#include <tutti/core/random.hpp>
#include <tutti/topologies/mixing.hpp>
#include <tutti/topologies/torus.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

/// Everyone who is `offset` further hears of a rank, and all weigh the same: emits the shares that touch it. An offset
/// that leads to the rank itself, or where another has led, is none.
template <class Offsets, class Emit>
void mix_by_offsets(int rank, int size, const Offsets& offsets, Emit&& emit) {
  std::vector<int> ahead;
  for (const int o : offsets)
    if (const int way = ((o % size) + size) % size; way != 0 && std::find(ahead.begin(), ahead.end(), way) == ahead.end())
      ahead.push_back(way);
  const double weight = 1.0 / double(ahead.size() + 1);
  emit(share{rank, rank, weight});
  for (const int way : ahead) {
    emit(share{(rank + size - way) % size, rank, weight});
    emit(share{rank, (rank + way) % size, weight});
  }
}

/// The least k with 2^k >= size.
constexpr int log2_up(int size) noexcept {
  int k = 0;
  while ((std::int64_t{1} << k) < size) ++k;
  return k;
}

} // namespace detail

/// Every rank and both its neighbours, a third each. Consensus contracts by (1 + 2 cos(2 pi / p)) / 3 a round:
/// slowly on long rings. 2 messages.
struct ring_graph {
  using part = topology_part;

  template <class Emit>
  void mix(std::int64_t /*round*/, int rank, int size, Emit&& emit) const {
    const int offsets[] = {1, -1};
    detail::mix_by_offsets(rank, size, offsets, emit);
  }
};

/// Every rank and its neighbours in rows and columns, which close to rings: 4 messages, a fifth each. Rows of one or
/// two ranks have fewer neighbours, and each more weight.
struct torus_graph {
  using part = topology_part;

  int rows = 0; ///< the largest divisor of p up to this many; 0: as many as make it most square

  template <class Emit>
  void mix(std::int64_t /*round*/, int rank, int size, Emit&& emit) const {
    const int down = torus{.rows = rows}.rows_of(size), across = size / down;
    const int row = rank / across, column = rank % across;
    std::vector<int> near;
    for (const int n : {(row + 1) % down * across + column, (row + down - 1) % down * across + column,
                        row * across + (column + 1) % across, row * across + (column + across - 1) % across})
      if (n != rank && std::find(near.begin(), near.end(), n) == near.end()) near.push_back(n);
    const double weight = 1.0 / double(near.size() + 1);
    emit(share{rank, rank, weight});
    for (const int n : near) {
      emit(share{n, rank, weight});
      emit(share{rank, n, weight});
    }
  }
};

/// Every rank hears of those 1, 2, 4, ... before it: directed, with log2 p messages, and a gap to consensus that
/// falls with log2 p only. (Ying et al., "Exponential graph is provably efficient for decentralized deep training",
/// NeurIPS 2021, eq. 5.)
struct exponential_graph {
  using part = topology_part;

  template <class Emit>
  void mix(std::int64_t /*round*/, int rank, int size, Emit&& emit) const {
    std::vector<int> offsets;
    for (int k = 0; k < detail::log2_up(size); ++k) offsets.push_back(1 << k);
    detail::mix_by_offsets(rank, size, offsets, emit);
  }
};

/// The same, one of them a round in turn: one message a round, half and half. Of 2^k ranks all have the mean after k
/// rounds; of other numbers the mean is kept, and reached in the limit. (The same, eq. 7 and lemma 1.)
struct one_peer_exponential {
  using part = topology_part;

  std::int64_t cycle(int size) const noexcept { return (std::max)(1, detail::log2_up(size)); }
  template <class Emit>
  void mix(std::int64_t round, int rank, int size, Emit&& emit) const {
    const int offsets[] = {int(std::int64_t{1} << round % cycle(size))};
    detail::mix_by_offsets(rank, size, offsets, emit);
  }
};

/// Everyone with everyone: the mean of all, by p - 1 messages.
struct complete_graph {
  using part = topology_part;

  template <class Emit>
  void mix(std::int64_t /*round*/, int rank, int size, Emit&& emit) const {
    std::vector<int> offsets;
    for (int k = 1; k < size; ++k) offsets.push_back(k);
    detail::mix_by_offsets(rank, size, offsets, emit);
  }
};

/// Any two ranks are neighbours with the given probability, drawn once (Erdos and Renyi 1959); the weight of two
/// neighbours is 1 / (1 + the greater number of neighbours of the two), and what is left is a rank's own (Metropolis and
/// Hastings; Xiao and Boyd 2004). Connected in most draws from a probability of ln p / p on; another seed
/// draws again.
struct random_graph {
  using part = topology_part;

  double probability = 0.5;
  std::uint64_t seed = 0;

  template <class Emit>
  void mix(std::int64_t /*round*/, int rank, int size, Emit&& emit) const {
    double rest = 1;
    const std::vector<int> near = neighbours(rank, size);
    for (const int n : near) {
      const double weight = 1.0 / double(1 + (std::max)(near.size(), neighbours(n, size).size()));
      emit(share{n, rank, weight});
      emit(share{rank, n, weight});
      rest -= weight;
    }
    emit(share{rank, rank, rest});
  }

private:
  std::vector<int> neighbours(int rank, int size) const {
    std::vector<int> near;
    for (int n = 0; n < size; ++n)
      if (n != rank) {
        random_stream draw{seed, std::uint32_t((std::min)(rank, n)), std::uint64_t((std::max)(rank, n))};
        if (double(draw()) < probability * 0x1p32) near.push_back(n);
      }
    return near;
  }
};

/// In every round all ranks meet in pairs that are drawn anew, half and half; of an odd number one stays alone.
struct random_pairs {
  using part = topology_part;

  std::uint64_t seed = 0;

  static constexpr std::int64_t cycle(int /*size*/) noexcept { return 0; }
  template <class Emit>
  void mix(std::int64_t round, int rank, int size, Emit&& emit) const {
    const int other = partner(round, rank, size);
    if (other == rank) return emit(share{rank, rank, 1});
    emit(share{rank, rank, 0.5});
    emit(share{other, rank, 0.5});
    emit(share{rank, other, 0.5});
  }
  /// Whom a rank meets; itself where it stays alone.
  int partner(std::int64_t round, int rank, int size) const {
    random_stream draw{seed, std::uint32_t(round), std::uint64_t(round >> 32)};
    std::vector<int> order(std::size_t(size), 0);
    for (int k = 0; k < size; ++k) order[std::size_t(k)] = k;
    for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[draw.below(std::uint32_t(k))]);
    const auto at = std::size_t(std::find(order.begin(), order.end(), rank) - order.begin());
    return (at ^ 1) < order.size() ? order[at ^ 1] : rank;
  }
};

/// A matrix of your own: weights[to * p + from], of exactly p ranks, the same in every round.
struct mixing_matrix {
  using part = topology_part;

  std::vector<double> weights;

  /// What is wrong with its size; empty when nothing is.
  std::string wrong(int size) const {
    if (weights.size() == std::size_t(size) * std::size_t(size)) return {};
    return "the mixing matrix has " + std::to_string(weights.size()) + " weights for " + std::to_string(size) +
           " ranks - give " + std::to_string(std::size_t(size) * std::size_t(size));
  }
  template <class Emit>
  void mix(std::int64_t /*round*/, int rank, int size, Emit&& emit) const {
    const auto at = [&](int from, int to) { return weights[std::size_t(to) * std::size_t(size) + std::size_t(from)]; };
    if (!wrong(size).empty()) return;
    for (int n = 0; n < size; ++n) {
      if (at(n, rank) != 0) emit(share{n, rank, at(n, rank)});
      if (n != rank && at(rank, n) != 0) emit(share{rank, n, at(rank, n)});
    }
  }
};

} // namespace tutti
