// The loop of policies that a placement carries: servers own key ranges, workers push and go on.
#pragma once

#include <tutti/communicators/rendezvous.hpp>
#include <tutti/communicators/reserved_channel.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/sync/bucket.hpp>
#include <tutti/sync/ensemble.hpp>
#include <tutti/sync/worker_clocks.hpp>
#include <tutti/topologies/placement.hpp>

#include <cstdint>
#include <cstring>

namespace tutti {

/// A model bound to an asynchronous strategy. Made by strategy::bind; the strategy and the parameters
/// must outlive it. Construction and finalize() are collective; between them a worker calls step() (or
/// begin, ready, finish) as often as it likes, and a dedicated server calls serve(). A server that also
/// works serves within its own step() and finalize() only: a collective between steps would wait for
/// workers who wait for it, until the timeout, unless staleness is 0 or all servers are dedicated.
/// Cost of a worker's step: one message of each server's key range to it, and one back.
/// Determinism: none.
template <class Ensemble, class T, class Optimizer>
class served_trainer {
public:
  using sync_type = typename Ensemble::sync_type;
  static constexpr tutti::determinism determinism =
      detail::joint_determinism<sync_type, typename Ensemble::reducer_type,
                                typename Ensemble::topology_type>;

  served_trainer(Ensemble parts, std::vector<tensor<T>> parameters, Optimizer optimizer)
      : parts_{std::move(parts)}, parameters_{std::move(parameters)},
        optimizer_{std::move(optimizer)}, rank_{parts_.comm.rank()}, size_{parts_.comm.size()},
        servers_{parts_.topology.server_count(size_)} {
    detail::refuse_weight(parts_.comm, "bind", parts_.how,
                          "options::weight is given, and servers count every push alike - leave it out, "
                          "or scale the gradients");
    detail::verify_binding(parts_.comm, parameters_, detail::plan_hash(parts_), parts_.how);
    check_policy();
    check_roles();
    pushes_ = reserved_channel{parts_.comm.in_flight()};
    replies_ = reserved_channel{parts_.comm.in_flight()};
    lay_out();
    for (tensor<T>& p : parameters_) tutti::broadcast(parts_.comm, p.values, 0, parts_.how);
    load_flat();
  }

  tutti::role role() const noexcept {
    if (!serves()) return role::worker;
    return works() ? role::both : role::server;
  }
  Optimizer& optimizer() noexcept { return optimizer_; }
  std::int64_t steps() const noexcept { return clock_; }
  /// Steps of this rank that were left out because of a NaN or infinity.
  std::int64_t skipped() const noexcept { return skipped_; }

  template <class Gradients>
  void step(const Gradients& gradients) {
    begin(gradients);
    finish();
  }
  /// As for other trainers; a push is one message, so nothing travels before finish().
  template <class Gradients>
  void begin(const Gradients& gradients) {
    if (!works()) misuse("step", "this rank is a dedicated server - call serve()");
    std::size_t at = 0, k = 0;
    for (const auto& g : detail::as_tensors(gradients)) {
      if (k >= parameters_.size() || g.values.size() != parameters_[k].values.size())
        misuse("step", "gradients and parameters have different lengths");
      std::copy(g.values.begin(), g.values.end(), gradient_.span().begin() + std::ptrdiff_t(at));
      at += g.values.size();
      ++k;
    }
    if (k != parameters_.size()) misuse("step", "there are fewer gradients than parameters");
    open_ = true;
  }
  void ready(std::size_t) noexcept {}

  /// Pushes the gradients and returns with the parameters as the servers then hold them.
  void finish() {
    if (!std::exchange(open_, false)) misuse("step", "finish() was called without begin()");
    ++clock_;
    encode_gradient();
    bool usable = true;
    guarded([&] { usable = parts_.how.non_finite == non_finite::pass || all_finite(); });
    auto sent = push(header{usable ? header::push : header::leave_out, std::uint64_t(clock_)});
    auto answers = expect_answers();
    if (serves()) {
      workers_.steps(rank_, clock_);
      if (usable) apply(gradient_.span().subspan(own_.begin, length(own_)));
    }
    const auto over = [&] {
      const bool gone = sent.test(), answered = answers.test(); // both move on
      return gone && answered && !workers_.waits(rank_);
    };
    serve_until(over, [&] {
      return answers.waiting_for() >= 0 ? answers.waiting_for() : sent.waiting_for();
    });
    take_answers();
    // This step ends with the server's own range as it stood when it was free to go on; what came in
    // since belongs to later steps.
    std::swap_ranges(own_answer_.begin(), own_answer_.end(), own_values().begin());
    store_parameters();
    std::swap_ranges(own_answer_.begin(), own_answer_.end(), own_values().begin());
  }

  /// On a server: answers until every worker has called finalize().
  void serve() {
    if (!serves()) misuse("serve", "this rank is not a server - call step()");
    serve_until([&] { return everyone_done(); }, [] { return -1; });
  }

  /// Collective, once, after the last step: ends with the same parameters on every rank.
  void finalize() {
    if (works()) {
      if (serves()) workers_.ends(rank_);
      auto sent = push(header{header::done, 0});
      serve_until([&] { return sent.test() && (!serves() || everyone_done()); },
                  [&] { return sent.waiting_for(); });
    } else if (!everyone_done()) {
      serve();
    }
    for (int s = 0; s < servers_; ++s) {
      const shard range = range_of(s);
      tutti::broadcast(parts_.comm, flat_.span().subspan(range.begin, length(range)), s,
                       options{.timeout = parts_.how.timeout});
    }
    store_parameters();
  }

private:
  using header = detail::push_header;
  using comm_type = typename Ensemble::comm_type;
  using handle = decltype(std::declval<comm_type&>().exchange(
      host_execution{}, channel{}, std::declval<const exchange_round&>()));
  struct reply {
    std::vector<std::byte> bytes;
    handle sending;
  };

  static std::size_t length(shard s) noexcept { return s.end - s.begin; }
  bool serves() const noexcept { return rank_ < servers_; }
  bool works() const noexcept { return tutti::is_worker(parts_.topology, rank_, size_); }
  std::size_t wire_bytes(std::size_t n) const { return parts_.codec.template bytes<T>(n); }

  /// Answers that this loop does not carry out are refused, not ignored.
  void check_policy() const {
    const sync_type& sync = parts_.sync;
    detail::refuse_answer(parts_.comm.rank(), "bind", "servers apply every whole push as it comes",
                          sync.period() != 1            ? "period() is not 1"
                          : sync.fragment(0).count != 1 ? "fragment() is not everything"
                          : sync.quorum(size_) != 1     ? "quorum() is not 1"
                          : sync.lead() < 0 && sync.lead() != unbounded
                              ? "lead() is negative, and not tutti::unbounded"
                          : sync.worth(0) != 1 || sync.worth(1) != 1 ? "worth() is not 1"
                          : sync.delay() != 0                        ? "delay() is not 0"
                                                                     : nullptr);
  }
  void check_roles() const {
    if (servers_ < 1 || servers_ > size_)
      misuse("bind", "there are " + std::to_string(servers_) + " servers for " +
                         std::to_string(size_) + " ranks - give 1 to " + std::to_string(size_));
    if (parts_.topology.dedicates() && servers_ == size_)
      misuse("bind", "all " + std::to_string(size_) +
                         " ranks are dedicated servers and none is left to work - start more ranks");
  }

  void lay_out() {
    std::size_t n = 0;
    for (const tensor<T>& p : parameters_) n += p.values.size();
    flat_ = detail::aligned_values<T>{n};
    gradient_ = detail::aligned_values<T>{n};
    own_ = serves() ? shard_of(n, rank_, servers_) : shard{0, 0};
    state_ = detail::optimizer_state<T, Optimizer>{length(own_)};
    workers_ = {size_, [&](int r) { return tutti::is_worker(parts_.topology, r, size_); }};
    own_answer_.resize(length(own_));
    const auto all = std::size_t(servers_);
    outbox_.resize(all * sizeof(header) + bytes_before(servers_));
    inbox_.resize(bytes_before(servers_));
  }
  void load_flat() {
    auto to = flat_.span().begin();
    for (const tensor<T>& p : parameters_) to = std::copy(p.values.begin(), p.values.end(), to);
  }
  void store_parameters() {
    auto from = flat_.span().begin();
    for (tensor<T>& p : parameters_) {
      std::copy(from, from + std::ptrdiff_t(p.values.size()), p.values.begin());
      from += std::ptrdiff_t(p.values.size());
    }
  }

  // --- the worker's side --------------------------------------------------------------------

  std::span<T> own_values() const { return flat_.span().subspan(own_.begin, length(own_)); }
  shard range_of(int server) const { return shard_of(flat_.size(), server, servers_); }
  /// Encoded bytes of the key ranges of servers 0 .. server - 1.
  std::size_t bytes_before(int server) const {
    std::size_t total = 0;
    for (int s = 0; s < server; ++s) total += wire_bytes(length(range_of(s)));
    return total;
  }

  std::byte* outbox_of(int server) {
    return outbox_.data() + std::size_t(server) * sizeof(header) + bytes_before(server);
  }
  /// Writes what each server is sent. A rank keeps what it sends, its own key range included.
  void encode_gradient() {
    for (int s = 0; s < servers_; ++s) {
      const std::span<T> piece = gradient_.span().subspan(range_of(s).begin, length(range_of(s)));
      std::byte* wire = outbox_of(s) + sizeof(header);
      parts_.codec.template encode<T>(std::span<const T>{piece}, wire);
      if constexpr (Ensemble::codec_type::kind != codec_kind::exact)
        parts_.codec.template decode<T>(wire, piece);
    }
  }
  handle push(header head) {
    std::vector<outgoing> sends;
    for (int s = 0; s < servers_; ++s) {
      if (s == rank_) continue;
      std::memcpy(outbox_of(s), &head, sizeof head);
      const std::size_t gradient = head.kind == header::push ? wire_bytes(length(range_of(s))) : 0;
      sends.push_back({s, {outbox_of(s), sizeof head + gradient}});
    }
    return parts_.comm.exchange(host_execution{}, pushes_, {sends, {}});
  }
  /// A gradient that is not finite is everybody's error, or left out of all key ranges.
  bool all_finite() {
    const auto values = gradient_.span();
    for (std::size_t i = 0; i < values.size(); ++i)
      if (!is_finite(values[i])) {
        if (parts_.how.non_finite == non_finite::error) blame(i);
        ++skipped_;
        return false;
      }
    return true;
  }
  [[noreturn]] void blame(std::size_t index) const {
    std::size_t k = 0;
    while (index >= parameters_[k].values.size()) index -= parameters_[k++].values.size();
    throw error{{.code = error_code::non_finite,
                 .call = "step",
                 .rank = rank_,
                 .peer = rank_,
                 .detail = "step " + std::to_string(clock_) + ": the gradient of \"" +
                           parameters_[k].name + "\" on rank " + std::to_string(rank_) +
                           " holds a NaN or an infinity"}};
  }
  handle expect_answers() {
    std::vector<incoming> receives;
    for (int s = 0; s < servers_; ++s)
      if (s != rank_)
        receives.push_back({s, {inbox_.data() + bytes_before(s), wire_bytes(length(range_of(s)))}});
    return parts_.comm.exchange(host_execution{}, replies_, {{}, receives});
  }
  void take_answers() {
    for (int s = 0; s < servers_; ++s)
      if (s != rank_)
        parts_.codec.template decode<T>(
            inbox_.data() + bytes_before(s),
            flat_.span().subspan(range_of(s).begin, length(range_of(s))));
  }

  // --- the server's side --------------------------------------------------------------------

  bool everyone_done() const { return workers_.all_done() && open_replies_.empty(); }

  /// Serves until finished(); with nothing happening for the whole timeout, throws. `peer()` is whom the
  /// caller waits for, -1 when that is the slowest worker.
  template <class Finished, class Peer>
  void serve_until(Finished&& finished, Peer&& peer) {
    deadline until = parts_.how.until();
    for (;;) {
      const auto seen = parts_.comm.progress();
      bool over = false;
      guarded([&] {
        if (serves() && serve_some()) until = parts_.how.until();
        over = finished();
        if (serves()) look_for_the_lost();
      });
      if (over) return;
      const bool rests = parts_.comm.in_flight().step(seen);
      if (clock::now() >= until)
        give_up({.code = error_code::timeout,
                 .peer = peer() >= 0 ? peer() : workers_.slowest_worker(),
                 .detail = "nothing was heard within the timeout"});
      if (rests) parts_.comm.idle(seen, until);
    }
  }
  /// Who has left makes no more steps, and everybody would wait for it. What was pushed counts first.
  void look_for_the_lost() {
    if (detail::lost_worker(parts_.comm, workers_) < 0) return;
    serve_some();
    detail::require_all_there(parts_.comm, workers_);
  }
  /// An error here is an error everywhere.
  template <class Work>
  void guarded(Work&& work) {
    try {
      work();
    } catch (const error& e) {
      give_up(e.details());
    }
  }
  [[noreturn]] void give_up(failure f) {
    if (f.call.empty()) f.call = "step";
    f.rank = rank_;
    parts_.comm.revoke(f);
    throw error{std::move(f)};
  }

  /// Accepts what has arrived and answers whom it may; whether anything happened.
  bool serve_some() {
    bool busy = false;
    while (const auto message = parts_.comm.probe(pushes_)) {
      receive(*message);
      busy = true;
    }
    for (int r = 0; r < size_; ++r)
      if (workers_.lets_go(r, parts_.sync.lead())) {
        answer(r);
        busy = true;
      }
    for (std::size_t k = 0; k < open_replies_.size();)
      if (!open_replies_[k].sending.test())
        ++k;
      else
        open_replies_[k] = std::move(open_replies_.back()), open_replies_.pop_back();
    return busy;
  }

  void receive(arrival message) {
    arriving_.resize(message.bytes);
    const incoming to{message.peer, arriving_};
    auto receiving = parts_.comm.exchange(host_execution{}, pushes_, {{}, {&to, 1}});
    detail::complete(parts_.comm, receiving, "serve", parts_.how.until());
    header head{};
    if (message.bytes >= sizeof head) std::memcpy(&head, arriving_.data(), sizeof head);
    const std::size_t gradient_bytes = head.kind == header::push ? wire_bytes(length(own_)) : 0;
    if (head.kind < header::push || head.kind > header::done ||
        message.bytes != sizeof head + gradient_bytes)
      throw error{{.code = error_code::bad_data,
                   .call = "serve",
                   .peer = message.peer,
                   .detail = "a push is not what this server expects"}};
    if (head.kind == header::done) workers_.ends(message.peer);
    else workers_.steps(message.peer, std::int64_t(head.clock));
    if (head.kind != header::push) return;
    std::vector<T> gradient(length(own_));
    parts_.codec.template decode<T>(arriving_.data() + sizeof head, std::span<T>{gradient});
    apply(gradient);
  }

  /// Applies one push to this server's key range.
  void apply(std::span<T> gradient) {
    using R = typename Ensemble::reducer_type;
    const detail::exact_mode held;
    for (T& g : gradient)
      g = detail::lower<T>(parts_.reducer, detail::lift<R, T>(parts_.reducer, g, 1.0, 0),
                           double(workers_.workers()), 0);
    tutti::update<T>(optimizer_, ++updates_, own_values(), std::span<const T>{gradient},
                     state_.piece(0, length(own_)));
  }

  void answer(int worker) {
    if (worker == rank_) {
      std::copy(own_values().begin(), own_values().end(), own_answer_.begin());
      return;
    }
    std::vector<std::byte> bytes(wire_bytes(length(own_)));
    parts_.codec.template encode<T>(
        std::span<const T>{own_values()}, bytes.data());
    const outgoing to{worker, bytes};
    auto sending = parts_.comm.exchange(host_execution{}, replies_, {{&to, 1}, {}});
    open_replies_.push_back({std::move(bytes), std::move(sending)});
  }

  [[noreturn]] void misuse(const char* call, std::string detail) const {
    throw error{{.code = error_code::invalid_argument,
                 .call = call,
                 .rank = rank_,
                 .detail = std::move(detail)}};
  }

  Ensemble parts_;
  std::vector<tensor<T>> parameters_;
  Optimizer optimizer_;
  int rank_, size_, servers_;
  reserved_channel pushes_, replies_;
  detail::aligned_values<T> flat_, gradient_;
  shard own_{};
  std::vector<T> own_answer_; ///< what a server that also works goes on with
  detail::optimizer_state<T, Optimizer> state_;
  detail::worker_clocks workers_;
  bool open_ = false; ///< between begin() and finish()
  std::int64_t clock_ = 0, updates_ = 0, skipped_ = 0;
  std::vector<std::byte> outbox_, inbox_; ///< one message a server, one after the other
  std::vector<std::byte> arriving_;
  std::vector<reply> open_replies_;
};

} // namespace tutti
