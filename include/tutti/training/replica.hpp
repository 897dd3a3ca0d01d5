// A replica: the model on this rank, everything that a step changes, and how.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/control.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/training/binding.hpp>
#include <tutti/training/collecting.hpp>
#include <tutti/training/host_verbs.hpp>
#include <tutti/training/loss_scale.hpp>
#include <tutti/training/masters.hpp>
#include <tutti/training/matrices.hpp>
#include <tutti/training/memory.hpp>
#include <tutti/training/options.hpp>
#include <tutti/training/push_note.hpp>
#include <tutti/training/roles.hpp>
#include <tutti/training/roll_call.hpp>
#include <tutti/training/rules.hpp>
#include <tutti/training/snapshot.hpp>
#include <tutti/training/updating.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::detail {

/// What the loop has to know of a strategy's parts.
struct training_facts {
  answers policy;
  period_answer period;
  bool means;        ///< contributions are means of micro-batches; otherwise their sums
  bool weighs;       ///< a contribution may have a weight
  bool whole;        ///< the gradient travels as one
  bool adds = false; ///< what is agreed on is the sum or mean of what ranks have written, unchanged on its way
  bool together = false; ///< servers make a step of the pushes of several workers
  double weight = 1; ///< of a contribution, where none is given
};

/// Gradients as they are given, in the memory `Space`; require(values) looks where each is.
template <class T, class Space, class Gradients, class Require>
std::vector<gradient_view<T>> views_of(const Gradients& gradients, const Require& require) {
  using verbs = typename Space::template verbs<T>;
  constexpr bool here = std::is_same_v<tensor_space<const Gradients>, Space>;
  static_assert(here, "tutti::trainer: gradients are in another memory than the parameters - give both in the memory "
                      "that bind was told");
  std::vector<gradient_view<T>> all;
  if constexpr (here)
    for (const auto& g : detail::as_tensors(gradients)) {
      require(g.values);
      all.emplace_back(std::type_identity<verbs>{}, g.values.data(), g.values.size());
    }
  return all;
}

/// A fragment that is on its way.
struct pending {
  std::int64_t due; ///< the step that it is applied in
  std::size_t part;
  bool arrived = false; ///< it was waited for, and is in its room
};
/// How far training is. Steps of an optimizer are counted for each tensor: those in which it had a gradient.
struct counters {
  std::int64_t step = 0, skipped = 0;
  std::int64_t since = 0, exchanges = 0; ///< steps since replicas were equal, and agreements
  std::int64_t idle = 0;                 ///< steps since then that this rank has left out
  std::int64_t dropped = 0;              ///< steps of this rank that came too late to servers
  std::int64_t kept = 0;                 ///< whether replicas have kept something of their own
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
  std::string wrong;         ///< with the parts, as this rank sees it
  const char* call = "bind"; ///< that errors name
  std::unique_ptr<memory<T>> where; ///< the model is, and what is kept of it
  function_ref<std::unique_ptr<carrier<T>>(const flat_model<T>&, std::span<const place>)> carry;
  function_ref<updater<T>(place)> outer; ///< of differences
};

/// What is bound, cut into the parts that travel; its optimizer's state, and what it is kept from. Which
/// part changes when is not its business (training/stepping.hpp), nor is what is saved (training/resuming.hpp).
template <class T>
class replica {
public:
  replica(const replica&) = delete;
  replica& operator=(const replica&) = delete;

protected:
  /// Compares what is bound on all ranks, and broadcasts rank 0's parameters. keep_state() comes next.
  explicit replica(training_plan<T>& plan)
      : in_{std::move(plan.where)}, ranks_{std::move(plan.ranks)}, how_{std::move(plan.how)}, plan_{plan.facts},
        bound_{std::move(plan.bound)}, collect_{*in_, model().count(), plan_.means},
        roll_{*ranks_, model().count()}, scale_{how_.loss_scale} {
    bind(plan);
    cut();
    std::vector<place> carried = parts_;
    if (has_beside()) carried.insert(carried.end(), parts_.begin(), parts_.end());
    carrier_ = plan.carry(model(), carried);
    numbers_ = std::move(plan.numbers);
    const T ranks = T(ranks_->size()); // a mean of unlike weights multiplies by as much before it adds as many
    if (judges_contributions()) in_->bound((std::numeric_limits<T>::max)() / ranks / ranks / 2);
  }
  ~replica() = default;

  flat_model<T>& model() noexcept { return bound_.model; }
  const flat_model<T>& model() const noexcept { return bound_.model; }
  bool local() const noexcept { return plan_.policy.contribution != contributes::gradient; }
  bool reduces() const noexcept { return !local() && !carrier_->serves(); }
  /// Whether contributions are looked at while they are collected, in place of what they come to: where they are
  /// small enough on all ranks, no sum of them overflows. Of short models that word more would cost more than it spares.
  bool judges_contributions() const noexcept {
    constexpr std::size_t long_model = std::size_t{1} << 16;
    return plan_.adds && reduces() && how_.clip == 0 && how_.non_finite != non_finite::pass &&
           model().size() >= long_model;
  }
  /// Whether replicas differ.
  bool apart() const noexcept {
    if (carrier_->serves()) return at_.since > 0;
    return local() && (at_.since > 0 || has_learnt() || !under_way_.empty() || at_.kept > 0);
  }
  /// Whether something travels beside every part - estimates of the mean gradient, or what was agreed on before -
  /// and as which part.
  bool has_beside() const noexcept { return plan_.policy.tracks || plan_.policy.pull > 0; }
  std::size_t beside(std::size_t part) const noexcept { return parts_.size() + part; }
  std::span<T> what_is_beside() const noexcept { return plan_.policy.tracks ? tracked_.span() : agreed_.span(); }
  /// Whether any rank has a gradient in a part.
  bool travels(std::size_t part) const {
    bool any = false;
    model().each(parts_[part], [&](std::size_t k, place) { any = any || roll_.present(k); });
    return any;
  }
  double weight_learnt(std::size_t part) const {
    return plan_.weighs ? at_.learnt[part] : at_.learnt[part] > 0 ? 1.0 : 0.0;
  }
  bool has_learnt() const noexcept {
    return std::any_of(at_.learnt.begin(), at_.learnt.end(), [](double w) { return w > 0; });
  }
  std::span<T> owned_room(std::size_t part) {
    const place mine = carrier_->owned(part);
    return carrier_->room(part).subspan(mine.begin - parts_[part].begin, mine.size());
  }
  /// By the optimizer, what this rank updates of a part.
  void update(std::size_t part, T factor) {
    const place mine = carrier_->owned(part);
    const std::span<T> room = carrier_->room(part);
    model().each(mine, [&](std::size_t k, place at) {
      if (!roll_.present(k)) return;
      const std::span<const T> by = room.subspan(at.begin - parts_[part].begin);
      is_matrix(k) ? updates_[part].apply(what_moves(k, at, by, T(1))) : move(updates_[part], k, at, by, factor);
    });
    if (plan_.policy.owners) in_->read(model(), mine, owned_room(part));
  }
  update_of<T> what_moves(std::size_t k, place at, std::span<const T> gradients, T factor) const {
    return {at_.versions[k], model().values(k, at), gradients.first(at.size()), factor, groups_[k]};
  }
  void move(updater<T>& by, std::size_t k, place at, std::span<const T> gradients, T factor) {
    by(at, what_moves(k, at, gradients, factor));
  }
  bool is_matrix(std::size_t k) const noexcept { return !matrices_.empty() && matrices_[k].is_one(); }
  /// The estimate of all ranks' mean gradient moves by what has become of this rank's own.
  void track(T factor) {
    model().each({0, model().size()}, [&](std::size_t k, place at) {
      if (collect_.present(k)) in_->track(tracked_.in(at), local_.in(at), last_.in(at), factor);
    });
  }
  /// By this rank's own gradients, or by what it has tracked.
  void descend(T factor) {
    if (plan_.policy.tracks) track(std::exchange(factor, T(1)));
    const std::span<const T> by = plan_.policy.tracks ? tracked_.span() : local_.span();
    for (std::size_t k = 0; k < model().count(); ++k)
      if (collect_.present(k)) ++at_.versions[k];
    model().each({0, model().size()}, [&](std::size_t k, place at) {
      if (!collect_.present(k)) return;
      if (!is_matrix(k)) return move(updates_[0], k, at, by.subspan(at.begin), factor);
      whole_.resize(at.size());
      updates_[0].gather(at, what_moves(k, at, by.subspan(at.begin), factor), whole_);
      updates_[0].orthonormalize(whole_, matrices_[k].shape);
      updates_[0].apply(what_moves(k, at, whole_, T(1)));
    });
    scale_.good();
  }
  /// From what was agreed on, and what was learnt since it was offered as far as it is kept.
  void rejoin(std::size_t part, double share) {
    if (share > 0) at_.kept = 1;
    const std::span<const T> agreed = carrier_->room(part);
    model().each(parts_[part], [&](std::size_t k, place at) {
      if (collect_.is_frozen(k)) return;
      const std::span<const T> x = agreed.subspan(at.begin - parts_[part].begin, at.size());
      if (T(share) == 0)
        in_->copy(x, model().values(k, at));
      else
        in_->keep_share(model().values(k, at), x, share);
    });
  }
  /// Tensor k, which was frozen and will be trained.
  void begin_afresh(std::size_t k) {
    at_.versions[k] = 0;
    for (auto* all : {&updates_, &outer_})
      for (auto& by : *all)
        if (const place at = common(model().place_of(k), by.where()); !at.empty()) by.forget(at);
    const place at = model().place_of(k);
    if (plan_.policy.contribution == contributes::difference) in_->copy(model()[k].values, agreed_.in(at));
    if (plan_.policy.tracks)
      for (const auto* of : {&tracked_, &last_}) in_->clear(of->in(at));
  }
  void write(std::size_t part) {
    const std::span<const T> room = carrier_->room(part);
    model().each(parts_[part], [&](std::size_t k, place at) {
      if (!collect_.is_frozen(k)) in_->copy(room.subspan(at.begin - parts_[part].begin, at.size()), model().values(k, at));
    });
  }
  /// What a commit changes before owners have handed out.
  void keep_owned() {
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      keep(updates_[p]);
      model().each(carrier_->owned(p),
                   [&](std::size_t k, place at) { snapshot_.keep(*in_, model().values(k, at)); });
    }
  }
  void keep_all() {
    keep(updates_[0]);
    for (const auto& o : outer_) keep(o);
    for (const auto* all : {&agreed_, &tracked_, &last_}) snapshot_.keep(*in_, all->span());
    for (const tensor<T>& t : model().tensors()) snapshot_.keep(*in_, t.values);
  }
  void keep(const updater<T>& of) {
    for (std::size_t k = 0; k < of.slots(); ++k) snapshot_.keep(of.in(), of.slot(k));
  }
  void bind(training_plan<T>& plan) {
    std::string wrong = plan.wrong;
    if (wrong.empty()) wrong = detail::wrong_options(how_, plan_.policy, plan_.period(1));
    groups_.assign(model().count(), {});
    roles_ = detail::roles_of(how_, model().tensors(), wrong);
    for (std::size_t k = 0; k < roles_.size(); ++k)
      if (roles_[k] == parameter_role::vector) groups_[k].decay = 0;
    if (wrong.empty())
      wrong = detail::apply_rules(how_, model().tensors(), groups_,
                                  [&](std::size_t k) { collect_.freeze(k, true); });
    std::vector<tensor_facts> tensors;
    for (std::size_t k = 0; k < model().count(); ++k)
      tensors.push_back(detail::facts_of(model()[k], bound_.given[k], collect_.is_frozen(k)));
    detail::verify_binding(*ranks_, tensors, plan.numbers, std::move(wrong), plan.call);
    const auto broadcast = [&](std::span<std::byte> values) { ranks_->broadcast(values, 0); };
    for (const std::span<std::byte> values : bound_.given) in_->on_host(values, broadcast);
    bound_.read();
  }
  /// Into the parts that travel: buckets of whole tensors, or the fragments of the policy. No bucket goes on over where
  /// tensors are held back.
  void cut() {
    part_of_.assign(model().count(), 0);
    const std::size_t n = model().size();
    if (local()) {
      for (int f = 0; f < plan_.policy.fragments; ++f) {
        const shard piece = shard_of(n, f, plan_.policy.fragments);
        if (piece.end > piece.begin) parts_.push_back({piece.begin, piece.end});
      }
    } else {
      const auto most = [&] {
        if (plan_.whole) return ~std::size_t{0};
        return (parts_.size() == 1 ? how_.first_bucket_bytes : how_.bucket_bytes) / sizeof(T);
      };
      for (const std::size_t k : model().order()) {
        const place at = model().place_of(k);
        if (at.empty()) continue;
        const bool apart = at.begin == model().held_back_from();
        if (parts_.empty() || apart || at.end - parts_.back().begin > most()) parts_.push_back({at.begin, at.begin});
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
  /// `inner` makes the updater of a place by the optimizer of bind: where the model is, or for servers on the host,
  /// where pushes arrive.
  void keep_state(const training_plan<T>& plan, function_ref<updater<T>(place, host_verbs<T>*)> inner) {
    const place all{0, model().size()};
    at_.versions.assign(model().count(), 0);
    at_.outer.assign(parts_.size(), 0);
    at_.learnt.assign((std::max)(parts_.size(), std::size_t{1}), 0);
    if (local()) {
      local_ = {*in_, all.size()};
      updates_.push_back(inner(all, nullptr));
    } else {
      for (std::size_t p = 0; p < parts_.size(); ++p)
        updates_.push_back(inner(carrier_->owned(p), carrier_->serves() ? &on_host_ : nullptr));
    }
    if (!updates_.empty() && updates_[0].takes_matrices())
      matrices_ = detail::matrices_of(model().tensors(), std::span<const parameter_role>{roles_}, ranks_->size());
    if (plan_.policy.contribution == contributes::difference)
      for (std::size_t p = 0; p < parts_.size(); ++p) outer_.push_back(plan.outer(carrier_->owned(p)));
    if (carrier_->serves()) {
      agreed_ = {on_host_, all.size()};
      fetch(all, agreed_.span());
      carrier_->attach(agreed_.span(), apply_push_, updates_[0].is_looking_back());
    } else if (plan_.policy.contribution == contributes::difference) {
      agreed_ = {*in_, all.size()};
      in_->read(model(), all, agreed_.span());
    }
    if (plan_.policy.tracks) tracked_ = {*in_, all.size()}, last_ = {*in_, all.size()};
    if (carrier_->mixes() && !carrier_->serves()) {
      const kept_values<T> now{on_host_, all.size()};
      fetch(all, now.span());
      carrier_->attach(now.span(), apply_push_);
    }
  }
  /// A place of the model, to the host.
  void fetch(place where, std::span<T> to) {
    model().each(where, [&](std::size_t k, place at) {
      arriving values = in_->fetch(model().values(k, at), to.data() + (at.begin - where.begin));
      detail::wait_for(values);
    });
  }
  /// One push, by a server.
  void apply_push(place where, std::span<const T> gradient) {
    ++at_.outer[0];
    const std::span<const std::uint64_t> note = carrier_->noted();
    const std::span<const T> before = carrier_->taken_at();
    model().each(where, [&](std::size_t k, place at) {
      if (collect_.is_frozen(k) || !push_note::present(note, k)) return;
      updates_[0](at, {++at_.versions[k], agreed_.span().subspan(at.begin, at.size()),
                       gradient.subspan(at.begin - where.begin, at.size()), T(1), groups_[k], push_note::rate(note),
                       before.empty() ? before : before.subspan(at.begin - where.begin, at.size())});
    });
  }
  [[noreturn]] void refuse(const char* call, std::string detail, error_code code = error_code::invalid_argument) const {
    throw error{{.code = code,
                 .call = call,
                 .rank = ranks_->rank(),
                 .detail = std::move(detail)}};
  }

  std::unique_ptr<memory<T>> in_; ///< the model is, and all that is kept of it
  host_verbs<T> on_host_;
  std::unique_ptr<control> ranks_;
  training_options how_;
  training_facts plan_;
  bound_model<T> bound_;
  collecting<T> collect_;
  roll_call roll_;
  loss_scale scale_;
  std::vector<group_factors> groups_; ///< of each tensor
  std::vector<parameter_role> roles_;
  std::vector<owned_matrix> matrices_; ///< empty where the optimizer has nothing in mind for them
  std::vector<T> whole_;               ///< what one is moved by, where replicas train apart

  std::vector<place> parts_;                           ///< what travels together
  std::vector<std::size_t> part_of_;                   ///< of each tensor of a gradient
  std::vector<std::size_t> tensors_in_, missing_;      ///< of each part
  std::size_t launched_ = 0;                           ///< parts that were offered, or need not be
  bool offering_ = false, joined_ = false;
  std::int64_t made_ = 0;                              ///< steps of this rank, while it is in join()
  std::deque<pending> under_way_;              ///< fragments

  counters at_;
  std::vector<updater<T>> updates_, outer_;    ///< of each part; a local one has everything
  kept_values<T> local_;                       ///< this rank's own gradient
  kept_values<T> agreed_;                      ///< the last agreement, or what a server keeps
  kept_values<T> tracked_, last_;              ///< an estimate of the mean gradient, and the own one in it
  snapshot<T> snapshot_;
  double norm_ = 0;
  struct apply_to {
    replica& of;
    void operator()(place where, std::span<const T> gradient) const { of.apply_push(where, gradient); }
  } apply_push_{*this};
  compared_numbers numbers_;
  std::unique_ptr<carrier<T>> carrier_; ///< ends before what it applies pushes to
};

} // namespace tutti::detail
