// chain: operations in sequence that are one operation, so one request.
//
// Its stages are made with it, as those of a persistent collective are: what they are - lengths, parts, memory - is
// known from the beginning, and what they work on is written when the one before them is done. They take their places
// among the calls of the communicator together, when the chain is started: their channels, their turns, and what the
// history of calls says of them. So whatever any rank starts meanwhile is behind all of them on every rank, a chain on
// a `checked` communicator is verified before anything moves, and being started again allocates nothing.
#pragma once

#include <tutti/collectives/call.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Each stage begins when the one before it is done; before stage k, from 0, this rank does ready(k), and behind the
/// last of n ready(n). ready() does not communicate; when it throws, the other ranks are told. All stages have the
/// timeout of one call together: that of each, from the start of the chain.
template <class Comm, class Ready>
class chain final : public operation {
public:
  chain(Comm& comm, std::vector<std::unique_ptr<operation>> stages, Ready ready)
      : comm_{comm}, stages_{std::move(stages)}, ready_{std::move(ready)} {}

  bool advance() override {
    for (; at_ < stages_.size(); ++at_) {
      if (!is_ready_) prepare();
      if (!stages_[at_]->advance()) return false;
      is_ready_ = false;
    }
    if (!is_ready_) prepare();
    return true;
  }
  std::uint64_t progress() override { return comm_.progress(); }
  void idle(std::uint64_t seen) override { now().idle(seen); }
  void check_deadline() override { now().check_deadline(); }
  deadline until() override { return now().until(); }
  void abandon() noexcept override { now().abandon(); }
  bool refers_to(const void* communicator) const noexcept override {
    return any([=](const operation& o) { return o.refers_to(communicator); });
  }
  /// One that does keeps those behind the chain from their turn until it is complete.
  bool takes_turns() const noexcept override {
    return any([](const operation& o) { return o.takes_turns(); });
  }

private:
  void begin() override {
    at_ = 0;
    is_ready_ = false;
    for (const auto& stage : stages_) {
      stage->start();
      (void)stage->until(); // from now on, whenever it begins
    }
  }
  void prepare() {
    detail::made(comm_, [&] { ready_(at_); });
    is_ready_ = true;
  }
  operation& now() const { return *stages_[(std::min)(at_, stages_.size() - 1)]; }
  template <class Is>
  bool any(Is&& is) const noexcept {
    return std::any_of(stages_.begin(), stages_.end(), [&](const auto& stage) { return is(*stage); });
  }

  Comm& comm_;
  const std::vector<std::unique_ptr<operation>> stages_;
  Ready ready_;
  std::size_t at_ = 0;    ///< the stage that is under way
  bool is_ready_ = false; ///< ready(at_) has been called
};

/// A chain of one stage or more, none of them started. To be held by a request.
template <class Comm, class Ready>
std::unique_ptr<operation> chain_of(Comm& comm, Ready ready, std::vector<std::unique_ptr<operation>> stages) {
  auto& body = detail::stationary(comm);
  return std::make_unique<chain<stationary_type<Comm>, Ready>>(body, std::move(stages), std::move(ready));
}
template <class Comm, class Ready, class... Stages>
std::unique_ptr<operation> chain_of(Comm& comm, Ready ready, std::unique_ptr<operation> first, Stages... others) {
  std::vector<std::unique_ptr<operation>> stages;
  stages.push_back(std::move(first));
  (stages.push_back(std::move(others)), ...);
  return detail::chain_of(comm, std::move(ready), std::move(stages));
}

} // namespace tutti::detail
