// Control: the few numbers that ranks tell each other beside the data.
//
// What is bound is compared by it, and in every step weights, who is there and what has a gradient; it says
// what a step comes to, and that a rank cannot go on. It names no communicator, so what is built on it is
// compiled once.
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/bruck.hpp>
#include <tutti/topologies/direct.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti {

/// All members but rank(), size(), said(), progress() and now() are collective. Failures are those of collectives.
class control {
public:
  control() = default;
  control(const control&) = delete;
  control& operator=(const control&) = delete;
  virtual ~control() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// words.size() numbers of every rank, in rank order; as many on each.
  virtual std::vector<std::uint64_t> gather(std::span<const std::uint64_t> words) = 0;
  /// The numbers of one rank, to all.
  virtual void broadcast(std::span<std::byte> bytes, int root) = 0;

  /// Says `words` to everyone, and does not wait; as many every time, and nothing more is said until all()
  /// has been called.
  virtual void say(std::span<const std::uint64_t> words) = 0;
  /// Whether everyone has said theirs. Never waits.
  virtual bool said() = 0;
  /// What everyone said, in rank order. Waits.
  virtual std::span<const std::uint64_t> all() = 0;

  /// Lets what is in flight move on. Never waits.
  virtual void progress() = 0;
  /// What time it is on the communicator.
  virtual deadline now() const = 0;
  /// Throws `why`, and every pending and later call on any rank fails with it.
  [[noreturn]] virtual void fail(failure why) = 0;
};

namespace detail {

/// Collective: each number becomes the greatest that any rank has.
inline void to_the_most(control& ranks, std::span<std::int64_t> numbers) {
  const std::vector<std::uint64_t> mine(numbers.begin(), numbers.end());
  const std::vector<std::uint64_t> all = ranks.gather(mine);
  for (std::size_t k = 0; k < all.size(); ++k) {
    std::int64_t& most = numbers[k % numbers.size()];
    most = (std::max)(most, std::int64_t(all[k]));
  }
}

} // namespace detail

/// On control_of(comm), which outlives it. Few topologies, as every one that may be chosen is compiled:
/// in shared memory none is needed, and elsewhere these take the fewest rounds.
template <class Comm>
class control_on final : public control {
  using words_comm = std::remove_reference_t<decltype(tutti::control_of(std::declval<Comm&>()))>;

public:
  control_on(Comm& comm, const options& how)
      : comm_{tutti::control_of(comm)}, how_{.timeout = how.timeout} {}

  int rank() const override { return comm_.rank(); }
  int size() const override { return comm_.size(); }
  std::vector<std::uint64_t> gather(std::span<const std::uint64_t> words) override {
    start(asked_, words);
    asked_.exchange.wait();
    return asked_.all;
  }
  void broadcast(std::span<std::byte> bytes, int root) override {
    tutti::broadcast(comm_, std::span{reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()},
                     root, binomial_tree{}, how_);
  }

  void say(std::span<const std::uint64_t> words) override { start(said_, words); }
  bool said() override { return said_.exchange.test(); }
  std::span<const std::uint64_t> all() override {
    said_.exchange.wait();
    return said_.all;
  }

  void progress() override { comm_.in_flight().step(); }
  deadline now() const override { return tutti::now_of(comm_); }
  void fail(failure why) override {
    why.rank = rank();
    comm_.revoke(why);
    throw error{std::move(why)};
  }

private:
  struct words_of_all {
    std::vector<std::uint64_t> all; ///< size() blocks, this rank's own among them
    persistent_request exchange;
  };

  void start(words_of_all& what, std::span<const std::uint64_t> words) {
    if (what.all.size() != words.size() * std::size_t(size())) {
      what.exchange = {}; // it refers to what is about to move
      what.all.assign(words.size() * std::size_t(size()), 0);
      what.exchange = prepared(what.all);
    }
    std::copy(words.begin(), words.end(),
              what.all.begin() + std::ptrdiff_t(words.size() * std::size_t(rank())));
    what.exchange.start();
  }
  persistent_request prepared(std::vector<std::uint64_t>& all) {
    if constexpr (direct_access_communicator<words_comm>)
      if (comm_.shared()) return tutti::persistent_all_gather(comm_, all, direct{}, how_);
    return tutti::persistent_all_gather(comm_, all, bruck{}, how_);
  }

  words_comm& comm_;
  options how_;
  words_of_all said_, asked_;
};

} // namespace tutti
