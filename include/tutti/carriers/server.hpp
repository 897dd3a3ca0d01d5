// server: the side of a parameter server that answers. It is in flight for as long as its carrier
// lives, so it answers from within whatever its rank waits for on the communicator.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/leaving.hpp>
#include <tutti/carriers/worker_clocks.hpp>
#include <tutti/collectives/failed_call.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/reducers/reducer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// What a worker's message begins with. Behind it are its note and the encoded key range, in a push; in others as
/// much room, so that all messages of a worker have one length and their receive is posted before
/// they are sent.
struct push_header {
  /// A push with its gradient; a step without one; no more steps; a meeting of all ranks, by its number as clock.
  enum : std::uint64_t { push = 1, leave_out = 2, done = 3, meeting = 4 };
  std::uint64_t kind;
  std::uint64_t clock;
};

/// Applies the pushes of all workers to one key range, and answers each with the range as it stands
/// when the clocks let it go. Takes one push of each worker before the next of any. A failure is
/// everybody's. Cost of a push: one message each way. Memory: two key ranges a worker.
template <class T, class Comm, class Reducer, class Codec>
class server final : public operation {
public:
  using agreed = typename carrier<T>::agreed;
  struct channels {
    channel pushes, answers;
  };

  /// `values` are those of the whole model. What is given by reference outlives it.
  server(Comm& comm, const Reducer& reducer, const Codec& codec, channels on, place own,
         worker_clocks clocks, std::span<T> values, agreed use, std::size_t words)
      : comm_{comm}, reducer_{reducer}, codec_{codec}, on_{on}, own_{own},
        clocks_{std::move(clocks)}, values_{values.subspan(own.begin, own.size())}, use_{use},
        seats_(std::size_t(clocks_.size())), gradient_(own.size()), own_answer_(own.size()), noted_(words) {
    const std::size_t bytes = codec.template bytes<T>(own.size());
    for (int r = 0; r < clocks_.size(); ++r)
      if (clocks_.works(r) && r != comm.rank()) {
        seats_[std::size_t(r)].in.resize(sizeof(push_header) + words * sizeof noted_[0] + bytes);
        seats_[std::size_t(r)].out.resize(bytes);
      }
  }
  ~server() {
    comm_.in_flight().leave(*this);
    end();
  }

  // --- operation --------------------------------------------------------------------------------

  bool advance() override {
    try {
      look();
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
  bool refers_to(const void* communicator) const noexcept override {
    return communicator == &comm_;
  }
  bool stays() const noexcept override { return true; }

  // --- its own rank, which holds what is in flight meanwhile ------------------------------------

  /// Training begins again: from here on workers are heard.
  void reopen() {
    clocks_.restart();
    for (int r = 0; r < clocks_.size(); ++r)
      if (r != lost_) listen(r);
  }
  /// Nobody waits for an answer, and workers have made so many steps.
  void resume(std::span<const std::uint64_t> clocks) { clocks_.restart(clocks); }
  /// A step of this rank, which works as well; `gradient` is of its own key range, and is changed.
  void push(std::int64_t clock, std::span<T> gradient, bool counts, std::span<const std::uint64_t> note) {
    trained_ = true;
    std::ranges::copy(note, noted_.begin());
    if (counts) apply(gradient);
    clocks_.takes(comm_.rank(), clock);
  }
  void ends() {
    trained_ = true;
    clocks_.ends(comm_.rank());
  }
  /// The key range as it stood when this rank was free to go on; what came in since belongs to
  /// later steps.
  bool is_answered() const { return !clocks_.waits(comm_.rank()); }
  std::span<const T> answer() const { return own_answer_; }

  /// What came with the push that is applied now.
  std::span<const std::uint64_t> noted() const { return noted_; }
  /// As the key range stands.
  std::span<const T> values() const { return values_; }
  /// Every worker makes no more steps, and has all its answers.
  bool is_over() const { return clocks_.all_done() && has_answered(); }
  /// Nothing that was answered is on its way any more.
  bool has_answered() const {
    return std::none_of(seats_.begin(), seats_.end(),
                        [](const seat& s) { return s.answering.has_value(); });
  }
  /// Throws what it has failed with.
  void require_sound() const {
    if (this->fault()) std::rethrow_exception(this->fault());
  }
  /// Throws when a worker has left: everybody would wait for it.
  void require_all_there() const {
    if (has_lost()) throw error{left_unfinished(lost_)};
  }
  bool has_lost() const noexcept { return lost_ >= 0; }
  /// Throws when a worker waits for a later meeting of all ranks than this one.
  void require_no_meeting_after(std::int64_t last) const {
    for (std::size_t r = 0; r < seats_.size(); ++r)
      if (seats_[r].meeting > last)
        throw error{{.code = error_code::invalid_argument, .peer = int(r), .detail = refused_meeting}};
  }
  /// How much has happened so far.
  std::uint64_t heard() const noexcept { return heard_; }
  int slowest_worker() const { return clocks_.slowest_worker(); }

private:
  using handle = exchange_handle_of<Comm>;
  struct seat {
    std::vector<std::byte> in, out; ///< none where no worker is, or it is this rank
    std::optional<handle> hearing, answering;
    std::int64_t meeting = 0; ///< the last one that the worker has come to
  };

  void begin() override { reopen(); }

  /// The slowest first: it is the one that this rank waits for when it hears of a failure.
  void look() {
    const int size = clocks_.size(), first = clocks_.slowest_worker();
    for (int k = 0; k < size; ++k) hear((first + k) % size);
    bool missed = std::exchange(trained_, false);
    for (int r = 0; r < size; ++r) {
      seat& s = seats_[std::size_t(r)];
      if (is_through(s.answering, r)) s.answering.reset();
      if (!s.answering && clocks_.lets_go(r)) send_answer(r);
      missed = missed || clocks_.waits(r);
    }
    if (missed) require_all_there();
  }

  void listen(int worker) {
    seat& s = seats_[std::size_t(worker)];
    if (s.in.empty()) return;
    const incoming from{worker, s.in};
    s.hearing.emplace(comm_.exchange(host_execution{}, on_.pushes, {{}, {&from, 1}}));
  }
  void hear(int worker) {
    seat& s = seats_[std::size_t(worker)];
    if (is_through(s.hearing, worker)) {
      s.hearing.reset();
      take(worker);
    } else if (worker == lost_ && s.hearing) {
      detail::take_back(*s.hearing);
      s.hearing.reset();
    }
  }
  /// One that has left is remembered: it is missed when somebody trains on, or waits for it.
  bool is_through(std::optional<handle>& exchange, int worker) {
    if (!exchange) return false;
    try {
      if (exchange->test()) return true;
      if (!detail::has_left(comm_, worker)) return false;
    } catch (const error& e) {
      if (e.code() != error_code::peer_lost || e.peer() != worker ||
          !detail::has_left(comm_, worker))
        throw;
    }
    lost_ = worker;
    return false;
  }

  void take(int worker) {
    const std::vector<std::byte>& in = seats_[std::size_t(worker)].in;
    push_header head;
    std::memcpy(&head, in.data(), sizeof head);
    if (head.kind == push_header::meeting) {
      seats_[std::size_t(worker)].meeting = std::int64_t(head.clock);
      return listen(worker);
    }
    trained_ = true;
    ++heard_;
    if (head.kind == push_header::done)
      return clocks_.ends(worker); // the next one is heard after reopen()
    if (head.kind != push_header::push && head.kind != push_header::leave_out) refuse(worker);
    if (!clocks_.takes(worker, std::int64_t(head.clock))) refuse(worker);
    if (head.kind == push_header::push) {
      const std::size_t noted = noted_.size() * sizeof noted_[0];
      if (noted > 0) std::memcpy(noted_.data(), in.data() + sizeof head, noted);
      codec_.template decode<T>(in.data() + sizeof head + noted, std::span<T>{gradient_});
      apply(gradient_);
    }
    listen(worker);
  }
  [[noreturn]] static void refuse(int worker) {
    throw error{{.code = error_code::bad_data,
                 .call = "serve",
                 .peer = worker,
                 .detail = "a push of rank " + std::to_string(worker) +
                           " is not what this server expects - let nobody else use its channel"}};
  }

  void apply(std::span<T> gradient) {
    const exact_mode held;
    const double workers = clocks_.workers();
    for (std::size_t i = 0; i < gradient.size(); ++i)
      gradient[i] = detail::lower<T>(
          reducer_, detail::lift<Reducer, T>(reducer_, gradient[i], 1.0, own_.begin + i), workers,
          own_.begin + i);
    use_(own_, gradient);
  }
  void send_answer(int worker) {
    ++heard_;
    if (worker == comm_.rank()) {
      std::copy(values_.begin(), values_.end(), own_answer_.begin());
      return;
    }
    seat& s = seats_[std::size_t(worker)];
    codec_.template encode<T>(std::span<const T>{values_}, s.out.data());
    const outgoing to{worker, s.out};
    s.answering.emplace(comm_.exchange(host_execution{}, on_.answers, {{&to, 1}, {}}));
  }

  /// Who pushes now is told that there is no server any more.
  void end() noexcept {
    bool silence = true;
    for (seat& s : seats_)
      if (s.hearing) silence = detail::take_back(*s.hearing) && silence;
    if (!silence) comm_.revoke(left_unfinished(comm_.rank()));
    seats_.clear();
  }

  Comm& comm_;
  const Reducer& reducer_;
  const Codec& codec_;
  const channels on_;
  const place own_;
  worker_clocks clocks_;
  const std::span<T> values_; ///< of its own place
  agreed use_;
  std::vector<seat> seats_; ///< of each rank
  std::vector<T> gradient_, own_answer_;
  std::vector<std::uint64_t> noted_;
  bool trained_ = false; ///< somebody has made a step since the last look
  int lost_ = -1;        ///< a worker that has left
  std::uint64_t heard_ = 0;
};

} // namespace tutti::detail
