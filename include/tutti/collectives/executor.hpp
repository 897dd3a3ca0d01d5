// The executor: runs a plan on a communicator. One template parameter, so it is compiled once.
#pragma once

#include <tutti/collectives/arithmetic.hpp>
#include <tutti/collectives/failed_call.hpp>
#include <tutti/collectives/plan.hpp>
#include <tutti/collectives/task.hpp>
#include <tutti/communicators/communicator.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Tells a communicator that asks for it that so many bytes are about to be combined; what it answers lives until they
/// are.
template <class Comm>
auto combining(Comm& comm, std::size_t bytes) {
  if constexpr (requires { comm.combining(bytes); })
    return comm.combining(bytes);
  else
    return 0;
}

template <communicator Comm>
class execution final : public operation {
public:
  execution(Comm& comm, std::shared_ptr<const plan> what, task&& work, const options& how)
      : comm_{comm}, kept_{std::move(what)}, plan_{*kept_}, task_{std::move(work)},
        timeout_{how.timeout} {}

  bool advance() override {
    try {
      return run();
    } catch (const error& e) {
      fail(e.details());
    } catch (...) {
      give_up("what it called threw");
      throw;
    }
  }

  bool refers_to(const void* communicator) const noexcept override { return communicator == &comm_; }
  std::uint64_t progress() override { return comm_.progress(); }
  void idle(std::uint64_t seen) override { comm_.idle(seen, comparing_.before(deadline_)); }

  void check_deadline() override {
    if (++polls_ % 64 != 0 && !comm_blocks) return;
    const deadline now = tutti::now_of(comm_);
    const bool over = now >= deadline_;
    if (!over && !comparing_.is_due(now, timeout_)) return;
    const int peer = pending_ ? pending_->waiting_for() : -1;
    if (!over) return detail::compare_calls(comm_, peer, [&](failure why) { fail(std::move(why)); });
    fail({.code = error_code::timeout,
          .peer = peer,
          .detail = "no answer within " + std::to_string(timeout_.count()) +
                    " ms - raise tutti::options::timeout if the peer is only slow"});
  }

  deadline until() override { return deadline_; }

  void abandon() noexcept override {
    give_up("the rank dropped a request in flight while unwinding");
  }

  /// With task::keep_gathered, after completion: the encoded contributions to `where`, in rank order.
  struct gathered_contributions {
    std::vector<const std::byte*> rows;
    piece where;
  };
  gathered_contributions gathered() const {
    if (operand_count_ == 0) return {{}, {0, 0}};
    gathered_contributions all{{operands_, operands_ + operand_count_}, gathered_piece()};
    for (std::size_t k = 0; joined_ && k < operand_count_; ++k)
      all.rows[k] = joined_.get() + k * all.where.count * task_.math.value_bytes;
    return all;
  }

private:
  static constexpr bool comm_blocks = requires { requires Comm::idle_blocks; };

  void begin() override {
    deadline_ = options{.timeout = timeout_}.until(tutti::now_of(comm_));
    channel_ = comm_.in_flight().next_channel();
    says_ = comm_.in_flight().history()->add(task_.word, plan_.elements, plan_.root, task_.name);
    pending_.reset();
    comparing_ = {};
    begun_ = false;
    round_ = 0;
  }

  [[noreturn]] void fail(failure why) {
    detail::fail_call(comm_, task_.call, std::move(why), [&] { pending_.reset(); });
  }

  void give_up(const char* why) noexcept {
    detail::give_up_call(comm_, task_.call, why, [&] { pending_.reset(); });
  }

  bool run() {
    if (!begun_) prepare();
    for (;;) {
      if (pending_) {
        if (!pending_->test()) return false;
        pending_.reset();
        absorb(plan_.rounds[round_]);
        ++round_;
      }
      if (round_ == plan_.rounds.size()) break;
      post(plan_.rounds[round_]);
    }
    for (std::size_t k = plan_.last_lowers; k < plan_.lowers.size(); ++k) lower(plan_.lowers[k]);
    if (task_.math.memory)
      task_.math.end(task_.math, task_.out, task_.math.everywhere ? place{0, plan_.elements} : finished_here());
    return true;
  }

  /// Lossy codecs: a rank keeps what it sends. Then values become accumulators.
  void prepare() {
    begun_ = true;
    const bool lifts = !plan_.gathers && !task_.math.in_place && task_.math.lift;
    if (!sends_) { // started again, it has all that
      take_memory(lifts ? plan_.elements * task_.math.accumulator_bytes : 0);
      place_messages();
    }
    if (task_.math.memory) task_.math.begin(task_.math, plan_.elements, finished_here());
    if (!lifts) return;
    if (!task_.math.exact) keep_what_is_sent({0, plan_.elements}, task_.math.contributions.encode);
    task_.math.lift(task_.math, task_.out, accumulators_, plan_.elements, 0, task_.weight);
  }

  // --- memory -------------------------------------------------------------------------------

  std::byte* values(std::size_t element) const {
    return task_.out + element * task_.math.value_bytes;
  }
  std::byte* partials(std::size_t element) const {
    return (accumulators_ ? accumulators_ : task_.out) + element * task_.math.accumulator_bytes;
  }
  /// The values that this rank finishes, and what may lie between them.
  place finished_here() const {
    place all;
    const auto add = [&](const piece& one) {
      all = all.empty() ? place{one.offset, one.offset + one.count}
                        : place{(std::min)(all.begin, one.offset), (std::max)(all.end, one.offset + one.count)};
    };
    for (const piece& one : plan_.lowers) add(one);
    for (std::size_t k = 0; plan_.gathers && k < plan_.folds.size(); ++k) add(plan_.folds[k].where);
    return all;
  }
  /// Gathering with a lossy codec, the rank's own contribution is encoded too, behind the rest.
  std::size_t own_wire_bytes() const {
    if (!plan_.gathers || task_.math.exact) return 0;
    return task_.math.bytes_of(task_.math.contributions, plan_.elements);
  }
  std::byte* place_of(const message& m) const {
    if (m.staged) return staged_ + m.at;
    if (m.partial) return partials(0) + m.at;
    return (m.act == action::publish ? const_cast<std::byte*>(task_.in) : task_.out) + m.at;
  }

  void take_memory(std::size_t accumulator_bytes) {
    const plan::places& at = plan_.at;
    memory_.reset(new std::byte[at.end + accumulator_bytes + own_wire_bytes()]);
    std::byte* const begin = memory_.get();
    sends_ = reinterpret_cast<outgoing*>(begin);
    receives_ = reinterpret_cast<incoming*>(begin + at.receives);
    operands_ = reinterpret_cast<const std::byte**>(begin + at.operands);
    staged_ = begin + at.staging;
    if (accumulator_bytes > 0) accumulators_ = begin + at.end;
  }
  void place_messages() {
    for (std::size_t k = 0; const message& m : plan_.sends)
      sends_[k++] = {m.peer, {place_of(m), m.bytes}};
    for (std::size_t k = 0; const message& m : plan_.receives)
      receives_[k++] = {m.peer, {place_of(m), m.bytes}};
  }

  // --- one round ----------------------------------------------------------------------------

  void post(const plan_round& round) {
    for (std::uint32_t k = round.first_lower; k < round.last_lower; ++k) lower(plan_.lowers[k]);
    for (std::uint32_t k = round.first_send; k < round.last_send; ++k)
      if (plan_.sends[k].staged && !plan_.sends[k].repeats) pack(plan_.sends[k]);
    const exchange_round messages{
        {sends_ + round.first_send, round.last_send - round.first_send},
        {receives_ + round.first_receive, round.last_receive - round.first_receive},
        says_ * round.number};
    pending_.emplace(exchanging{comm_, channel_, messages});
    if (task_.math.exact) return;
    for (std::uint32_t k = round.first_send; k < round.last_send; ++k)
      if (plan_.sends[k].act == action::publish && !plan_.sends[k].repeats)
        unpack(plan_.sends[k]); // a rank keeps what it publishes
  }

  void pack(const message& m) const {
    std::byte* to = place_of(m);
    const std::byte* from = m.act == action::publish ? task_.in : task_.out;
    const coder& by = coder_of(task_.math, m.act);
    for (std::uint32_t k = 0; k < m.pieces; ++k) {
      const piece& p = plan_.pieces[m.first_piece + k];
      if (m.partial) {
        const std::size_t bytes = p.count * task_.math.accumulator_bytes;
        std::memcpy(to, partials(p.offset), bytes);
        to += bytes;
      } else {
        encode(by, from, to, p);
        to += task_.math.bytes_of(by, p.count);
      }
    }
  }

  /// (What lossy codecs encode is the caller's data, which they may write to.)
  void encode(const coder& by, const std::byte* data, std::byte* to, const piece& p) const {
    const std::byte* const from = data + p.offset * task_.math.value_bytes;
    if (task_.math.exact)
      std::memcpy(to, from, p.count * task_.math.value_bytes);
    else
      by.encode(task_.math, const_cast<std::byte*>(from), to, p.count, p.offset);
  }
  void decode(const coder& by, const std::byte* from, const piece& p) const {
    if (task_.math.exact)
      std::memcpy(values(p.offset), from, p.count * task_.math.value_bytes);
    else
      by.decode(task_.math, from, values(p.offset), p.count, p.offset);
  }

  void absorb(const plan_round& round) {
    for (std::uint32_t k = round.first_receive; k < round.last_receive; ++k) {
      const message& m = plan_.receives[k];
      if (m.act == action::store && m.staged) unpack(m);
    }
    for (std::uint32_t k = round.first_fold; k < round.last_fold; ++k) fold(plan_.folds[k]);
  }

  void unpack(const message& m) const {
    const std::byte* from = place_of(m);
    const coder& by = coder_of(task_.math, m.act);
    for (std::uint32_t j = 0; j < m.pieces; ++j) {
      const piece& p = plan_.pieces[m.first_piece + j];
      decode(by, from, p);
      from += task_.math.bytes_of(by, p.count);
    }
  }

  void fold(const fold_step& f) {
    operand_count_ = f.operands;
    const std::size_t unit = plan_.gathers ? task_.math.value_bytes : task_.math.accumulator_bytes;
    [[maybe_unused]] const auto told = detail::combining(comm_, f.where.count * (f.operands - 1) * unit);
    for (std::uint32_t k = 0; k < f.operands; ++k) {
      const operand& o = plan_.operands[f.first_operand + k];
      operands_[k] = o.receive == own_value ? own(f.where, o.offset) : received(o);
    }
    if (!plan_.gathers)
      task_.math.fold(task_.math, operands(), partials(f.where.offset), f.where.count);
    else if (!task_.keep_gathered)
      unite(f.where);
    else if (plan_.folds.size() > 1)
      join(f.where);
  }
  /// The contributions to a shard that is folded in pieces, put together: the next round overwrites them.
  void join(const piece& where) {
    const piece all = gathered_piece();
    const std::size_t unit = task_.math.value_bytes;
    if (!joined_) joined_.reset(new std::byte[operand_count_ * all.count * unit]);
    for (std::size_t k = 0; k < operand_count_; ++k)
      std::memcpy(joined_.get() + (k * all.count + where.offset - all.offset) * unit, operands_[k],
                  where.count * unit);
  }
  /// What this rank folds; one range, its shard or everything.
  piece gathered_piece() const {
    if (plan_.folds.empty()) return plan_.lowers.front();
    piece all = plan_.folds.front().where;
    for (std::size_t k = 1; k < plan_.folds.size(); ++k) {
      all.offset = (std::min)(all.offset, plan_.folds[k].where.offset);
      all.count += plan_.folds[k].where.count;
    }
    return all;
  }
  std::span<const std::byte* const> operands() const { return {operands_, operand_count_}; }
  const std::byte* received(const operand& o) const {
    const message& m = plan_.receives[o.receive];
    return place_of(m) + bytes_before(m, o.offset);
  }
  /// Where element `offset` of a received message begins.
  std::size_t bytes_before(const message& m, std::size_t offset) const {
    if (!plan_.gathers) return offset * task_.math.accumulator_bytes;
    std::size_t bytes = 0;
    for (std::uint32_t k = 0; offset > 0; ++k) {
      const std::size_t count = plan_.pieces[m.first_piece + k].count;
      if (count > offset && !task_.math.elementwise)
        throw error{{.code = error_code::unsupported,
                     .detail = "this topology folds a part of a message, and this codec can only "
                               "decode whole ones - use tutti::direct"}};
      bytes += task_.math.bytes_of(task_.math.contributions, (std::min)(count, offset));
      offset -= (std::min)(count, offset);
    }
    return bytes;
  }
  const std::byte* own(const piece& where, std::size_t sent_too = 0) {
    if (!plan_.gathers) return partials(where.offset);
    if (task_.math.exact) return values(where.offset);
    if (sent_too > 0) return place_of(plan_.sends[sent_too - 1]);
    std::byte* wire = memory_.get() + plan_.at.end;
    encode(task_.math.contributions, task_.out, wire, where);
    return wire;
  }
  void unite(const piece& where) {
    task_.math.unite(task_.math, operands(), task_.weights, values(where.offset), where.count,
                     where.offset, task_.total);
    if (task_.math.rounds) keep_what_is_sent(where, task_.math.finish);
  }

  // --- finishing ----------------------------------------------------------------------------

  /// Accumulators become values; a gathered piece that no one else contributed to is a fold of one.
  void lower(const piece& where) {
    if (plan_.gathers) {
      operands_[0] = own(where);
      operand_count_ = 1;
      if (!task_.keep_gathered) unite(where);
      return;
    }
    if (!task_.math.lower) return;
    task_.math.lower(task_.math, partials(where.offset), values(where.offset), where.count,
                     where.offset, task_.total);
    if (task_.math.rounds) keep_what_is_sent(where, task_.math.finish);
  }

  /// values = decode(encode(values)), a block at a time where the codec allows it.
  void keep_what_is_sent(const piece& where, decltype(coder::encode) encode_by) const {
    const std::size_t length = task_.math.elementwise ? 1024 : where.count;
    const coder& by = task_.math.contributions;
    std::vector<std::byte> wire((std::max)(task_.math.bytes_of(by, (std::min)(where.count, length)),
                                           task_.math.bytes_of(task_.math.results, (std::min)(where.count, length))));
    for (std::size_t done = 0; done < where.count; done += length) {
      const piece p{where.offset + done, (std::min)(length, where.count - done)};
      encode_by(task_.math, values(p.offset), wire.data(), p.count, p.offset);
      decode(encode_by == by.encode ? by : task_.math.results, wire.data(), p);
    }
  }

  using handle = decltype(std::declval<Comm&>().exchange(host_execution{}, channel{},
                                                         std::declval<const exchange_round&>()));

  /// Becomes the handle where it is kept, without a move.
  struct exchanging {
    Comm& comm;
    channel on;
    const exchange_round& round;
    operator handle() const { return comm.exchange(host_execution{}, on, round); }
  };

  Comm& comm_;
  const std::shared_ptr<const plan> kept_;
  const plan& plan_;
  task task_;
  std::chrono::milliseconds timeout_;
  deadline deadline_{};
  channel channel_ = 0;
  std::uint64_t says_ = 0;
  comparing comparing_;
  bool begun_ = false;
  std::unique_ptr<std::byte[]> joined_;
  unsigned polls_ = 0;
  std::size_t round_ = 0;
  std::unique_ptr<std::byte[]> memory_; ///< that arrays are cut from
  outgoing* sends_ = nullptr;             ///< one for each of the plan's
  incoming* receives_ = nullptr;          ///< likewise
  const std::byte** operands_ = nullptr;  ///< of the last fold
  std::size_t operand_count_ = 0;
  std::byte* accumulators_ = nullptr; ///< none when the data itself holds them
  std::byte* staged_ = nullptr;
  std::optional<handle> pending_; ///< last: destroyed before the memory that it moves
};

} // namespace tutti::detail
