// Stepping: what a step is made of - micro-batches that are collected, parts that are offered and agreed on,
// and the commit.
#pragma once

#include <tutti/training/judging.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

template <class T>
class stepping : public judging<T> {
  using base = judging<T>;

public:
  void replayed(std::int64_t times) {
    require_shut("replayed");
    if (!captured_)
      refuse("replayed", "no step of this trainer was captured - make one while the stream is captured, and launch its "
                         "graph");
    if (times < 0)
      refuse("replayed", std::to_string(times) + " launches were given - give how many there were beyond the first");
    for (const std::size_t k : *captured_) at_.versions[k] += times;
    at_.step += times;
  }

protected:
  using judging<T>::judging;
  using base::model, base::local, base::reduces, base::travels, base::weight_learnt,
      base::has_learnt, base::owned_room, base::is_matrix, base::what_moves, base::update, base::rejoin, base::write,
      base::keep_owned, base::keep, base::refuse, base::judge, base::agreed_on, base::check_roll,
      base::raise_culprit, base::ranks_, base::how_, base::plan_, base::bound_, base::collect_,
      base::roll_, base::scale_, base::parts_, base::part_of_, base::tensors_in_, base::missing_,
      base::launched_, base::offering_, base::joined_, base::under_way_, base::at_, base::outer_,
      base::local_, base::agreed_, base::tracked_, base::snapshot_, base::carrier_, base::in_, base::has_beside, base::beside,
      base::what_is_beside, base::matrices_, base::updates_;

  /// `views` are gradients in the memory that the model is in.
  void open(const char* call, std::vector<gradient_view<T>> views, double weight) {
    require_shut(call);
    if (carrier_->role() == role::server) refuse(call, "this rank is a dedicated server - call serve()");
    if (!plan_.weighs && weight != 1) 
      refuse(call, "a weight is given, and this reducer counts every contribution alike - use "
                   "tutti::weighted_mean, or leave the weight out");
    if (!reduces() && !detail::is_weight(weight))
      refuse(call, "the weight is negative or not finite - give what the micro-batch counts for");
    if (views.size() != model().count())
      refuse(call, "there are " + std::to_string(views.size()) + " gradients for " +
                       std::to_string(model().count()) + " parameters");
    for (std::size_t k = 0; k < views.size(); ++k)
      if (const std::size_t n = model()[k].values.size(); views[k].n != n && views[k].n != 0)
        refuse(call, "the gradient of \"" + model()[k].name + "\" has " +
                         std::to_string(views[k].n) + " values, the parameter has " +
                         std::to_string(n));
    if (!reduces() && in_->is_captured())
      refuse(call, "steps of this policy differ - in some of them replicas agree - and a graph repeats one of them; end "
                   "the capture first, or use tutti::synchronous", error_code::unsupported);
    collect_.open(std::move(views), weight, scale_.now());
  }
  /// A micro-batch of no gradient, which counts.
  void open_empty(const char* call) {
    open(call, std::vector<gradient_view<T>>(model().count()), plan_.weight);
    start();
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
    if (plan_.policy.offers_first) offer_first();
  }
  /// What a contribution counts for, beside others.
  double worth(double weight) const {
    const bool alike = !plan_.means || how_.uneven == uneven::by_world;
    return alike && detail::is_weight(weight) ? 1 : weight;
  }
  void say(double weight, bool counts, bool spoilt = false) {
    presence mine{.weight = worth(weight), .counts = counts, .joined = joined_, .spoilt = spoilt};
    if (reduces() && !updates_.empty()) mine.numbers = updates_[0].numbers();
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
  /// Collective, where gradients are reduced: what matrices move by takes the place of their gradients. Each is
  /// orthonormalised by its owner, who tells all.
  void orthonormalize_agreed(T factor) {
    const auto each = [&](auto&& use) {
      for (std::size_t k = 0; k < matrices_.size(); ++k)
        if (is_matrix(k) && roll_.present(k)) use(k, model().place_of(k), room_of(k));
    };
    each([&](std::size_t k, place at, std::span<T> room) {
      updater<T>& by = updates_[part_of_[k]];
      if (ranks_->size() > 1) snapshot_.keep(by.in(), by.momentum(at));
      by.gather(at, what_moves(k, at, room, factor), room);
      if (matrices_[k].owner == ranks_->rank()) by.orthonormalize(room, matrices_[k].shape);
    });
    if (ranks_->size() > 1)
      each([&](std::size_t k, place, std::span<T> room) {
        ranks_->broadcast(std::as_writable_bytes(room), matrices_[k].owner);
      });
  }
  /// Where the contribution to tensor k is collected, and what is agreed on is found.
  std::span<T> room_of(std::size_t k) {
    const place at = model().place_of(k);
    if (at.empty()) return {};
    if (local()) return local_.in(at);
    return carrier_->room(part_of_[k]).subspan(at.begin - parts_[part_of_[k]].begin, at.size());
  }
  /// Every rank offers its parts in the same order, so that they meet.
  void offer_complete() {
    hear();
    if (!std::exchange(offering_, true)) check_roll();
    if (roll_.over()) return;
    for (; launched_ < parts_.size() && missing_[launched_] == 0; ++launched_)
      if (travels(launched_)) {
        make_offer(launched_);
        carrier_->offer(launched_, roll_.weights());
      }
    if (launched_ == parts_.size()) carrier_->send_off();
  }
  /// Of the gradients of a part, where the optimizer has something else exchanged: through the codec when that is so for
  /// all of its tensors.
  void make_offer(std::size_t part) {
    const updater<T>& by = updates_[part];
    if (!by.offers_another()) return;
    const std::span<T> room = carrier_->room(part);
    bool coded = true;
    model().each(parts_[part], [&](std::size_t k, place at) {
      if (!roll_.present(k)) return;
      const std::int64_t step = at_.versions[k] + 1;
      coded = coded && by.coded(step);
      by.offer(at, step, room.subspan(at.begin - parts_[part].begin, at.size()));
    });
    carrier_->coded(part, coded);
  }
  void hear() {
    roll_.wait();
    if (roll_.all_joined()) joined_ = false;
  }
  void offer_what_was_learnt() {
    const std::size_t turn = std::size_t(at_.exchanges) % at_.learnt.size();
    say(weight_learnt(turn), has_learnt() || at_.idle > 0, spoils(turn));
    hear();
    at_.since = at_.idle = 0;
    check_roll();
    if (roll_.all_joined()) return agree_on_every_part();
    ++at_.exchanges;
    const auto weights = roll_.weights();
    if (std::none_of(weights.begin(), weights.end(), [](double w) { return w > 0; })) return; // all was left out
    if (parts_.empty()) return;
    while (is_under_way(turn)) agree_on_oldest(); // where periods have become shorter than the delay
    offer_what_was_learnt(turn, roll_.weights());
  }
  /// What neighbours make of this rank's values nobody judges for all, so it does so before they leave.
  bool spoils(std::size_t part) const {
    if (!carrier_->mixes() || part >= parts_.size()) return false;
    bool all = true;
    model().each(parts_[part], [&](std::size_t k, place at) {
      all = all && (collect_.is_frozen(k) || judge(model().values(k, at)).finite);
    });
    return !all;
  }
  /// While the gradient is computed: the parameters that it is taken at.
  void offer_first() {
    say(1, !joined_ || collect_.weight() > 0, spoils(0));
    if (parts_.empty()) return;
    write_what_was_learnt(0);
    offer(0, {});
  }
  /// And what they have come to, before the gradient is applied.
  void agree_first() {
    hear();
    at_.since = at_.idle = 0;
    ++at_.exchanges;
    if (!parts_.empty()) settle(0);
    check_roll();
    if (!parts_.empty()) agree_on(0, 0);
  }
  /// A part, and what travels beside it.
  void offer(std::size_t part, std::span<const double> weights) {
    carrier_->offer(part, weights);
    if (has_beside()) carrier_->offer(beside(part), weights);
    carrier_->send_off();
  }
  void settle(std::size_t part) {
    carrier_->settle(part);
    carrier_->keep(part); // what is learnt between two agreements is never left out of one
    if (has_beside()) carrier_->settle(beside(part));
  }
  bool is_under_way(std::size_t part) const {
    return std::ranges::any_of(under_way_, [&](const auto& sent) { return sent.part == part; });
  }
  void offer_what_was_learnt(std::size_t part, std::span<const double> weights) {
    write_what_was_learnt(part);
    offer(part, weights);
    under_way_.push_back({at_.step + plan_.policy.delay, part});
    at_.learnt[part] = 0;
  }
  /// Ends with the same parameters on all ranks: whatever any of them has learnt, and nothing is kept.
  void agree_on_every_part() {
    while (!under_way_.empty()) agree_on_oldest();
    if (carrier_->mixes()) return meet_at_the_mean();
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
        in_->copy(agreed_.in(parts_[p]), carrier_->room(p));
        rejoin(p, 0);
        continue;
      }
      for (double& w : weights) w = counts && carrier_->weighs() ? worth(w) : 1;
      offer_what_was_learnt(p, weights);
      under_way_.pop_back();
      settle(p);
      agree_on(p, 0);
    }
    at_.kept = 0;
  }
  /// All replicas become their mean.
  void meet_at_the_mean() {
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      in_->read(model(), parts_[p], carrier_->room(p));
      if (has_beside()) write_beside(p);
      at_.learnt[p] = 0;
    }
    carrier_->finish();
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      if (plan_.policy.tracks) read_beside(p);
      if (plan_.policy.contribution == contributes::difference)
        in_->copy(carrier_->room(p), agreed_.in(parts_[p]));
      rejoin(p, 0);
    }
    at_.kept = 0;
  }
  void write_beside(std::size_t part) {
    in_->copy(what_is_beside().subspan(parts_[part].begin, parts_[part].size()), carrier_->room(beside(part)));
  }
  void read_beside(std::size_t part) {
    in_->copy(carrier_->room(beside(part)), tracked_.in(parts_[part]));
  }
  /// This rank's parameters, or how far they have come away from what was agreed on.
  void write_what_was_learnt(std::size_t part) {
    const std::span<T> room = carrier_->room(part);
    in_->read(model(), parts_[part], room);
    if (has_beside()) write_beside(part);
    if (plan_.policy.contribution == contributes::difference) in_->depart(room, agreed_.in(parts_[part]));
  }
  void commit(T factor) {
    const bool hands_out = plan_.policy.owners;
    const counters before = at_;
    try {
      if (hands_out) keep_owned();
      for (std::size_t k = 0; k < model().count(); ++k)
        if (roll_.present(k)) ++at_.versions[k];
      if (in_->is_captured()) note_captured();
      orthonormalize_agreed(factor);
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
    for (std::size_t p = 0; p < parts_.size(); ++p)
      if (travels(p)) carrier_->keep(p);
    for (std::size_t p = 0; hands_out && p < parts_.size(); ++p)
      if (travels(p)) write(p);
    bound_.publish();
  }
  /// Tensors that have a gradient in the step that is captured.
  void note_captured() {
    captured_.emplace();
    for (std::size_t k = 0; k < model().count(); ++k)
      if (roll_.present(k)) captured_->push_back(k);
  }
  /// What is due by then.
  void agree_until(std::int64_t step) {
    while (!under_way_.empty() && under_way_.front().due <= step) agree_on_oldest();
  }
  void agree_on_oldest() {
    const pending sent = under_way_.front();
    under_way_.pop_front();
    if (!sent.arrived) settle(sent.part);
    agree_on(sent.part, plan_.policy.keep);
  }
  /// What is agreed on of a part that is in its room, and the parameters as it leaves them.
  void agree_on(std::size_t part, double share) {
    if (carrier_->mixes()) {
      at_.kept = 1; // what a rank has of the others is not what they have of it
      if (plan_.policy.tracks) read_beside(part);
      if (plan_.policy.pull > 0) pull(part);
    } else {
      step_verdict found = judge(owned_room(part));
      if (plan_.policy.owners) found = agreed_on(found);
      if (!found.finite) raise_culprit(at_.step); // replicas may be lost; nothing was agreed on
    }
    const place mine = carrier_->owned(part);
    const std::span<T> room = carrier_->room(part), own = owned_room(part);
    if (plan_.policy.contribution == contributes::difference) {
      const std::span<T> agreed = agreed_.in(mine);
      ++at_.outer[part];
      model().each(mine, [&](std::size_t k, place at) {
        if (collect_.is_frozen(k)) return;
        const auto piece = [&](std::span<T> of) { return of.subspan(at.begin - mine.begin, at.size()); };
        outer_[part](at, {at_.outer[part], piece(agreed), piece(own), T(1), {}});
      });
      in_->copy(agreed, own);
    }
    if (plan_.policy.owners) carrier_->hand_out(part);
    if (plan_.policy.contribution == contributes::difference)
      in_->copy(room, agreed_.in(parts_[part]));
    rejoin(part, share);
  }
  /// The outer gradient also leads towards those that this rank was mixed with.
  void pull(std::size_t part) {
    in_->pull(carrier_->room(part), agreed_.in(parts_[part]), carrier_->room(beside(part)), plan_.policy.pull);
  }
  void require_shut(const char* call) const {
    if (collect_.is_open())
      refuse(call, std::string{call} + "() was called before finish() has ended the step that begin() has "
                                       "opened");
  }
  void require_nothing_accumulated(const char* call) const {
    if (collect_.is_open() || collect_.weight() > 0)
      refuse(call, "a micro-batch was accumulated and is in no step yet - call step() first");
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

  std::optional<std::vector<std::size_t>> captured_; ///< tensors with a gradient in the last step that was
};

} // namespace tutti::detail
