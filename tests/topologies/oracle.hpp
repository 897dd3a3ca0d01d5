// A second opinion on schedules, by brute force and as unlike the proof as can be: ranks run one at
// a time in random order, each as far as it can, and pass messages through queues; values are trees
// of shared nodes that are written out as text and compared; contributions are counted leaf by
// leaf.
#pragma once

#include <tutti/topologies/whole_schedule.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tests {

struct opinion {
  bool runs = false;          ///< every message meets its other end, and nothing is ambiguous
  bool contributions = false; ///< every result, and all that is published, has each input once
  bool same_trees = false;    ///< all ranks computed it in the same way, also when rounding
  bool weak() const { return runs && contributions; } ///< what a checker of sets would say
  bool accepts() const { return weak() && same_trees; }
};

class oracle {
public:
  explicit oracle(const tutti::whole_schedule& all) : all_{all} {}

  opinion judge(unsigned seed) {
    if (!plausible()) return {};
    opinion exact = execute(false, seed);
    if (!exact.accepts()) return exact;
    return execute(true, seed + 1);
  }

private:
  struct node;
  using tree = std::shared_ptr<const node>;
  struct node {
    enum { input, sum, rounding } kind;
    std::string name; ///< of an input: "rank.chunk"
    tree left, right;
  };
  struct message {
    int round;
    tutti::action act;
    std::vector<std::pair<int, tree>> payload;
  };
  struct actor {
    int round = 0;
    bool posted = false;
    std::map<int, tree> values;
    std::vector<std::pair<tutti::transfer, message>> received;
  };

  // --- trees --------------------------------------------------------------------------------

  static tree rounded(const tree& t) {
    if (t->kind == node::rounding) return t;
    return std::make_shared<const node>(node{node::rounding, {}, t, {}});
  }
  static tree sum(const tree& a, const tree& b) {
    return std::make_shared<const node>(node{node::sum, {}, a, b});
  }
  static std::string text(const tree& t) {
    if (t->kind == node::input) return t->name;
    if (t->kind == node::rounding) return "[" + text(t->left) + "]";
    std::string a = text(t->left), b = text(t->right);
    if (b < a) std::swap(a, b);
    return "(" + a + "+" + b + ")";
  }
  static void count(const tree& t, std::multiset<std::string>& leaves) {
    if (t->kind == node::input) leaves.insert(t->name);
    if (t->left) count(t->left, leaves);
    if (t->right) count(t->right, leaves);
  }
  bool complete(const tree& t, int chunk) const {
    std::multiset<std::string> found, due;
    count(t, found);
    for (int rank = 0; rank < all_.size; ++rank) due.insert(input_name(rank, chunk));
    return found == due;
  }
  static std::string input_name(int rank, int chunk) {
    return std::to_string(rank) + "." + std::to_string(chunk);
  }

  // --- rules --------------------------------------------------------------------------------

  bool copies() const {
    return all_.what == tutti::collective::all_gather || all_.what == tutti::collective::broadcast;
  }
  bool has_at_start(int rank, int chunk) const {
    if (all_.what == tutti::collective::all_gather) return chunk * all_.size / all_.chunks == rank;
    return all_.what != tutti::collective::broadcast || rank == all_.root;
  }
  bool wants_at_end(int rank, int chunk) const {
    if (all_.what == tutti::collective::reduce) return rank == all_.root;
    if (all_.what == tutti::collective::reduce_scatter)
      return chunk * all_.size / all_.chunks == rank;
    return true;
  }
  std::vector<int> chunks_of(const tutti::transfer& t) const {
    std::vector<int> chunks;
    for (int k = 0; k < t.chunks.count; ++k)
      chunks.push_back((t.chunks.first + k * t.chunks.stride) % all_.chunks);
    return chunks;
  }

  bool plausible() const {
    for (int rank = 0; rank < all_.size; ++rank)
      for (const auto& t : all_.ranks[std::size_t(rank)]) {
        if (t.round < 0 || t.round >= all_.rounds) return false;
        if (t.peer < 0 || t.peer >= all_.size || t.peer == rank) return false;
        if (t.chunks.first < 0 || t.chunks.stride < 0 || t.chunks.count < 1) return false;
        const auto chunks = chunks_of(t);
        if (std::set<int>(chunks.begin(), chunks.end()).size() != chunks.size()) return false;
        if (copies() && (t.act == tutti::action::send || t.act == tutti::action::combine))
          return false;
      }
    return true;
  }

  // --- execution ----------------------------------------------------------------------------

  opinion execute(bool rounding, unsigned seed) {
    std::mt19937 random{seed};
    actors_.assign(std::size_t(all_.size), {});
    network_.clear();
    rounding_ = rounding;
    for (int rank = 0; rank < all_.size; ++rank)
      for (int c = 0; c < all_.chunks; ++c)
        if (has_at_start(rank, c)) {
          const int source = copies() ? 0 : rank; // a copy of whatever the one owner has
          actors_[std::size_t(rank)].values[c] =
              std::make_shared<const node>(node{node::input, input_name(source, c), {}, {}});
        }

    opinion found{true, true, true};
    std::vector<int> order;
    for (int rank = 0; rank < all_.size; ++rank) order.push_back(rank);
    for (bool moving = true; moving;) {
      moving = false;
      for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[random() % k]);
      for (const int rank : order)
        while (found.weak() && advance(rank, found)) moving = true;
      if (!found.weak()) return found;
    }
    for (const auto& a : actors_) found.runs = found.runs && a.round == all_.rounds;
    for (const auto& [ends, queue] : network_) found.runs = found.runs && queue.empty();
    if (found.runs) compare_results(found);
    return found;
  }

  std::vector<tutti::transfer> transfers(int rank, int round, bool outgoing) const {
    std::vector<tutti::transfer> chosen;
    for (const auto& t : all_.ranks[std::size_t(rank)])
      if (t.round == round && tutti::is_outgoing(t.act) == outgoing) chosen.push_back(t);
    return chosen;
  }

  /// One step of one rank; false if it can do nothing now.
  bool advance(int rank, opinion& found) {
    actor& a = actors_[std::size_t(rank)];
    if (a.round == all_.rounds) return false;
    if (!a.posted) {
      a.posted = true;
      for (const auto& t : transfers(rank, a.round, true)) post(rank, t, found);
      return true;
    }
    const auto awaited = transfers(rank, a.round, false);
    if (a.received.size() < awaited.size()) {
      const auto& t = awaited[a.received.size()];
      auto& queue = network_[{t.peer, rank}];
      if (queue.empty()) return false;
      a.received.push_back({t, queue.front()});
      queue.pop_front();
      return true;
    }
    finish_round(rank, found);
    return true;
  }

  void post(int rank, const tutti::transfer& t, opinion& found) {
    auto& values = actors_[std::size_t(rank)].values;
    message m{t.round, t.act, {}};
    for (const int c : chunks_of(t)) {
      if (!values.count(c)) {
        found.contributions = false; // nothing there to be read
        return;
      }
      if (rounding_) values[c] = rounded(values[c]);
      if (!copies() && t.act == tutti::action::publish && !complete(values[c], c))
        found.contributions = false;
      m.payload.push_back({c, values[c]});
    }
    network_[{rank, t.peer}].push_back(m);
  }

  void finish_round(int rank, opinion& found) {
    actor& a = actors_[std::size_t(rank)];
    std::map<int, std::map<int, tree>> folds; // chunk, contributor
    std::map<int, tree> stores;
    for (const auto& [t, m] : a.received) {
      const bool stores_it = t.act == tutti::action::store;
      const auto due = stores_it ? tutti::action::publish : tutti::action::send;
      const auto chunks = chunks_of(t);
      if (m.round != t.round || m.act != due || m.payload.size() != chunks.size())
        found.runs = false;
      for (std::size_t k = 0; found.runs && k < chunks.size(); ++k) {
        const auto& [c, value] = m.payload[k];
        found.runs = c == chunks[k] && (stores_it ? stores.emplace(c, value).second
                                                  : folds[c].emplace(t.peer, value).second);
      }
    }
    for (auto& [c, contributions] : folds) {
      if (stores.count(c)) found.runs = false;
      contributions[rank] = a.values[c];
      tree total;
      for (const auto& [contributor, value] : contributions)
        total = total ? sum(total, value) : value;
      a.values[c] = total;
    }
    for (const auto& [c, value] : stores) a.values[c] = value;
    a.received.clear();
    a.posted = false;
    ++a.round;
  }

  void compare_results(opinion& found) {
    std::map<int, std::string> agreed;
    for (int rank = 0; rank < all_.size; ++rank)
      for (int c = 0; c < all_.chunks; ++c) {
        if (!wants_at_end(rank, c)) continue;
        auto& values = actors_[std::size_t(rank)].values;
        if (!values.count(c) || (!copies() && !complete(values[c], c))) {
          found.contributions = false;
          continue;
        }
        if (copies()) continue; // there is one input to a chunk, so it is the right one
        const std::string result = text(rounding_ ? rounded(values[c]) : values[c]);
        if (agreed.emplace(c, result).first->second != result) found.same_trees = false;
      }
  }

  const tutti::whole_schedule& all_;
  bool rounding_ = false;
  std::vector<actor> actors_;
  std::map<std::pair<int, int>, std::deque<message>> network_;
};

} // namespace tests
