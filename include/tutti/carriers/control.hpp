// Control: the few numbers that ranks tell each other beside the data.
//
// What is bound is compared by it, and in every step weights, who is there and what has a gradient; it says
// what a step comes to, and that a rank cannot go on. It names no communicator, so what is built on it is
// compiled once.
#pragma once

#include <tutti/collectives/collectives.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace tutti {

/// All members but rank(), size(), said() and progress() are collective. Failures are those of collectives.
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
  /// Throws `why`, and every pending and later call on any rank fails with it.
  [[noreturn]] virtual void fail(failure why) = 0;
};

/// Refers to the communicator, which outlives it.
template <class Comm>
class control_on final : public control {
public:
  control_on(Comm& comm, const options& how) : comm_{comm}, how_{.timeout = how.timeout} {}

  int rank() const override { return comm_.rank(); }
  int size() const override { return comm_.size(); }
  std::vector<std::uint64_t> gather(std::span<const std::uint64_t> words) override {
    std::vector<std::uint64_t> every(words.size() * std::size_t(size()));
    tutti::all_gather(comm_, words, every, how_);
    return every;
  }
  void broadcast(std::span<std::byte> bytes, int root) override {
    tutti::broadcast(comm_, std::span{reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()},
                     root, how_);
  }

  void say(std::span<const std::uint64_t> words) override {
    if (all_.size() != words.size() * std::size_t(size())) {
      exchange_ = {}; // it refers to what is about to move
      all_.assign(words.size() * std::size_t(size()), 0);
      exchange_ = tutti::persistent_all_gather(comm_, all_, how_);
    }
    std::copy(words.begin(), words.end(),
              all_.begin() + std::ptrdiff_t(words.size() * std::size_t(rank())));
    exchange_.start();
  }
  bool said() override { return exchange_.test(); }
  std::span<const std::uint64_t> all() override {
    exchange_.wait();
    return all_;
  }

  void progress() override { comm_.in_flight().step(); }
  void fail(failure why) override {
    why.rank = rank();
    comm_.revoke(why);
    throw error{std::move(why)};
  }

private:
  Comm& comm_;
  options how_;
  std::vector<std::uint64_t> all_; ///< size() blocks, this rank's own among them
  persistent_request exchange_;
};

} // namespace tutti
