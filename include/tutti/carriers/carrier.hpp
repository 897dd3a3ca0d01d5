// Carriers: how contributions become one agreed value, where, and when.
//
// A trainer cuts the flat model into parts - the buckets of a gradient, or the fragments of what is learnt
// between two agreements - and hands each to its carrier: it writes a contribution into room(part), offers
// it, and settles it later. What lies between is the carrier's, and differs from policy to policy:
//
//   reducing   schedules: an all_reduce of each part; with owners a reduce_scatter, and an all_gather to
//              hand out what the owners have made of it
//   staged     the same in several stages, of a codec that makes each of the one before it
//   serving    placements: workers push, servers make steps of it and answer
//   mixing     mixings: every rank keeps values of its own, averaged with its neighbours'
//   pairwise   mixings: the same with one neighbour at a time, which nobody waits for
//
// All ranks offer the same parts in the same order, and settle them in that order.
#pragma once

#include <tutti/core/archive.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/flat_model.hpp>
#include <tutti/core/function_ref.hpp>
#include <tutti/topologies/placement.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tutti {

class control;

namespace detail {

/// values = factor values; of factor 0 zeros, whatever they were.
template <class T>
void scale_contribution(std::span<T> values, T factor) {
  if (factor == 1) return;
  const exact_mode held;
  for (T& v : values) v = factor == 0 ? T{} : v * factor;
}

/// To who would meet dedicated servers that are at work.
inline constexpr const char* refused_meeting =
    "dedicated servers answer pushes and nothing else until finalize() - save and load after it, on every rank";

} // namespace detail

template <class T>
class carrier {
public:
  /// What is to be made of a contribution that has closed: values of a place that this rank owns.
  using agreed = function_ref<void(place, std::span<const T>)>;

  carrier() = default;
  carrier(const carrier&) = delete;
  carrier& operator=(const carrier&) = delete;
  virtual ~carrier() = default;

  /// What this rank updates of a part: all of it, or what it is the owner of.
  virtual place owned(std::size_t part) const = 0;
  /// Where the contribution to a part is written, and where its outcome is found; as long as the part. It
  /// is the trainer's from settle() to offer().
  virtual std::span<T> room(std::size_t part) = 0;
  /// The contribution is complete and may leave. `weights` are those of all ranks; this rank's alone where servers
  /// answer, 0 for a step without one. Never waits, unless `waits()`.
  virtual void offer(std::size_t part, std::span<const double> weights) = 0;
  /// Before offer(): whether a part goes through the strategy's codec from now on, as it does where nothing is said. The same
  /// on all ranks.
  virtual void coded(std::size_t /*part*/, bool /*through*/) {}
  /// What was offered leaves now where it has not yet; nothing else is offered soon.
  virtual void send_off() {}
  /// What a lossy codec leaves of a complete contribution takes its place, so that it can be judged before it
  /// leaves; then it is not changed before offer(). Whether it may be another now.
  virtual bool as_sent(std::size_t /*part*/) { return false; }
  /// Whether offer() waits for the other ranks, because the reducer agrees on something first.
  virtual bool waits() const { return false; }
  /// Whether contributions may count differently; otherwise all weights are equal.
  virtual bool weighs() const { return false; }
  /// Waits for a part; then what was agreed on stands in room(part), at the places of owned(part).
  virtual void settle(std::size_t part) = 0;
  /// What was settled of a part counts: what its codec remembers of it takes the place of what it remembered before.
  /// Without that, as in a step that is skipped, the next offer goes on from there as if this one had not been.
  virtual void keep(std::size_t /*part*/) {}
  /// What owners have written into their places of room(part), to everyone.
  virtual void hand_out(std::size_t /*part*/) {}

  /// What differs where contributions are applied as they arrive, by servers. Then offer() is a push, and
  /// after settle() the room holds the parameters as they were answered.
  virtual bool serves() const { return false; }
  virtual tutti::role role() const { return role::worker; }
  /// Whether what is agreed on differs from rank to rank. Then finish() makes the rooms of all ranks their mean.
  virtual bool mixes() const { return false; }
  /// Once, before anything else, where it serves or mixes: `values` are those of the whole model, of which a server
  /// keeps its own place; it calls `use` whenever a contribution arrives there, on this rank's own thread.
  /// `remembers`: it keeps what each worker was answered, which is then what taken_at() says.
  virtual void attach(std::span<T> /*values*/, agreed /*use*/, bool /*remembers*/ = false) {}
  /// A few words that go with a contribution: written before offer(); and those of what is applied now. Of several
  /// contributions that is the first word of the last, and what is set in the other words of any.
  virtual std::span<std::uint64_t> note() { return {}; }
  virtual std::span<const std::uint64_t> noted() const { return {}; }
  /// Of a contribution that is applied by itself: the values of its place that it was taken at, as far as they are
  /// remembered; none where that is the values that it meets.
  virtual std::span<const T> taken_at() const { return {}; }
  /// Whether this rank's last contribution was in time; and the workers that training goes on without.
  virtual bool counted() const { return true; }
  virtual std::vector<int> lost() const { return {}; }
  /// Of a dedicated server: answers until every worker has finished.
  virtual void serve() {}
  /// Collective: this rank makes no more steps until all have finished; then the room of every rank holds
  /// the same parameters, and training may go on.
  virtual void finish() {}

  /// Waits until nothing that this rank began, and nothing that it has heard of, is on its way.
  virtual void rest() {}
  /// Collective, between two steps: whether all ranks can meet. A server that serve() keeps to itself cannot before
  /// finish(); where a worker does not know that yet, everybody fails with refused_meeting.
  virtual bool meets() { return true; }
  /// Collective, before visits: where servers answer, all pushes have been answered, and nobody pushes.
  virtual void meet(control&) {}
  /// What it goes on from beside its rooms and what it was attached to, where all ranks have met, and nothing
  /// that was offered is not settled.
  virtual void state(archive&) {}
  /// Collective, after a visit has changed the state of all ranks: they hear what they have to know of each
  /// other. `afresh`: workers begin with the values of the servers, which every room holds then, and
  /// whatever steps they have made are over; otherwise the room of each rank holds what it has pulled.
  virtual void resume(control&, bool /*afresh*/) {}
};

} // namespace tutti
