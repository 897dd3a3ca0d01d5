// How the clients of all ranks become one mean where nobody is to see what one of them sends: a secure sum in each
// round, in the place of the exact one (federated/meetings.hpp has what is asked of a meeting).
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/federated/exact_client_sum.hpp>
#include <tutti/federated/meetings.hpp>
#include <tutti/federated/round_report.hpp>
#include <tutti/federated/secure/client.hpp>
#include <tutti/federated/secure/rank_messages.hpp>
#include <tutti/federated/secure/server.hpp>
#include <tutti/reducers/weights.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::secure::detail {

using tutti::detail::cohort_roll;
using tutti::detail::fixed_point;
using tutti::detail::weighed_client;

/// What was summed up, in which words and over which graph, and what it hides from whom.
inline std::string described(const session& in, int value_bits, int survivors, int recovered) {
  const std::string degree = std::to_string(in.graph().degree()), threshold = std::to_string(in.threshold());
  return "secure sum of " + std::to_string(survivors) + " of " + std::to_string(in.clients()) +
         " clients: " + std::to_string(value_bits) + "-bit values in " + std::to_string(in.word_bits()) +
         "-bit words, " + degree + " neighbours each, " + threshold +
         " of them to take masks away, drop-outs recovered: " + std::to_string(recovered) +
         "; hides single clients from a server that follows the protocol while fewer than " + threshold +
         " neighbours of a client tell what they hold";
}

/// A client of each round is a machine at the rank that trains it, and the server is one at rank 0. Differences are in
/// fixed point of Ring's bits, the weight is one value more. Ranks add up what their clients send, masks on it. Memory
/// of a rank: of the model 5 times 8 bytes a value, with words of 64 bits.
template <class T, class Ring, class Reduce>
class meeting_of_secrets {
  using word = typename Ring::word;

public:
  /// Of n values; `clip` is the greatest length of a difference.
  meeting_of_secrets(std::size_t n, double clip, const settings& how, Reduce reduce)
      : n_{n}, clip_{clip}, how_{how}, reduce_{std::move(reduce)},
        values_{fixed_point::of_bits(clip, Ring::value_bits)}, weights_{fixed_point::of_bits(1, Ring::value_bits)},
        total_(n) {
    how_.values = n + 1;
    how_.word_bits = Ring::word_bits;
  }

  void begin(control& ranks, const cohort_roll& roll, tutti::detail::clients_of_rank own) {
    clients_.clear();
    shares_.clear();
    sum_.reset();
    server_.reset();
    exponent_ = tutti::detail::agreed_exponent(ranks, own);

    how_.clients = int(roll.all().size());
    ++how_.round;
    refusal_ = roll.all().size() > Ring::most_clients
                   ? std::to_string(roll.all().size()) + " clients were drawn, and the words of the secure sum have room "
                                                     "for " + std::to_string(Ring::most_clients)
                   : secure::wrong_settings(how_);
    if (!refusal_.empty()) return;
    session_ = std::make_unique<session>(how_);
    sum_ = std::make_unique<masked_sum<word>>(*session_);
    if (ranks.rank() == 0) server_ = std::make_unique<server<word>>(*session_);
    for (const weighed_client& one : own)
      clients_.emplace(one.client, std::make_unique<client<word>>(*session_, int(one.place)));
    exchange_keys(ranks);
  }
  bool add(const weighed_client& one, std::span<const T> received, std::span<const T> trained, double factor) {
    if (!tutti::detail::is_contribution(received, trained, clip_)) return false;
    if (!refusal_.empty()) return true;
    const tutti::detail::exact_mode held;
    const double weight = std::ldexp(one.weight, -exponent_);
    const double kept = tutti::detail::clip_factor(received, trained, clip_);
    plain_.assign(n_ + 1, 0);
    tutti::detail::with_differences(received, trained, [&](auto difference) {
      values_.add(difference, weight * factor * kept, plain_.data(), n_);
    });
    weights_.add([](std::size_t) { return 1.0; }, weight, plain_.data() + n_, 1);
    words_.resize(n_ + 1);
    for (std::size_t i = 0; i <= n_; ++i) words_[i] = Ring::of(plain_[i]);
    auto& machine = *clients_.at(one.client);
    sum_->add(machine.mask(shares_.at(machine.id()), words_));
    return true;
  }
  double meet(control& ranks, cohort_roll& roll, round_report& report, non_finite) {
    (void)roll.tell(ranks, {});
    if (refusal_.empty() || roll.all().empty()) tutti::detail::skip_if_few(roll, report, roll.counted());
    if (report.skipped.empty() && refusal_.empty()) take_masks_away(ranks, report);
    if (report.skipped.empty() && !refusal_.empty())
      report.skipped = tutti::detail::was_skipped(std::uint32_t(report.round)) + refusal_;
    return ranks.rank() == 0 ? 1 : 0;
  }
  std::span<const T> total() const noexcept { return total_; }
  void scale(double by) { tutti::detail::scale_contribution(std::span<T>{total_}, static_cast<T>(by)); }

private:
  void exchange_keys(control& ranks) {
    std::vector<addressed> mine;
    for (auto& [name, machine] : clients_) mine.push_back({machine->id(), machine->advertise()});
    std::vector<addressed> all = gathered(ranks, mine);
    const auto to_server = [&](auto&& take, auto&& answer) {
      return said_by_server(ranks, refusal_, [&] {
        for (const addressed& one : all) take(one.bytes);
        std::vector<addressed> answers;
        for (const addressed& one : all) answers.push_back({one.client, answer(one.client)});
        return answers;
      });
    };
    const std::vector<addressed> keys = to_server([&](bytes_view bytes) { server_->take_advertised(bytes); },
                                                  [&](int client) { return server_->keys_for(client); });
    if (!refusal_.empty()) return;
    mine.clear();
    for (auto& [name, machine] : clients_) mine.push_back({machine->id(), machine->share(of(keys, machine->id()))});
    all = gathered(ranks, mine);
    for (addressed& one : to_server([&](bytes_view bytes) { server_->take_shared(bytes); },
                                    [&](int client) { return server_->shares_for(client); }))
      shares_.emplace(one.client, std::move(one.bytes));
  }
  void take_masks_away(control& ranks, round_report& report) {
    std::vector<addressed> mine;
    for (const int client : sum_->clients()) mine.push_back({client, {}});
    const std::vector<addressed> came = gathered(ranks, mine);
    reduce_(sum_->words());
    const std::vector<addressed> lists = said_by_server(ranks, refusal_, [&] {
      std::vector<int> who;
      for (const addressed& one : came) who.push_back(one.client);
      server_->take_masked(who, sum_->words());
      std::vector<addressed> answers;
      for (const int client : who) answers.push_back({client, server_->survivors_for(client)});
      return answers;
    });
    if (!refusal_.empty()) return;
    mine.clear();
    for (auto& [name, machine] : clients_)
      if (std::ranges::find(sum_->clients(), machine->id()) != sum_->clients().end())
        mine.push_back({machine->id(), machine->reveal(of(lists, machine->id()))});
    const std::vector<addressed> answers = gathered(ranks, mine);
    const std::vector<addressed> result = said_by_server(ranks, refusal_, [&] {
      for (const addressed& one : answers) server_->take_revealed(one.bytes);
      const bool counts = divide(server_->sum());
      const std::string text = counts ? described(*session_, Ring::value_bits, int(server_->survivors().size()),
                                                  server_->recovered())
                                      : std::string{};
      return std::vector<addressed>{{0, message{text.begin(), text.end()}}};
    });
    if (!refusal_.empty()) return;
    report.secure.assign(result[0].bytes.begin(), result[0].bytes.end());
    if (report.secure.empty()) refusal_ = "those who are left weigh next to nothing beside the heaviest that was drawn";
    if (ranks.rank() != 0) std::fill(total_.begin(), total_.end(), T{});
  }
  /// False where the weight is 0.
  bool divide(std::span<const word> sum) {
    const tutti::detail::exact_mode held;
    const double weight = std::ldexp(double(Ring::number(sum[n_])), weights_.unit());
    const double unit = std::ldexp(1.0, values_.unit());
    if (!(weight > 0)) return false;
    for (std::size_t i = 0; i < n_; ++i) total_[i] = static_cast<T>(double(Ring::number(sum[i])) * unit / weight);
    return true;
  }
  static bytes_view of(const std::vector<addressed>& all, int client) {
    return std::ranges::find(all, client, &addressed::client)->bytes;
  }

  std::size_t n_;
  double clip_;
  settings how_;
  Reduce reduce_;
  fixed_point values_, weights_;
  std::vector<T> total_;
  std::unique_ptr<session> session_; ///< what is below refers to it
  std::map<int, std::unique_ptr<client<word>>> clients_; ///< of this rank; in the session their places in the cohort
  std::map<int, message> shares_;                        ///< for them
  std::unique_ptr<masked_sum<word>> sum_;
  std::unique_ptr<server<word>> server_;
  std::vector<std::int64_t> plain_;
  std::vector<word> words_;
  std::string refusal_;
  int exponent_ = 0;
};

} // namespace tutti::secure::detail
