// pairwise: a rank averages its replica with one other's, which does not wait for it.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/control.hpp>
#include <tutti/carriers/leaving.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/collectives/failed_call.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/communicators/reserved_channel.hpp>
#include <tutti/core/aligned_values.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/random.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/topologies/mixing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

/// The meetings of one rank, in flight for as long as its carrier lives. It is asked for one by a word; then both send
/// their values, and each moves by half of what it saw of the difference: the sum of both stays, whatever
/// else has moved them meanwhile. One meeting that it was asked for at a time, and one that it has asked for.
/// A failure is everybody's. Memory: four copies of the values.
template <class T, class Comm>
class meetings final : public operation {
public:
  struct channels {
    channel words, there, back; ///< what asks; what who has asked sends; what it is answered
  };

  meetings(Comm& comm, channels on, std::span<T> values)
      : comm_{comm}, on_{on}, values_{values}, seats_(std::size_t(comm.size())), asking_{values.size()},
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
      detail::fail_call(comm_, "step", detail::met_with(comm_, e.details()), [&] { drop(); });
    } catch (...) {
      detail::give_up_call(comm_, "step", "what it called threw", [&] { drop(); });
      throw;
    }
  }
  std::uint64_t progress() override { return comm_.progress(); }
  void idle(std::uint64_t seen) override { comm_.idle(seen, deadline{}); }
  void check_deadline() override {}
  void abandon() noexcept override { end(); }
  bool refers_to(const void* communicator) const noexcept override { return communicator == &comm_; }
  bool stays() const noexcept override { return true; }

  // --- its own rank, which holds what is in flight meanwhile ------------------------------------

  /// From here on the others are heard.
  void reopen() {
    done_ = 0;
    for (int r = 0; r < comm_.size(); ++r)
      if (r != comm_.rank()) listen(r);
  }
  /// Asks another rank for a meeting.
  void ask(int other) {
    tell(other, meet);
    asking_.begin_with(values_, other);
    const outgoing to{other, std::as_bytes(asking_.sent.span())};
    const incoming from{other, std::as_writable_bytes(asking_.got.span())};
    asking_.sending.emplace(comm_.exchange(host_execution{}, on_.there, {{&to, 1}, {}}));
    asking_.hearing.emplace(comm_.exchange(host_execution{}, on_.back, {{}, {&from, 1}}));
  }
  /// This rank asks for no more.
  void tell_done() {
    for (int r = 0; r < comm_.size(); ++r)
      if (r != comm_.rank()) tell(r, done);
  }
  /// Whether what it has asked for is over.
  bool is_free() const { return !asking_.is_under_way(); }
  /// Whether what it was asked for is, as far as it was heard.
  bool rests() const { return !asked_.is_under_way() && waiting_.empty(); }
  /// Whether all words of its own have left.
  bool has_told() const {
    return std::none_of(seats_.begin(), seats_.end(), [](const seat& s) { return s.telling.has_value(); });
  }
  /// Whether nobody asks for more.
  bool all_done() const { return done_ == comm_.size() - 1; }
  int waits_for() const { return asking_.with; }
  /// How much has happened so far.
  std::uint64_t heard() const noexcept { return heard_; }
  void require_sound() const {
    if (this->fault()) std::rethrow_exception(this->fault());
  }

private:
  using handle = exchange_handle_of<Comm>;
  enum : std::uint64_t { meet = 1, done = 2 };
  struct seat {
    std::uint64_t in = 0, out = 0;
    std::optional<handle> hearing, telling;
  };
  struct meeting {
    explicit meeting(std::size_t n) : sent{n}, got{n} {}
    bool is_under_way() const { return sending.has_value() || hearing.has_value(); }
    void begin_with(std::span<const T> values, int other) {
      std::copy(values.begin(), values.end(), sent.begin());
      with = other;
    }
    aligned_values<T> sent, got;
    std::optional<handle> sending, hearing;
    int with = -1;
  };

  void begin() override { reopen(); }
  /// Until nothing moves: what is posted here may be there already.
  void look() {
    while (look_once()) {
    }
  }
  bool look_once() {
    bool moved = false;
    for (int r = 0; r < comm_.size(); ++r) {
      seat& s = seats_[std::size_t(r)];
      if (s.telling && s.telling->test()) s.telling.reset(), moved = true;
      if (!s.hearing || !s.hearing->test()) continue;
      s.hearing.reset();
      moved = true;
      ++heard_;
      if (s.in == done) {
        ++done_;
      } else if (s.in == meet) {
        waiting_.push_back(r);
      } else {
        throw error{{.code = error_code::bad_data,
                     .call = "step",
                     .peer = r,
                     .detail = "a word of rank " + std::to_string(r) + " asks for nothing - let nobody else use its "
                               "channel"}};
      }
    }
    if (ends(asking_)) moved = true;
    if (ends(asked_)) listen(asked_.with), moved = true;
    if (!asked_.is_under_way() && !waiting_.empty()) answer(), moved = true;
    return moved;
  }
  void answer() {
    const int other = waiting_.front();
    waiting_.pop_front();
    asked_.begin_with(values_, other);
    const outgoing to{other, std::as_bytes(asked_.sent.span())};
    const incoming from{other, std::as_writable_bytes(asked_.got.span())};
    asked_.hearing.emplace(comm_.exchange(host_execution{}, on_.there, {{}, {&from, 1}}));
    asked_.sending.emplace(comm_.exchange(host_execution{}, on_.back, {{&to, 1}, {}}));
  }
  /// Whether one that was under way is over.
  bool ends(meeting& one) {
    if (!one.is_under_way()) return false;
    for (auto* side : {&one.sending, &one.hearing})
      if (*side && (*side)->test()) side->reset();
    if (one.is_under_way()) return false;
    const exact_mode held;
    for (std::size_t i = 0; i < values_.size(); ++i) values_[i] += (one.got.span()[i] - one.sent.span()[i]) / 2;
    ++heard_;
    return true;
  }
  void listen(int other) {
    seat& s = seats_[std::size_t(other)];
    const incoming from{other, std::as_writable_bytes(std::span{&s.in, 1})};
    s.hearing.emplace(comm_.exchange(host_execution{}, on_.words, {{}, {&from, 1}}));
  }
  void tell(int other, std::uint64_t word) {
    seat& s = seats_[std::size_t(other)];
    s.out = word;
    const outgoing to{other, std::as_bytes(std::span{&s.out, 1})};
    s.telling.emplace(comm_.exchange(host_execution{}, on_.words, {{&to, 1}, {}}));
  }
  void drop() {
    seats_.clear();
    for (meeting* one : {&asking_, &asked_}) one->sending.reset(), one->hearing.reset();
    waiting_.clear();
  }
  /// Who asks now is told that there is nobody any more.
  void end() noexcept {
    bool silence = !asking_.is_under_way() && !asked_.is_under_way();
    for (seat& s : seats_)
      if (s.hearing) silence = detail::take_back(*s.hearing) && silence;
    if (!silence) comm_.revoke(left_unfinished(comm_.rank()));
    drop();
  }

  Comm& comm_;
  const channels on_;
  const std::span<T> values_;
  std::vector<seat> seats_; ///< of each rank
  meeting asking_, asked_;
  std::deque<int> waiting_; ///< who has asked, in the order in which it was heard
  int done_ = 0;
  std::uint64_t heard_ = 0;
};

} // namespace detail

/// One part, the whole model. A step applies this rank's gradient to its replica, and asks a neighbour in the graph,
/// drawn anew each time, for a meeting, which goes on while the next gradient is computed and is waited for before the
/// next is asked for. A rank answers whenever it is in any call on the communicator. Construction, attach(), rest() and
/// finish() are collective. Cost of a step: a word and a message of the model to the neighbour, one back, and as
/// many of those who ask this rank.
template <class T, class Comm, class Graph>
class pairwise final : public carrier<T> {
public:
  using agreed = typename carrier<T>::agreed;

  /// Of a model of n elements; so many words are noted with a push.
  pairwise(Comm& comm, const Graph& graph, const options& how, std::uint64_t seed, std::size_t n, std::size_t words)
      : comm_{comm}, how_{how}, seed_{seed}, words_{comm.in_flight()}, there_{comm.in_flight()},
        back_{comm.in_flight()}, room_{n}, note_(words) {
    how_.weight = 1;
    graph.mix(0, comm.rank(), comm.size(), [&](share s) {
      if (s.from == comm.rank() && s.to != s.from) neighbours_.push_back(s.to);
    });
    std::sort(neighbours_.begin(), neighbours_.end());
  }
  ~pairwise() override {
    const auto held = comm_.in_flight().hold();
    meetings_.reset();
  }

  bool serves() const override { return true; }
  bool mixes() const override { return true; }
  place owned(std::size_t) const override { return {0, room_.size()}; }
  std::span<T> room(std::size_t) override { return room_.span(); }
  std::span<std::uint64_t> note() override { return note_; }
  std::span<const std::uint64_t> noted() const override { return note_; }

  void attach(std::span<T> values, agreed use, bool = false) override {
    values_ = values;
    use_.emplace(use);
    operations& all = comm_.in_flight();
    const auto held = all.hold();
    meetings_ = std::make_unique<detail::meetings<T, Comm>>(
        comm_, typename detail::meetings<T, Comm>::channels{words_, there_, back_}, values);
    all.start(*meetings_);
    all.enter(*meetings_);
  }
  void offer(std::size_t, std::span<const double> weights) override {
    wait("step", [&] { return meetings_->is_free() && meetings_->has_told(); });
    guarded("step", [&] {
      const auto held = comm_.in_flight().hold();
      if (weights.front() != 0) (*use_)({0, room_.size()}, room_.span());
      if (!neighbours_.empty()) meetings_->ask(partner(met_++));
    });
  }
  void settle(std::size_t) override {
    const auto held = comm_.in_flight().hold();
    std::ranges::copy(values_, room_.begin());
  }
  void rest() override {
    wait("state", [&] { return meetings_->is_free() && meetings_->has_told() && meetings_->rests(); });
  }
  void finish() override {
    wait("finalize", [&] { return meetings_->is_free() && meetings_->has_told(); });
    guarded("finalize", [&] {
      const auto held = comm_.in_flight().hold();
      meetings_->tell_done();
    });
    wait("finalize", [&] { return meetings_->all_done() && meetings_->rests() && meetings_->has_told(); });
    guarded("finalize", [&] {
      const auto held = comm_.in_flight().hold();
      std::ranges::copy(values_, room_.begin());
    });
    tutti::all_reduce(comm_, room_.span(), default_topology{}, mean{}, identity{}, how_);
    const auto held = comm_.in_flight().hold();
    std::ranges::copy(room_.span(), values_.begin()); // before anybody is heard again
    meetings_->reopen();
  }
  void state(archive& to) override { to.number("meetings", met_, held_by::each); }
  void resume(control&, bool) override { std::ranges::copy(values_, room_.begin()); }

private:
  int partner(std::int64_t meeting) const {
    random_stream draw{seed_, std::uint32_t(meeting), std::uint64_t(comm_.rank()) << 32 | std::uint64_t(meeting >> 32)};
    return neighbours_[draw.below(std::uint32_t(neighbours_.size()))];
  }
  /// Moves everything on until over(); with nothing happening for the whole timeout, throws.
  template <class Over>
  void wait(const char* call, Over&& over) {
    operations& all = comm_.in_flight();
    const operations::visit now{all, call, comm_.rank()};
    deadline until = how_.until(tutti::now_of(comm_));
    for (std::uint64_t heard = 0;;) {
      const auto seen = comm_.progress();
      bool ends = false, rests = false;
      guarded(call, [&] {
        const auto held = all.hold();
        rests = all.step(seen);
        meetings_->require_sound();
        ends = over();
        if (std::exchange(heard, meetings_->heard()) != meetings_->heard()) until = how_.until(tutti::now_of(comm_));
        if (!ends && tutti::now_of(comm_) >= until)
          throw error{{.code = error_code::timeout,
                       .peer = meetings_->is_free() ? -1 : meetings_->waits_for(),
                       .detail = "nothing was heard within " + std::to_string(how_.timeout.count()) +
                                 " ms - raise tutti::options::timeout if the peer is only slow"}};
      });
      if (ends) return;
      if (rests) comm_.idle(seen, until);
    }
  }
  /// An error here is an error everywhere.
  template <class Work>
  void guarded(const char* call, Work&& work) {
    try {
      work();
    } catch (const error& e) {
      detail::fail_call(comm_, call, detail::met_with(comm_, e.details()), [] {});
    } catch (...) {
      detail::give_up_call(comm_, call, "what it called threw", [] {});
      throw;
    }
  }

  Comm& comm_;
  options how_;
  const std::uint64_t seed_;
  reserved_channel words_, there_, back_;
  detail::aligned_values<T> room_;
  std::vector<std::uint64_t> note_;
  std::vector<int> neighbours_;
  std::span<T> values_;
  std::optional<agreed> use_;
  std::int64_t met_ = 0; ///< meetings that this rank has asked for
  std::unique_ptr<detail::meetings<T, Comm>> meetings_;
};

} // namespace tutti
