// The checker is itself checked: on 10,000 broken schedules it must say what brute force says.
#include "every_topology.hpp"
#include "oracle.hpp"

#include <tutti/topologies/proof.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace {

using tutti::action;
using tutti::collective;
using tutti::transfer;
using tutti::whole_schedule;

/// Ranks 0 and 1 each gather all contributions, one after the other in the same order, and share
/// the answering. Correct, but it takes one message out of order for the two to end with different
/// bits.
struct two_collectors {
  using part = tutti::topology_part;
  static constexpr bool gathers = false;
  static constexpr bool gives(collective what) { return what == collective::all_reduce; }
  constexpr int chunks(int) const { return 1; }
  constexpr int rounds(collective, int size) const { return size; }

  template <class Emit>
  constexpr void schedule(collective, int, const tutti::layout& where, Emit&& emit) const {
    const int self = where.rank, p = where.size;
    if (self < 2) {
      if (p > 1) emit(transfer{0, 1 - self, {0}, action::send});
      if (p > 1) emit(transfer{0, 1 - self, {0}, action::combine});
      for (int peer = 2; peer < p; ++peer) emit(transfer{peer - 1, peer, {0}, action::combine});
      for (int peer = 2 + self; peer < p; peer += 2)
        emit(transfer{p - 1, peer, {0}, action::publish});
    } else {
      emit(transfer{self - 1, 0, {0}, action::send});
      emit(transfer{self - 1, 1, {0}, action::send});
      emit(transfer{p - 1, self % 2, {0}, action::store});
    }
  }
};

std::vector<whole_schedule> correct_schedules() {
  std::vector<whole_schedule> all;
  int largest = 6;
  const auto add = [&]<class T>(const std::string&, const T& topology) {
    for (int size = 2; size <= largest; ++size)
      tests::every_collective<T>(size, [&](collective what, int root) {
        all.push_back(tutti::collect(topology, what, root, size));
      });
  };
  tests::every_topology(add);
  largest = 8;
  for (int copies = 0; copies < 24; ++copies) // weighs more: the only one with two orders to confuse
    add("two_collectors", two_collectors{});
  return all;
}

/// Both ends of one message: indices into ranks[from] and ranks[to].
struct message {
  int from, to;
  std::size_t sent, received;
};

class mutator {
public:
  mutator(const whole_schedule& original, std::mt19937& random)
      : mutant_{original}, random_{random} {}

  whole_schedule mutate() {
    const int changes = below(4) == 0 ? 2 : 1;
    for (int k = 0; k < changes; ++k) change();
    return mutant_;
  }

private:
  int below(int n) { return n > 0 ? int(random_() % unsigned(n)) : 0; }
  bool rarely() { return below(5) == 0; }

  void change() {
    const auto all = messages();
    if (all.empty()) return;
    const message m = all[std::size_t(below(int(all.size())))];
    switch (below(7)) {
    case 0: return drop(m);
    case 1: return duplicate(m);
    case 2: return swap(m, all[std::size_t(below(int(all.size())))]);
    case 3: return reroute(m);
    case 4: return shift(m);
    default: return reassociate(m, all);
    }
  }

  /// The messages of the schedule, as far as ends meet.
  std::vector<message> messages() const {
    std::vector<message> all;
    std::vector<std::vector<bool>> taken;
    for (const auto& transfers : mutant_.ranks) taken.emplace_back(transfers.size(), false);
    for (int from = 0; from < mutant_.size; ++from)
      for (std::size_t i = 0; i < list(from).size(); ++i) {
        const transfer& t = list(from)[i];
        if (!tutti::is_outgoing(t.act) || t.peer == from || t.peer >= mutant_.size) continue;
        for (std::size_t j = 0; j < list(t.peer).size(); ++j) {
          const transfer& u = list(t.peer)[j];
          if (tutti::is_outgoing(u.act) || u.peer != from || u.round != t.round ||
              taken[std::size_t(t.peer)][j])
            continue;
          taken[std::size_t(t.peer)][j] = true;
          all.push_back({from, t.peer, i, j});
          break;
        }
      }
    return all;
  }

  const std::vector<transfer>& list(int rank) const { return mutant_.ranks[std::size_t(rank)]; }
  std::vector<transfer>& list(int rank) { return mutant_.ranks[std::size_t(rank)]; }
  transfer& sent(const message& m) { return list(m.from)[m.sent]; }
  transfer& received(const message& m) { return list(m.to)[m.received]; }

  static void remove(std::vector<transfer>& from, std::size_t at) {
    from.erase(from.begin() + std::ptrdiff_t(at));
  }
  void set_round(const message& m, int round) {
    sent(m).round = received(m).round = round;
    mutant_.rounds = std::max(mutant_.rounds, round + 1);
  }

  void drop(const message& m) {
    if (!rarely()) remove(list(m.to), m.received);
    if (!rarely()) remove(list(m.from), m.sent);
  }
  void duplicate(const message& m) {
    transfer out = sent(m), in = received(m);
    if (below(2)) out.round = in.round = below(mutant_.rounds + 1);
    mutant_.rounds = std::max(mutant_.rounds, out.round + 1);
    if (!rarely()) list(m.from).push_back(out);
    if (!rarely()) list(m.to).push_back(in);
  }
  void swap(const message& a, const message& b) {
    const int round = sent(a).round;
    if (below(2)) {
      set_round(a, sent(b).round);
      set_round(b, round);
    } else {
      std::swap(sent(a).chunks, sent(b).chunks);
      if (!rarely()) std::swap(received(a).chunks, received(b).chunks);
    }
  }
  void reroute(const message& m) {
    const int elsewhere = below(mutant_.size + 1); // perhaps out of range, perhaps the rank itself
    if (rarely() || elsewhere == mutant_.size) {
      (below(2) ? sent(m) : received(m)).peer = elsewhere;
    } else if (below(2)) { // another receiver
      list(elsewhere).push_back(received(m));
      remove(list(m.to), m.received);
      sent(m).peer = elsewhere;
    } else { // another sender
      list(elsewhere).push_back(sent(m));
      remove(list(m.from), m.sent);
      received(m).peer = elsewhere;
    }
  }
  /// Another order of the same additions: two contributions to one rank change places, or where
  /// there are none, one comes at another time.
  void reassociate(const message& m, const std::vector<message>& all) {
    std::vector<message> others;
    for (const message& other : all)
      if (other.to == m.to && sent(other).act == action::send && sent(other).round != sent(m).round)
        others.push_back(other);
    if (others.empty() || sent(m).act != action::send || rarely())
      return set_round(m, below(mutant_.rounds));

    const message other = others[std::size_t(below(int(others.size())))];
    const int round = sent(m).round;
    set_round(m, sent(other).round);
    set_round(other, round);
  }
  void shift(const message& m) {
    const int by = below(8) == 0 ? -1 : 1;
    if (!rarely()) sent(m).chunks.first += by;
    if (!rarely()) received(m).chunks.first += by;
  }

  whole_schedule mutant_;
  std::mt19937& random_;
};

std::string describe(const whole_schedule& all) {
  std::string text = std::string{tutti::name(all.what)} + " of " + std::to_string(all.size) +
                     " ranks, root " + std::to_string(all.root) + "\n";
  const char* acts[] = {"send", "combine", "publish", "store"};
  for (int rank = 0; rank < all.size; ++rank)
    for (const auto& t : all.ranks[std::size_t(rank)])
      text += "  rank " + std::to_string(rank) + " round " + std::to_string(t.round) + ' ' +
              acts[int(t.act)] + " with " + std::to_string(t.peer) + " chunks " +
              std::to_string(t.chunks.first) + '/' + std::to_string(t.chunks.count) + '/' +
              std::to_string(t.chunks.stride) + "\n";
  return text;
}

} // namespace

BOOST_AUTO_TEST_SUITE(proof)

BOOST_AUTO_TEST_CASE(correct_schedules_are_accepted_by_both) {
  unsigned seed = 0;
  for (const auto& schedule : correct_schedules()) {
    const auto verdict = tutti::prove(schedule);
    const bool accepted = verdict.holds() && tests::oracle{schedule}.judge(++seed).accepts();
    BOOST_CHECK_MESSAGE(accepted, verdict.text() << "\n" << describe(schedule));
  }
}

BOOST_AUTO_TEST_CASE(mutants_are_judged_as_by_brute_force) {
  constexpr int count = 10'000;
  std::mt19937 random{20240801};
  const auto originals = correct_schedules();
  int rejected = 0, accepted_by_sets = 0, rejected_by[32] = {};

  for (int k = 0; k < count; ++k) {
    const auto& original = originals[random() % originals.size()];
    const auto mutant = mutator{original, random}.mutate();

    const auto verdict = tutti::prove(mutant);
    const auto opinion = tests::oracle{mutant}.judge(unsigned(k));

    BOOST_CHECK_MESSAGE(verdict.holds() == opinion.accepts(), "mutant " << k << ": "
                                                                        << verdict.text() << "\n"
                                                                        << describe(mutant));
    rejected += !opinion.accepts();
    accepted_by_sets += !opinion.accepts() && opinion.weak();
    ++rejected_by[int(verdict.code)];
  }

  for (int code = 0; code < 32; ++code)
    if (rejected_by[code] > 0)
      BOOST_TEST_MESSAGE(rejected_by[code] << " x " << tutti::name(tutti::flaw(code)));
  BOOST_TEST_MESSAGE(rejected << " of " << count << " rejected, " << accepted_by_sets
                              << " of them accepted by a checker of sets");
  BOOST_CHECK_GE(rejected, 1'000);
  BOOST_CHECK_GE(accepted_by_sets, 100);
}

BOOST_AUTO_TEST_SUITE_END()
