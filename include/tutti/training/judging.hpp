// Judging: whether all the numbers of a step are numbers, how long its gradient is, whose fault it is when not,
// and whether what the ranks said of their contributions goes together.
#pragma once

#include <tutti/training/replica.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace tutti::detail {

/// Of what was thrown; empty where nothing was.
inline std::string first_line_of(const std::exception_ptr& thrown) {
  if (!thrown) return {};
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    const std::string_view all = e.what();
    return std::string{all.substr(0, all.find('\n'))};
  } catch (...) {
    return "it threw what is no std::exception";
  }
}
inline failure failed_at_gradient(int who, int here, const std::string& why) {
  return {.code = error_code::peer_lost,
          .call = "step",
          .rank = here,
          .peer = who,
          .detail = "rank " + std::to_string(who) + " has failed at its gradient: " + why};
}

/// One judgement a step, the same on all ranks.
template <class T>
class judging : public replica<T> {
  using base = replica<T>;

protected:
  using replica<T>::replica;
  using base::model, base::local, base::travels, base::owned_room, base::bind, base::ranks_,
      base::how_, base::plan_, base::collect_, base::roll_, base::scale_, base::parts_, base::at_,
      base::norm_, base::carrier_, base::in_;

  step_verdict judge(std::span<const T> values) const {
    look(values);
    return found();
  }
  /// One verdict on all that is looked at before it is asked for.
  void look(std::span<const T> values) const {
    if (how_.non_finite != non_finite::pass || how_.clip > 0) in_->look(values, how_.clip > 0);
  }
  step_verdict found() const {
    step_verdict all = in_->found();
    all.finite = all.finite || how_.non_finite == non_finite::pass;
    return all;
  }
  step_verdict settle_offered() {
    const bool by_contributions = this->judges_contributions();
    for (std::size_t p = 0; p < parts_.size(); ++p)
      if (travels(p)) {
        carrier_->settle(p);
        if (!by_contributions) look(owned_room(p));
      }
    if (by_contributions) {
      if (agreed_on({.finite = in_->is_bounded()}).finite) return {};
      for (std::size_t p = 0; p < parts_.size(); ++p)
        if (travels(p)) look(owned_room(p));
    }
    return plan_.policy.owners ? agreed_on(found()) : found();
  }
  static step_verdict both(step_verdict a, step_verdict b) {
    return {a.finite && b.finite, a.squares + b.squares};
  }
  /// Of owners, who see a shard each: in rank order, so that all have the same bits.
  step_verdict agreed_on(step_verdict mine) {
    const std::uint64_t words[] = {mine.finite, std::bit_cast<std::uint64_t>(mine.squares)};
    const auto all = ranks_->gather(words);
    step_verdict together;
    for (std::size_t k = 0; k < all.size(); k += 2)
      together = both(together, {all[k] != 0, std::bit_cast<double>(all[k + 1])});
    return together;
  }
  bool passes(const step_verdict& found) const noexcept {
    return how_.non_finite == non_finite::pass || (found.finite && std::isfinite(found.squares));
  }
  /// What all ranks do about a verdict that is the same on all.
  bool is_usable(const step_verdict& found, std::int64_t step) {
    if (passes(found)) return true;
    if (!skips()) raise_culprit(step);
    return leave_out();
  }
  /// What this rank does about its own.
  bool is_usable_here(const step_verdict& found, std::span<const T> values) {
    if (passes(found)) return true;
    if (!skips())
      ranks_->fail({.code = error_code::non_finite,
                    .call = "step",
                    .peer = ranks_->rank(),
                    .detail = holds_no_number(at_.step + 1, culprit(values), ranks_->rank())});
    return leave_out();
  }
  /// The step counts, and changes nothing.
  bool leave_out() {
    ++at_.skipped;
    if (scale_.adapts()) scale_.bad();
    return false;
  }
  bool skips() const noexcept { return scale_.adapts() || how_.non_finite != non_finite::error; }
  T clip_factor(const step_verdict& found) {
    norm_ = std::sqrt(found.squares);
    return how_.clip > 0 && norm_ > how_.clip && std::isfinite(norm_) ? T(how_.clip / norm_) : T(1);
  }
  /// What the ranks said goes together.
  void check_roll() {
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
    if (const int other = roll_.other_numbers(); other > 0)
      raise(error_code::mismatch, ranks_->rank() == other ? 0 : other,
            "the optimizer has other numbers on rank " + std::to_string(other) + " than on rank 0, such as its rate - "
            "set the same on every rank; one that has joined sets them in join(after_each)");
    if (roll_.spoilt()) raise_culprit(at_.step);
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
  /// Whether a rank has failed at its gradient, which `mine` says of this one: then all throw.
  void raise_failed(const std::exception_ptr& mine) {
    const std::uint64_t words[] = {mine != nullptr};
    const auto all = ranks_->gather(words);
    const auto first = std::find(all.begin(), all.end(), 1);
    if (first == all.end()) return;
    const int who = int(first - all.begin());
    const std::string why = detail::text_from(*ranks_, detail::first_line_of(mine), who);
    if (mine) std::rethrow_exception(mine);
    throw error{detail::failed_at_gradient(who, ranks_->rank(), why)};
  }
  /// A failure of this rank that the others do not ask about.
  void raise_alone(const std::exception_ptr& mine) {
    ranks_->fail(detail::failed_at_gradient(ranks_->rank(), ranks_->rank(), detail::first_line_of(mine)));
  }
  /// A tensor of this rank that spoils what is agreed on; as many as there are when none does.
  std::size_t culprit() const {
    if (!local()) return collect_.weight() > 0 ? collect_.culprit() : model().count();
    std::size_t k = 0;
    while (k < model().count() && in_->first_bad(model()[k].values) == model()[k].values.size()) ++k;
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
    const std::size_t bad = in_->first_bad(collected);
    return bad == collected.size() ? given : model().tensor_at(bad);
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
};

} // namespace tutti::detail
