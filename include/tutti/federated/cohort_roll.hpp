// cohort_roll: who is in a round, at which rank each is trained, and what becomes of it.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/error.hpp>
#include <tutti/federated/round_report.hpp>
#include <tutti/sync/attendance.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// What has become of a client; 0 while nothing speaks against it.
class fate {
public:
  constexpr fate() = default;
  constexpr fate(absence why) : code_{std::uint8_t(1 + std::uint8_t(why))} {}
  static constexpr fate of(std::uint8_t code) {
    fate f;
    f.code_ = code;
    return f;
  }
  constexpr bool counts() const noexcept { return code_ == 0; }
  constexpr absence why() const noexcept { return absence(code_ - 1); }
  constexpr std::uint8_t code() const noexcept { return code_; }
  friend constexpr bool operator==(fate, fate) = default;

private:
  std::uint8_t code_ = 0;
};

/// One of the cohort: it is the turn-th of the clients of `home`, the rank that trains it.
struct attendee {
  int client = 0;
  int home = 0;
  std::size_t turn = 0;
  double examples = 0; ///< that it holds
  fate what = {};
};

/// The same on every rank, but that until tell() each knows alone what has become of its own. Nothing is allocated in
/// rounds that are no larger than those before.
class cohort_roll {
public:
  explicit cohort_roll(const attendance& stands) : faults_{stands.faults}, least_{stands.least} {}

  /// A round, to which those who were drawn are added in their order.
  void begin(std::uint32_t round) {
    round_ = round;
    all_.clear();
    unavailable_.clear();
    counted_ = 0;
    later_ = most_later_ = 0;
  }
  void add(int client, fate what) { all_.push_back({.client = client, .what = what}); }
  void add_unavailable(int client) { unavailable_.push_back(client); }

  /// examples(client) is what one holds.
  template <class Examples>
  void count_examples(Examples&& examples) {
    for (attendee& one : all_) one.examples = double(examples(one.client));
  }
  /// Clients go to ranks by their examples, those with most first, each to the rank that has least: so ranks have about
  /// as much to do (Graham 1969). Equal ones go round.
  void place(int size) {
    order_.clear();
    for (std::size_t k = 0; k < all_.size(); ++k) {
      const double work = all_[k].what.counts() ? all_[k].examples : 0;
      order_.push_back({work > 0 ? work : 0, k});
    }
    std::sort(order_.begin(), order_.end(), [](const auto& a, const auto& b) {
      return a.first > b.first || (a.first == b.first && a.second < b.second);
    });
    of_rank_.assign(std::size_t(size), {0.0, 0});
    for (const auto& [work, k] : order_) {
      const auto least = std::min_element(of_rank_.begin(), of_rank_.end());
      all_[k].home = int(least - of_rank_.begin());
      least->first += work;
      ++least->second;
    }
    count_turns(size);
  }
  /// Clients stay where home(client) says.
  template <class Home>
  void place_at(int size, Home&& home) {
    for (attendee& one : all_) one.home = home(one.client);
    count_turns(size);
  }

  std::span<const attendee> all() const noexcept { return all_; }
  /// The most clients that a rank trains.
  std::size_t most_of_a_rank() const noexcept { return most_; }
  void note(std::size_t place, fate what) noexcept { all_[place].what = what; }
  std::uint32_t round() const noexcept { return round_; }
  /// How many words this rank has to say after the round.
  void say_later(std::size_t words) noexcept { later_ = words; }
  /// The most of any rank, since tell().
  std::size_t most_to_say_later() const noexcept { return most_later_; }

  /// Collective: everyone hears of every client, and what each rank says beside it: words.size() of each, by rank.
  /// Throws non_finite or bad_data on every rank where a client is at fault and faults are raised.
  std::span<const std::uint64_t> tell(control& ranks, std::span<const std::uint64_t> words) {
    const std::size_t codes = (most_ + 7) / 8, size = std::size_t(ranks.size());
    mine_.assign(words.begin(), words.end());
    mine_.push_back(later_);
    const std::size_t first = mine_.size();
    mine_.resize(first + codes);
    for (const attendee& one : all_)
      if (one.home == ranks.rank())
        mine_[first + one.turn / 8] |= std::uint64_t(one.what.code()) << 8 * (one.turn % 8);
    const std::vector<std::uint64_t> told = ranks.gather(mine_);
    for (attendee& one : all_) {
      const std::uint64_t eight = told[std::size_t(one.home) * mine_.size() + first + one.turn / 8];
      one.what = fate::of(std::uint8_t(eight >> 8 * (one.turn % 8)));
    }
    settle(ranks.rank());
    beside_.clear();
    for (std::size_t r = 0; r < size; ++r) {
      const auto of_rank = told.begin() + std::ptrdiff_t(r * mine_.size());
      beside_.insert(beside_.end(), of_rank, of_rank + std::ptrdiff_t(words.size()));
      most_later_ = (std::max)(most_later_, std::size_t(of_rank[std::ptrdiff_t(words.size())]));
    }
    return beside_;
  }
  /// What has become of all is known on this rank.
  void settle(int rank) {
    counted_ = int(std::count_if(all_.begin(), all_.end(), [](const attendee& one) { return one.what.counts(); }));
    if (faults_ == client_faults::raise) raise_fault(rank);
  }
  /// Since then.
  int counted() const noexcept { return counted_; }
  /// How many a round needs.
  int least() const noexcept { return least_; }

  /// What the report says of the clients.
  void write(round_report& report) const {
    report.clients = int(all_.size());
    report.counted = counted_;
    report.left_out.clear();
    for (const int client : unavailable_) report.left_out.push_back({client, absence::unavailable});
    for (const attendee& one : all_)
      if (!one.what.counts()) report.left_out.push_back({one.client, one.what.why()});
  }

private:
  void count_turns(int size) {
    of_rank_.assign(std::size_t(size), {0.0, 0});
    most_ = 0;
    for (attendee& one : all_) {
      one.turn = of_rank_[std::size_t(one.home)].second++;
      most_ = (std::max)(most_, one.turn + 1);
    }
  }
  void raise_fault(int rank) const {
    for (const attendee& one : all_) {
      if (one.what != fate{absence::not_finite} && one.what != fate{absence::malformed}) continue;
      const bool finite = one.what == fate{absence::malformed};
      throw error{{.code = finite ? error_code::bad_data : error_code::non_finite,
                   .call = "run",
                   .rank = rank,
                   .peer = one.home,
                   .detail = "round " + std::to_string(round_) + ": client " + std::to_string(one.client) +
                             " on rank " + std::to_string(one.home) +
                             (finite ? " sent what cannot be, or told of a number of examples that it does not hold"
                                     : " returned a NaN or an infinity")}};
    }
  }

  client_faults faults_;
  int least_;
  std::uint32_t round_ = 0;
  std::vector<attendee> all_;
  std::vector<int> unavailable_;
  std::size_t most_ = 0;
  int counted_ = 0;
  std::size_t later_ = 0, most_later_ = 0; ///< words
  std::vector<std::pair<double, std::size_t>> order_, of_rank_;
  std::vector<std::uint64_t> mine_, beside_;
};

/// A client of this rank that is asked: `place` is its in the cohort.
struct weighed_client {
  int client = 0;
  double weight = 0;
  std::size_t place = 0;
};
using clients_of_rank = std::span<const weighed_client>;

} // namespace tutti::detail
