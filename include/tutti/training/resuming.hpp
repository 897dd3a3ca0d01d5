// Resuming: what training goes on from. All ranks meet, so that nothing is on its way; the state is visited, by name;
// and where a visit has changed it, they go on from there together.
#pragma once

#include <tutti/core/archive.hpp>
#include <tutti/training/stepping.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Saves and loads; training/checkpoint.hpp has it.
template <class Folder>
struct checkpoints;
template <class Folder>
concept has_checkpoints = requires { sizeof(checkpoints<Folder>); };

template <class Folder>
void require_checkpoints() {
  static_assert(has_checkpoints<Folder>, "tutti::trainer: save and load have a header of their own - include "
                                         "<tutti/training/checkpoint.hpp>");
}

/// What a driver goes on from beside its trainer, saved and loaded with it.
class kept_by_trainer {
public:
  virtual ~kept_by_trainer() = default;
  virtual void state(archive&) = 0;
};

template <class T>
class resuming : public stepping<T> {
  using base = stepping<T>;

protected:
  using stepping<T>::stepping;
  using base::model, base::local, base::apart, base::refuse, base::ranks_, base::how_, base::plan_, base::bound_,
      base::collect_, base::scale_, base::parts_, base::under_way_, base::at_, base::updates_, base::outer_,
      base::agreed_, base::carrier_;

  /// Collective, before visits. What is under way is waited for, and stays in its room until it is due. Where
  /// servers answer, all ranks hear how far the others are.
  void meet() {
    if (!carrier_->meets()) refuse("state", refused_meeting);
    for (pending& sent : under_way_)
      if (!std::exchange(sent.arrived, true)) this->settle(sent.part);
    if (!under_way_.empty())
      for (std::size_t p = 0; p < parts_.size(); ++p)
        if (!this->is_under_way(p)) this->in_->clear(carrier_->room(p)); // as it holds nothing
    if (!carrier_->serves()) return;
    carrier_->rest();
    std::int64_t workers[] = {at_.since, at_.step};
    detail::to_the_most(*ranks_, workers);
    at_.since = workers[0];
    all_ = {.ranks = ranks_->size(), .steps = workers[1]};
    carrier_->rest();
    if (carrier_->mixes()) return; // every rank counts for itself
    // Only now all pushes are answered, as every rank has come as far as this.
    std::vector<std::int64_t> servers = at_.versions;
    servers.push_back(at_.outer[0]);
    detail::to_the_most(*ranks_, servers);
    at_.outer[0] = servers.back();
    std::copy_n(servers.begin(), at_.versions.size(), at_.versions.begin());
    carrier_->meet(*ranks_);
  }
  /// Everything that training goes on from.
  void visit(archive& to) {
    this->require_nothing_accumulated("state");
    visit_counts(to);
    for (std::size_t k = 0; k < model().count(); ++k) {
      std::int64_t frozen = collect_.is_frozen(k);
      to.number("frozen " + model()[k].name, frozen);
      collect_.freeze(k, frozen != 0);
    }
    if (plan_.policy.delay > 0) visit_under_way(to);
    carrier_->serves() ? visit_served(to) : visit_replica(to);
    const held_by own = local() ? held_by::each : by_owner();
    for (auto& by : updates_) by.state(to, "", own);
    carrier_->state(to);
    if (beside_) beside_->state(to);
  }
  kept_by_trainer* beside_ = nullptr; ///< outlives it
  /// Collective, after visits that may have changed the state.
  void resume() {
    if (carrier_->serves()) {
      const bool moved = all_.ranks != ranks_->size();
      if (moved) at_.step = all_.steps;
      if (moved) at_.since = 0;
      if (apart()) this->in_->read(model(), parts_[0], carrier_->room(0)); // what this rank has pulled
      carrier_->resume(*ranks_, !apart());
      if (!apart()) this->in_->write(model(), parts_[0], carrier_->room(0));
    }
    bound_.publish();
  }
  /// load(), which says in what the file differs from the program; together with what differs in the state.
  template <class Load>
  std::vector<std::string> resumed(const std::string& from, Load&& load) {
    meet();
    std::vector<std::string> differs;
    try {
      differs = load();
    } catch (...) {
      if (carrier_->serves()) meet_again(); // before anybody pushes to who has not put everything back
      throw;
    }
    const std::int64_t saved_by = all_.ranks;
    resume();
    if (carrier_->serves() && saved_by != ranks_->size())
      differs.push_back(from + " was saved by " + std::to_string(saved_by) + " ranks, and here are " +
                        std::to_string(ranks_->size()) + ": workers begin with the values of the servers, and a "
                                                         "scale of the loss of their own");
    for (std::size_t k = 0; k < model().count(); ++k)
      if (const std::string& name = model()[k].name; collect_.is_frozen(k) != is_frozen_by_options(name))
        differs.push_back("\"" + name + "\" is " + (collect_.is_frozen(k) ? "frozen" : "trained") + " in " + from +
                          ", and goes on so, against training_options::frozen - call freeze() to change it");
    return differs;
  }

private:
  held_by by_owner() const {
    return carrier_->mixes() ? held_by::each : plan_.policy.owners ? held_by::owner : held_by::everyone;
  }

  /// Of values where the model is.
  void visit_values(archive& to, std::string_view name, std::span<T> values, place where, held_by whom) {
    this->in_->on_host(values, [&](std::span<T> here) { to.values(name, here, where, whom); });
  }
  void visit_counts(archive& to) {
    const bool serves = carrier_->serves();
    const held_by counted = serves ? held_by::worker : local() ? held_by::each : held_by::everyone;
    const held_by here = serves && carrier_->mixes() ? held_by::each : held_by::everyone;
    if (serves) {
      to.number("ranks", all_.ranks);
      to.number("steps", all_.steps);
      to.number("steps of a worker", at_.step, counted);
      to.number("pushes", at_.outer[0], here);
      if (plan_.together) to.number("dropped", at_.dropped, counted);
    } else {
      to.number("steps", at_.step);
    }
    to.number("skipped", at_.skipped, counted);
    to.number("since", at_.since);
    scale_.state(to, counted);
    if (local()) {
      to.number("exchanges", at_.exchanges);
      to.number("left out since", at_.idle, counted);
      to.number("kept", at_.kept);
      for (std::size_t p = 0; p < at_.learnt.size(); ++p)
        to.number("weight of " + std::to_string(p), at_.learnt[p], counted);
    }
    for (std::size_t k = 0; k < model().count(); ++k)
      to.number("steps of " + model()[k].name, at_.versions[k], serves ? here : counted);
  }
  /// What was agreed on is the same on all ranks, or every owner has its place of it.
  void visit_under_way(archive& to) {
    std::vector<std::int64_t> due(parts_.size());
    for (const pending& sent : under_way_) due[sent.part] = sent.due;
    for (std::size_t p = 0; p < parts_.size(); ++p) to.number("due of " + std::to_string(p), due[p]);
    under_way_.clear();
    for (std::size_t p = 0; p < parts_.size(); ++p)
      if (due[p] > 0) under_way_.push_back({due[p], p, true});
    std::ranges::sort(under_way_, {}, &pending::due);
    for (std::size_t p = 0; !under_way_.empty() && p < parts_.size(); ++p)
      visit_values(to, "under way", this->owned_room(p), carrier_->owned(p), by_owner());
    for (std::size_t p = 0; this->has_beside() && !under_way_.empty() && p < parts_.size(); ++p)
      visit_values(to, "under way beside", carrier_->room(this->beside(p)), parts_[p], held_by::each);
  }
  void visit_replica(archive& to) {
    for (std::size_t k = 0; k < model().count(); ++k)
      visit_values(to, "", model()[k].values, model().place_of(k), apart() ? held_by::each : held_by::everyone);
    for (std::size_t p = 0; p < outer_.size(); ++p) {
      to.number("outer steps of " + std::to_string(p), at_.outer[p]);
      outer_[p].state(to, "outer.", by_owner());
    }
    if (plan_.policy.contribution == contributes::difference)
      visit_values(to, "agreed", agreed_.span(), {0, model().size()}, carrier_->mixes() ? held_by::each : held_by::everyone);
    if (plan_.policy.tracks) {
      visit_values(to, "tracked", this->tracked_.span(), {0, model().size()}, held_by::each);
      visit_values(to, "last gradient", this->last_.span(), {0, model().size()}, held_by::each);
    }
  }
  /// The parameters are those of the servers; what workers have pulled of them is older.
  void visit_served(archive& to) {
    const place mine = carrier_->owned(0);
    to.values("", agreed_.in(mine), mine, // of servers, on the host
              carrier_->mixes() ? held_by::each : held_by::owner);
    for (std::size_t k = 0; apart() && k < model().count(); ++k)
      visit_values(to, "pulled", model()[k].values, model().place_of(k), held_by::worker);
  }
  void meet_again() noexcept {
    try {
      const std::uint64_t here[] = {0};
      ranks_->gather(here);
    } catch (...) { // where that fails as well, nobody pushes any more
    }
  }
  bool is_frozen_by_options(const std::string& name) const {
    return std::ranges::any_of(how_.frozen,
                               [&](const std::string& names) { return detail::matches(names, name); });
  }

  /// Of all ranks, where each counts for itself: how many they are, and the most steps of any.
  struct known_of_all {
    std::int64_t ranks = 0, steps = 0;
  } all_;
};

} // namespace tutti::detail
