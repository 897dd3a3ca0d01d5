// The executor: runs a plan on a communicator. One template parameter, so it is compiled once.
#pragma once

#include <tutti/collectives/arithmetic.hpp>
#include <tutti/collectives/plan.hpp>
#include <tutti/communicators/communicator.hpp>

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

/// What one execution of a plan works on.
struct task {
  const char* call = "";         ///< the public call, for errors
  arithmetic math;
  const std::byte* in = nullptr; ///< where `publish` reads; `out` but for collectives that move blocks
  std::byte* out = nullptr;      ///< the caller's data, where everything else happens
  double weight = 1.0;           ///< of this rank's contribution
  double total = 1.0;            ///< of all contributions
  std::vector<double> weights;   ///< of each rank; empty when all are 1
  bool keep_gathered = false;    ///< leave gathered contributions as they came, for gathered()
};

template <communicator Comm>
class execution final : public operation {
public:
  execution(Comm& comm, plan what, task work, const options& how)
      : comm_{comm}, plan_{std::move(what)}, task_{std::move(work)}, timeout_{how.timeout},
        deadline_{how.until()}, channel_{comm.in_flight().next_channel()} {}

  bool advance() override {
    try {
      return run();
    } catch (const error& e) {
      fail(e.details());
    }
  }

  std::uint64_t progress() override { return comm_.progress(); }
  void idle(std::uint64_t seen) override { comm_.idle(seen, deadline_); }

  void check_deadline() override {
    if (++polls_ % 64 != 0 && !comm_blocks) return;
    if (clock::now() < deadline_) return;
    fail({.code = error_code::timeout,
          .peer = pending_ ? pending_->waiting_for() : -1,
          .detail = "no answer within " + std::to_string(timeout_.count()) +
                    " ms - raise tutti::options::timeout if the peer is only slow"});
  }

  void abandon() noexcept override {
    comm_.revoke({.code = error_code::peer_lost,
                  .call = task_.call,
                  .peer = plan_.rank,
                  .detail = "the rank dropped a request in flight while unwinding"});
    pending_.reset();
  }

  /// With task::keep_gathered, after completion: the encoded contributions to `where`, in rank order.
  struct gathered_contributions {
    std::vector<const std::byte*> rows;
    piece where;
  };
  gathered_contributions gathered() const {
    if (operands_.empty()) return {{}, {0, 0}};
    return {operands_, plan_.folds.empty() ? plan_.lowers.front() : plan_.folds.front().where};
  }

private:
  static constexpr bool comm_blocks = requires { requires Comm::idle_blocks; };

  [[noreturn]] void fail(failure f) {
    if (f.call.empty()) f.call = task_.call;
    if (f.rank < 0) f.rank = plan_.rank;
    comm_.revoke(f);
    f.rank = plan_.rank;
    throw error{std::move(f)};
  }

  bool run() {
    if (!begun_) begin();
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
    return true;
  }

  /// Lossy codecs: a rank keeps what it sends. Then values become accumulators.
  void begin() {
    begun_ = true;
    staged_.reset(new std::byte[staging_bytes()]);
    if (plan_.gathers || task_.math.in_place || !task_.math.lift) return;
    accumulators_.reset(new std::byte[plan_.elements * task_.math.accumulator_bytes]);
    if (!task_.math.exact) keep_what_is_sent({0, plan_.elements});
    task_.math.lift(task_.math, task_.out, accumulators_.get(), plan_.elements, 0, task_.weight);
  }

  // --- memory -------------------------------------------------------------------------------

  std::byte* values(std::size_t element) const {
    return task_.out + element * task_.math.value_bytes;
  }
  std::byte* partials(std::size_t element) const {
    return (accumulators_ ? accumulators_.get() : task_.out) +
           element * task_.math.accumulator_bytes;
  }
  std::size_t wire_bytes(std::size_t n) const {
    return task_.math.exact ? n * task_.math.value_bytes : task_.math.wire_bytes(task_.math, n);
  }
  bool carries_partials(const message& m) const {
    return !plan_.gathers && (m.act == action::send || m.act == action::combine);
  }
  std::size_t bytes_of(const message& m) const {
    if (carries_partials(m)) return m.elements * task_.math.accumulator_bytes;
    std::size_t total = 0;
    for (std::uint32_t k = 0; k < m.pieces; ++k)
      total += wire_bytes(plan_.pieces[m.first_piece + k].count);
    return total;
  }
  /// Whether a message is put together, or taken apart, outside the caller's memory.
  bool is_staged(const message& m) const {
    if (m.act == action::combine || m.pieces != 1) return true;
    return !task_.math.exact && !carries_partials(m);
  }
  static std::size_t padded(std::size_t bytes) { return (bytes + 63) & ~std::size_t{63}; }

  std::size_t staging_bytes() {
    std::size_t most = 0;
    offsets_.resize(plan_.messages.size());
    for (const plan_round& round : plan_.rounds) {
      std::size_t used = 0;
      for (std::uint32_t k = round.first_message; k < round.last_message; ++k) {
        offsets_[k] = used;
        if (is_staged(plan_.messages[k])) used += padded(bytes_of(plan_.messages[k]));
      }
      own_offset_ = (std::max)(own_offset_, used);
      most = (std::max)(most, used);
    }
    return most + own_wire_bytes();
  }
  /// Gathering with a lossy codec, the rank's own contribution is encoded too.
  std::size_t own_wire_bytes() const {
    if (!plan_.gathers || task_.math.exact) return 0;
    return padded(wire_bytes(plan_.elements));
  }

  // --- one round ----------------------------------------------------------------------------

  void post(const plan_round& round) {
    for (std::uint32_t k = round.first_lower; k < round.last_lower; ++k) lower(plan_.lowers[k]);
    sends_.clear();
    receives_.clear();
    for (std::uint32_t k = round.first_message; k < round.last_message; ++k) {
      const message& m = plan_.messages[k];
      std::byte* at = is_staged(m) ? staged_.get() + offsets_[k] : in_place(m);
      if (is_outgoing(m.act)) {
        if (is_staged(m)) pack(m, at);
        sends_.push_back({m.peer, {at, bytes_of(m)}});
      } else {
        receives_.push_back({m.peer, {at, bytes_of(m)}});
      }
    }
    pending_.emplace(comm_.exchange(host_execution{}, channel_, {sends_, receives_}));
    if (task_.math.exact) return;
    for (std::uint32_t k = round.first_message; k < round.last_message; ++k)
      if (plan_.messages[k].act == action::publish) unpack(k); // a rank keeps what it publishes
  }

  std::byte* in_place(const message& m) const {
    const std::size_t offset = plan_.pieces[m.first_piece].offset;
    if (carries_partials(m)) return partials(offset);
    if (m.act == action::publish)
      return const_cast<std::byte*>(task_.in) + offset * task_.math.value_bytes;
    return values(offset);
  }

  void pack(const message& m, std::byte* to) const {
    const std::byte* from = m.act == action::publish ? task_.in : task_.out;
    for (std::uint32_t k = 0; k < m.pieces; ++k) {
      const piece& p = plan_.pieces[m.first_piece + k];
      if (carries_partials(m)) {
        const std::size_t bytes = p.count * task_.math.accumulator_bytes;
        std::memcpy(to, partials(p.offset), bytes);
        to += bytes;
      } else {
        encode(from + p.offset * task_.math.value_bytes, to, p.count);
        to += wire_bytes(p.count);
      }
    }
  }

  void encode(const std::byte* from, std::byte* to, std::size_t n) const {
    if (task_.math.exact)
      std::memcpy(to, from, n * task_.math.value_bytes);
    else
      task_.math.encode(task_.math, from, to, n);
  }
  void decode(const std::byte* from, std::byte* to, std::size_t n) const {
    if (task_.math.exact)
      std::memcpy(to, from, n * task_.math.value_bytes);
    else
      task_.math.decode(task_.math, from, to, n);
  }

  void absorb(const plan_round& round) {
    for (std::uint32_t k = round.first_message; k < round.last_message; ++k)
      if (plan_.messages[k].act == action::store && is_staged(plan_.messages[k])) unpack(k);
    for (std::uint32_t k = round.first_fold; k < round.last_fold; ++k) fold(plan_.folds[k]);
  }

  void unpack(std::uint32_t k) const {
    const message& m = plan_.messages[k];
    const std::byte* from = staged_.get() + offsets_[k];
    for (std::uint32_t j = 0; j < m.pieces; ++j) {
      const piece& p = plan_.pieces[m.first_piece + j];
      decode(from, values(p.offset), p.count);
      from += wire_bytes(p.count);
    }
  }

  void fold(const fold_step& f) {
    operands_.clear();
    for (std::uint32_t k = 0; k < f.operands; ++k) {
      const operand& o = plan_.operands[f.first_operand + k];
      operands_.push_back(o.message == own_value ? own(f.where) : received(o));
    }
    if (!plan_.gathers)
      task_.math.fold(task_.math, operands_, partials(f.where.offset), f.where.count);
    else if (!task_.keep_gathered)
      unite(f.where);
  }
  const std::byte* received(const operand& o) const {
    return staged_.get() + offsets_[o.message] + bytes_before(plan_.messages[o.message], o.offset);
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
      bytes += wire_bytes((std::min)(count, offset));
      offset -= (std::min)(count, offset);
    }
    return bytes;
  }
  const std::byte* own(const piece& where) {
    if (!plan_.gathers) return partials(where.offset);
    if (task_.math.exact) return values(where.offset);
    std::byte* wire = staged_.get() + own_offset_;
    encode(values(where.offset), wire, where.count);
    return wire;
  }
  void unite(const piece& where) {
    task_.math.unite(task_.math, operands_, task_.weights, values(where.offset), where.count,
                     where.offset, task_.total);
    if (task_.math.rounds) keep_what_is_sent(where);
  }

  // --- finishing ----------------------------------------------------------------------------

  /// Accumulators become values; a gathered piece that no one else contributed to is a fold of one.
  void lower(const piece& where) {
    if (plan_.gathers) {
      operands_.assign(1, own(where));
      if (!task_.keep_gathered) unite(where);
      return;
    }
    if (!task_.math.lower) return;
    task_.math.lower(task_.math, partials(where.offset), values(where.offset), where.count,
                     where.offset, task_.total);
    if (task_.math.rounds) keep_what_is_sent(where);
  }

  /// values = decode(encode(values)), a block at a time where the codec allows it.
  void keep_what_is_sent(const piece& where) const {
    const std::size_t length = task_.math.elementwise ? 1024 : where.count;
    std::vector<std::byte> wire(wire_bytes((std::min)(where.count, length)));
    for (std::size_t done = 0; done < where.count; done += length) {
      const std::size_t n = (std::min)(length, where.count - done);
      encode(values(where.offset + done), wire.data(), n);
      decode(wire.data(), values(where.offset + done), n);
    }
  }

  using handle = decltype(std::declval<Comm&>().exchange(host_execution{}, channel{},
                                                         std::declval<const exchange_round&>()));

  Comm& comm_;
  plan plan_;
  task task_;
  std::chrono::milliseconds timeout_;
  deadline deadline_;
  channel channel_;
  bool begun_ = false;
  unsigned polls_ = 0;
  std::size_t round_ = 0;
  std::optional<handle> pending_;
  std::unique_ptr<std::byte[]> staged_;
  std::unique_ptr<std::byte[]> accumulators_;
  std::size_t own_offset_ = 0;
  std::vector<std::size_t> offsets_;
  std::vector<outgoing> sends_;
  std::vector<incoming> receives_;
  std::vector<const std::byte*> operands_;
};

} // namespace tutti::detail
