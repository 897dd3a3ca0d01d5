// Collectives as jobs of the executor's tests: what each rank gives, starts and must end with.
#pragma once

#include "adversary.hpp"
#include "topologies/chosen.hpp"

#include <tutti/codecs/cast.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/reducers/order_statistics.hpp>

#include <memory>
#include <string>
#include <vector>

namespace adversary {

using trial::chosen;
using trial::kind_name;
using trial::kinds;
using tutti::collective;

/// One of them all, or the default.
struct any_topology {
  static constexpr int count = kinds<false> + kinds<true> + 1;

  int kind = 0; ///< from count - 1 on the default, whose plans are kept from call to call

  bool meets() const { return kind >= kinds<false>; }
  bool is_default() const { return kind >= count - 1; }
  std::string text() const {
    if (is_default()) return "default";
    return meets() ? kind_name<true>(kind - kinds<false>) : kind_name<false>(kind);
  }
  bool carried(collective what) const {
    if (is_default()) return true;
    return meets() ? chosen<true>{kind - kinds<false>}.carried(what)
                   : chosen<false>{kind}.carried(what);
  }
  template <bool MustMeet, class Use> auto use(Use&& f) const {
    if (is_default()) return f(tutti::default_topology{});
    if constexpr (!MustMeet)
      if (!meets()) return f(chosen<false>{kind});
    return f(chosen<true>{kind - kinds<false>});
  }
};

/// One collective that all ranks make together.
class job {
public:
  virtual ~job() = default;
  virtual tutti::request start(int rank, communicator& comm) = 0;
  /// Called when the rank's request is complete: what is wrong with its result, if anything. Then
  /// the rank's memory is its own again, and is overwritten.
  virtual std::string finish(int rank) = 0;
  virtual std::string text() const = 0;
};

struct shape {
  collective what = collective::all_reduce;
  any_topology topology = {};
  int size = 1;
  std::size_t n = 0;
  int root = 0;
  std::uint64_t seed = 0;

  std::string text() const {
    return std::string{tutti::name(what)} + ", " + topology.text() + ", n " + std::to_string(n) +
           ", root " + std::to_string(root);
  }
  /// What a rank gives: a whole number from -8 to 8.
  int value(int rank, std::size_t i) const {
    const auto draw = tutti::philox({std::uint32_t(i / 4), std::uint32_t(rank), 0, 0},
                                    {std::uint32_t(seed), std::uint32_t(seed >> 32)});
    return int(draw[i % 4] % 17) - 8;
  }
};

/// The definitions, over whole numbers. `scale` makes the results whole, too.
struct sums {
  using reducer = tutti::sum;
  static int scale(int) { return 1; }
  static int of(std::span<int> all) {
    int total = 0;
    for (const int x : all) total += x;
    return total;
  }
};
struct means {
  using reducer = tutti::mean;
  static int scale(int size) { return size; }
  static int of(std::span<int> all) { return sums::of(all) / int(all.size()); }
};
struct largest {
  using reducer = tutti::max;
  static int scale(int) { return 1; }
  static int of(std::span<int> all) { return *std::max_element(all.begin(), all.end()); }
};
struct medians {
  using reducer = tutti::median;
  static int scale(int) { return 2; }
  static int of(std::span<int> all) {
    std::sort(all.begin(), all.end());
    return (all[(all.size() - 1) / 2] + all[all.size() / 2]) / 2;
  }
};

template <class T> std::string differs(int rank, std::size_t i, T got, int expected) {
  if (std::memcmp(&got, &static_cast<const T&>(T(expected)), sizeof(T)) == 0) return {};
  if (float(got) == float(expected)) return {}; // zeros of either sign
  return "rank " + std::to_string(rank) + " has " + std::to_string(float(got)) + " at " +
         std::to_string(i) + " instead of " + std::to_string(expected);
}

template <class T, class Definition, class Codec> class reduction final : public job {
  using R = typename Definition::reducer;

public:
  explicit reduction(const shape& s) : shape_{s}, data_(std::size_t(s.size)) {
    for (int r = 0; r < s.size; ++r)
      for (std::size_t i = 0; i < s.n; ++i) data_[std::size_t(r)].push_back(T(given(r, i)));
  }

  tutti::request start(int rank, communicator& comm) override {
    auto& mine = data_[std::size_t(rank)];
    return shape_.topology.use<tutti::needs_every_contribution<R, T>>([&](const auto& t) {
      switch (shape_.what) {
      case collective::all_reduce:
        return tutti::async_all_reduce(comm, mine, t, R{}, Codec{});
      case collective::reduce_scatter:
        return tutti::async_reduce_scatter(comm, mine, Codec{}, R{}, t);
      default:
        return tutti::async_reduce(comm, mine, shape_.root, R{}, t, Codec{});
      }
    });
  }

  std::string finish(int rank) override {
    auto& mine = data_[std::size_t(rank)];
    tutti::shard has{0, shape_.n};
    if (shape_.what == collective::reduce_scatter)
      has = tutti::shard_of(shape_.n, rank, shape_.size);
    if (shape_.what == collective::reduce && rank != shape_.root) has.end = 0;
    std::string wrong;
    for (std::size_t i = has.begin; i < has.end && wrong.empty(); ++i)
      wrong = differs(rank, i, mine[i], expected(i));
    std::fill(mine.begin(), mine.end(), T(77));
    return wrong;
  }

  std::string text() const override { return shape_.text(); }

private:
  int given(int rank, std::size_t i) const {
    return shape_.value(rank, i) * Definition::scale(shape_.size);
  }
  int expected(std::size_t i) const {
    std::vector<int> column;
    for (int r = 0; r < shape_.size; ++r) column.push_back(given(r, i));
    return Definition::of(column);
  }

  shape shape_;
  std::vector<std::vector<T>> data_;
};

/// An element of an odd size.
struct triple {
  std::uint8_t a = 0x55, b = 0x55, c = 0x55;
  friend bool operator==(const triple&, const triple&) = default;
};

/// broadcast and all_gather.
class copy final : public job {
public:
  explicit copy(const shape& s) : shape_{s}, data_(std::size_t(s.size)) {
    for (int r = 0; r < s.size; ++r) {
      auto& mine = data_[std::size_t(r)];
      mine.resize(s.n);
      const auto own = s.what == collective::broadcast ? tutti::shard{0, r == s.root ? s.n : 0}
                                                       : tutti::shard_of(s.n, r, s.size);
      for (std::size_t i = own.begin; i < own.end; ++i) mine[i] = given(i);
    }
  }
  tutti::request start(int rank, communicator& comm) override {
    auto& mine = data_[std::size_t(rank)];
    return shape_.topology.use<false>([&](const auto& t) {
      return shape_.what == collective::broadcast
                 ? tutti::async_broadcast(comm, mine, shape_.root, t)
                 : tutti::async_all_gather(comm, mine, t);
    });
  }
  std::string finish(int rank) override {
    auto& mine = data_[std::size_t(rank)];
    std::string wrong;
    for (std::size_t i = 0; i < shape_.n && wrong.empty(); ++i)
      if (mine[i] != given(i))
        wrong = "rank " + std::to_string(rank) + " differs at " + std::to_string(i);
    std::fill(mine.begin(), mine.end(), triple{7, 7, 7});
    return wrong;
  }
  std::string text() const override { return shape_.text(); }

private:
  triple given(std::size_t i) const {
    const auto x = std::uint8_t(shape_.value(99, i));
    return {x, std::uint8_t(i), std::uint8_t(i >> 8)};
  }

  shape shape_;
  std::vector<std::vector<triple>> data_;
};

enum class blocks : std::uint8_t { gather, scatter, all_to_all };

/// gather, scatter and all_to_all of blocks of n elements.
class block_copy final : public job {
public:
  block_copy(blocks what, const shape& s)
      : what_{what}, shape_{s}, from_(std::size_t(s.size)), to_(from_.size()) {
    const std::size_t all = s.n * std::size_t(s.size);
    for (int r = 0; r < s.size; ++r) {
      const bool root = r == s.root;
      from_[std::size_t(r)].resize(what == blocks::gather               ? s.n
                                   : what == blocks::all_to_all || root ? all
                                                                        : 0);
      to_[std::size_t(r)].resize(what == blocks::scatter              ? s.n
                                 : what == blocks::all_to_all || root ? all
                                                                      : 0);
      auto& mine = from_[std::size_t(r)];
      for (std::size_t i = 0; i < mine.size(); ++i) mine[i] = given(r, i);
    }
  }
  tutti::request start(int rank, communicator& comm) override {
    const auto& from = from_[std::size_t(rank)];
    auto& to = to_[std::size_t(rank)];
    switch (what_) {
    case blocks::gather:
      return tutti::async_gather(comm, from, to, shape_.root);
    case blocks::scatter:
      return tutti::async_scatter(comm, from, to, shape_.root);
    default:
      return tutti::async_all_to_all(comm, from, to);
    }
  }
  std::string finish(int rank) override {
    auto& to = to_[std::size_t(rank)];
    std::string wrong;
    for (std::size_t i = 0; i < to.size() && wrong.empty(); ++i) {
      const int block = shape_.n > 0 ? int(i / shape_.n) : 0;
      const std::size_t within = i - std::size_t(block) * shape_.n;
      const triple expected =
          what_ == blocks::scatter  ? given(shape_.root, std::size_t(rank) * shape_.n + i)
          : what_ == blocks::gather ? given(block, within)
                                    : given(block, std::size_t(rank) * shape_.n + within);
      if (to[i] != expected)
        wrong = "rank " + std::to_string(rank) + " differs at " + std::to_string(i);
    }
    std::fill(to.begin(), to.end(), triple{7, 7, 7});
    std::fill(from_[std::size_t(rank)].begin(), from_[std::size_t(rank)].end(), triple{8, 8, 8});
    return wrong;
  }
  std::string text() const override {
    constexpr const char* names[] = {"gather", "scatter", "all_to_all"};
    return std::string{names[int(what_)]} + ", blocks of " + std::to_string(shape_.n) + ", root " +
           std::to_string(shape_.root);
  }

private:
  triple given(int rank, std::size_t i) const {
    return {std::uint8_t(rank), std::uint8_t(i), std::uint8_t(shape_.value(rank, i))};
  }

  blocks what_;
  shape shape_;
  std::vector<std::vector<triple>> from_, to_;
};

class barrier final : public job {
public:
  explicit barrier(int size) : size_{size} {}
  tutti::request start(int, communicator& comm) override {
    ++come_;
    return tutti::async_barrier(comm);
  }
  std::string finish(int rank) override {
    if (come_ == size_) return {};
    return "rank " + std::to_string(rank) + " passed when " + std::to_string(come_) + " had come";
  }
  std::string text() const override { return "barrier"; }

private:
  int size_;
  int come_ = 0;
};

/// A job drawn at random, for all ranks the same.
std::unique_ptr<job> draw_job(tutti::random_stream& random, int size);

} // namespace adversary
