// trainer: the loop that every sync policy shares.
//
//   trainer.step(gradients);                                   // one step, with gradients that are all there
//   trainer.begin(gradients); trainer.ready(k); trainer.finish();   // as they become ready, one by one
//   trainer.accumulate(gradients); trainer.step();             // several micro-batches a step
//   trainer.join();                                            // no more batches on this rank
//   trainer.serve(); trainer.finalize();                       // of a parameter server
//
// A step is a transaction. It is collected (training/collecting.hpp) into the rooms of the carrier, travels,
// gets one verdict, the same on all ranks, and is committed; only the commit changes parameters and
// optimizer state, so a step that fails leaves both as they were.
//
// The trainer names no part of the strategy: what differs between policies is in their answers
// (sync/sync_policy.hpp), and how data travels is the carrier's (carriers/carrier.hpp).
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/control.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/training/binding.hpp>
#include <tutti/training/collecting.hpp>
#include <tutti/training/loss_scale.hpp>
#include <tutti/training/masters.hpp>
#include <tutti/training/options.hpp>
#include <tutti/training/roll_call.hpp>
#include <tutti/training/rules.hpp>
#include <tutti/training/snapshot.hpp>
#include <tutti/training/updating.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

/// Saves and loads; training/checkpoint.hpp has it.
template <class Folder>
struct checkpoints;
template <class Folder>
concept has_checkpoints = requires { sizeof(checkpoints<Folder>); };

/// What the loop has to know of a strategy's parts.
struct training_facts {
  answers policy;
  period_answer period;
  bool means;        ///< contributions are means of micro-batches; otherwise their sums
  bool weighs;       ///< a contribution may have a weight
  bool whole;        ///< the gradient travels as one
  double weight = 1; ///< of a contribution, where none is given
};

/// A fragment that is on its way.
struct pending {
  std::int64_t due; ///< the step that it is applied in
  std::size_t part;
};
/// How far training is. Steps of an optimizer are counted for each tensor: those in which it had a gradient.
struct counters {
  std::int64_t step = 0, skipped = 0;
  std::int64_t since = 0, exchanges = 0; ///< steps since the last agreement, and agreements
  std::vector<double> learnt;            ///< weight of what each part has not offered yet
  std::vector<std::int64_t> versions, outer; ///< steps of each tensor; outer steps of each part
};

/// What a trainer is made of; the strategy, which outlives it, fills it in.
template <class T>
struct training_plan {
  training_facts facts;
  training_options how;
  std::unique_ptr<control> ranks;
  bound_model<T> bound;
  compared_numbers numbers;
  std::string wrong; ///< with the parts, as this rank sees it
  function_ref<std::unique_ptr<carrier<T>>(std::span<const place>)> carry;
  function_ref<updater<T>(place)> outer; ///< of differences
};

} // namespace detail

/// A model bound to a strategy. Made by strategy::bind; the strategy and the parameters must outlive it. All
/// members but accumulate(), ready() and the accessors are collective - where servers answer, only finalize()
/// is. Cost of a step: one exchange of the contributions where one is due, and beside it one all_gather of a
/// few numbers.
template <class T, class Optimizer>
class trainer {
public:
  /// Compares what is bound on all ranks, and broadcasts rank 0's parameters.
  trainer(detail::training_plan<T> plan, Optimizer optimizer)
      : ranks_{std::move(plan.ranks)}, how_{std::move(plan.how)}, plan_{plan.facts},
        bound_{std::move(plan.bound)}, optimizer_{std::move(optimizer)},
        collect_{model().count(), plan_.means}, roll_{*ranks_, model().count()},
        scale_{how_.loss_scale} {
    bind(plan);
    cut();
    carrier_ = plan.carry(parts_);
    keep_state(plan);
    numbers_ = std::move(plan.numbers);
  }
  trainer(const trainer&) = delete;
  trainer& operator=(const trainer&) = delete;

  tutti::role role() const { return carrier_->role(); }
  /// Its numbers may be changed between two steps, to the same ones on all ranks; where servers update, theirs
  /// count.
  Optimizer& optimizer() noexcept { return optimizer_; }
  /// That were made, those that were skipped among them.
  std::int64_t steps() const noexcept { return at_.step; }
  /// Steps that were left out because of a NaN or infinity.
  std::int64_t skipped() const noexcept { return at_.skipped; }
  /// By which the loss is to be multiplied before the gradient of the next step is taken.
  double loss_scale() const noexcept { return scale_.now(); }
  /// Of the last step's agreed gradient, before it was clipped; 0 where nothing is clipped.
  double gradient_norm() const noexcept { return norm_; }

  /// One step with gradients that are all there; a tensor whose gradient has no values has none in it.
  template <class Gradients>
  void step(const Gradients& gradients) {
    step(gradients, plan_.weight);
  }
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

  /// One more micro-batch of the step; read before it returns.
  template <class Gradients>
  void accumulate(const Gradients& gradients) {
    accumulate(gradients, plan_.weight);
  }
  template <class Gradients>
  void accumulate(const Gradients& gradients, double weight) {
    open("accumulate", gradients, weight);
    for (std::size_t k = model().count(); k-- > 0;)
      if (collect_.has(k)) collect_.take(k, room_of(k), false);
    collect_.shut();
  }

  /// Opens a step's last micro-batch. `gradients` are tensors as long as the parameters; their values are read
  /// from ready() on, and must keep until finish() has returned.
  template <class Gradients>
  void begin(const Gradients& gradients) {
    begin(gradients, plan_.weight);
  }
  template <class Gradients>
  void begin(const Gradients& gradients, double weight) {
    open("begin", gradients, weight);
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
  /// Ends the step: what travels is waited for, judged, and committed.
  void finish() {
    require_complete();
    const closing at_the_end{*this};
    for (std::size_t k = model().count(); k-- > 0;)
      if (!collect_.taken(k)) take(k);
    if (local())
      local_step();
    else if (reduces())
      reduced_step();
    else
      served_step();
  }

  /// This rank has no more batches: takes part in the others' steps, without a contribution, until all ranks
  /// have called it. Training may go on after that. Where servers answer it pushes what is accumulated, and
  /// waits for nobody.
  void join() {
    if (carrier_->serves()) {
      if (collect_.weight() > 0) step();
      return;
    }
    const joining from_here_on{*this};
    while (joined_) {
      open_without("join");
      finish();
    }
    if (local()) { // who had fewer batches counts on from where the others are
      const std::uint64_t mine[] = {std::uint64_t(made_)};
      at_.step = 0;
      for (const std::uint64_t other : ranks_->gather(mine))
        at_.step = (std::max)(at_.step, std::int64_t(other));
    }
  }

  /// Whether tensors whose name matches - "*" stands for any letters - are trained. The same on all ranks,
  /// between two steps, and where replicas train apart, after an agreement. One that is frozen has no part in
  /// norms, decay and averages, and keeps its values; when it is trained again, its slots are fresh.
  void freeze(std::string_view names, bool frozen = true) {
    require_shut("freeze");
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
    write(0);
    bound_.publish();
  }

  /// Collective, between two steps: writes what training goes on from into a folder, which is there when all
  /// of it is, whatever fails and whenever. Include <tutti/training/checkpoint.hpp>.
  template <class Folder>
  void save(const Folder& folder, const save_options& how = {}) {
    require_checkpoints<Folder>();
    if constexpr (detail::has_checkpoints<Folder>)
      detail::checkpoints<Folder>::save(*ranks_, model(), [this](archive& to) { visit(to); }, knobs(), folder, how);
  }
  /// Collective, between two steps: goes on from there. What cannot be loaded changes nothing. The program's
  /// own numbers count, such as rates; returns those in which the file differs, in words.
  template <class Folder>
  std::vector<std::string> load(const Folder& folder) {
    require_checkpoints<Folder>();
    std::vector<std::string> differs;
    if constexpr (detail::has_checkpoints<Folder>)
      differs = detail::checkpoints<Folder>::load(*ranks_, model(), [this](archive& to) { visit(to); }, knobs(), folder);
    bound_.publish();
    return differs;
  }

  /// Everything that training goes on from, by name; between two steps, and with nothing accumulated.
  void state(archive& to) {
    require_shut("state");
    const held_by own = local() ? held_by::each : plan_.policy.owners ? held_by::owner : held_by::everyone;
    const held_by counted = local() ? held_by::each : held_by::everyone; // what a rank does by itself
    const held_by outer = plan_.policy.owners ? held_by::owner : held_by::everyone;
    to.number("steps", at_.step);
    to.number("skipped", at_.skipped, counted);
    to.number("since", at_.since);
    to.number("exchanges", at_.exchanges);
    for (std::size_t p = 0; p < at_.learnt.size(); ++p)
      to.number("weight of " + std::to_string(p), at_.learnt[p], counted);
    scale_.state(to, counted);
    for (std::size_t k = 0; k < model().count(); ++k) {
      const std::string name = model()[k].name;
      to.values("", model()[k].values, model().place_of(k), apart() ? held_by::each : held_by::everyone);
      to.number("steps of " + name, at_.versions[k], counted);
    }
    for (auto& by : updates_) by.state(to, "", own);
    for (std::size_t p = 0; p < outer_.size(); ++p) {
      to.number("outer steps of " + std::to_string(p), at_.outer[p]);
      outer_[p].state(to, "outer.", outer);
    }
    if (plan_.policy.contribution == contributes::difference)
      to.values("agreed", agreed_.span(), {0, model().size()}, held_by::everyone);
  }

private:
  flat_model<T>& model() noexcept { return bound_.model; }
  const flat_model<T>& model() const noexcept { return bound_.model; }
  template <class Folder>
  static void require_checkpoints() {
    static_assert(detail::has_checkpoints<Folder>,
                  "tutti::trainer: save and load have a header of their own - include "
                  "<tutti/training/checkpoint.hpp>");
  }
  /// A visit of the state by a checkpoint.
  void visit(archive& to) {
    if (carrier_->serves())
      refuse("state", "the state of parameter servers cannot be saved - save the parameters after finalize()");
    if (collect_.weight() > 0)
      refuse("state", "a micro-batch was accumulated and is in no step yet - call step() first");
    if (!under_way_.empty())
      refuse("state", "fragments are on their way between the ranks - save in a step in which none is");
    state(to);
  }
  std::map<std::string, std::string> knobs() {
    numbers_.renew(optimizer_);
    return numbers_.texts();
  }
  bool local() const noexcept { return plan_.policy.contribution != contributes::gradient; }
  bool reduces() const noexcept { return !local() && !carrier_->serves(); }
  /// Whether replicas differ.
  bool apart() const noexcept {
    return local() && (at_.since > 0 || has_learnt() || !under_way_.empty() ||
                       (at_.step > 0 && plan_.policy.keep > 0));
  }

  // --- the loop: three ways through a step ------------------------------------------------------

  /// Gradients that all ranks reduce.
  void reduced_step() {
    offer_complete();
    if (roll_.over()) return;
    const detail::step_verdict found = settle_offered();
    if (is_usable(found, at_.step + 1)) {
      commit(clip_factor(found));
      scale_.good();
    }
    ++at_.step;
  }
  /// Gradients that servers apply as they come; a rank judges its own.
  void served_step() {
    detail::step_verdict own = judge(carrier_->room(0));
    scale(carrier_->room(0), clip_factor(own));
    if (carrier_->as_sent(0)) own.finite = own.finite && judge(carrier_->room(0)).finite;
    const std::int64_t skipped = at_.skipped;
    const detail::loss_scale before = scale_;
    const double weight[] = {is_usable_here(own, carrier_->room(0)) ? 1.0 : 0.0};
    try {
      carrier_->offer(0, weight);
      carrier_->settle(0);
    } catch (...) {
      at_.skipped = skipped;
      scale_ = before;
      throw;
    }
    if (weight[0] > 0) scale_.good();
    ++at_.step;
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
    const detail::loss_scale scale = scale_;
    const bool works = !joined_ || collect_.weight() > 0;
    const detail::step_verdict own = works ? judge(local_.span()) : detail::step_verdict{};
    const bool usable = works && is_usable_here(own, local_.span());
    const bool due = at_.since + 1 >= period;
    const bool settles = !under_way_.empty() && under_way_.front().due <= at_.step + 1;
    if (due || settles) keep_all();
    try {
      if (usable) descend(clip_factor(own));
      ++at_.step, ++at_.since;
      if (works) {
        ++made_;
        for (double& w : at_.learnt) w += collect_.weight();
      }
      agree_until(at_.step);
      if (due) offer_what_was_learnt();
      agree_until(at_.step);
    } catch (...) {
      snapshot_.restore();
      at_ = before;
      scale_ = scale;
      throw;
    }
    snapshot_.forget();
    bound_.publish();
  }

  // --- collecting -------------------------------------------------------------------------------

  template <class Gradients>
  void open(const char* call, const Gradients& gradients, double weight) {
    require_shut(call);
    if (role() == role::server) refuse(call, "this rank is a dedicated server - call serve()");
    if (!plan_.weighs && weight != 1) refuse(call, unused_weight());
    if (!reduces() && !detail::is_weight(weight))
      refuse(call, "the weight is negative or not finite - give what the micro-batch counts for");
    std::vector<detail::gradient_view<T>> views;
    for (const auto& g : detail::as_tensors(gradients)) views.emplace_back(g.values);
    if (views.size() != model().count())
      refuse(call, "there are " + std::to_string(views.size()) + " gradients for " +
                       std::to_string(model().count()) + " parameters");
    for (std::size_t k = 0; k < views.size(); ++k)
      if (const std::size_t n = model()[k].values.size(); views[k].n != n && views[k].n != 0)
        refuse(call, "the gradient of \"" + model()[k].name + "\" has " +
                         std::to_string(views[k].n) + " values, the parameter has " +
                         std::to_string(n));
    collect_.open(std::move(views), weight, scale_.now());
  }
  void open_without(const char* call) {
    require_shut(call);
    collect_.open_nothing(scale_.now());
    start();
  }
  /// The last micro-batch is open.
  void start() {
    launched_ = 0;
    offering_ = false;
    for (std::size_t p = 0; p < parts_.size(); ++p) missing_[p] = tensors_in_[p];
    if (reduces()) say(collect_.weight(), collect_.weight() > 0);
  }
  /// What a contribution counts for, beside others.
  double worth(double weight) const {
    const bool alike = !plan_.means || how_.uneven == uneven::by_world;
    return alike && detail::is_weight(weight) ? 1 : weight;
  }
  void say(double weight, bool counts) {
    detail::presence mine{.weight = worth(weight), .counts = counts, .joined = joined_};
    for (std::size_t k = 0; k < model().count(); ++k) {
      mine.present.push_back(local() ? !collect_.is_frozen(k) : collect_.present(k));
      mine.frozen.push_back(collect_.is_frozen(k));
    }
    roll_.say(mine);
  }
  void take(std::size_t k) {
    collect_.take(k, room_of(k), true);
    if (!local() && !model()[k].values.empty()) --missing_[part_of_[k]];
  }
  /// Where the contribution to tensor k is collected.
  std::span<T> room_of(std::size_t k) {
    const place at = model().place_of(k);
    if (at.empty()) return {};
    if (local()) return local_.span().subspan(at.begin, at.size());
    return carrier_->room(part_of_[k]).subspan(at.begin - parts_[part_of_[k]].begin, at.size());
  }

  // --- travelling -------------------------------------------------------------------------------

  /// Every rank offers its parts in the same order, so that they meet.
  void offer_complete() {
    hear();
    if (!std::exchange(offering_, true)) check_roll();
    if (roll_.over()) return;
    for (; launched_ < parts_.size() && missing_[launched_] == 0; ++launched_)
      if (travels(launched_)) carrier_->offer(launched_, roll_.weights());
  }
  /// Whether any rank has a gradient in a part.
  bool travels(std::size_t part) const {
    bool any = false;
    model().each(parts_[part], [&](std::size_t k, place) { any = any || roll_.present(k); });
    return any;
  }
  void hear() {
    roll_.wait();
    if (roll_.all_joined()) joined_ = false;
  }
  void offer_what_was_learnt() {
    const std::size_t turn = std::size_t(at_.exchanges) % at_.learnt.size();
    say(weight_learnt(turn), has_learnt());
    hear();
    at_.since = 0;
    check_roll();
    if (roll_.all_joined()) return agree_on_every_part();
    ++at_.exchanges;
    if (parts_.empty()) return;
    while (is_under_way(turn)) agree_on_oldest(); // where periods have become shorter than the delay
    offer_what_was_learnt(turn, roll_.weights());
  }
  bool is_under_way(std::size_t part) const {
    return std::ranges::any_of(under_way_, [&](const auto& sent) { return sent.part == part; });
  }
  void offer_what_was_learnt(std::size_t part, std::span<const double> weights) {
    write_what_was_learnt(part);
    carrier_->offer(part, weights);
    under_way_.push_back({at_.step + plan_.policy.delay, part});
    at_.learnt[part] = 0;
  }
  /// Ends with the same parameters on all ranks: whatever any of them has learnt, and nothing is kept.
  void agree_on_every_part() {
    while (!under_way_.empty()) agree_on_oldest();
    std::vector<std::uint64_t> mine;
    for (std::size_t p = 0; p < parts_.size(); ++p)
      mine.push_back(std::bit_cast<std::uint64_t>(weight_learnt(p)));
    const auto all = ranks_->gather(mine);
    std::vector<double> weights(std::size_t(ranks_->size()));
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      for (std::size_t r = 0; r < weights.size(); ++r)
        weights[r] = std::bit_cast<double>(all[r * parts_.size() + p]);
      const bool counts = std::any_of(weights.begin(), weights.end(), [](double w) { return w > 0; });
      if (!counts && plan_.policy.keep == 0) continue;
      if (!counts && plan_.policy.contribution == contributes::difference) {
        const auto agreed = agreed_.span().subspan(parts_[p].begin, parts_[p].size());
        std::copy(agreed.begin(), agreed.end(), carrier_->room(p).begin());
        rejoin(p, 0);
        continue;
      }
      for (double& w : weights) w = counts && carrier_->weighs() ? worth(w) : 1;
      offer_what_was_learnt(p, weights);
      under_way_.pop_back();
      agree_on(p, 0);
    }
  }
  double weight_learnt(std::size_t part) const {
    return plan_.weighs ? at_.learnt[part] : at_.learnt[part] > 0 ? 1.0 : 0.0;
  }
  bool has_learnt() const noexcept {
    return std::any_of(at_.learnt.begin(), at_.learnt.end(), [](double w) { return w > 0; });
  }
  /// This rank's parameters, or how far they have come away from what was agreed on.
  void write_what_was_learnt(std::size_t part) {
    const detail::exact_mode held;
    const std::span<T> room = carrier_->room(part);
    model().read(parts_[part], room.data());
    if (plan_.policy.contribution != contributes::difference) return;
    const std::span<const T> agreed = agreed_.span().subspan(parts_[part].begin, room.size());
    for (std::size_t i = 0; i < room.size(); ++i) room[i] = agreed[i] - room[i];
  }

  // --- the verdict ------------------------------------------------------------------------------

  detail::step_verdict judge(std::span<const T> values) const {
    return {.finite = how_.non_finite == non_finite::pass || detail::all_finite(values),
            .squares = how_.clip > 0 ? detail::sum_of_squares(values) : 0};
  }
  detail::step_verdict settle_offered() {
    detail::step_verdict all;
    for (std::size_t p = 0; p < parts_.size(); ++p)
      if (travels(p)) all = both(all, settle(p));
    return plan_.policy.owners ? agreed_on(all) : all;
  }
  detail::step_verdict settle(std::size_t part) {
    carrier_->settle(part);
    return judge(owned_room(part));
  }
  std::span<T> owned_room(std::size_t part) {
    const place mine = carrier_->owned(part);
    return carrier_->room(part).subspan(mine.begin - parts_[part].begin, mine.size());
  }
  static detail::step_verdict both(detail::step_verdict a, detail::step_verdict b) {
    return {a.finite && b.finite, a.squares + b.squares};
  }
  /// Of owners, who see a shard each: in rank order, so that all have the same bits.
  detail::step_verdict agreed_on(detail::step_verdict mine) {
    const std::uint64_t words[] = {mine.finite, std::bit_cast<std::uint64_t>(mine.squares)};
    const auto all = ranks_->gather(words);
    detail::step_verdict together;
    for (std::size_t k = 0; k < all.size(); k += 2)
      together = both(together, {all[k] != 0, std::bit_cast<double>(all[k + 1])});
    return together;
  }
  bool passes(const detail::step_verdict& found) const noexcept {
    return how_.non_finite == non_finite::pass || (found.finite && std::isfinite(found.squares));
  }
  /// What all ranks do about a verdict that is the same on all.
  bool is_usable(const detail::step_verdict& found, std::int64_t step) {
    if (passes(found)) return true;
    if (!skips()) raise_culprit(step);
    ++at_.skipped;
    if (scale_.adapts()) scale_.bad();
    return false;
  }
  /// What this rank does about its own.
  bool is_usable_here(const detail::step_verdict& found, std::span<const T> values) {
    if (passes(found)) return true;
    if (!skips())
      ranks_->fail({.code = error_code::non_finite,
                    .call = "step",
                    .peer = ranks_->rank(),
                    .detail = holds_no_number(at_.step + 1, culprit(values), ranks_->rank())});
    ++at_.skipped;
    if (scale_.adapts()) scale_.bad();
    return false;
  }
  bool skips() const noexcept { return scale_.adapts() || how_.non_finite != non_finite::error; }
  T clip_factor(const detail::step_verdict& found) {
    norm_ = std::sqrt(found.squares);
    return how_.clip > 0 && norm_ > how_.clip && std::isfinite(norm_) ? T(how_.clip / norm_) : T(1);
  }

  // --- the commit -------------------------------------------------------------------------------

  void commit(T factor) {
    const bool hands_out = plan_.policy.owners;
    const detail::counters before = at_;
    try {
      if (hands_out) keep_owned();
      for (std::size_t k = 0; k < model().count(); ++k)
        if (roll_.present(k)) ++at_.versions[k];
      for (std::size_t p = 0; p < parts_.size(); ++p)
        if (travels(p)) update(p, factor);
      for (std::size_t p = 0; hands_out && p < parts_.size(); ++p)
        if (travels(p)) carrier_->hand_out(p);
    } catch (...) {
      snapshot_.restore();
      at_ = before;
      throw;
    }
    snapshot_.forget();
    for (std::size_t p = 0; hands_out && p < parts_.size(); ++p)
      if (travels(p)) write(p);
    bound_.publish();
  }
  /// By the optimizer, what this rank updates of a part.
  void update(std::size_t part, T factor) {
    const place mine = carrier_->owned(part);
    const std::span<T> room = carrier_->room(part);
    model().each(mine, [&](std::size_t k, place at) {
      if (roll_.present(k)) move(updates_[part], k, at, room.subspan(at.begin - parts_[part].begin), factor);
    });
    if (plan_.policy.owners) model().read(mine, owned_room(part).data());
  }
  void move(detail::updater<T>& by, std::size_t k, place at, std::span<const T> gradients, T factor) {
    by(at, {at_.versions[k], model().values(k, at), gradients.first(at.size()), factor, groups_[k]});
  }
  /// By this rank's own gradients.
  void descend(T factor) {
    for (std::size_t k = 0; k < model().count(); ++k)
      if (collect_.present(k)) ++at_.versions[k];
    model().each({0, model().size()}, [&](std::size_t k, place at) {
      if (collect_.present(k)) move(updates_[0], k, at, local_.span().subspan(at.begin), factor);
    });
    scale_.good();
  }
  /// What is due by then.
  void agree_until(std::int64_t step) {
    while (!under_way_.empty() && under_way_.front().due <= step) agree_on_oldest();
  }
  void agree_on_oldest() {
    const std::size_t part = under_way_.front().part;
    under_way_.pop_front();
    agree_on(part, plan_.policy.keep);
  }
  /// What is agreed on of a part, and the parameters as it leaves them.
  void agree_on(std::size_t part, double keep) {
    detail::step_verdict found = settle(part);
    if (plan_.policy.owners) found = agreed_on(found);
    if (!found.finite) raise_culprit(at_.step); // replicas may be lost; nothing was agreed on
    const place mine = carrier_->owned(part);
    const std::span<T> room = carrier_->room(part), own = owned_room(part);
    if (plan_.policy.contribution == contributes::difference) {
      const std::span<T> agreed = agreed_.span().subspan(mine.begin, mine.size());
      ++at_.outer[part];
      model().each(mine, [&](std::size_t k, place at) {
        if (collect_.is_frozen(k)) return;
        const auto piece = [&](std::span<T> of) { return of.subspan(at.begin - mine.begin, at.size()); };
        outer_[part](at, {at_.outer[part], piece(agreed), piece(own), T(1), {}});
      });
      std::copy(agreed.begin(), agreed.end(), own.begin());
    }
    if (plan_.policy.owners) carrier_->hand_out(part);
    if (plan_.policy.contribution == contributes::difference)
      std::copy(room.begin(), room.end(), agreed_.begin() + std::ptrdiff_t(parts_[part].begin));
    rejoin(part, keep);
  }
  /// From what was agreed on, and what was learnt since it was offered as far as it is kept.
  void rejoin(std::size_t part, double share) {
    const detail::exact_mode held;
    const rounding rounded;
    const std::span<const T> agreed = carrier_->room(part);
    const T keep = T(share);
    model().each(parts_[part], [&](std::size_t k, place at) {
      if (collect_.is_frozen(k)) return;
      const std::span<T> p = model().values(k, at);
      const std::span<const T> x = agreed.subspan(at.begin - parts_[part].begin, p.size());
      for (std::size_t i = 0; i < p.size(); ++i)
        p[i] = keep == 0 ? x[i] : x[i] + rounded(keep * (p[i] - x[i]));
    });
  }
  /// Tensor k, which was frozen and will be trained.
  void begin_afresh(std::size_t k) {
    at_.versions[k] = 0;
    for (auto* all : {&updates_, &outer_})
      for (auto& by : *all)
        if (const place at = common(model().place_of(k), by.where()); !at.empty()) by.forget(at);
    if (plan_.policy.contribution == contributes::difference)
      model().read(model().place_of(k), agreed_.begin() + std::ptrdiff_t(model().place_of(k).begin));
  }
  void write(std::size_t part) {
    const std::span<const T> room = carrier_->room(part);
    model().each(parts_[part], [&](std::size_t k, place at) {
      if (!collect_.is_frozen(k)) {
        const auto from = room.subspan(at.begin - parts_[part].begin, at.size());
        std::copy(from.begin(), from.end(), model().values(k, at).begin());
      }
    });
  }
  static void scale(std::span<T> values, T factor) {
    if (factor == 1) return;
    const detail::exact_mode held;
    for (T& v : values) v *= factor;
  }

  /// What a commit changes before owners have handed out.
  void keep_owned() {
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      keep(updates_[p]);
      model().each(carrier_->owned(p),
                   [&](std::size_t k, place at) { snapshot_.keep(model().values(k, at)); });
    }
  }
  void keep_all() {
    keep(updates_[0]);
    for (const auto& o : outer_) keep(o);
    snapshot_.keep(agreed_.span());
    for (const tensor<T>& t : model().tensors()) snapshot_.keep(t.values);
  }
  void keep(const detail::updater<T>& of) {
    for (std::size_t k = 0; k < of.slots(); ++k) snapshot_.keep(of.slot(k));
  }

  // --- binding ----------------------------------------------------------------------------------

  void bind(detail::training_plan<T>& plan) {
    std::string wrong = plan.wrong;
    if (wrong.empty()) wrong = detail::wrong_options(how_, plan_.policy, plan_.period(1));
    groups_.assign(model().count(), {});
    if (wrong.empty())
      wrong = detail::apply_rules(how_, model().tensors(), groups_,
                                  [&](std::size_t k) { collect_.freeze(k, true); });
    std::vector<detail::tensor_facts> tensors;
    for (std::size_t k = 0; k < model().count(); ++k)
      tensors.push_back(detail::facts_of(model()[k], bound_.given[k], collect_.is_frozen(k)));
    detail::verify_binding(*ranks_, tensors, plan.numbers, std::move(wrong), "bind");
    for (const std::span<std::byte> values : bound_.given) ranks_->broadcast(values, 0);
    bound_.read();
  }
  /// Into the parts that travel: buckets of whole tensors, or the fragments of the policy.
  void cut() {
    part_of_.assign(model().count(), 0);
    const std::size_t n = model().size();
    if (local()) {
      for (int f = 0; f < plan_.policy.fragments; ++f) {
        const shard piece = shard_of(n, f, plan_.policy.fragments);
        if (piece.end > piece.begin) parts_.push_back({piece.begin, piece.end});
      }
    } else {
      const std::size_t most = plan_.whole ? ~std::size_t{0} : how_.bucket_bytes / sizeof(T);
      for (std::size_t k = model().count(); k-- > 0;) {
        const place at = model().place_of(k);
        if (at.empty()) continue;
        if (parts_.empty() || at.end - parts_.back().begin > most) parts_.push_back({at.begin, at.begin});
        parts_.back().end = at.end;
        part_of_[k] = parts_.size() - 1;
      }
      if (plan_.whole && parts_.empty()) parts_.push_back({});
    }
    missing_.assign(parts_.size(), 0);
    tensors_in_.assign(parts_.size(), 0);
    for (std::size_t p = 0; p < parts_.size(); ++p)
      model().each(parts_[p], [&](std::size_t, place) { ++tensors_in_[p]; });
  }
  void keep_state(const detail::training_plan<T>& plan) {
    const place all{0, model().size()};
    at_.versions.assign(model().count(), 0);
    at_.outer.assign(parts_.size(), 0);
    at_.learnt.assign((std::max)(parts_.size(), std::size_t{1}), 0);
    if (local()) {
      local_ = detail::aligned_values<T>{all.size()};
      updates_.emplace_back(optimizer_, all);
    } else {
      for (std::size_t p = 0; p < parts_.size(); ++p) updates_.emplace_back(optimizer_, carrier_->owned(p));
    }
    if (plan_.policy.contribution == contributes::difference)
      for (std::size_t p = 0; p < parts_.size(); ++p) outer_.push_back(plan.outer(carrier_->owned(p)));
    if (plan_.policy.contribution == contributes::difference || carrier_->serves()) {
      agreed_ = detail::aligned_values<T>{all.size()};
      model().read(all, agreed_.begin());
    }
    if (carrier_->serves()) carrier_->attach(agreed_.span(), apply_push_);
  }
  /// One push, by a server.
  void apply_push(place where, std::span<const T> gradient) {
    const std::int64_t step = ++at_.outer[0];
    model().each(where, [&](std::size_t k, place at) {
      if (collect_.is_frozen(k)) return;
      updates_[0](at, {step, agreed_.span().subspan(at.begin, at.size()),
                       gradient.subspan(at.begin - where.begin, at.size()), T(1), groups_[k]});
    });
  }

  // --- what is refused --------------------------------------------------------------------------

  void require_shut(const char* call) const {
    if (collect_.is_open())
      refuse(call, std::string{call} + "() was called before finish() has ended the step that begin() has "
                                       "opened");
  }
  void require_expected(std::size_t k) const {
    if (collect_.is_open() && k < model().count() && !collect_.taken(k)) return;
    refuse("ready", "ready(" + std::to_string(k) + ") was called " +
                        (!collect_.is_open()      ? "outside begin() and finish()"
                         : k >= model().count() ? "for a tensor that there is not"
                                                : "twice in a step"));
  }
  void require_complete() const {
    if (!collect_.is_open()) refuse("finish", "finish() was called without begin()");
    std::string names;
    for (std::size_t k = 0; k < model().count(); ++k)
      if (collect_.has(k) && !collect_.taken(k) && !model()[k].values.empty())
        names += (names.empty() ? "\"" : ", \"") + model()[k].name + "\"";
    if (!names.empty())
      refuse("finish", "finish() was called before every tensor was ready(): " + names +
                           " - give a tensor that has no gradient in this step no values");
  }
  /// What the ranks said goes together.
  void check_roll() const {
    const auto raise = [&](error_code code, int peer, std::string detail) {
      throw error{{.code = code,
                   .call = "step",
                   .rank = ranks_->rank(),
                   .peer = peer,
                   .detail = std::move(detail)}};
    };
    if (const auto& unlike = roll_.unlike(); unlike.peer >= 0)
      raise(error_code::mismatch, ranks_->rank() == unlike.peer ? 0 : unlike.peer,
            "\"" + model()[unlike.tensor].name + "\" is frozen on one of the ranks 0 and " +
                std::to_string(unlike.peer) + " - freeze the same tensors on every rank");
    const auto weights = roll_.weights();
    for (std::size_t r = 0; r < weights.size(); ++r)
      if (!detail::is_weight(weights[r]))
        raise(error_code::invalid_argument, int(r),
              "rank " + std::to_string(r) + " gave a weight that is negative or not finite - give what "
              "its contribution counts for");
    if (!roll_.over() && !roll_.counts())
      raise(error_code::invalid_argument, -1, "all weights are zero - at least one rank must count");
    if (!roll_.alike() && !carrier_->weighs())
      raise(error_code::invalid_argument, -1,
            "this reducer counts every contribution alike, and ranks have unlike numbers of batches in "
            "this step - use tutti::mean, or give every rank as many");
  }
  /// A tensor of this rank that spoils what is agreed on; as many as there are when none does.
  std::size_t culprit() const {
    if (!local()) return collect_.weight() > 0 ? collect_.culprit() : model().count();
    std::size_t k = 0;
    while (k < model().count() && detail::all_finite(std::span<const T>{model()[k].values})) ++k;
    return k;
  }
  /// Which rank's gradient it is.
  [[noreturn]] void raise_culprit(std::int64_t step) {
    const std::uint64_t none = model().count();
    const std::uint64_t mine[] = {culprit()};
    const auto all = ranks_->gather(mine);
    failure f{.code = error_code::non_finite, .call = "step", .rank = ranks_->rank()};
    f.detail = "step " + std::to_string(step) +
               ": the reduced " + (local() ? "values" : "gradient") +
               " overflowed although every rank's own is finite" + advice();
    for (std::size_t r = all.size(); r-- > 0;)
      if (all[r] != none) {
        f.peer = int(r);
        f.detail = holds_no_number(step, all[r], int(r));
        if (local()) f.detail = "step " + std::to_string(step) + ": what rank " + std::to_string(r) +
                                " has learnt of \"" + model()[all[r]].name + "\" holds a NaN or an infinity" +
                                advice();
      }
    throw error{std::move(f)};
  }
  /// The tensor of this rank's own gradient: as it was given, or as it came out of unscaling or the codec.
  std::size_t culprit(std::span<const T> collected) const {
    const std::size_t given = collect_.culprit();
    if (given < model().count()) return given;
    const auto bad = std::find_if_not(collected.begin(), collected.end(), [](T v) { return is_finite(v); });
    return bad == collected.end() ? given : model().tensor_at(std::size_t(bad - collected.begin()));
  }
  std::string holds_no_number(std::int64_t step, std::size_t k, int rank) const {
    const std::string which = k < model().count() ? "the gradient of \"" + model()[k].name + "\""
                                                  : std::string{"the norm of the gradient"};
    return "step " + std::to_string(step) + ": " + which + " on rank " + std::to_string(rank) +
           " holds a NaN or an infinity" + advice();
  }
  static std::string advice() {
    return " - lower the learning rate, clip, or bind with training_options{.non_finite = "
           "non_finite::skip}";
  }
  static const char* unused_weight() {
    return "a weight is given, and this strategy counts every contribution alike - use "
           "tutti::weighted_mean, or leave the weight out";
  }
  [[noreturn]] void refuse(const char* call, std::string detail) const {
    throw error{{.code = error_code::invalid_argument,
                 .call = call,
                 .rank = ranks_->rank(),
                 .detail = std::move(detail)}};
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

  std::unique_ptr<control> ranks_;
  training_options how_;
  detail::training_facts plan_;
  detail::bound_model<T> bound_;
  Optimizer optimizer_;
  detail::collecting<T> collect_;
  detail::roll_call roll_;
  detail::loss_scale scale_;
  std::vector<detail::group_factors> groups_; ///< of each tensor

  std::vector<place> parts_;                           ///< what travels together
  std::vector<std::size_t> part_of_;                   ///< of each tensor of a gradient
  std::vector<std::size_t> tensors_in_, missing_;      ///< of each part
  std::size_t launched_ = 0;                           ///< parts that were offered, or need not be
  bool offering_ = false, joined_ = false;
  std::int64_t made_ = 0;                              ///< steps of this rank, while it is in join()
  std::deque<detail::pending> under_way_;              ///< fragments

  detail::counters at_;
  std::vector<detail::updater<T>> updates_, outer_;    ///< of each part; a local one has everything
  detail::aligned_values<T> local_;                    ///< this rank's own gradient
  detail::aligned_values<T> agreed_;                   ///< the last agreement, or what a server keeps
  detail::snapshot<T> snapshot_;
  double norm_ = 0;
  struct apply_to {
    trainer& of;
    void operator()(place where, std::span<const T> gradient) const { of.apply_push(where, gradient); }
  } apply_push_{*this};
  detail::compared_numbers numbers_;
  std::unique_ptr<carrier<T>> carrier_; ///< ends before what it applies pushes to
};

} // namespace tutti
