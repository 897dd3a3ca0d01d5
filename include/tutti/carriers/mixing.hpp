// mixing: a rank's values are averaged with those of its neighbours in a graph, which differs from rank to rank.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/reducing.hpp>
#include <tutti/codecs/codec.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/collectives/failed_call.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/communicators/reserved_channel.hpp>
#include <tutti/core/aligned_values.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/topologies/mixing.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

/// Messages of a rank in one round, in flight among the operations of its communicator. What the round names outlives
/// it.
template <class Comm>
class one_exchange final : public operation {
public:
  one_exchange(Comm& comm, channel on, std::vector<outgoing> sends, std::vector<incoming> receives, const options& how)
      : comm_{comm}, on_{on}, sends_{std::move(sends)}, receives_{std::move(receives)}, how_{how} {}

  bool advance() override {
    try {
      if (!pending_) pending_.emplace(comm_.exchange(host_execution{}, on_, {sends_, receives_}));
      if (!pending_->test()) return false;
      pending_.reset();
      return true;
    } catch (const error& e) {
      fail(e.details());
    } catch (...) {
      give_up("what it called threw");
      throw;
    }
  }
  std::uint64_t progress() override { return comm_.progress(); }
  void idle(std::uint64_t seen) override { comm_.idle(seen, until_); }
  void check_deadline() override {
    if (tutti::now_of(comm_) < until_) return;
    fail({.code = error_code::timeout,
          .peer = pending_ ? pending_->waiting_for() : -1,
          .detail = "no answer within " + std::to_string(how_.timeout.count()) +
                    " ms - raise tutti::options::timeout if the peer is only slow"});
  }
  deadline until() override { return until_; }
  void abandon() noexcept override { give_up("the rank dropped a request in flight while unwinding"); }
  bool refers_to(const void* communicator) const noexcept override { return communicator == &comm_; }

private:
  void begin() override { until_ = how_.until(tutti::now_of(comm_)); }
  [[noreturn]] void fail(failure why) {
    detail::fail_call(comm_, "step", std::move(why), [&] { pending_.reset(); });
  }
  void give_up(const char* why) noexcept {
    detail::give_up_call(comm_, "step", why, [&] { pending_.reset(); });
  }

  Comm& comm_;
  const channel on_;
  const std::vector<outgoing> sends_;
  const std::vector<incoming> receives_;
  const options how_;
  std::optional<exchange_handle_of<Comm>> pending_;
  deadline until_ = {};
};

/// One term of a weighted sum.
template <class T>
struct weighted_term {
  T weight;
  const T* values;
};

/// out = the sum of weight * values over the terms, in their order; `out` may be one of them.
template <class T>
void weighted_sum(std::span<T> out, std::span<const weighted_term<T>> terms) {
  const exact_mode held;
  const rounding rounded;
  std::array<T, 512> sums;
  for (std::size_t at = 0; at < out.size(); at += sums.size()) {
    const std::size_t n = (std::min)(sums.size(), out.size() - at);
    for (std::size_t k = 0; k < terms.size(); ++k)
      for (std::size_t i = 0; i < n; ++i) {
        const T x = rounded(terms[k].weight * terms[k].values[at + i]);
        sums[i] = k == 0 ? x : sums[i] + x;
      }
    std::copy_n(sums.begin(), n, out.begin() + std::ptrdiff_t(at));
  }
}

} // namespace detail

/// Where the numerators are mixed, and a weight with them, what a rank sees is their ratio (push-sum): a graph
/// whose columns alone add up to one is enough.
enum class mixed_as : std::uint8_t { values, ratios };

/// After settle() the room has the weighted sum of this rank's values and its neighbours', summed in rank order. Every
/// part counts its own rounds, so several may be in flight. Cost of a part: a message of it to each neighbour in that
/// round, and one from it; memory for one message of each neighbour, and with ratios two copies of the part.
template <class T, class Comm, class Graph, class Codec, mixed_as What>
class mixing final : public carrier<T> {
  static constexpr bool ratios = What == mixed_as::ratios;
  static constexpr bool encodes = !std::is_same_v<Codec, identity>;

public:
  using agreed = typename carrier<T>::agreed;

  mixing(Comm& comm, const Graph& graph, const Codec& codec, const options& how, std::span<const place> parts)
      : comm_{comm}, graph_{graph}, codec_{codec}, how_{how}, cycle_{cycle_of(graph, comm.size())} {
    how_.weight = 1;
    pieces_.reserve(parts.size());
    for (const place where : parts) pieces_.emplace_back(comm, where);
    if (cycle_ > 0)
      for (std::int64_t round = 0; round < cycle_; ++round) rounds_.push_back(neighbours_in(round));
  }

  bool mixes() const override { return true; }
  bool weighs() const override { return true; } // a replica counts as its graph says, whatever it was trained on
  place owned(std::size_t part) const override { return pieces_[part].where; }
  std::span<T> room(std::size_t part) override { return pieces_[part].room.span(); }

  void attach(std::span<T> values, agreed, bool = false) override {
    if constexpr (ratios)
      for (piece& p : pieces_) p.begin_at(values.subspan(p.where.begin, p.where.size()));
  }
  void offer(std::size_t part, std::span<const double>) override {
    piece& p = pieces_[part];
    if constexpr (ratios) p.add_what_was_learnt();
    const std::span<T> values = p.mixed();
    const neighbours& near = neighbours_of(p);
    const std::size_t bytes = codec_.template bytes<T>(values.size());
    if constexpr (encodes) {
      p.out.resize(bytes);
      const coding at = coded_by(comm_.rank(), p);
      detail::encode<T>(codec_, std::span<const T>{values}, p.out.data(), at);
      detail::decode<T>(codec_, p.out.data(), values, at); // a rank keeps what it sent
    }
    p.in.resize(near.heard.size());
    std::vector<outgoing> sends;
    std::vector<incoming> receives;
    for (const int to : near.told)
      sends.push_back({to, encodes ? std::span<const std::byte>{p.out} : std::as_bytes(values)});
    for (std::size_t k = 0; k < near.heard.size(); ++k)
      if (near.heard[k].from != comm_.rank()) {
        p.in[k].resize(bytes);
        receives.push_back({near.heard[k].from, p.in[k]});
      }
    p.exchange = {
        std::make_unique<detail::one_exchange<Comm>>(comm_, p.on, std::move(sends), std::move(receives), how_),
        comm_.in_flight()};
  }
  void settle(std::size_t part) override {
    piece& p = pieces_[part];
    p.exchange.wait();
    const neighbours& near = neighbours_of(p);
    const std::span<T> values = p.mixed();
    std::vector<detail::aligned_values<T>> decoded;
    std::vector<detail::weighted_term<T>> terms;
    for (std::size_t k = 0; k < near.heard.size(); ++k) {
      const T* from = values.data();
      if (near.heard[k].from != comm_.rank()) {
        from = reinterpret_cast<const T*>(p.in[k].data());
        if constexpr (encodes) {
          decoded.emplace_back(values.size());
          detail::decode<T>(codec_, p.in[k].data(), decoded.back().span(), coded_by(near.heard[k].from, p));
          from = decoded.back().begin();
        }
      }
      terms.push_back({T(near.heard[k].weight), from});
    }
    detail::weighted_sum<T>(values, terms);
    if constexpr (ratios) p.show_ratios();
    ++p.round;
  }
  /// The mean of all ranks' rooms, to all of them.
  void finish() override {
    for (piece& p : pieces_) {
      if constexpr (ratios) p.add_what_was_learnt();
      tutti::all_reduce(comm_, p.mixed(), default_topology{}, mean{}, identity{}, how_);
      if constexpr (ratios) p.show_ratios();
    }
  }
  void state(archive& to) override {
    for (std::size_t k = 0; k < pieces_.size(); ++k) {
      piece& p = pieces_[k];
      const std::string of = " of " + std::to_string(k);
      to.number("rounds" + of, p.round);
      if constexpr (ratios) {
        double weight = double(p.numerators.span().back());
        to.number("weight in the sum" + of, weight, held_by::each);
        p.numerators.span().back() = T(weight);
        to.values("numerators", p.numerators.span().first(p.where.size()), p.where, held_by::each);
        to.values("ratios", p.shown.span(), p.where, held_by::each);
      }
    }
  }

private:
  /// Of this rank in one round, in rank order.
  struct neighbours {
    std::vector<share> heard; ///< itself among them
    std::vector<int> told;
  };
  struct piece {
    piece(Comm& comm, place at) : where{at}, room{at.size()}, on{comm.in_flight()} {
      if constexpr (ratios) {
        numerators = detail::aligned_values<T>{at.size() + 1};
        shown = detail::aligned_values<T>{at.size()};
      }
    }
    /// What travels.
    std::span<T> mixed() {
      if constexpr (ratios)
        return numerators.span();
      else
        return room.span();
    }
    void begin_at(std::span<const T> values) {
      std::copy(values.begin(), values.end(), numerators.begin());
      std::copy(values.begin(), values.end(), shown.begin());
      numerators.span().back() = 1;
    }
    /// What the room is more than what it showed.
    void add_what_was_learnt() {
      const detail::exact_mode held;
      const std::span<T> sums = numerators.span();
      const bool is_whole = sums.back() == 1; // then what is shown are the numerators, and no rounding is needed
      for (std::size_t i = 0; i < where.size(); ++i)
        sums[i] = is_whole ? room.span()[i] : sums[i] + (room.span()[i] - shown.span()[i]);
    }
    void show_ratios() {
      const detail::exact_mode held;
      const std::span<T> sums = numerators.span();
      for (std::size_t i = 0; i < where.size(); ++i) room.span()[i] = sums[i] / sums.back();
      std::copy(room.begin(), room.end(), shown.begin());
    }

    place where;
    detail::aligned_values<T> room;
    detail::aligned_values<T> numerators, shown; ///< with ratios; the last numerator is the weight
    reserved_channel on;
    std::vector<std::byte> out;
    std::vector<std::vector<std::byte>> in; ///< of each that is heard
    neighbours near;                        ///< in this round, where no round comes again
    std::int64_t near_in = -1;
    std::int64_t round = 0;
    request exchange;
  };

  static coding coded_by(int rank, const piece& p) {
    return {.exchange = std::uint64_t(p.round), .first = p.where.begin, .rank = rank};
  }
  neighbours neighbours_in(std::int64_t round) const {
    neighbours all;
    graph_.mix(round, comm_.rank(), comm_.size(), [&](share s) {
      if (s.to == comm_.rank())
        all.heard.push_back(s);
      else
        all.told.push_back(s.to);
    });
    std::sort(all.heard.begin(), all.heard.end(), [](const share& a, const share& b) { return a.from < b.from; });
    std::sort(all.told.begin(), all.told.end());
    return all;
  }
  const neighbours& neighbours_of(piece& p) {
    if (cycle_ > 0) return rounds_[std::size_t(p.round % cycle_)];
    if (std::exchange(p.near_in, p.round) != p.round) p.near = neighbours_in(p.round);
    return p.near;
  }

  Comm& comm_;
  const Graph& graph_;
  const Codec& codec_;
  options how_;
  const std::int64_t cycle_;
  std::vector<neighbours> rounds_; ///< of a cycle
  std::vector<piece> pieces_;
};

} // namespace tutti
