// Messages between simulated ranks: what ranks of one communicator share, and one round in flight.
#pragma once

#include <tutti/communicators/communicator.hpp>
#include <tutti/communicators/simulated_timeline.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tutti::simulated::detail {

class group;
struct message;

/// What of one round has not happened yet.
struct open_round {
  struct receive {
    incoming to;
    bool met = false;
  };
  /// A message that is not the one that was expected.
  struct wrong_message {
    int from;
    std::size_t sent, expected;
  };

  int rank = 0;
  channel on = 0;
  std::uint64_t says = 0;
  std::vector<receive> receives = {};
  std::vector<std::shared_ptr<message>> sends = {};
  std::size_t unmet = 0, unsent = 0;
  std::optional<wrong_message> wrong = {};

  bool done() const noexcept { return unmet == 0 && unsent == 0 && !wrong; }
};

/// One message; it holds its bytes, so its sender's memory is free once it has left.
struct message final : flight {
  std::weak_ptr<group> where;
  int from = 0, to = 0;
  channel on = 0;
  std::uint64_t says = 0;
  std::vector<std::byte> text;
  open_round* sender = nullptr; ///< until it has left
  bool gone = false;
  bool withdrawn = false;

  void has_left() override;
  void has_arrived(const std::shared_ptr<flight>& this_one) override;
};

/// What has come for one rank, or is awaited there, by channel; the oldest first.
struct mailbox {
  struct awaited {
    open_round* by;
    std::size_t which;
  };
  std::unordered_map<channel, std::vector<awaited>> receives;
  std::unordered_map<channel, std::deque<std::shared_ptr<message>>> arrived;
  std::shared_ptr<const tutti::detail::call_history> calls; ///< of its rank, once that has begun
};

/// What the ranks of one communicator share. Only the rank whose turn it is touches it.
class group : public std::enable_shared_from_this<group> {
public:
  group(std::shared_ptr<timeline> time, std::vector<int> all)
      : when{std::move(time)}, members{std::move(all)}, boxes(members.size()) {
    std::map<int, int> number;
    for (const int m : members) {
      const int node = when->runs_on().nodes.empty() ? m : when->runs_on().nodes[std::size_t(m)];
      nodes.push_back(number.try_emplace(node, int(number.size())).first->second);
    }
  }

  int size() const noexcept { return int(members.size()); }
  int world_rank(int rank) const noexcept { return members[std::size_t(rank)]; }
  mailbox& box(int rank) noexcept { return boxes[std::size_t(rank)]; }

  // --- messages -----------------------------------------------------------------------------

  void post(open_round& round, const exchange_round& what) {
    for (const outgoing& s : what.sends) {
      auto m = std::make_shared<message>();
      m->source = world_rank(round.rank);
      m->destination = world_rank(s.peer);
      m->bytes = s.bytes.size();
      m->where = shared_from_this();
      m->from = round.rank;
      m->to = s.peer;
      m->on = round.on;
      m->says = round.says;
      m->text.assign(s.bytes.begin(), s.bytes.end());
      m->sender = &round;
      round.sends.push_back(m);
      ++round.unsent;
      when->post(std::move(m));
    }
    mailbox& mine = box(round.rank);
    for (const incoming& r : what.receives) {
      round.receives.push_back({r});
      ++round.unmet;
    }
    for (std::size_t k = 0; k < round.receives.size(); ++k)
      if (const auto m = oldest(mine, round.receives[k].to.peer, round.on))
        meet(round, k, *m);
      else
        mine.receives[round.on].push_back({&round, k});
  }
  /// As if what has not happened of it had not been posted.
  void withdraw(open_round& round) noexcept {
    mailbox& mine = box(round.rank);
    if (round.unmet > 0)
      if (const auto found = mine.receives.find(round.on); found != mine.receives.end()) {
        std::erase_if(found->second, [&](const mailbox::awaited& a) { return a.by == &round; });
        if (found->second.empty()) mine.receives.erase(found);
      }
    const bool gives_up = !round.done();
    for (const auto& m : round.sends) {
      m->sender = nullptr;
      m->withdrawn = gives_up;
    }
    round.unmet = 0;
  }
  void deliver(std::shared_ptr<message> m) {
    if (m->withdrawn) return;
    mailbox& to = box(m->to);
    if (const auto found = to.receives.find(m->on); found != to.receives.end()) {
      auto& all = found->second;
      const auto place = std::find_if(all.begin(), all.end(), [&](const mailbox::awaited& a) {
        return a.by->receives[a.which].to.peer == m->from;
      });
      if (place != all.end()) {
        const mailbox::awaited a = *place;
        all.erase(place);
        if (all.empty()) to.receives.erase(found);
        meet(*a.by, a.which, *m);
        if (a.by->done() || a.by->wrong) when->happened(m->destination);
        return;
      }
    }
    const int destination = m->destination;
    to.arrived[m->on].push_back(std::move(m));
    when->happened(destination);
  }
  std::optional<arrival> probe(int rank, channel on) {
    mailbox& mine = box(rank);
    const auto found = mine.arrived.find(on);
    if (found == mine.arrived.end()) return std::nullopt;
    for (const auto& m : found->second)
      if (!m->withdrawn) return arrival{m->from, m->text.size()};
    return std::nullopt;
  }

  // --- who is there -------------------------------------------------------------------------

  bool has_left(int rank) const noexcept { return when->has_left(world_rank(rank)); }

  void throw_if_revoked(int rank, int waiting_for = -1) const {
    if (revoked_) throw error{tutti::detail::heard(why_, rank, from_above_ ? -1 : waiting_for)};
    if (when->dead()) throw error{when->why_dead(world_rank(rank))};
  }
  /// Groups below fail first: whoever sees this one fail sees them fail, too.
  void revoke(const failure& why, bool from_above = false) {
    if (!revoked_) {
      for (auto& child : children_)
        if (auto alive = child.lock()) alive->revoke(why, true);
      why_ = why;
      from_above_ = from_above;
      revoked_ = true;
    }
    for (const int m : members) when->happened(m);
  }
  /// Throws where `rank` and `peer` have called different things, as far as both still know.
  void compare_calls(int rank, int peer) const {
    const auto &mine = boxes[std::size_t(rank)].calls, &other = boxes[std::size_t(peer)].calls;
    if (!mine || !other) return;
    auto wrong = mine->difference(rank, *other, peer);
    if (!wrong.empty())
      throw error{{.code = error_code::mismatch, .rank = rank, .peer = peer, .detail = std::move(wrong)}};
  }

  /// The child that the given members make in split number `number`; the same object for all of them.
  std::shared_ptr<group> child(std::uint64_t number, const std::vector<int>& some) {
    auto& [born, taken] = births_[{number, some.front()}];
    if (!born) {
      std::vector<int> ids;
      for (const int m : some) ids.push_back(world_rank(m));
      born = std::make_shared<group>(when, std::move(ids));
      std::erase_if(children_, [](const std::weak_ptr<group>& one) { return one.expired(); });
      children_.push_back(born);
      if (revoked_) born->revoke(why_, true);
    }
    auto result = born;
    if (++taken == some.size()) births_.erase({number, some.front()});
    return result;
  }

  const std::shared_ptr<timeline> when;
  const std::vector<int> members; ///< rank -> rank of the run
  std::vector<int> nodes;         ///< of each rank, numbered by first appearance
  std::vector<mailbox> boxes;

private:
  /// Taken out of the box.
  std::shared_ptr<message> oldest(mailbox& in, int from, channel on) {
    const auto found = in.arrived.find(on);
    if (found == in.arrived.end()) return nullptr;
    auto& all = found->second;
    std::shared_ptr<message> taken;
    for (auto m = all.begin(); m != all.end() && !taken;) {
      if ((*m)->from == from && !(*m)->withdrawn) taken = *m;
      m = taken || (*m)->withdrawn ? all.erase(m) : m + 1;
    }
    if (all.empty()) in.arrived.erase(found);
    return taken;
  }
  static void meet(open_round& round, std::size_t which, const message& m) {
    open_round::receive& r = round.receives[which];
    r.met = true;
    --round.unmet;
    if (m.text.size() != r.to.bytes.size() || m.says != round.says)
      round.wrong = {m.from, m.text.size(), r.to.bytes.size()};
    else if (!m.text.empty())
      std::memcpy(r.to.bytes.data(), m.text.data(), m.text.size());
  }

  bool revoked_ = false, from_above_ = false;
  failure why_;
  std::vector<std::weak_ptr<group>> children_;
  std::map<std::pair<std::uint64_t, int>, std::pair<std::shared_ptr<group>, std::size_t>> births_;
};

inline void message::has_left() {
  gone = true;
  if (!sender) return;
  --sender->unsent;
  if (sender->done())
    if (const auto all = where.lock()) all->when->happened(source);
  sender = nullptr;
}
inline void message::has_arrived(const std::shared_ptr<flight>& this_one) {
  if (const auto all = where.lock()) all->deliver(std::static_pointer_cast<message>(this_one));
}

/// The sends and receives of one round.
class handle {
public:
  handle(std::shared_ptr<group> all, int rank, channel on, const exchange_round& what) : group_{std::move(all)} {
    if (what.sends.empty() && what.receives.empty()) return;
    round_ = std::make_unique<open_round>(open_round{.rank = rank, .on = on, .says = what.says});
    try {
      group_->post(*round_, what);
    } catch (...) {
      withdraw();
      throw;
    }
  }
  handle(handle&&) noexcept = default;
  handle& operator=(handle&& other) noexcept {
    withdraw();
    group_ = std::move(other.group_);
    round_ = std::move(other.round_);
    return *this;
  }
  ~handle() { withdraw(); }

  bool test() {
    if (!round_) return true;
    if (round_->wrong) mismatch(*round_->wrong);
    timeline& when = *group_->when;
    const int here = group_->world_rank(round_->rank), peer = waiting_for();
    when.waits_for(here, peer < 0 ? -1 : group_->world_rank(peer));
    if (round_->done()) {
      withdraw();
      return true;
    }
    group_->throw_if_revoked(round_->rank, peer);
    look_for_the_lost();
    when.look(here, 1);
    return false;
  }

  bool take_back() {
    if (!round_) return true;
    if (round_->unmet < round_->receives.size()) return false;
    withdraw();
    return true;
  }

  int waiting_for() const {
    if (!round_) return -1;
    for (const auto& r : round_->receives)
      if (!r.met) return r.to.peer;
    for (const auto& m : round_->sends)
      if (!m->gone) return m->to;
    return -1;
  }

private:
  void look_for_the_lost() const {
    for (const auto& r : round_->receives)
      if (!r.met && group_->has_left(r.to.peer)) {
        group_->compare_calls(round_->rank, r.to.peer);
        throw error{tutti::detail::peer_left(round_->rank, r.to.peer)};
      }
  }
  [[noreturn]] void mismatch(const open_round::wrong_message& w) const {
    const int rank = round_->rank;
    group_->compare_calls(rank, w.from);
    throw error{tutti::detail::wrong_message(rank, w.expected, w.from, w.sent)};
  }
  void withdraw() noexcept {
    if (round_) group_->withdraw(*round_);
    round_.reset();
  }

  std::shared_ptr<group> group_;
  std::unique_ptr<open_round> round_; ///< none when it is complete
};

} // namespace tutti::simulated::detail
