// trainer: the loop that every sync policy shares.
//
//   trainer.step(gradients);                                   // one step, with gradients that are all there
//   trainer.begin(gradients); trainer.ready(k); trainer.finish();   // as they become ready, one by one
//   trainer.accumulate(gradients); trainer.step();             // several micro-batches a step
//   trainer.join();                                            // no more batches on this rank
//   trainer.fail(std::current_exception());                    // in place of finish(), on a rank that cannot
//   trainer.serve(); trainer.finalize();                       // of a parameter server
//
// A step is a transaction. It is collected (training/collecting.hpp) into the rooms of the carrier, travels, gets one
// verdict, the same on all ranks, and is committed; only the commit changes parameters and optimizer state.
//
// The trainer names no part of the strategy: what differs between policies is in their answers (sync/sync_policy.hpp),
// how data travels is the carrier's (carriers/carrier.hpp), and where it is the memory's (training/memory.hpp).
#pragma once

#include <tutti/training/resuming.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

/// Outlives the state that refers to it.
template <class Optimizer>
struct held_optimizer {
  Optimizer optimizer_;
};

} // namespace detail

/// A model bound to a strategy, and where it is. Made by strategy::bind; strategy and parameters must outlive it. All
/// members but accumulate(), ready() and the accessors are collective - where servers answer, only finalize(), save(),
/// load() and state() are. Cost of a step: an exchange of the contributions where one is due, and an all_gather of a few
/// numbers.
template <class T, class Optimizer, class Space = host_memory>
class trainer : detail::held_optimizer<Optimizer>, detail::resuming<T> {
  using base = detail::resuming<T>;
  using detail::held_optimizer<Optimizer>::optimizer_;
  using base::model, base::meet, base::visit, base::resume, base::resumed, base::local, base::reduces, base::apart,
      base::descend, base::begin_afresh, base::write, base::keep_all, base::keep_state, base::refuse, base::judge,
      base::settle_offered, base::is_usable, base::is_usable_here, base::clip_factor, base::open, base::open_without,
      base::start, base::worth, base::take, base::room_of, base::offer_complete, base::offer_what_was_learnt,
      base::agree_first, base::agree_on_every_part,
      base::commit, base::agree_until, base::require_shut, base::require_nothing_accumulated, base::require_expected,
      base::require_complete, base::ranks_, base::how_, base::plan_, base::bound_, base::collect_,
      base::roll_, base::scale_, base::joined_, base::made_, base::under_way_, base::at_,
      base::local_, base::snapshot_, base::norm_, base::numbers_, base::carrier_, base::in_;
  using verbs = typename Space::template verbs<T>;

public:
  /// Compares what is bound on all ranks, and broadcasts rank 0's parameters.
  trainer(detail::training_plan<T> plan, Optimizer optimizer, Space space = {})
      : detail::held_optimizer<Optimizer>{std::move(optimizer)}, base{plan}, space_{space} {
    const auto inner = [this](place where, detail::host_verbs<T>* on_host) {
      return on_host ? detail::updater<T>{*on_host, optimizer_, where}
                     : detail::updater<T>{static_cast<verbs&>(*in_), optimizer_, where};
    };
    keep_state(plan, inner);
  }

  tutti::role role() const { return carrier_->role(); }
  /// Its numbers may be changed between two steps, to the same ones on all ranks: where gradients are reduced, a step
  /// with unlike ones is everybody's `mismatch`. Where servers update, a push is applied at the learning rate of its
  /// worker; of the other numbers the server's count.
  Optimizer& optimizer() noexcept { return optimizer_; }
  /// That were made, those that were skipped among them.
  std::int64_t steps() const noexcept { return at_.step; }
  /// Steps that were left out because of a NaN or infinity.
  std::int64_t skipped() const noexcept { return at_.skipped; }
  /// Steps of this rank whose gradient came too late to servers that do not wait for all, and counts for nothing.
  std::int64_t dropped() const noexcept { return at_.dropped; }
  /// The ranks that training goes on without (on_loss::go_on), as far as this rank has heard of it.
  std::vector<int> lost() const { return carrier_->lost(); }
  /// By which the loss is to be multiplied before the gradient of the next step is taken.
  double loss_scale() const noexcept { return scale_.now(); }
  /// Of the last step's agreed gradient, before it was clipped; 0 where nothing is clipped.
  double gradient_norm() const noexcept { return norm_; }
  /// Whether any rank had a gradient of tensor k in the last step; where gradients are reduced.
  bool had_gradient(std::size_t k) const { return roll_.present(k); }
  /// What was agreed on of tensor k, before it was clipped, where gradients are reduced to all: in its bucket, to be read
  /// and written until the next step. A gradient that is made there is not copied, and the only one of k in its step.
  typename Space::template span<T> reduced(std::size_t k) { return space_.values(room_of(k)); }

  /// One step with gradients that are all there; a tensor whose gradient has no values has none in it.
  template <class Gradients> void step(const Gradients& gradients) { step(gradients, plan_.weight); }
  template <class Gradients>
  void step(const Gradients& gradients, double weight) {
    begin(gradients, weight);
    for (std::size_t k = model().count(); k-- > 0;)
      if (collect_.has(k)) ready(k);
    finish();
  }
  /// One step of what was accumulated.
  void step() {
    require_shut("step");
    if (!reduces() && !(collect_.weight() > 0)) refuse("step", "nothing was accumulated");
    open_without("step");
    finish();
  }

  /// A step that changes nothing, on every rank, where gradients are reduced; nothing is sent.
  void skip() {
    require_shut("skip");
    if (!reduces()) refuse("skip", "this policy has steps that ranks make by themselves - leave the step out");
    ++at_.step, ++at_.skipped;
  }

  /// replayed(times): the graph of the step that was captured last was launched so many times beyond the once that the
  /// step itself counts for. These are steps too, of every tensor that had a gradient in it: for steps(), for what is
  /// saved, and for the numbers of the next step. The same on every rank, which does not wait for the launches.
  using base::replayed;

  /// One more micro-batch of the step; read before it returns.
  template <class Gradients> void accumulate(const Gradients& gradients) { accumulate(gradients, plan_.weight); }
  template <class Gradients>
  void accumulate(const Gradients& gradients, double weight) {
    open("accumulate", views_of("accumulate", gradients), weight);
    for (std::size_t k = model().count(); k-- > 0;)
      if (collect_.has(k)) collect_.take(k, room_of(k), false);
    collect_.shut();
  }

  /// Opens a step's last micro-batch. `gradients` are tensors as long as the parameters; their values are read
  /// from ready() on, and must keep until finish() has returned.
  template <class Gradients> void begin(const Gradients& gradients) { begin(gradients, plan_.weight); }
  template <class Gradients>
  void begin(const Gradients& gradients, double weight) {
    open("begin", views_of("begin", gradients), weight);
    start();
  }
  /// The gradient of tensor k is final. Each that has values once a step, in any order; a bucket whose
  /// tensors are all ready is on its way while the caller computes on. Never waits.
  void ready(std::size_t k) {
    require_expected(k);
    take(k);
    closing unless_it_goes_on{*this};
    if (reduces() && !carrier_->waits() && roll_.called()) offer_complete();
    ranks_->progress();
    unless_it_goes_on.ends = false;
  }
  /// The same of values that had no place yet when begin() was given as many others in theirs. They must keep until
  /// finish() has returned.
  template <class G>
  void ready(std::size_t k, typename Space::template span<G> values) {
    require_expected(k);
    require_here("ready", values);
    if (const std::size_t n = collect_.has(k) ? model()[k].values.size() : 0; values.size() != n)
      refuse("ready", "ready(" + std::to_string(k) + ") was called with " + std::to_string(values.size()) +
                          " values, and begin() with " + std::to_string(n));
    collect_.replace(k, {std::type_identity<verbs>{}, values.data(), values.size()});
    ready(k);
  }
  /// Ends the step: what travels is waited for, judged, and committed.
  void finish() {
    require_complete();
    finish_with(nullptr);
  }
  /// In place of finish() or of a whole step, of a rank that cannot complete its gradient: nothing changes on any. With
  /// training_options::agree_on_failures, and where gradients are reduced, all throw - this rank what it was given,
  /// the others an error that names it and the first line of its text - and training may go on. Otherwise it is this
  /// rank's failure, and revokes.
  void fail(std::exception_ptr why) {
    if (!collect_.is_open()) this->open_empty("fail");
    finish_with(why);
  }

  /// This rank has no more batches: takes part in the others' steps, without a contribution, until all ranks
  /// have called it. Training may go on after that. Where servers answer it pushes what is accumulated, and
  /// waits for nobody.
  void join() {
    join([] {});
  }
  /// The same; after_each(), called after each of the others' steps that was not skipped, sets what they set: a rate.
  template <class AfterEach>
  void join(AfterEach&& after_each) {
    if (carrier_->serves()) {
      if (collect_.weight() > 0) step();
      return;
    }
    const joining from_here_on{*this};
    while (joined_) {
      const std::int64_t applied = at_.step - at_.skipped;
      open_without("join");
      finish();
      if (at_.step - at_.skipped > applied) after_each();
    }
    if (local()) { // who had fewer batches counts on from where the others are
      at_.step = made_;
      detail::to_the_most(*ranks_, {&at_.step, 1});
    }
  }

  /// Whether tensors whose name matches - "*" stands for any letters - are trained. The same on all ranks, between two
  /// steps, with nothing accumulated, and where replicas train apart, after an agreement. One that is frozen has no
  /// part in norms, decay and averages, and keeps its values; when it is trained again, its slots are fresh.
  void freeze(std::string_view names, bool frozen = true) {
    require_shut("freeze");
    require_nothing_accumulated("freeze");
    if (apart()) refuse("freeze", "replicas differ, and would for ever - freeze after an agreement");
    bool any = false;
    for (std::size_t k = 0; k < model().count(); ++k)
      if (detail::matches(names, model()[k].name)) {
        any = true;
        if (collect_.is_frozen(k) && !frozen) begin_afresh(k);
        collect_.freeze(k, frozen);
      }
    if (!any) refuse("freeze", "no tensor has a name like \"" + std::string{names} + "\"");
  }

  /// Of a dedicated server: answers until every worker has finalized. Nothing to do on others.
  void serve() { carrier_->serve(); }
  /// After the last step: ends with the same parameters on every rank, on which replicas that train apart
  /// agree once more; training may go on after it.
  void finalize() {
    if (local()) join();
    if (!carrier_->serves()) return;
    carrier_->finish();
    at_.since = 0;
    write(0);
    bound_.publish();
  }

  /// Collective, between two steps, in any step: waits for what is on its way, and writes what training goes on from
  /// into a folder, which is there when all of it is, whatever fails and whenever. Dedicated servers take part after
  /// finalize(); before it, who calls is told so. Include <tutti/training/checkpoint.hpp>.
  template <class Folder>
  void save(const Folder& folder, const save_options& how = {}) {
    detail::require_checkpoints<Folder>();
    meet();
    if constexpr (detail::has_checkpoints<Folder>)
      detail::checkpoints<Folder>::save(*ranks_, model(), [this](archive& to) { visit(to); }, knobs(), folder, how);
  }
  /// Collective, between two steps: goes on from there. What cannot be loaded changes nothing. The program's
  /// own numbers count, such as rates, and the file's state, such as what is frozen; returns in words in what the
  /// two differ.
  template <class Folder>
  std::vector<std::string> load(const Folder& folder) {
    detail::require_checkpoints<Folder>();
    return resumed(std::string{folder}, [&]() -> std::vector<std::string> {
      if constexpr (detail::has_checkpoints<Folder>)
        return detail::checkpoints<Folder>::load(*ranks_, model(), [this](archive& to) { visit(to); }, knobs(), folder);
      else
        return {};
    });
  }

  /// Visited behind everything else from now on, on all ranks; it outlives the trainer. For drivers of rounds.
  void keep_beside(detail::kept_by_trainer& beside) noexcept { this->beside_ = &beside; }
  /// Collective, between two steps, and with nothing accumulated: everything that training goes on from, by
  /// name, of every rank; written, or read.
  void state(archive& to) {
    require_shut("state");
    meet();
    visit(to);
    resume();
  }

private:
  // --- the loop: three ways through a step ------------------------------------------------------

  /// `failed`: what this rank throws when the step is over; null where it has not failed.
  void finish_with(const std::exception_ptr& failed) {
    const closing at_the_end{*this};
    if (failed && !(reduces() && how_.agree_on_failures)) this->raise_alone(failed);
    for (std::size_t k = model().count(); k-- > 0;)
      if (!collect_.taken(k)) take(k);
    if (local())
      local_step();
    else if (reduces())
      reduced_step(failed);
    else
      served_step();
  }
  /// Gradients that all ranks reduce.
  void reduced_step(const std::exception_ptr& failed) {
    offer_complete();
    if (roll_.over()) return;
    const detail::step_verdict found = settle_offered();
    if (how_.agree_on_failures) this->raise_failed(failed);
    if (is_usable(found, at_.step + 1)) {
      commit(clip_factor(found));
      scale_.good();
    }
    ++at_.step;
  }
  /// Gradients that servers apply as they come; a rank judges its own.
  void served_step() {
    detail::step_verdict own = judge(carrier_->room(0));
    if (const T factor = clip_factor(own); factor != 1) in_->scale(carrier_->room(0), factor);
    if (carrier_->as_sent(0)) own.finite = own.finite && judge(carrier_->room(0)).finite;
    const std::int64_t skipped = at_.skipped;
    const detail::loss_scale before = scale_;
    const double weighs = plan_.together ? worth(collect_.weight()) : 1.0;
    const double weight[] = {is_usable_here(own, carrier_->room(0)) ? weighs : 0.0};
    detail::push_note::write(carrier_->note(), detail::rate_of(optimizer_), model().count(),
                             [&](std::size_t k) { return collect_.present(k); });
    try {
      carrier_->offer(0, weight);
      carrier_->settle(0);
    } catch (...) {
      at_.skipped = skipped;
      scale_ = before;
      throw;
    }
    if (weight[0] > 0) scale_.good();
    if (!carrier_->counted()) ++at_.dropped;
    ++at_.step, ++at_.since;
    write(0);
    bound_.publish();
  }
  /// A step of this rank alone; and what all have come to since the last agreement, when that is due. A rank
  /// that has joined counts the steps of the others, so that all agree on the same parts in the same order.
  void local_step() {
    const int period = plan_.period(at_.step + 1);
    if (auto wrong = detail::wrong_answers(plan_.policy, period); !wrong.empty())
      refuse("step", std::move(wrong));
    const detail::counters before = at_;
    const detail::loss_scale scale_before = scale_;
    const bool works = !joined_ || collect_.weight() > 0;
    const detail::step_verdict own = works ? judge(local_.span()) : detail::step_verdict{};
    const bool usable = works && is_usable_here(own, local_.span());
    const bool first = plan_.policy.offers_first, due = at_.since + 1 >= period;
    const bool settles = !under_way_.empty() && under_way_.front().due <= at_.step + 1;
    if (due || settles) keep_all();
    try {
      if (first) agree_first();
      if (usable) descend(clip_factor(own));
      ++at_.step, ++at_.since;
      if (works) {
        ++made_;
        if (!usable) ++at_.idle;
        const bool counts = usable || !carrier_->weighs(); // who cannot be left out counts as it is
        for (double& w : at_.learnt) w += counts ? collect_.weight() : 0;
      }
      agree_until(at_.step);
      if (due && !first) offer_what_was_learnt();
      if (first && roll_.all_joined()) agree_on_every_part();
      agree_until(at_.step);
    } catch (...) {
      snapshot_.restore();
      at_ = before;
      scale_ = scale_before;
      throw;
    }
    snapshot_.forget();
    bound_.publish();
  }
  // --- what stands around it --------------------------------------------------------------------

  template <class Gradients>
  std::vector<detail::gradient_view<T>> views_of(const char* call, const Gradients& gradients) const {
    return detail::views_of<T, Space>(gradients, [&](const auto& values) { require_here(call, values); });
  }
  void require_here(const char* call, const auto& values) const {
    if (std::string wrong = space_.wrong(values); !wrong.empty()) refuse(call, std::move(wrong));
  }

  /// At the end of a step, however it ends.
  struct closing {
    trainer& of;
    bool ends = true;
    ~closing() {
      if (ends) of.collect_.clear();
    }
  };
  /// While this rank is in join().
  struct joining {
    trainer& of;
    explicit joining(trainer& t) : of{t} {
      of.joined_ = true;
      of.made_ = of.at_.step;
    }
    ~joining() { of.joined_ = false; }
  };
  std::map<std::string, std::string> knobs() {
    numbers_.renew(optimizer_);
    return numbers_.texts();
  }

  Space space_;
};

} // namespace tutti
