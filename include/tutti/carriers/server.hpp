// server: the side of a parameter server that answers. It is in flight for as long as its carrier
// lives, so it answers from within whatever its rank waits for on the communicator.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/closing_answer.hpp>
#include <tutti/carriers/leaving.hpp>
#include <tutti/carriers/push_heads.hpp>
#include <tutti/carriers/roster.hpp>
#include <tutti/carriers/silence.hpp>
#include <tutti/carriers/step_sum.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/collectives/failed_call.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/core/aligned_values.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Makes steps of the pushes of all workers to one key range, as a closing rule says, and answers each with the
/// range as it stands when the rule lets it go. Takes one push of each worker before the next of any; into room that
/// is posted beforehand, so that a long one holds nobody up. A failure is everybody's. Cost of a push: one message
/// each way, and a few words. Memory: two key ranges a worker.
template <class T, class Comm, class Reducer, class Codec>
class server final : public operation {
public:
  using agreed = typename carrier<T>::agreed;
  struct channels {
    channel pushes, answers;
  };

  /// `values` are those of the whole model; so many words go with a push. What is given by reference outlives it.
  server(Comm& comm, const Reducer& reducer, const Codec& codec, channels on, place own, roster workers,
         closing_answer closing, const options& how, std::span<T> values, agreed use, std::size_t words, bool remembers)
      : comm_{comm}, codec_{codec}, on_{on}, own_{own}, workers_{std::move(workers)}, closing_{std::move(closing)},
        rule_{closing_.begin(workers_.clocks())}, silence_{workers_.size(), how.timeout},
        values_{values.subspan(own.begin, own.size())}, use_{use}, sum_{reducer, own.begin},
        seats_(std::size_t(workers_.size())), noted_(words), remembers_{remembers} {
    for (int r = 0; r < workers_.size(); ++r)
      if (workers_.works(r) && r != comm.rank()) {
        seat& s = seats_[std::size_t(r)];
        s.push = push_head{words};
        s.room = aligned_values<T>{own.size()};
        s.values = s.room.span();
        if (!exact) s.in.resize(codec.template bytes<T>(own.size()));
      }
    for (seat& s : seats_) s.answer = answer_head{workers_.size()};
  }
  ~server() {
    comm_.in_flight().leave(*this);
    end();
  }

  // --- operation --------------------------------------------------------------------------------

  bool advance() override {
    try {
      do { // what was posted last is looked for: a message that was there before gives no sign
        listens_ = false;
        look();
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
  void idle(std::uint64_t seen) override { comm_.idle(seen, comm_.in_flight().alarm()); }
  void check_deadline() override {}
  void abandon() noexcept override { end(); }
  bool refers_to(const void* communicator) const noexcept override { return communicator == &comm_; }
  bool stays() const noexcept override { return true; }
  deadline alarm() const override {
    if (this->done() || seats_.empty()) return (deadline::max)();
    return closing_.goes_on() ? (std::min)(rule_->until(), silence_.alarm()) : rule_->until();
  }

  // --- its own rank, which holds what is in flight meanwhile ------------------------------------

  /// Training begins again: from here on workers are heard.
  void reopen() {
    workers_.restart();
    begin_rule();
    for (int r = 0; r < workers_.size(); ++r) {
      remember(r, values_);
      if (r != lost_) listen(r);
    }
  }
  /// Nobody waits for an answer; of each rank the steps that its worker has made, and the number that the rule goes on
  /// from.
  void resume(std::span<const std::uint64_t> all) {
    std::vector<std::uint64_t> clocks;
    for (std::size_t k = 0; k < all.size(); k += 2) clocks.push_back(all[k]);
    workers_.restart(clocks);
    begin_rule();
    const std::span<std::int64_t> numbers = rule_->numbers();
    for (std::size_t r = 0; r < numbers.size(); ++r) numbers[r] = std::int64_t(all[2 * r + 1]);
    for (int r = 0; r < workers_.size(); ++r) remember(r, values_);
  }
  std::span<const std::int64_t> numbers() const { return rule_->numbers(); } ///< that the rule goes on from
  /// Whether it has a step that is open, of workers that wait no more.
  bool holds() const { return !sum_.empty(); }

  /// A step of this rank, which works as well; `gradient` is of its own key range, and stays where it is until
  /// is_answered(): then the answer is in its place. Of no weight there is none.
  void push(std::int64_t clock, std::span<T> gradient, double weight, std::span<const std::uint64_t> note) {
    seat& s = seats_[std::size_t(comm_.rank())];
    s.values = gradient;
    workers_.takes(comm_.rank(), clock);
    enter(comm_.rank(), clock, weight, note);
  }
  void ends() { ends(comm_.rank()); }
  /// The key range as it stood when this rank was free to go on; what came in since belongs to later steps.
  bool is_answered() const { return !workers_.waits(comm_.rank()); }
  bool counted() const { return seats_[std::size_t(comm_.rank())].counted; } ///< its last push has

  /// What came with the pushes that are applied now.
  std::span<const std::uint64_t> noted() const { return noted_; }
  /// Of a push that is applied by itself: what its worker was answered before, where that is remembered.
  std::span<const T> taken_at() const {
    return applied_ < 0 ? std::span<const T>{} : std::span<const T>{seats_[std::size_t(applied_)].pulled};
  }
  /// What a worker has.
  void remember(int worker, std::span<const T> values) {
    if (remembers_ && workers_.works(worker)) seats_[std::size_t(worker)].pulled.assign(values.begin(), values.end());
  }
  std::span<const T> values() const { return values_; } ///< as the key range stands
  bool is_lost(int rank) const { return workers_.is_lost(rank); }
  /// Every worker makes no more steps, and has all its answers.
  bool is_over() const { return workers_.all_done() && has_answered(); }
  /// Nothing that was answered is on its way any more.
  bool has_answered() const {
    for (int r = 0; r < workers_.size(); ++r)
      if (seats_[std::size_t(r)].answering && !workers_.is_lost(r)) return false;
    return true;
  }
  /// When it is over: the key range, to all ranks that are there.
  void publish() {
    for (int r = 0; r < workers_.size(); ++r)
      if (r != comm_.rank() && !workers_.is_lost(r)) send(r, answer_head::end);
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
  int slowest_worker() const { return workers_.slowest_worker(); }

private:
  using handle = exchange_handle_of<Comm>;
  static constexpr bool exact = std::same_as<Codec, identity>;

  /// Of one rank. No room where no worker is; this rank's own is its carrier's.
  struct seat {
    push_head push;
    answer_head answer;
    aligned_values<T> room;
    std::span<T> values;            ///< what it has pushed
    std::vector<std::byte> in, out; ///< as they travel, where that is another form
    std::optional<handle> hearing, answering;
    double weight = 0, worth = 0; ///< of a push that is in no step yet; 0 where there is none
    std::vector<std::uint64_t> note;
    std::vector<T> pulled; ///< what it was answered, where that is remembered
    bool counted = true, in_place = false; ///< the last one, and its answer, sent from the values themselves
    std::int64_t meeting = 0; ///< the last one that the worker has come to
  };

  void begin() override { reopen(); }
  void begin_rule() {
    rule_ = closing_.begin(workers_.clocks());
    silence_.begin(tutti::now_of(comm_));
  }

  /// The slowest first: it is the one that this rank waits for when it hears of a failure.
  void look() {
    const int size = workers_.size(), first = workers_.slowest_worker();
    for (int k = 0; k < size; ++k) hear((first + k) % size);
    if (closing_.goes_on()) lose_the_silent();
    bool missed = std::exchange(trained_, false);
    do {
      close_if_due();
      for (int k = 1; k <= size; ++k) { // its own rank last: answers to others are on their way meanwhile
        const int r = (comm_.rank() + k) % size;
        seat& s = seats_[std::size_t(r)];
        (void)is_through(s.answering, r);
        if (!s.answering && workers_.waits(r) && rule_->lets_go(r)) let_go(r);
        missed = missed || workers_.waits(r);
      }
    } while (std::exchange(lost_one_, false));
    if (missed) require_all_there();
  }

  void listen(int worker) {
    seat& s = seats_[std::size_t(worker)];
    if (workers_.is_done(worker) || worker == comm_.rank() || s.hearing) return;
    const incoming from[] = {{worker, s.push.bytes()},
                             {worker, exact ? std::as_writable_bytes(s.room.span()) : std::span{s.in}}};
    s.hearing.emplace(comm_.exchange(host_execution{}, on_.pushes, {{}, from}));
    listens_ = true;
  }
  void hear(int worker) {
    seat& s = seats_[std::size_t(worker)];
    if (!has_gone(worker) && is_through(s.hearing, worker)) {
      take(worker);
    } else if (s.hearing && (worker == lost_ || has_gone(worker))) {
      detail::take_back(*s.hearing);
      s.hearing.reset();
    }
  }
  /// One that was given up, but has not left, may be heard of again.
  bool has_gone(int worker) const { return workers_.is_lost(worker) && detail::has_left(comm_, worker); }
  /// Then there is none any more. One that has left is remembered: it is missed when somebody trains on, or waits.
  bool is_through(std::optional<handle>& exchange, int worker) {
    if (!exchange) return false;
    const reached met = detail::test_with(comm_, *exchange, worker);
    if (met == reached::one_who_left && !workers_.is_done(worker)) // not with what it was told at the end
      closing_.goes_on() ? lose(worker) : void(lost_ = worker);
    else if (met != reached::nothing_yet)
      exchange.reset();
    return !exchange;
  }

  void take(int worker) {
    seat& s = seats_[std::size_t(worker)];
    const push_head& head = s.push;
    if (head.kind() == push_head::meeting) {
      s.meeting = head.clock();
      return listen(worker);
    }
    trained_ = true;
    ++heard_;
    silence_.heard(worker);
    if (workers_.is_lost(worker)) return send(worker, answer_head::given_up);
    if (head.kind() == push_head::done) return ends(worker); // the next one is heard after reopen()
    const bool counts = head.kind() == push_head::push;
    if ((!counts && head.kind() != push_head::leave_out) || !(head.weight() >= 0)) refuse(worker);
    if (workers_.has_taken(worker, head.clock())) return listen(worker); // delivered twice, applied once
    if (!workers_.takes(worker, head.clock())) refuse(worker);
    if (!exact && counts) codec_.template decode<T>(s.in.data(), s.values);
    enter(worker, head.clock(), counts ? head.weight() : 0, head.note());
  }
  [[noreturn]] static void refuse(int worker) {
    throw error{{.code = error_code::bad_data,
                 .call = "serve",
                 .peer = worker,
                 .detail = "a push of rank " + std::to_string(worker) +
                           " is not what this server expects - let nobody else use its channel"}};
  }

  /// A push that is there; its values stay where they are until its step has closed, or its worker may go on.
  void enter(int worker, std::int64_t clock, double weight, std::span<const std::uint64_t> note) {
    trained_ = true;
    seat& s = seats_[std::size_t(worker)];
    const double worth = rule_->takes(worker, clock, tutti::now_of(comm_));
    s.counted = worth > 0;
    s.weight = s.counted ? weight : 0;
    s.worth = worth;
    if (s.weight > 0) s.note.assign(note.begin(), note.end());
    close_if_due();
    if (s.weight == 0) listen(worker);
  }
  void ends(int worker) {
    trained_ = true;
    workers_.ends(worker);
    rule_->ends(worker);
    close_if_due();
  }
  void close_if_due() {
    if (answers_leave() || !rule_->closes(tutti::now_of(comm_))) return;
    for (int r = 0; r < workers_.size(); ++r) add(r);
    if (!sum_.empty()) use_(own_, sum_.close(rule_->shares()));
    applied_ = -1;
    for (int r = 0; r < workers_.size(); ++r) listen(r);
  }
  /// In rank order, so that the step does not depend on who came first.
  void add(int worker) {
    seat& s = seats_[std::size_t(worker)];
    if (!(s.weight > 0)) return;
    applied_ = sum_.empty() && remembers_ ? worker : -1;
    if (sum_.empty()) std::ranges::fill(noted_, 0);
    for (std::size_t k = 0; k < noted_.size(); ++k) noted_[k] = k == 0 ? s.note[k] : noted_[k] | s.note[k];
    sum_.add(s.values, std::exchange(s.weight, 0), s.worth);
  }
  /// Its push is put together with the others of a step that is still open, as its room is needed.
  void let_go(int worker) {
    if (seats_[std::size_t(worker)].weight > 0) {
      for (int r = 0; r < workers_.size(); ++r) add(r);
      sum_.part();
      for (int r = 0; r < workers_.size(); ++r) listen(r);
    }
    workers_.goes_on(worker);
    silence_.heard(worker);
    remember(worker, values_);
    if (worker != comm_.rank()) send(worker, answer_head::answer);
    else std::ranges::copy(values_, seats_[std::size_t(worker)].values.begin());
    ++heard_;
  }
  /// Whether the values are being read where they are.
  bool answers_leave() {
    const auto leaves = [&](int r, seat& s) {
      return s.in_place && s.answering && !workers_.is_lost(r) && !is_through(s.answering, r);
    };
    for (int r = 0; r < workers_.size(); ++r)
      if (leaves(r, seats_[std::size_t(r)])) return true;
    return false;
  }
  /// From where the values are, when nobody can change them before they have left: the next step needs who waits for
  /// them. One that may be lost is not waited for.
  void send(int worker, answer_head::kinds kind) {
    seat& s = seats_[std::size_t(worker)];
    s.in_place = exact && (workers_.is_last(worker) || (!closing_.goes_on() && rule_->needs_all()));
    s.answer.set(kind, s.counted);
    for (int r = 0; r < workers_.size(); ++r)
      if (workers_.is_lost(r)) s.answer.loses(r);
    std::span<const std::byte> values = std::as_bytes(values_);
    if (!s.in_place) {
      s.out.resize(codec_.template bytes<T>(own_.size()));
      codec_.template encode<T>(std::span<const T>{values_}, s.out.data());
      values = s.out;
      if (!exact && remembers_ && workers_.works(worker)) codec_.template decode<T>(s.out.data(), s.pulled);
    }
    const outgoing to[] = {{worker, s.answer.bytes()}, {worker, values}};
    s.answering.emplace(comm_.exchange(host_execution{}, on_.answers, {to, {}}));
  }

  void lose_the_silent() {
    silence_.look(tutti::now_of(comm_), [&](int r) {
      return r != comm_.rank() && !workers_.is_done(r) && !workers_.waits(r);
    });
    for (int r = 0; r < workers_.size(); ++r)
      if (silence_.is_too_long(r)) lose(r);
  }
  /// The others go on without it. One that waits for an answer has pushed, and that counts.
  void lose(int worker) {
    if (workers_.is_lost(worker)) return;
    const bool made_steps = !workers_.is_done(worker);
    workers_.loses(worker);
    ++heard_;
    if (!made_steps) return;
    rule_->ends(worker);
    trained_ = lost_one_ = true;
  }

  /// Who pushes now is told that there is no server any more.
  void end() noexcept {
    bool silence = true;
    for (int r = 0; r < int(seats_.size()); ++r)
      if (seat& s = seats_[std::size_t(r)]; s.hearing)
        silence = (detail::take_back(*s.hearing) || workers_.is_lost(r)) && silence;
    if (!silence) comm_.revoke(left_unfinished(comm_.rank()));
    seats_.clear();
  }

  Comm& comm_;
  const Codec& codec_;
  const channels on_;
  const place own_;
  roster workers_;
  const closing_answer closing_;
  std::unique_ptr<any_rule> rule_;
  detail::silence silence_;
  const std::span<T> values_; ///< of its own place
  agreed use_;
  step_sum<T, Reducer> sum_;
  std::vector<seat> seats_; ///< of each rank
  std::vector<std::uint64_t> noted_;
  bool trained_ = false; ///< somebody has made a step since the last look
  bool lost_one_ = false, listens_ = false;
  const bool remembers_; ///< what each worker was answered
  int applied_ = -1;     ///< whose push is applied by itself
  int lost_ = -1;        ///< a worker that has left, where that is an error
  std::uint64_t heard_ = 0;
};

} // namespace tutti::detail
