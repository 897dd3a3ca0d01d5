// serving: servers own key ranges of the model; workers push their gradients to them and go on with
// what they are answered.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/carriers/leaving.hpp>
#include <tutti/carriers/reducing.hpp>
#include <tutti/carriers/server.hpp>
#include <tutti/communicators/reserved_channel.hpp>
#include <tutti/core/aligned_values.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
/// of each server's key range to it, and one back.
template <class T, class Comm, class Topology, class Reducer, class Codec>
class serving final : public carrier<T> {
public:
  using agreed = typename carrier<T>::agreed;

  /// Of a model of n elements; so many words go with a push.
  serving(const carrying_parts<Comm, Topology, Reducer, Codec>& with, std::size_t n, int staleness,
          std::size_t words = 0)
      : with_{with}, rank_{with.comm.rank()}, size_{with.comm.size()},
        servers_{with.topology.server_count(size_)}, staleness_{staleness},
        pushes_{with.comm.in_flight()}, answers_{with.comm.in_flight()}, room_{n},
        lanes_(std::size_t(servers_)), note_(words) {
    for (int s = 0; s < servers_; ++s) {
      lane& l = lanes_[std::size_t(s)];
      const shard range = shard_of(n, s, servers_);
      const std::size_t bytes = with.codec.template bytes<T>(range.end - range.begin);
      l.range = {range.begin, range.end};
      l.out.resize(before_the_values() + bytes);
      l.in.resize(bytes);
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

  void attach(std::span<T> values, agreed use) override {
    if (rank_ >= servers_) return;
    operations& all = with_.comm.in_flight();
    const auto held = all.hold();
    const auto works = [&](int r) { return is_worker(with_.topology, r, size_); };
    server_ = std::make_unique<server_type>(
        with_.comm, with_.reducer, with_.codec, typename server_type::channels{pushes_, answers_},
        owned(0), detail::worker_clocks{size_, works, staleness_}, values, use, note_.size());
    all.start(*server_);
    all.enter(*server_);
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
      const bool counts = weights.front() != 0;
      if (!std::exchange(encoded_, false)) encode();
      ++clock_;
      send(counts ? detail::push_header::push : detail::push_header::leave_out, clock_);
      std::vector<incoming> receives;
      for (int s = 0; s < servers_; ++s)
        if (s != rank_) receives.push_back({s, lanes_[std::size_t(s)].in});
      answering_.emplace(with_.comm.exchange(host_execution{}, answers_, {{}, receives}));
      if (server_) server_->push(clock_, piece(rank_), counts, note_);
    });
  }
  void settle(std::size_t) override {
    const auto over = [&] {
      const bool gone = pushing_->test(), here = answering_->test(); // both move on
      return gone && here && (!server_ || server_->is_answered());
    };
    wait("step", over, [&] {
      return answering_->waiting_for() >= 0 ? answering_->waiting_for() : pushing_->waiting_for();
    });
    pushing_.reset();
    answering_.reset();
    for (int s = 0; s < servers_; ++s)
      if (s == rank_)
        std::ranges::copy(server_->answer(), piece(s).begin());
      else
        with_.codec.template decode<T>(lanes_[std::size_t(s)].in.data(), piece(s));
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
    wait(
        "finalize",
        [&] { return (!pushing_ || pushing_->test()) && (!server_ || server_->is_over()); },
        [&] { return pushing_ ? pushing_->waiting_for() : -1; });
    pushing_.reset();
    clock_ = 0;
    serves_alone_ = false;
    if (server_) start_again();
    tell_values();
  }

  /// Servers are told before they are waited for: one that is in serve() does not come.
  bool meets() override {
    if (!with_.topology.dedicates()) return true;
    if (clock_ != 0 || serves_alone_) return false;
    ++meetings_;
    if (role() == role::server) return true;
    guarded("state", [&] {
      const auto held = with_.comm.in_flight().hold();
      send(detail::push_header::meeting, meetings_);
    });
    wait("state", [&] { return pushing_->test(); }, [&] { return pushing_->waiting_for(); });
    pushing_.reset();
    return true;
  }
  void state(archive& to) override { to.number("clock", clock_, held_by::worker); }
  /// When it returns all servers are there again: nobody pushes before.
  void resume(control& ranks, bool afresh) override {
    if (afresh) clock_ = 0;
    const std::uint64_t mine[] = {std::uint64_t(clock_)};
    const std::vector<std::uint64_t> clocks = ranks.gather(mine);
    if (server_) {
      const auto held = with_.comm.in_flight().hold();
      server_->resume(clocks);
      if (afresh) std::ranges::copy(server_->values(), piece(rank_).begin());
    }
    if (afresh) tell_values();
    ranks.gather(mine);
  }

private:
  using server_type = detail::server<T, Comm, Reducer, Codec>;
  using handle = detail::exchange_handle_of<Comm>;
  /// What goes to a server, and what comes from it.
  struct lane {
    place range;
    std::vector<std::byte> out, in;
  };

  std::size_t before_the_values() const { return sizeof(detail::push_header) + note_.size() * sizeof note_[0]; }
  std::span<T> piece(int server) const {
    const place range = lanes_[std::size_t(server)].range;
    return room_.span().subspan(range.begin, range.size());
  }
  /// A rank keeps what it sends, its own key range included.
  void encode() {
    for (int s = 0; s < servers_; ++s) {
      if (s == rank_ && Codec::kind == codec_kind::exact) continue;
      std::byte* const to = lanes_[std::size_t(s)].out.data() + before_the_values();
      with_.codec.template encode<T>(std::span<const T>{piece(s)}, to);
      if constexpr (Codec::kind != codec_kind::exact) with_.codec.template decode<T>(to, piece(s));
    }
  }
  void send(std::uint64_t kind, std::int64_t number) {
    const detail::push_header head{kind, std::uint64_t(number)};
    std::vector<outgoing> sends;
    for (int s = 0; s < servers_; ++s) {
      if (s == rank_) continue;
      std::vector<std::byte>& out = lanes_[std::size_t(s)].out;
      std::memcpy(out.data(), &head, sizeof head);
      if (!note_.empty()) std::memcpy(out.data() + sizeof head, note_.data(), note_.size() * sizeof note_[0]);
      sends.push_back({s, out});
    }
    pushing_.emplace(with_.comm.exchange(host_execution{}, pushes_, {sends, {}}));
  }
  void end_own_steps() {
    guarded("finalize", [&] {
      const auto held = with_.comm.in_flight().hold();
      if (server_) server_->ends();
      send(detail::push_header::done, clock_);
    });
  }
  /// What is agreed on is kept first: the next push may be there already.
  void start_again() {
    guarded("finalize", [&] {
      const auto held = with_.comm.in_flight().hold();
      std::ranges::copy(server_->values(), piece(rank_).begin());
      server_->reopen();
    });
  }
  /// The values of each server, as its own room has them, to the rooms of all.
  void tell_values() {
    for (int s = 0; s < servers_; ++s)
      tutti::broadcast(with_.comm, piece(s), s, options{.timeout = with_.how.timeout});
  }
  void await_last_answers() noexcept {
    const auto over = [&] { return server_->has_answered() || server_->has_lost(); };
    try {
      wait("serve", over, [] { return -1; });
    } catch (...) { // which everybody has been told
    }
  }
  /// Moves everything on until finished(); with nothing happening for the whole timeout, throws.
  /// `peer()` is whom this rank waits for, -1 when that is the slowest worker.
  template <class Finished, class Peer>
  void wait(const char* call, Finished&& finished, Peer&& peer) {
    operations& all = with_.comm.in_flight();
    const operations::visit now{all, call, rank_};
    deadline until = with_.how.until(tutti::now_of(with_.comm));
    for (std::uint64_t heard = 0;;) {
      const auto seen = with_.comm.progress();
      bool over = false, rests = false;
      guarded(call, [&] {
        const auto held = all.hold();
        rests = all.step(seen);
        if (server_) server_->require_sound();
        over = finished();
        if (server_ && !over) server_->require_all_there();
        if (server_ && std::exchange(heard, server_->heard()) != server_->heard())
          until = with_.how.until(tutti::now_of(with_.comm));
        if (!over && tutti::now_of(with_.comm) >= until) time_out(peer());
      });
      if (over) return;
      if (rests) with_.comm.idle(seen, until);
    }
  }
  [[noreturn]] void time_out(int peer) const {
    throw error{{.code = error_code::timeout,
                 .peer = peer >= 0 || !server_ ? peer : server_->slowest_worker(),
                 .detail = "nothing was heard within " + std::to_string(with_.how.timeout.count()) +
                           " ms - raise tutti::options::timeout if the peer is only slow"}};
  }
  /// An error here is an error everywhere.
  template <class Work>
  void guarded(const char* call, Work&& work) {
    try {
      work();
    } catch (const error& e) {
      detail::fail_call(with_.comm, call, detail::met_with(with_.comm, e.details()), [] {});
    } catch (...) {
      detail::give_up_call(with_.comm, call, "what it called threw", [] {});
      throw;
    }
  }

  carrying_parts<Comm, Topology, Reducer, Codec> with_;
  const int rank_, size_, servers_, staleness_;
  reserved_channel pushes_, answers_;
  detail::aligned_values<T> room_;
  std::vector<lane> lanes_; ///< of each server
  std::vector<std::uint64_t> note_;
  std::int64_t clock_ = 0;  ///< steps since training began
  std::int64_t meetings_ = 0; ///< of all ranks, where servers are dedicated
  bool encoded_ = false, serves_alone_ = false;
  std::optional<handle> pushing_, answering_;
  std::unique_ptr<server_type> server_;
};

} // namespace tutti
