// sparse_server: the side of a sparse table that answers, in flight for as long as its table lives.
#pragma once

#include <tutti/carriers/leaving.hpp>
#include <tutti/carriers/roster.hpp>
#include <tutti/carriers/sparse_rows.hpp>
#include <tutti/collectives/failed_call.hpp>
#include <tutti/communicators/communicator.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// What a worker asks of a server: then so many keys follow, and behind them, in a push, a gradient row for each.
struct sparse_head {
  enum : std::uint64_t { pull = 1, push = 2, done = 3 };
  std::uint64_t kind = 0, clock = 0, keys = 0; ///< clock: which request of this worker to this server it is
};

/// What every rank calls in the end.
inline constexpr last_call last_of_requests{"finish()", "request"};

/// Takes one request of each worker before the next of any, and applies each (worker, clock) once.
template <class T, class Comm, class Optimizer>
class sparse_server final : public operation {
public:
  struct channels {
    channel requests, rows;
  };

  sparse_server(Comm& comm, channels on, roster workers, Optimizer by, const sparse_options& how)
      : comm_{comm}, on_{on}, workers_{std::move(workers)}, columns_{how.columns}, rows_{std::move(by), how},
        seats_(std::size_t(workers_.size())) {}
  ~sparse_server() {
    comm_.in_flight().leave(*this);
    end();
  }

  bool advance() override {
    try {
      do { // what was posted last is looked for: a message that was there before gives no sign
        listens_ = false;
        for (int r = 0; r < workers_.size(); ++r) look(r);
      } while (listens_);
      return false;
    } catch (const error& e) {
      detail::fail_call(comm_, "serve", e.details(), [&] { seats_.clear(); });
    } catch (...) {
      detail::give_up_call(comm_, "serve", "what it called threw", [&] { seats_.clear(); });
      throw;
    }
  }
  std::uint64_t progress() override { return comm_.progress(); }
  void idle(std::uint64_t seen) override { comm_.idle(seen, deadline{}); }
  void check_deadline() override {}
  void abandon() noexcept override { end(); }
  bool refers_to(const void* communicator) const noexcept override { return communicator == &comm_; }
  bool stays() const noexcept override { return true; }

  void pull(std::span<const std::uint64_t> keys, std::span<T> rows) const {
    for (std::size_t k = 0; k < keys.size(); ++k) rows_.read(keys[k], rows.subspan(k * columns_, columns_));
  }
  /// What the worker asks for.
  void push(int worker, std::span<const std::uint64_t> keys, std::span<const T> gradients) {
    for (std::size_t k = 0; k < keys.size(); ++k)
      if (!rows_.update(keys[k], gradients.subspan(k * columns_, columns_)))
        throw error{{.code = error_code::non_finite,
                     .call = "push",
                     .rank = comm_.rank(),
                     .peer = worker,
                     .detail = "the row of key " + std::to_string(keys[k]) +
                               " would overflow by a push of rank " + std::to_string(worker) +
                               " - lower the learning rate, or clip the gradients"}};
  }
  void ends(int worker) { workers_.ends(worker); }
  /// All workers have said that they are done, and have their rows.
  bool is_over() const {
    bool answered = true;
    for (const seat& s : seats_) answered = answered && !s.answering;
    return workers_.all_done() && answered;
  }
  void reopen() {
    workers_.restart();
    for (int r = 0; r < workers_.size(); ++r) {
      seats_[std::size_t(r)].clock = 0;
      listen(r);
    }
  }
  void require_sound() const {
    if (this->fault()) std::rethrow_exception(this->fault());
  }
  void require_all_there() const {
    if (lost_ >= 0) throw error{left_unfinished(lost_, last_of_requests)};
  }
  std::size_t size() const noexcept { return rows_.size(); }
  sparse_rows<T, Optimizer>& rows() noexcept { return rows_; }
  std::uint64_t heard() const noexcept { return heard_; }
  int slowest_worker() const { return workers_.slowest_worker(); }

private:
  using handle = exchange_handle_of<Comm>;
  struct seat {
    sparse_head head;
    std::uint64_t clock = 0; ///< requests so far
    bool again = false;      ///< this one was taken before: it is read, and nothing comes of it
    std::vector<std::uint64_t> keys;
    std::vector<T> gradients, rows;
    std::optional<handle> hearing, reading, answering;
  };

  void begin() override { reopen(); }
  void listen(int worker) {
    seat& s = seats_[std::size_t(worker)];
    if (workers_.is_done(worker) || worker == comm_.rank() || worker == lost_) return;
    const incoming from{worker, std::as_writable_bytes(std::span{&s.head, 1})};
    s.hearing.emplace(comm_.exchange(host_execution{}, on_.requests, {{}, {&from, 1}}));
    listens_ = true;
  }
  void look(int worker) {
    seat& s = seats_[std::size_t(worker)];
    is_through(s.answering, worker);
    if (is_through(s.hearing, worker)) open(worker);
    if (!s.answering && is_through(s.reading, worker)) take(worker); // rows are on their way where they are
  }
  bool is_through(std::optional<handle>& exchange, int worker) {
    if (!exchange) return false;
    const reached met = detail::test_with(comm_, *exchange, worker);
    if (met == reached::nothing_yet) return false;
    exchange.reset();
    if (met == reached::one_who_left) lost_ = worker;
    return met == reached::its_end;
  }
  void open(int worker) {
    seat& s = seats_[std::size_t(worker)];
    ++heard_;
    s.again = s.head.clock >= 1 && s.head.clock <= s.clock;
    const bool expected = (s.again || s.head.clock == s.clock + 1) && s.head.keys <= (std::uint64_t{1} << 40);
    if (!expected || s.head.kind < sparse_head::pull || s.head.kind > sparse_head::done)
      throw error{{.code = error_code::bad_data,
                   .call = "serve",
                   .peer = worker,
                   .detail = "a request of rank " + std::to_string(worker) +
                             " is not what this table expects - let nobody else use its channel"}};
    if (!s.again) ++s.clock;
    if (s.head.kind == sparse_head::done) return workers_.ends(worker);
    s.keys.resize(std::size_t(s.head.keys));
    std::vector<incoming> from{{worker, std::as_writable_bytes(std::span{s.keys})}};
    if (s.head.kind == sparse_head::push) {
      s.gradients.resize(s.keys.size() * columns_);
      from.push_back({worker, std::as_writable_bytes(std::span{s.gradients})});
    }
    s.reading.emplace(comm_.exchange(host_execution{}, on_.requests, {{}, from}));
  }
  void take(int worker) {
    seat& s = seats_[std::size_t(worker)];
    ++heard_;
    if (s.again) return listen(worker);
    if (s.head.kind == sparse_head::push) {
      push(worker, s.keys, s.gradients);
    } else {
      s.rows.resize(s.keys.size() * columns_);
      pull(s.keys, s.rows);
      const outgoing to{worker, std::as_bytes(std::span{s.rows})};
      s.answering.emplace(comm_.exchange(host_execution{}, on_.rows, {{&to, 1}, {}}));
    }
    listen(worker);
  }
  /// Who asks now is told that there is no server any more.
  void end() noexcept {
    bool silence = true;
    for (seat& s : seats_)
      for (auto* exchange : {&s.hearing, &s.reading})
        if (*exchange) silence = detail::take_back(**exchange) && silence;
    if (!silence) comm_.revoke(left_unfinished(comm_.rank(), last_of_requests));
    seats_.clear();
  }

  Comm& comm_;
  const channels on_;
  roster workers_;
  const std::size_t columns_;
  sparse_rows<T, Optimizer> rows_;
  std::vector<seat> seats_;
  int lost_ = -1;
  bool listens_ = false;
  std::uint64_t heard_ = 0;
};

} // namespace tutti::detail
