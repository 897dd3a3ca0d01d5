// A plan on device memory: its copies and kernels in the order of one stream, and the messages that lie between them.
#pragma once

#include <tutti/collectives/plan.hpp>
#include <tutti/cuda/device_arithmetic.cuh>
#include <tutti/cuda/device_buffer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace tutti::cuda::detail {

/// The rounds of a plan on device memory, as the executor of the host runs them (collectives/executor.hpp): what lies
/// between two exchanges is enqueued on a stream, and nothing is waited for. Buffer is what memory beside the data is
/// had as: `device_buffer`, or `plain_buffer` for messages that others read where they are. Math outlives it.
template <class T, class Math, template <class> class Buffer = device_buffer> class device_plan {
  using plan = tutti::detail::plan;
  using piece = tutti::detail::piece;
  using message = tutti::detail::message;
  using A = typename Math::A;
  using wire = device_span<std::byte>;
  static constexpr bool exact = Math::coder_type::exact;

public:
  device_plan(const stream& on, std::shared_ptr<const plan> what, device_span<T> data, const Math& math)
      : on_{on}, kept_{std::move(what)}, plan_{*kept_}, data_{data}, math_{math}, staged_{on, plan_.staging_bytes} {
    if constexpr (lifts)
      if (!plan_.gathers) accumulators_ = Buffer<A>{on, data.size()};
    if constexpr (!exact) {
      refuse_cut_messages();
      math_.coder().finishes(finished_here());
      own_ = device_buffer<std::byte>{on, math_.coder().bytes(data.size())};
      decoded_ = device_buffer<T>{on, most_decoded()};
    }
  }

  std::size_t rounds() const noexcept { return plan_.rounds.size(); }

  /// Before the first round.
  void begin() const {
    math_.coder().begin();
    if constexpr (!exact)
      if (!plan_.gathers) math_.coder().keep(data_, own_.span(), 0);
    if constexpr (lifts)
      if (!plan_.gathers) math_.lift(data_, accumulators_.span());
  }
  /// Before the messages of a round are exchanged.
  void prepare(std::size_t r) {
    const auto& round = plan_.rounds[r];
    for (auto k = round.first_lower; k < round.last_lower; ++k) lower(plan_.lowers[k]);
    for (auto k = round.first_send; k < round.last_send; ++k)
      if (plan_.sends[k].staged && !plan_.sends[k].repeats) move_pieces(plan_.sends[k], true);
  }
  /// Valid until it is called again.
  exchange_round messages(std::size_t r) {
    const auto& round = plan_.rounds[r];
    sends_.clear(), receives_.clear();
    for (auto k = round.first_send; k < round.last_send; ++k)
      sends_.push_back({plan_.sends[k].peer, {place_of(plan_.sends[k]), plan_.sends[k].bytes}});
    for (auto k = round.first_receive; k < round.last_receive; ++k)
      receives_.push_back({plan_.receives[k].peer, {place_of(plan_.receives[k]), plan_.receives[k].bytes}});
    return {sends_, receives_};
  }
  /// Behind them.
  void absorb(std::size_t r) {
    const auto& round = plan_.rounds[r];
    for (auto k = round.first_receive; k < round.last_receive; ++k)
      if (plan_.receives[k].staged && plan_.receives[k].act == action::store) move_pieces(plan_.receives[k], false);
    for (auto k = round.first_fold; k < round.last_fold; ++k) fold(plan_.folds[k]);
  }
  /// Behind the last round.
  void end() {
    for (std::size_t k = plan_.last_lowers; k < plan_.lowers.size(); ++k) lower(plan_.lowers[k]);
  }

  const stream& on() const noexcept { return on_; }

private:
  static constexpr bool lifts = Math::folds && !Math::in_place;

  device_span<T> values(const piece& where) const { return data_.subspan(where.offset, where.count); }
  /// Accumulators stand in the data itself, where they are values.
  device_span<A> partials(const piece& where) const {
    if constexpr (Math::in_place)
      return values(where);
    else
      return accumulators_.span().subspan(where.offset, where.count);
  }
  std::byte* place_of(const message& m) const {
    if (m.staged) return staged_.span().data() + m.at;
    std::byte* const begin = m.partial && !Math::in_place ? reinterpret_cast<std::byte*>(accumulators_.span().data())
                                                          : reinterpret_cast<std::byte*>(data_.data());
    return begin + m.at;
  }

  /// Between a message that is put together and the pieces of the data that it consists of.
  void move_pieces(const message& m, bool out) const {
    std::byte* at = place_of(m);
    const current_device held{on_.device()};
    for (std::uint32_t k = 0; k < m.pieces; ++k) {
      const piece& p = plan_.pieces[m.first_piece + k];
      void* const own = m.partial ? static_cast<void*>(partials(p).data()) : static_cast<void*>(values(p).data());
      if constexpr (!exact)
        if (!m.partial) {
          const wire encoded = bytes_at(at, p.count);
          at += encoded.size();
          if (!out) math_.coder().decode(encoded, values(p));
          else if (m.act == action::publish) math_.coder().publish(values(p), encoded, p.offset);
          else math_.coder().contribute(values(p), encoded, p.offset);
          continue;
        }
      const std::size_t bytes = p.count * (m.partial ? sizeof(A) : sizeof(T));
      cuda::check(cudaMemcpyAsync(out ? at : own, out ? own : at, bytes, cudaMemcpyDeviceToDevice, on_.handle()),
                  "cudaMemcpyAsync");
      at += bytes;
    }
  }

  template <class X> std::vector<device_span<const X>> operands(const tutti::detail::fold_step& f, device_span<X> own) {
    std::vector<device_span<const X>> all;
    for (std::uint32_t k = 0; k < f.operands; ++k) {
      const auto& o = plan_.operands[f.first_operand + k];
      if (o.receive == tutti::detail::own_value)
        all.push_back(own);
      else
        all.push_back({reinterpret_cast<const X*>(place_of(plan_.receives[o.receive])) + o.offset, f.where.count,
                       on_.device()});
    }
    return all;
  }
  void fold(const tutti::detail::fold_step& f) {
    if constexpr (Math::reduces)
      if (plan_.gathers) {
        if constexpr (exact) math_.unite(operands(f, values(f.where)), values(f.where));
        else unite(encoded_operands(f), f.where);
        return;
      }
    if constexpr (Math::folds) math_.fold(operands(f, partials(f.where)), partials(f.where));
  }
  void lower(const piece& where) {
    if constexpr (Math::reduces)
      if (plan_.gathers) {
        if constexpr (exact) math_.unite({values(where)}, values(where));
        else unite({own(where, 0)}, where);
        return;
      }
    if constexpr (Math::folds) math_.lower(partials(where), values(where));
    if constexpr (!exact) finish(where);
  }

  // --- messages of a codec, as the executor of the host makes them ------------------------------

  wire bytes_at(std::byte* at, std::size_t n) const { return {at, math_.coder().bytes(n), on_.device()}; }
  /// This rank's contribution, which it may have sent too.
  wire own(const piece& where, std::size_t sent_too) const {
    if (sent_too > 0) return bytes_at(place_of(plan_.sends[sent_too - 1]), where.count);
    const wire encoded = bytes_at(own_.span().data(), where.count);
    math_.coder().contribute(values(where), encoded, where.offset);
    return encoded;
  }
  std::vector<device_span<const std::byte>> encoded_operands(const tutti::detail::fold_step& f) const {
    std::vector<device_span<const std::byte>> all;
    for (std::uint32_t k = 0; k < f.operands; ++k) {
      const auto& o = plan_.operands[f.first_operand + k];
      if (o.receive == tutti::detail::own_value) {
        all.push_back(own(f.where, o.offset));
        continue;
      }
      const message& m = plan_.receives[o.receive];
      std::byte* at = place_of(m);
      std::size_t offset = o.offset;
      for (std::uint32_t j = 0; offset > 0; ++j) {
        const std::size_t count = (std::min)(plan_.pieces[m.first_piece + j].count, offset);
        at += math_.coder().bytes(count);
        offset -= count;
      }
      all.push_back(bytes_at(at, f.where.count));
    }
    return all;
  }
  void unite(const std::vector<device_span<const std::byte>>& in, const piece& where) const {
    const device_span<T> out = values(where);
    if (in.size() <= Math::most_decoded) {
      math_.unite_encoded(in, out);
    } else {
      std::vector<device_span<const T>> rows;
      for (std::size_t k = 0; k < in.size(); ++k) {
        const device_span<T> row = decoded_.span().subspan(k * out.size(), out.size());
        math_.coder().decode(in[k], row);
        rows.push_back(row);
      }
      math_.unite(rows, out);
    }
    finish(where);
  }
  void finish(const piece& where) const {
    if constexpr (Math::coder_type::rounds)
      math_.coder().finish(values(where), bytes_at(own_.span().data(), where.count), where.offset);
  }
  /// How many values of messages are decoded at once, before they are reduced.
  std::size_t most_decoded() const {
    std::size_t most = 0;
    const auto add = [&](std::size_t messages, std::size_t n) {
      if (plan_.gathers && messages > Math::most_decoded) most = (std::max)(most, messages * n);
    };
    for (const auto& f : plan_.folds) add(f.operands, f.where.count);
    for (const piece& p : plan_.lowers) add(1, p.count);
    return most;
  }
  place finished_here() const {
    std::size_t begin = data_.size(), end = 0;
    const auto add = [&](const piece& one) {
      begin = (std::min)(begin, one.offset);
      end = (std::max)(end, one.offset + one.count);
    };
    for (const piece& one : plan_.lowers) add(one);
    for (std::size_t k = 0; plan_.gathers && k < plan_.folds.size(); ++k) add(plan_.folds[k].where);
    return begin < end ? place{begin, end} : place{};
  }
  /// What kernels decode begins where it was encoded from.
  void refuse_cut_messages() const {
    if constexpr (!Math::coder_type::elementwise) {
      const auto alone = [](const message& m) { return m.partial || m.pieces == 1; };
      bool whole = std::all_of(plan_.sends.begin(), plan_.sends.end(), alone) &&
                   std::all_of(plan_.receives.begin(), plan_.receives.end(), alone);
      for (const auto& o : plan_.operands) whole = whole && (o.receive == tutti::detail::own_value || o.offset == 0);
      if (!whole)
        throw error{{.code = error_code::unsupported,
                     .detail = "this topology sends several pieces in a message, or folds a part of one, and this "
                               "codec decodes whole ones - use tutti::direct"}};
    }
  }

  const stream& on_;
  const std::shared_ptr<const plan> kept_;
  const plan& plan_;
  device_span<T> data_;
  const Math& math_;
  Buffer<std::byte> staged_;
  Buffer<A> accumulators_; ///< none where the data itself holds them
  device_buffer<std::byte> own_; ///< of a codec: this rank's contribution, and room to round in
  device_buffer<T> decoded_;     ///< what kernels do not reduce as they decode it
  std::vector<outgoing> sends_;
  std::vector<incoming> receives_;
};

} // namespace tutti::cuda::detail
