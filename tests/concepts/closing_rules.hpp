// When does a step at a server close? A rule is pure state: it is told who pushed from which
// version, and sends nothing. One carrier, here for threads, serves them all.
#pragma once

#include <tutti/carriers/carrier.hpp>

#include <algorithm>
#include <concepts>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

namespace concepts {

template <class R>
concept closing_rule = requires(R& rule, const R& c, int worker, std::int64_t version) {
  {
    rule.takes(worker, version)
    } -> std::convertible_to<double>;                 // what a push counts for; 0: dropped
  { rule.closes() } -> std::convertible_to<bool>;     // and if so, the next step begins
  { c.lets_go(worker) } -> std::convertible_to<bool>; // whether the worker gets its answer
  { c.version() } -> std::convertible_to<std::int64_t>;
};

/// What the ranks of one process share: rank 0 is the server and has the values, the others work.
/// What a trainer gives to a carrier is used by the trainer's own rank alone.
template <closing_rule Rule> struct one_server {
  one_server(Rule r, int workers) : rule{std::move(r)}, working{workers} {}
  std::mutex mutex;
  std::condition_variable changed;
  Rule rule;
  int working; ///< who have not finished
  std::vector<float> values, sum;
  double count = 0;
  bool closed = false; ///< and not applied yet
  int used = 0, dropped = 0;
};

template <closing_rule Rule> class served_by_rule final : public tutti::carrier<float> {
public:
  served_by_rule(one_server<Rule>& server, int rank, std::span<const tutti::place> parts)
      : server_{server}, rank_{rank}, whole_{parts.front()}, room_(whole_.size()) {}

  tutti::place owned(std::size_t) const override { return rank_ == 0 ? whole_ : tutti::place{}; }
  std::span<float> room(std::size_t) override { return room_; }
  bool serves() const override { return true; }
  tutti::role role() const override {
    return rank_ == 0 ? tutti::role::server : tutti::role::worker;
  }
  void attach(std::span<float> values, agreed use) override {
    if (rank_ != 0) return;
    const std::lock_guard lock{server_.mutex};
    mine_ = values;
    use_.emplace(use);
    server_.values.assign(values.begin(), values.end());
    server_.sum.assign(values.size(), 0.0f);
    server_.changed.notify_all();
  }
  void offer(std::size_t, std::span<const double>) override {
    std::unique_lock lock{server_.mutex};
    server_.changed.wait(lock, [&] { return !server_.closed && !server_.sum.empty(); });
    const double worth = server_.rule.takes(rank_, version_);
    ++(worth > 0 ? server_.used : server_.dropped);
    server_.count += worth > 0;
    for (std::size_t i = 0; i < room_.size(); ++i) server_.sum[i] += float(worth) * room_[i];
    server_.closed = server_.rule.closes();
    server_.changed.notify_all();
  }
  void settle(std::size_t) override {
    std::unique_lock lock{server_.mutex};
    server_.changed.wait(lock, [&] { return !server_.closed && server_.rule.lets_go(rank_); });
    version_ = server_.rule.version();
    std::copy(server_.values.begin(), server_.values.end(), room_.begin());
  }
  void serve() override {
    std::unique_lock lock{server_.mutex};
    for (;;) {
      server_.changed.wait(lock, [&] { return server_.closed || server_.working == 0; });
      if (!server_.closed) return;
      for (float& s : server_.sum) s /= float(server_.count);
      (*use_)(whole_, server_.sum);
      std::copy(mine_.begin(), mine_.end(), server_.values.begin());
      std::fill(server_.sum.begin(), server_.sum.end(), 0.0f);
      server_.count = 0;
      server_.closed = false;
      server_.changed.notify_all();
    }
  }
  void finish() override {
    std::unique_lock lock{server_.mutex};
    server_.working -= rank_ != 0;
    server_.changed.notify_all();
    server_.changed.wait(lock, [&] { return server_.working == 0 && !server_.closed; });
    std::copy(server_.values.begin(), server_.values.end(), room_.begin());
  }

private:
  one_server<Rule>& server_;
  int rank_;
  tutti::place whole_;
  std::vector<float> room_;
  std::span<float> mine_;
  std::optional<agreed> use_;
  std::int64_t version_ = 0; ///< of the parameters that this worker has
};

} // namespace concepts
