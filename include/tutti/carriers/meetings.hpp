// meetings: the side of pairwise that answers, in flight for as long as its carrier lives.
#pragma once

#include <tutti/carriers/leaving.hpp>
#include <tutti/carriers/silence.hpp>
#include <tutti/collectives/failed_call.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/core/aligned_values.hpp>
#include <tutti/core/exact_arithmetic.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// The meetings of one rank. It is asked for one by a word; then both send their values, and each moves by half of
/// what it saw of the difference: the sum of both stays, whatever else has moved them meanwhile. One meeting that it
/// was asked for at a time, and one that it has asked for.
/// A rank that is lost - it has left, or was silent for the whole timeout while it was waited for here - is named to
/// all, and counts as done. Unless `goes_on`, that and every other failure is everybody's. Memory: four copies of the
/// values.
template <class T, class Comm>
class meetings final : public operation {
public:
  struct channels {
    channel words, there, back; ///< what asks; what who has asked sends; what it is answered
  };

  meetings(Comm& comm, channels on, const options& how, bool goes_on, std::span<T> values)
      : comm_{comm}, on_{on}, timeout_{how.timeout}, goes_on_{goes_on}, silence_{comm.size(), how.timeout},
        values_{values}, seats_(std::size_t(comm.size())), lost_(seats_.size()), asking_{values.size()},
        asked_{values.size()} {}
  ~meetings() {
    comm_.in_flight().leave(*this);
    end();
  }

  bool advance() override {
    try {
      look();
      return false;
    } catch (const error& e) {
      failure why = detail::met_with(comm_, e.details());
      if (!goes_on_) detail::fail_call(comm_, "step", std::move(why), [&] { drop(); });
      drop();
      throw error{std::move(why)};
    } catch (...) {
      if (goes_on_)
        drop();
      else
        detail::give_up_call(comm_, "step", "what it called threw", [&] { drop(); });
      throw;
    }
  }
  std::uint64_t progress() override { return comm_.progress(); }
  void idle(std::uint64_t seen) override { comm_.idle(seen, comm_.in_flight().alarm()); }
  void check_deadline() override {}
  void abandon() noexcept override { end(); }
  bool refers_to(const void* communicator) const noexcept override { return communicator == &comm_; }
  bool stays() const noexcept override { return true; }
  deadline alarm() const override {
    return goes_on_ && !this->done() && !seats_.empty() ? silence_.alarm() : (deadline::max)();
  }

  // --- its own rank, which holds what is in flight meanwhile ------------------------------------

  /// From here on others are answered. Who leaves is missed as soon as somebody trains.
  void reopen() {
    open_ = true;
    misses_ = ends_ = together_ = false;
    bool early = !waiting_.empty();
    for (seat& s : seats_) {
      s.came = false;
      if (s.done > 0) early = --s.done > 0 || early;
    }
    silence_.begin(tutti::now_of(comm_));
    listen_to_all();
    misses_ = early;
  }
  /// Asks another rank for a meeting.
  void ask(int other) {
    begin_to_miss();
    tell(other, word(meet, 0));
    send_to(other);
  }
  /// This rank asks for no more.
  void tell_done() {
    begin_to_miss();
    ends_ = true;
    silence_.begin(tutti::now_of(comm_));
    for (int r = 0; r < comm_.size(); ++r) tell(r, word(no_more, 0));
  }
  /// When all are done: answers nobody until reopen().
  void close() {
    open_ = misses_ = false;
    host_ = -1;
  }
  /// Then, once on every rank that is left: the lowest of them takes the mean of all their values, and answers with it.
  void come_together() {
    close();
    silence_.begin(tutti::now_of(comm_));
    do ++host_;
    while (host_ != comm_.rank() && is_lost(host_));
    if (host_ != comm_.rank()) return send_to(host_);
    std::copy(values_.begin(), values_.end(), asked_.sent.begin());
    asked_.with = host_;
    gather();
  }
  bool is_together() const {
    const auto is_on_its_way = [](const seat& s) { return s.answering.has_value(); };
    return together_ && std::none_of(seats_.begin(), seats_.end(), is_on_its_way);
  }

  /// Whether what it has asked for is over.
  bool is_free() const { return !asking_.is_under_way(); }
  /// Whether what it was asked for is, as far as it was heard.
  bool rests() const { return !asked_.is_under_way() && waiting_.empty(); }
  /// Whether all words of its own have left, to those that are there.
  bool has_told() const {
    for (int r = 0; r < comm_.size(); ++r)
      if (!is_lost(r) && (at(r).telling || !at(r).to_tell.empty())) return false;
    return true;
  }
  /// Whether nobody asks for more.
  bool all_done() const {
    for (int r = 0; r < comm_.size(); ++r)
      if (r != comm_.rank() && !is_done(r)) return false;
    return true;
  }
  bool is_lost(int rank) const { return lost_[std::size_t(rank)] != 0; }
  int waits_for() const { return is_free() ? -1 : asking_.with; }
  /// How much has happened so far.
  std::uint64_t heard() const noexcept { return heard_; }
  void require_sound() const {
    if (this->fault()) std::rethrow_exception(this->fault());
  }

private:
  using handle = exchange_handle_of<Comm>;
  /// Asks for a meeting, asks for no more, names who is lost.
  enum kinds : std::uint64_t { meet = 1, no_more = 2, loss = 3 };
  struct seat {
    std::uint64_t in = 0, out = 0;
    std::deque<std::uint64_t> to_tell; ///< behind `out`
    std::optional<handle> hearing, telling, answering;
    int done = 0;      ///< how often it has said so since reopen()
    bool came = false; ///< its values are in the mean of all
  };
  struct meeting {
    explicit meeting(std::size_t n) : sent{n}, got{n} {}
    bool is_under_way() const { return sending.has_value() || hearing.has_value(); }
    bool is_with(int other) const { return is_under_way() && with == other; }
    void drop() { sending.reset(), hearing.reset(); }
    aligned_values<T> sent, got;
    std::optional<handle> sending, hearing;
    int with = -1;
  };
  static std::uint64_t word(kinds kind, int about) { return std::uint64_t(about) << 8 | kind; }
  seat& at(int rank) { return seats_[std::size_t(rank)]; }
  const seat& at(int rank) const { return seats_[std::size_t(rank)]; }
  bool is_done(int rank) const { return is_lost(rank) || at(rank).done > 0; }

  void begin() override { reopen(); }
  /// Until nothing moves: what is posted here may be there already.
  void look() {
    for (std::uint64_t before = heard_ - 1; std::exchange(before, heard_) != heard_;) {
      for (int r = 0; r < comm_.size(); ++r) {
        seat& s = at(r);
        is_over(s.telling, r, misses_), is_over(s.answering, r, true);
        if (!s.telling && !s.to_tell.empty()) tell_next(r);
        if (is_over(s.hearing, r, misses_)) hear(r);
      }
      end(asking_);
      if (open_) {
        if (end(asked_)) listen(asked_.with);
        if (!asked_.is_under_way() && !waiting_.empty()) answer();
      } else if (host_ == comm_.rank()) {
        gather();
      }
      if (goes_on_) lose_the_silent();
    }
  }
  /// Whether an exchange that was under way is complete; it ends as well when the other has left, which is a loss where
  /// it is missed: of values, always; of words, while training goes on, as at the end they may be the last to be seen.
  bool is_over(std::optional<handle>& exchange, int other, bool missed) {
    if (!exchange) return false;
    const reached met = detail::test_with(comm_, *exchange, other);
    if (met == reached::nothing_yet) return false;
    exchange.reset();
    ++heard_;
    if (met == reached::one_who_left && missed) lose(other);
    return met == reached::its_end;
  }
  bool is_awaited(int other) const {
    return asking_.is_with(other) || asked_.is_with(other) || at(other).answering.has_value();
  }

  void hear(int other) {
    seat& s = at(other);
    const auto kind = s.in & 255, about = s.in >> 8;
    silence_.heard(other);
    if (kind == meet) { // it says no more before it is answered
      waiting_.push_back(other);
    } else if (kind == no_more) {
      ++s.done;
    } else if (kind == loss && about < std::uint64_t(comm_.size()) && goes_on_) {
      if (int(about) == comm_.rank()) throw error{detail::heard_nothing_of(other, timeout_)};
      lose(int(about));
    } else {
      throw error{{.code = error_code::bad_data,
                   .call = "step",
                   .peer = other,
                   .detail = "a word of rank " + std::to_string(other) + " asks for nothing - let nobody else use its "
                             "channel"}};
    }
    if (open_) begin_to_miss();
    if (kind != meet) listen(other);
  }
  void begin_to_miss() {
    if (std::exchange(misses_, true)) return;
    listen_to_all();
  }
  void listen_to_all() {
    for (int r = 0; r < comm_.size(); ++r)
      if (r != comm_.rank() && !asked_.is_with(r) && std::find(waiting_.begin(), waiting_.end(), r) == waiting_.end())
        listen(r);
  }
  void listen(int other) {
    seat& s = at(other);
    if (is_lost(other) || s.hearing) return;
    const incoming from{other, std::as_writable_bytes(std::span{&s.in, 1})};
    s.hearing.emplace(comm_.exchange(host_execution{}, on_.words, {{}, {&from, 1}}));
  }
  void tell(int other, std::uint64_t what) {
    if (other == comm_.rank()) return;
    at(other).to_tell.push_back(what);
    if (!at(other).telling) tell_next(other);
  }
  void tell_next(int other) {
    seat& s = at(other);
    s.out = s.to_tell.front();
    s.to_tell.pop_front();
    const outgoing to{other, std::as_bytes(std::span{&s.out, 1})};
    s.telling.emplace(comm_.exchange(host_execution{}, on_.words, {{&to, 1}, {}}));
  }

  void answer() {
    asked_.with = waiting_.front();
    waiting_.pop_front();
    std::copy(values_.begin(), values_.end(), asked_.sent.begin());
    receive(asked_, on_.there);
    send(asked_.sending, asked_.with, on_.back, asked_.sent.span());
  }
  /// What this rank has, to one that answers.
  void send_to(int other) {
    asking_.with = other;
    std::copy(values_.begin(), values_.end(), asking_.sent.begin());
    send(asking_.sending, other, on_.there, asking_.sent.span());
    receive(asking_, on_.back);
  }
  void receive(meeting& one, channel on) {
    const incoming from{one.with, std::as_writable_bytes(one.got.span())};
    one.hearing.emplace(comm_.exchange(host_execution{}, on, {{}, {&from, 1}}));
    silence_.heard(one.with);
  }
  void send(std::optional<handle>& by, int other, channel on, std::span<const T> values) {
    const outgoing to{other, std::as_bytes(values)};
    by.emplace(comm_.exchange(host_execution{}, on, {{&to, 1}, {}}));
  }
  /// Whether one that was under way is over.
  bool end(meeting& one) {
    if (!one.is_under_way()) return false;
    is_over(one.sending, one.with, true), is_over(one.hearing, one.with, true);
    if (one.is_under_way()) return false;
    if (is_lost(one.with)) return true;
    const exact_mode held;
    const std::span<const T> got = one.got.span(), sent = one.sent.span();
    together_ = !open_;
    if (together_)
      std::copy(got.begin(), got.end(), values_.begin());
    else
      for (std::size_t i = 0; i < values_.size(); ++i) values_[i] += (got[i] - sent[i]) / 2;
    return true;
  }
  /// Of the host: adds the values of one rank after the other, and answers all when it has them.
  void gather() {
    const exact_mode held;
    const std::span<T> sum = asked_.sent.span();
    while (!together_) {
      if (is_over(asked_.hearing, asked_.with, true)) {
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += asked_.got.span()[i];
        at(asked_.with).came = true;
      }
      if (asked_.hearing) return;
      while (++asked_.with < comm_.size() && is_lost(asked_.with)) {
      }
      if (asked_.with < comm_.size())
        receive(asked_, on_.there);
      else
        answer_all();
    }
  }
  void answer_all() {
    together_ = true;
    const auto came = 1 + std::count_if(seats_.begin(), seats_.end(), [](const seat& s) { return s.came; });
    for (std::size_t i = 0; i < values_.size(); ++i) values_[i] = asked_.sent.span()[i] / T(came);
    for (int r = 0; r < comm_.size(); ++r)
      if (at(r).came && !is_lost(r)) send(at(r).answering, r, on_.back, values_);
  }

  void lose_the_silent() {
    const bool gathers = !open_ && !together_ && host_ == comm_.rank();
    silence_.look(tutti::now_of(comm_), [&](int r) {
      return r != comm_.rank() && !is_lost(r) && (is_awaited(r) || (gathers && !at(r).came) || (ends_ && !is_done(r)));
    });
    for (int r = 0; r < comm_.size(); ++r)
      if (silence_.is_too_long(r)) lose(r);
  }
  /// The others go on without it, and are told.
  void lose(int other) {
    if (is_lost(other)) return;
    if (!goes_on_) throw error{left_unfinished(other)};
    if (!open_ && other == host_ && !together_) // by whatever it was noticed
      throw error{{.code = error_code::peer_lost,
                   .call = "finalize",
                   .rank = comm_.rank(),
                   .peer = other,
                   .detail = "rank " + std::to_string(other) + " was lost while it took the mean of all replicas in "
                             "finalize() - each rank has its own still"}};
    lost_[std::size_t(other)] = 1;
    ++heard_;
    seat& s = at(other);
    if (s.hearing) detail::take_back(*s.hearing);
    s = seat{};
    for (meeting* one : {&asking_, &asked_})
      if (one->is_with(other)) one->drop();
    std::erase(waiting_, other);
    for (int r = 0; r < comm_.size(); ++r)
      if (r == other ? !detail::has_left(comm_, r) : !is_lost(r)) tell(r, word(loss, other));
  }

  void drop() {
    seats_.clear();
    asking_.drop(), asked_.drop();
    waiting_.clear();
  }
  /// Who asks now is told that there is nobody any more.
  void end() noexcept {
    bool silence = !asking_.is_under_way() && !asked_.is_under_way();
    for (seat& s : seats_)
      if (s.hearing) silence = detail::take_back(*s.hearing) && silence;
    if (!silence && !goes_on_) comm_.revoke(left_unfinished(comm_.rank()));
    drop();
  }

  Comm& comm_;
  const channels on_;
  const std::chrono::milliseconds timeout_;
  const bool goes_on_;
  detail::silence silence_;
  const std::span<T> values_;
  std::vector<seat> seats_; ///< of each rank
  std::vector<char> lost_;
  meeting asking_, asked_;
  std::deque<int> waiting_; ///< who has asked, in the order in which it was heard
  bool open_ = false;       ///< others are answered
  bool misses_ = false;     ///< who leaves is lost
  bool ends_ = false;       ///< this rank asks for no more
  bool together_ = false;   ///< it has the mean of all
  int host_ = -1;           ///< who takes that
  std::uint64_t heard_ = 0;
};

} // namespace tutti::detail
