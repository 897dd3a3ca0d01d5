// client_ranks: the ranks of a round_server's clients, as the server knows them: who is there, and what each rank owes.
#pragma once

#include <tutti/core/options.hpp>
#include <tutti/federated/rank_mail.hpp>
#include <tutti/federated/round_messages.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace tutti::detail {

/// An answer that a rank has not given yet; it answers in the order in which it is asked.
struct asked_client {
  std::uint32_t round = 0; ///< from 1; 0 where nobody wants to know any more
  std::size_t place = 0;   ///< on the roll of that round
  int client = 0;
  std::int64_t model = 0; ///< after how many steps it was sent out
};

/// On rank 0. Ranks are heard of within wait() alone. What a rank says that is no message of a client changes nothing
/// where it owes nothing, and is its answer where it does.
template <class Comm>
class client_ranks {
public:
  /// Messages are at most so long; clients count from 0, to less than `population` where that is not 0.
  client_ranks(Comm& comm, const options& how, std::size_t most_bytes, int population, long_messages at_once)
      : population_{population}, owed_(std::size_t(comm.size())), entered_(owed_.size()), told_over_(owed_.size()),
        mail_{comm, how, most_bytes, at_once} {}

  /// From now on to all of them.
  void listen() {
    for (std::size_t r = 1; r < owed_.size(); ++r) mail_.listen(int(r));
  }

  int count() const noexcept { return int(people_.size()); }
  /// In the order of their numbers.
  std::vector<int> there() const {
    std::vector<int> all;
    for (const auto& [client, one] : people_) all.push_back(client);
    return all;
  }
  /// What a client holds; nothing where it is not there.
  double examples(int client) const {
    const auto at = people_.find(client);
    return at == people_.end() ? 0 : at->second.examples;
  }
  /// Of a client that is there.
  int rank_of(int client) const { return people_.at(client).rank; }
  /// Whether it is there, and its rank owes nothing.
  bool is_free(int client) const {
    const auto at = people_.find(client);
    return at != people_.end() && owed_[std::size_t(at->second.rank)].empty();
  }
  /// For each rank that owes nothing the first client that holds something behind the one that was asked last.
  std::vector<int> in_turn() {
    std::vector<int> next;
    for (std::size_t r = 1; r < owed_.size(); ++r) {
      if (!owed_[r].empty()) continue;
      const auto is_here = [&](const auto& one) { return one.second.rank == int(r) && one.second.examples > 0; };
      auto at = std::find_if(people_.upper_bound(last_[int(r)]), people_.end(), is_here);
      if (at == people_.end()) at = std::find_if(people_.begin(), people_.end(), is_here);
      if (at != people_.end()) next.push_back(last_[int(r)] = at->first);
    }
    return next;
  }
  /// Since the last call.
  std::vector<int> joined() { return std::exchange(joined_, {}); }
  std::vector<int> departed() { return std::exchange(departed_, {}); }

  void owe(const asked_client& one) { owed_[std::size_t(rank_of(one.client))].push_back(one); }
  void send(int rank, std::vector<std::byte> message) { mail_.send(rank, std::move(message)); }
  void share(int rank, shared_message message) { mail_.share(rank, std::move(message)); }
  /// use(one) of each that is owed.
  template <class Use>
  void each_owed(Use&& use) {
    for (auto& rank : owed_)
      for (asked_client& one : rank) use(one);
  }

  /// Until is_over(), or `latest`, when it returns false: answer(asked, bytes) for what comes, lost(asked) for what a
  /// rank owes that departs or leaves. Throws timeout where nobody is heard of, naming a rank that is waited for.
  template <class Answer, class Lost, class Over>
  bool wait(Answer&& answer, Lost&& lost, Over&& is_over, deadline latest = (deadline::max)()) {
    return mail_.wait(
        "round_server", [&](int rank, std::span<const std::byte> message) { take(rank, message, answer, lost); },
        [&] {
          for (std::size_t r = 1; r < owed_.size(); ++r)
            if (mail_.is_gone(int(r))) lose(int(r), lost);
          return is_over();
        },
        [&] { return waited_for(); }, latest);
  }
  /// Tells all ranks that it is over; is_told() once they have heard it and departed.
  void close() {
    for (std::size_t r = 1; r < entered_.size(); ++r)
      if (entered_[r]) told_over_[r] = true, tell_over(int(r));
  }
  bool is_told() const {
    for (std::size_t r = 1; r < entered_.size(); ++r)
      if (!mail_.is_gone(int(r)) && (entered_[r] || !mail_.has_told(int(r)))) return false;
    return true;
  }

private:
  struct person {
    int rank = 0;
    double examples = 0;
  };

  int waited_for() const {
    for (std::size_t r = 1; r < owed_.size(); ++r)
      if (!owed_[r].empty()) return int(r);
    return -1;
  }
  template <class Answer, class Lost>
  void take(int rank, std::span<const std::byte> message, Answer& answer, Lost& lost) {
    const auto kind = detail::message_kind(message);
    std::deque<asked_client>& owed = owed_[std::size_t(rank)];
    if (kind == round_message::enter) {
      enter(rank, message);
    } else if (kind == round_message::depart) {
      depart(rank, lost);
    } else if (!owed.empty()) { // whatever it is
      const asked_client one = owed.front();
      owed.pop_front();
      answer(one, message);
    }
  }
  /// A client that another rank is, or that is no client, does not enter.
  void enter(int rank, std::span<const std::byte> message) {
    const auto clients = detail::decode_enter(message);
    if (!clients) return;
    entered_[std::size_t(rank)] = true;
    for (const entered_client& one : *clients)
      if ((population_ == 0 || one.client < population_) &&
          people_.try_emplace(one.client, person{rank, one.examples}).second)
        joined_.push_back(one.client);
  }
  /// The rank is told that it is over, and waits for nothing more.
  template <class Lost>
  void depart(int rank, Lost& lost) {
    lose(rank, lost);
    if (!told_over_[std::size_t(rank)]) tell_over(rank);
    told_over_[std::size_t(rank)] = entered_[std::size_t(rank)] = false;
  }
  template <class Lost>
  void lose(int rank, Lost& lost) {
    for (const asked_client& one : std::exchange(owed_[std::size_t(rank)], {})) lost(one);
    for (auto at = people_.begin(); at != people_.end();)
      if (at->second.rank == rank) {
        departed_.push_back(at->first);
        at = people_.erase(at);
      } else {
        ++at;
      }
  }
  void tell_over(int rank) {
    std::vector<std::byte> message;
    message_writer{message, round_message::over};
    mail_.send(rank, std::move(message));
  }

  int population_;
  std::map<int, person> people_;
  std::vector<int> joined_, departed_;
  std::vector<std::deque<asked_client>> owed_; ///< of each rank
  std::vector<bool> entered_;                  ///< and has not departed
  std::vector<bool> told_over_;                ///< before it said that it departs
  std::map<int, int> last_;                    ///< client of a rank that was asked in turn
  rank_mail<Comm> mail_;
};

} // namespace tutti::detail
