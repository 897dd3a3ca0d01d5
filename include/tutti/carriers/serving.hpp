// serving: servers own key ranges of the model; workers push their gradients to them and go on with
// what they are answered.
#pragma once

#include <tutti/carriers/awaiting.hpp>
#include <tutti/carriers/control.hpp>
#include <tutti/carriers/leaving.hpp>
#include <tutti/carriers/reducing.hpp>
#include <tutti/carriers/server.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/communicators/reserved_channel.hpp>
#include <tutti/core/aligned_values.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

/// One part, the whole model. Construction, attach(), resume() and finish() are collective; between them a
/// worker calls offer() and settle() as often as it likes. A rank that serves does so whenever it
/// waits for something on the communicator, here or elsewhere. Cost of a worker's step: one message
/// of each server's key range to it, and one back, each behind a few words; values are sent from the room and
/// received into it.
template <class T, class Comm, class Topology, class Reducer, class Codec>
class serving final : public carrier<T> {
public:
  using agreed = typename carrier<T>::agreed;

  /// Of a model of n elements; so many words go with a push.
  serving(const carrying_parts<Comm, Topology, Reducer, Codec>& with, std::size_t n, detail::closing_answer closing,
          std::size_t words = 0)
      : with_{with}, rank_{with.comm.rank()}, size_{with.comm.size()},
        servers_{with.topology.server_count(size_)}, closing_{std::move(closing)},
        awaiting_{with.comm, with.how, closing_.goes_on()},
        pushes_{with.comm.in_flight()}, answers_{with.comm.in_flight()}, room_{n},
        lanes_(std::size_t(servers_)), head_{words}, note_(words), lost_(std::size_t(size_)) {
    for (int s = 0; s < servers_; ++s) {
      lane& l = lanes_[std::size_t(s)];
      const shard range = shard_of(n, s, servers_);
      l.range = {range.begin, range.end};
      l.head = detail::answer_head{size_};
      if (exact) continue;
      l.out.resize(with.codec.template bytes<T>(range.end - range.begin));
      l.in.resize(l.out.size());
    }
  }
  /// Its last answers are waited for, as what is in flight is. One that ends while workers still
  /// push fails them.
  ~serving() override {
    if (server_ && !server_->done() && std::uncaught_exceptions() == 0) await_last_answers();
    const auto held = with_.comm.in_flight().hold();
    server_.reset();
  }

  bool serves() const override { return true; }
  tutti::role role() const override {
    if (!is_server(with_.topology, rank_, size_)) return role::worker;
    return is_worker(with_.topology, rank_, size_) ? role::both : role::server;
  }
  place owned(std::size_t) const override {
    return rank_ < servers_ ? lanes_[std::size_t(rank_)].range : place{};
  }
  std::span<T> room(std::size_t) override { return room_.span(); }
  std::span<std::uint64_t> note() override { return note_; }
  std::span<const std::uint64_t> noted() const override { return server_->noted(); }
  bool counted() const override { return counted_; }
  std::vector<int> lost() const override {
    std::vector<int> all;
    const auto held = with_.comm.in_flight().hold();
    for (int r = 0; r < size_; ++r)
      if (lost_[std::size_t(r)] || (server_ && server_->is_lost(r))) all.push_back(r);
    return all;
  }

  std::span<const T> taken_at() const override { return server_->taken_at(); }

  void attach(std::span<T> values, agreed use, bool remembers = false) override {
    remembers_ = remembers;
    if (rank_ >= servers_) return;
    awaiting_.shares_errors();
    operations& all = with_.comm.in_flight();
    const auto held = all.hold();
    const auto works = [&](int r) { return is_worker(with_.topology, r, size_); };
    server_ = std::make_unique<server_type>(
        with_.comm, with_.reducer, with_.codec, typename server_type::channels{pushes_, answers_},
        owned(0), detail::roster{size_, works}, closing_, with_.how, values, use, note_.size(),
        remembers);
    all.start(*server_);
    all.enter(*server_);
    all.remind(*server_);
  }

  bool as_sent(std::size_t) override {
    encode();
    encoded_ = true;
    return Codec::kind != codec_kind::exact;
  }
  void offer(std::size_t, std::span<const double> weights) override {
    const operations::visit now{with_.comm.in_flight(), "step", rank_};
    guarded("step", [&] {
      const auto held = with_.comm.in_flight().hold();
      const double weight = weights.front();
      if (!std::exchange(encoded_, false)) encode();
      ++clock_;
      send(weight > 0 ? detail::push_head::push : detail::push_head::leave_out, clock_, weight);
      awaits_ = true;
      if (server_) server_->push(clock_, piece(rank_), weight, note_);
    });
  }
  void settle(std::size_t) override {
    const auto over = [&] { return has_answers() && (!server_ || server_->is_answered()); };
    wait("step", over, [&] { return awaited(); });
    take_answers(detail::answer_head::answer);
    counted_ = true;
    for (int s = 0; s < servers_; ++s)
      counted_ = counted_ && (s == rank_ ? server_->counted() : lanes_[std::size_t(s)].head.counted());
  }

  void serve() override {
    if (role() != role::server)
      throw error{
          {.code = error_code::invalid_argument,
           .call = "serve",
           .rank = rank_,
           .detail = server_ ? "this rank works as well, and serves while it waits - call step()"
                             : "this rank is not a server - call step()"}};
    serves_alone_ = true;
    const auto over = [&] {
      server_->require_no_meeting_after(meetings_);
      return server_->is_over();
    };
    wait("serve", over, [] { return -1; });
  }
  void finish() override {
    const operations::visit now{with_.comm.in_flight(), "finalize", rank_};
    if (role() != role::server) end_own_steps();
    if (server_) {
      wait(
          "finalize", [&] { return has_answers(), server_->is_over(); }, [] { return -1; });
      publish();
    }
    wait(
        "finalize", [&] { return has_answers() && (!server_ || server_->has_answered()); }, [&] { return awaited(); });
    take_answers(detail::answer_head::end);
    clock_ = 0;
    serves_alone_ = false;
    if (!server_) return;
    guarded("finalize", [&] {
      const auto held = with_.comm.in_flight().hold();
      server_->reopen();
    });
  }

  /// Servers are told before they are waited for: one that is in serve() does not come.
  bool meets() override {
    if (!with_.topology.dedicates()) return true;
    if (clock_ != 0 || serves_alone_) return false;
    ++meetings_;
    if (role() == role::server) return true;
    guarded("state", [&] {
      const auto held = with_.comm.in_flight().hold();
      send(detail::push_head::meeting, meetings_, 0);
    });
    wait("state", [&] { return pushing_->test(); }, [&] { return pushing_->waiting_for(); });
    pushing_.reset();
    return true;
  }
  void state(archive& to) override {
    to.number("clock", clock_, held_by::worker);
    if (closing_.together()) to.number("closed without", behind_, held_by::worker);
  }
  /// What the rules of all servers know of this rank's worker.
  void meet(control& ranks) override {
    if (!closing_.together()) return;
    std::vector<std::uint64_t> mine(std::size_t(size_) + 1);
    if (server_) {
      const auto held = with_.comm.in_flight().hold();
      std::ranges::copy(server_->numbers(), mine.begin());
      mine.back() = server_->holds();
    }
    const std::vector<std::uint64_t> all = ranks.gather(mine);
    behind_ = 0;
    for (std::size_t k = 0; k < all.size(); k += mine.size()) {
      behind_ = (std::max)(behind_, std::int64_t(all[k + std::size_t(rank_)]));
      if (all[k + mine.size() - 1] != 0)
        throw error{{.code = error_code::unsupported,
                     .call = "state",
                     .rank = rank_,
                     .peer = int(k / mine.size()),
                     .detail = "a server holds pushes of a step that is open, and their workers have gone on - save "
                               "after finalize()"}};
    }
  }
  /// When it returns all servers are there again: nobody pushes before.
  void resume(control& ranks, bool afresh) override {
    if (afresh) clock_ = behind_ = 0;
    const std::uint64_t mine[] = {std::uint64_t(clock_), std::uint64_t(behind_)};
    const std::vector<std::uint64_t> all = ranks.gather(mine);
    if (server_) {
      const auto held = with_.comm.in_flight().hold();
      server_->resume(all);
      if (afresh) std::ranges::copy(server_->values(), piece(rank_).begin());
    }
    if (remembers_ && !afresh) recall();
    for (int s = 0; afresh && s < servers_; ++s)
      tutti::broadcast(with_.comm, piece(s), s, options{.timeout = with_.how.timeout});
    ranks.gather(mine);
  }

private:
  using server_type = detail::server<T, Comm, Reducer, Codec>;
  using handle = detail::exchange_handle_of<Comm>;
  static constexpr bool exact = std::same_as<Codec, identity>;
  /// What goes to a server and what comes from it, beside the values in the room.
  struct lane {
    place range;
    detail::answer_head head;
    std::vector<std::byte> out, in; ///< values as they travel, where that is another form
  };

  std::span<T> piece(int server) const {
    const place range = lanes_[std::size_t(server)].range;
    return room_.span().subspan(range.begin, range.size());
  }
  /// A rank keeps what it sends, its own key range included.
  void encode() {
    if constexpr (!exact)
      for (int s = 0; s < servers_; ++s) {
        std::vector<std::byte>& to = lanes_[std::size_t(s)].out;
        with_.codec.template encode<T>(std::span<const T>{piece(s)}, to.data());
        if constexpr (Codec::kind != codec_kind::exact) with_.codec.template decode<T>(to.data(), piece(s));
      }
  }
  void send(detail::push_head::kinds kind, std::int64_t number, double weight) {
    head_.set(kind, number, weight, note_);
    std::vector<outgoing> sends;
    for (int s = 0; s < servers_; ++s) {
      if (s == rank_) continue;
      const lane& l = lanes_[std::size_t(s)];
      sends.push_back({s, head_.bytes()});
      sends.push_back({s, exact ? std::as_bytes(piece(s)) : std::span<const std::byte>{l.out}});
    }
    pushing_.emplace(with_.comm.exchange(host_execution{}, pushes_, {sends, {}}));
  }
  /// What was pushed has left, and the room is free for the answers.
  bool has_answers() {
    if (!awaits_) return true;
    if (pushing_ && pushing_->test()) {
      pushing_.reset();
      listen();
    }
    return answering_ && answering_->test();
  }
  void listen() {
    std::vector<incoming> receives;
    for (int s = 0; s < servers_; ++s) {
      if (s == rank_) continue;
      lane& l = lanes_[std::size_t(s)];
      receives.push_back({s, l.head.bytes()});
      receives.push_back({s, exact ? std::as_writable_bytes(piece(s)) : std::span{l.in}});
    }
    answering_.emplace(with_.comm.exchange(host_execution{}, answers_, {{}, receives}));
  }
  int awaited() const {
    return pushing_ ? pushing_->waiting_for() : answering_ ? answering_->waiting_for() : -1;
  }
  void take_answers(detail::answer_head::kinds wanted) {
    answering_.reset();
    awaits_ = false;
    for (int s = 0; s < servers_; ++s) {
      if (s == rank_) continue;
      lane& l = lanes_[std::size_t(s)];
      for (int r = 0; r < size_; ++r)
        if (l.head.is_lost(r)) lost_[std::size_t(r)] = true;
      if (l.head.kind() != wanted) raise_given_up(s);
      if constexpr (!exact) with_.codec.template decode<T>(l.in.data(), piece(s));
    }
  }
  [[noreturn]] void raise_given_up(int server) const {
    failure why = detail::heard_nothing_of(server, with_.how.timeout);
    why.call = "step";
    why.rank = rank_;
    throw error{std::move(why)};
  }
  void end_own_steps() {
    guarded("finalize", [&] {
      const auto held = with_.comm.in_flight().hold();
      if (server_) server_->ends();
      send(detail::push_head::done, clock_, 0);
      awaits_ = true;
    });
  }
  /// What is agreed on is kept first: the next push may be there already.
  void publish() {
    guarded("finalize", [&] {
      const auto held = with_.comm.in_flight().hold();
      std::ranges::copy(server_->values(), piece(rank_).begin());
      server_->publish();
      if (role() != role::server) return;
      listen(); // for the ranges of the other servers
      awaits_ = true;
    });
  }
  /// What each worker has pulled, to the servers that remember it.
  void recall() {
    for (int s = 0; s < servers_; ++s) {
      std::vector<T> all(s == rank_ ? piece(s).size() * std::size_t(size_) : 0);
      tutti::gather(with_.comm, piece(s), all, s, options{.timeout = with_.how.timeout});
      if (s != rank_) continue;
      const auto held = with_.comm.in_flight().hold();
      for (int r = 0; r < size_; ++r)
        server_->remember(r, std::span{all}.subspan(std::size_t(r) * piece(s).size(), piece(s).size()));
    }
  }
  void await_last_answers() noexcept {
    const auto over = [&] { return server_->has_answered() || server_->has_lost(); };
    try {
      wait("serve", over, [] { return -1; });
    } catch (...) { // which everybody has been told
    }
  }
  template <class Work>
  void guarded(const char* call, Work&& work) const {
    awaiting_.guarded(call, work);
  }
  /// `peer()` is whom this rank waits for, -1 when that is the slowest worker.
  template <class Finished, class Peer>
  void wait(const char* call, Finished&& finished, Peer&& peer) {
    const auto over = [&] {
      if (server_) server_->require_sound();
      const bool ends = finished();
      if (server_ && !ends) server_->require_all_there();
      return ends;
    };
    awaiting_.until(
        call, over, [&] { return server_ ? server_->heard() : 0; },
        [&] {
          const int whom = peer();
          return whom >= 0 || !server_ ? whom : server_->slowest_worker();
        });
  }

  carrying_parts<Comm, Topology, Reducer, Codec> with_;
  const int rank_, size_, servers_;
  const detail::closing_answer closing_;
  detail::awaiting<Comm> awaiting_; ///< errors are everybody's where this rank serves
  reserved_channel pushes_, answers_;
  detail::aligned_values<T> room_;
  std::vector<lane> lanes_; ///< of each server
  detail::push_head head_;
  std::vector<std::uint64_t> note_;
  std::int64_t clock_ = 0;    ///< steps since training began
  std::int64_t meetings_ = 0; ///< of all ranks, where servers are dedicated
  bool encoded_ = false, serves_alone_ = false, counted_ = true, remembers_ = false;
  bool awaits_ = false;     ///< the answers to what was pushed
  std::optional<handle> pushing_, answering_;
  std::vector<char> lost_;  ///< of each rank, as servers have said
  std::int64_t behind_ = 0; ///< what servers' rules know of this rank, in a visit
  std::unique_ptr<server_type> server_;
};

} // namespace tutti
