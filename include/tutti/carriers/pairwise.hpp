// pairwise: a rank averages its replica with one other's, which does not wait for it.
#pragma once

#include <tutti/carriers/awaiting.hpp>
#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/control.hpp>
#include <tutti/carriers/meetings.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/communicators/reserved_channel.hpp>
#include <tutti/core/aligned_values.hpp>
#include <tutti/core/random.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/topologies/mixing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace tutti {

/// One part, the whole model. A step applies this rank's gradient to its replica, and asks a neighbour in the graph,
/// drawn anew each time, for a meeting, which goes on while the next gradient is computed and is waited for before the
/// next is asked for. A rank answers whenever it is in any call on the communicator. Construction, attach(), rest() and
/// finish() are collective. Cost of a step: a word and a message of the model to the neighbour, one back, and as
/// many of those who ask this rank; of finish() an all_reduce, or where training goes on without lost ranks the model
/// to the lowest rank that is left, and back.
template <class T, class Comm, class Graph>
class pairwise final : public carrier<T> {
public:
  using agreed = typename carrier<T>::agreed;

  /// Of a model of n elements; so many words are noted with a push.
  pairwise(Comm& comm, const Graph& graph, const options& how, on_loss then, std::uint64_t seed, std::size_t n,
           std::size_t words)
      : comm_{comm}, how_{how}, goes_on_{then == on_loss::go_on}, awaiting_{comm, how, goes_on_}, seed_{seed},
        words_{comm.in_flight()}, there_{comm.in_flight()}, back_{comm.in_flight()}, room_{n}, note_(words) {
    how_.weight = 1;
    graph.mix(0, comm.rank(), comm.size(), [&](share s) {
      if (s.from == comm.rank() && s.to != s.from) neighbours_.push_back(s.to);
    });
    std::sort(neighbours_.begin(), neighbours_.end());
  }
  ~pairwise() override {
    const auto held = comm_.in_flight().hold();
    meetings_.reset();
  }

  bool serves() const override { return true; }
  bool mixes() const override { return true; }
  place owned(std::size_t) const override { return {0, room_.size()}; }
  std::span<T> room(std::size_t) override { return room_.span(); }
  std::span<std::uint64_t> note() override { return note_; }
  std::span<const std::uint64_t> noted() const override { return note_; }

  void attach(std::span<T> values, agreed use, bool = false) override {
    values_ = values;
    use_.emplace(use);
    operations& all = comm_.in_flight();
    const auto held = all.hold();
    meetings_ = std::make_unique<detail::meetings<T, Comm>>(
        comm_, typename detail::meetings<T, Comm>::channels{words_, there_, back_}, how_, goes_on_, values);
    all.start(*meetings_);
    all.enter(*meetings_);
    all.remind(*meetings_);
  }
  std::vector<int> lost() const override {
    std::vector<int> all;
    const auto held = comm_.in_flight().hold();
    for (int r = 0; meetings_ && r < comm_.size(); ++r)
      if (meetings_->is_lost(r)) all.push_back(r);
    return all;
  }
  void offer(std::size_t, std::span<const double> weights) override {
    wait("step", [&] { return meetings_->is_free() && meetings_->has_told(); });
    guarded("step", [&] {
      if (weights.front() != 0) (*use_)({0, room_.size()}, room_.span());
      if (const int other = partner(met_++); other >= 0) meetings_->ask(other);
    });
  }
  void settle(std::size_t) override {
    const auto held = comm_.in_flight().hold();
    std::ranges::copy(values_, room_.begin());
  }
  void rest() override {
    wait("state", [&] { return meetings_->is_free() && meetings_->has_told() && meetings_->rests(); });
  }
  void finish() override {
    wait("finalize", [&] { return meetings_->is_free() && meetings_->has_told(); });
    guarded("finalize", [&] { meetings_->tell_done(); });
    wait("finalize", [&] { return meetings_->all_done() && meetings_->rests() && meetings_->has_told(); });
    if (goes_on_) {
      guarded("finalize", [&] { meetings_->come_together(); });
      wait("finalize", [&] { return meetings_->is_together(); });
    } else {
      guarded("finalize", [&] {
        meetings_->close();
        std::ranges::copy(values_, room_.begin());
      });
      tutti::all_reduce(comm_, room_.span(), default_topology{}, mean{}, identity{}, how_);
    }
    guarded("finalize", [&] {
      if (goes_on_)
        std::ranges::copy(values_, room_.begin());
      else
        std::ranges::copy(room_.span(), values_.begin()); // before anybody is answered again
      meetings_->reopen();
    });
  }
  void state(archive& to) override { to.number("meetings", met_, held_by::each); }
  void resume(control&, bool) override { std::ranges::copy(values_, room_.begin()); }

private:
  /// One of the neighbours that are left; -1 for none.
  int partner(std::int64_t meeting) const {
    std::vector<int> left;
    for (const int r : neighbours_)
      if (!meetings_->is_lost(r)) left.push_back(r);
    if (left.empty()) return -1;
    random_stream draw{seed_, std::uint32_t(meeting), std::uint64_t(comm_.rank()) << 32 | std::uint64_t(meeting >> 32)};
    return left[draw.below(std::uint32_t(left.size()))];
  }
  template <class Over>
  void wait(const char* call, Over&& over) {
    const auto is_over = [&] {
      meetings_->require_sound();
      return over();
    };
    awaiting_.until(
        call, is_over, [&] { return meetings_->heard(); }, [&] { return meetings_->waits_for(); });
  }
  template <class Work>
  void guarded(const char* call, Work&& work) const {
    awaiting_.guarded(call, [&] {
      const auto held = comm_.in_flight().hold();
      meetings_->require_sound();
      work();
    });
  }

  Comm& comm_;
  options how_;
  const bool goes_on_; ///< without ranks that are lost
  const detail::awaiting<Comm> awaiting_;
  const std::uint64_t seed_;
  reserved_channel words_, there_, back_;
  detail::aligned_values<T> room_;
  std::vector<std::uint64_t> note_;
  std::vector<int> neighbours_;
  std::span<T> values_;
  std::optional<agreed> use_;
  std::int64_t met_ = 0; ///< meetings that this rank has asked for
  std::unique_ptr<detail::meetings<T, Comm>> meetings_;
};

} // namespace tutti
