// Rooms where the model is: a carrier of the host's, for trainers in another memory.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/training/memory.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Contributions are written, and found again, in a memory that carriers do not reach; what leaves and what has come is
/// copied. While a part is on its way out of that memory, others are collected and travel: it leaves when the next one is
/// offered, when it is sent off, or when one is settled - on all ranks in the same order. What servers keep is on the host.
template <class T>
class rooms final : public carrier<T> {
public:
  rooms(memory<T>& in, std::unique_ptr<carrier<T>> by, std::span<const place> parts) : in_{in}, by_{std::move(by)} {
    for (const place where : parts) {
      parts_.push_back({where, {in, where.size()}, {}, by_->room(parts_.size())});
      in.pin(parts_.back().pinned);
    }
  }

  ~rooms() override {
    for (part_of& p : parts_) {
      try {
        detail::wait_for(p.copying); // what carriers let go of now
      } catch (...) {                // it will not arrive
      }
      in_.unpin(p.pinned);
    }
  }

  place owned(std::size_t part) const override { return by_->owned(part); }
  std::span<T> room(std::size_t part) override { return parts_[part].values.span(); }
  void offer(std::size_t part, std::span<const double> weights) override {
    send_off();
    fetch(part, parts_[part].where);
    next_.emplace(part, std::vector<double>(weights.begin(), weights.end()));
  }
  void send_off() override {
    if (!next_) return;
    const auto [part, weights] = *std::exchange(next_, std::nullopt);
    detail::wait_for(parts_[part].copying);
    by_->offer(part, weights);
  }
  bool as_sent(std::size_t part) override {
    fetch(part, parts_[part].where);
    detail::wait_for(parts_[part].copying);
    const bool is_another = by_->as_sent(part);
    if (is_another) store(part, parts_[part].where);
    return is_another;
  }
  bool waits() const override { return by_->waits(); }
  bool weighs() const override { return by_->weighs(); }
  void settle(std::size_t part) override {
    send_off();
    detail::wait_for(parts_[part].copying);
    by_->settle(part);
    store(part, serves() ? parts_[part].where : owned(part));
  }
  void keep(std::size_t part) override { by_->keep(part); }
  void coded(std::size_t part, bool through) override { by_->coded(part, through); }
  void hand_out(std::size_t part) override {
    fetch(part, owned(part));
    detail::wait_for(parts_[part].copying);
    by_->hand_out(part);
    store(part, parts_[part].where);
  }

  bool serves() const override { return by_->serves(); }
  tutti::role role() const override { return by_->role(); }
  bool mixes() const override { return by_->mixes(); }
  void attach(std::span<T> values, typename carrier<T>::agreed use, bool remembers) override {
    by_->attach(values, use, remembers);
  }
  std::span<std::uint64_t> note() override { return by_->note(); }
  std::span<const std::uint64_t> noted() const override { return by_->noted(); }
  std::span<const T> taken_at() const override { return by_->taken_at(); }
  bool counted() const override { return by_->counted(); }
  std::vector<int> lost() const override { return by_->lost(); }
  void serve() override { by_->serve(); }
  void finish() override {
    with_all([&] { by_->finish(); });
  }

  void rest() override {
    send_off();
    by_->rest();
  }
  bool meets() override {
    send_off();
    return by_->meets();
  }
  void meet(control& ranks) override { by_->meet(ranks); }
  void state(archive& to) override { by_->state(to); }
  void resume(control& ranks, bool afresh) override {
    with_all([&] { by_->resume(ranks, afresh); });
  }

private:
  struct part_of {
    place where;
    kept_values<T> values;
    arriving copying;
    std::span<T> pinned; ///< the carrier's room
  };

  std::span<T> on_host(std::size_t part, place piece) {
    return by_->room(part).subspan(piece.begin - parts_[part].where.begin, piece.size());
  }
  std::span<T> here(std::size_t part, place piece) {
    return room(part).subspan(piece.begin - parts_[part].where.begin, piece.size());
  }
  void fetch(std::size_t part, place piece) {
    parts_[part].copying = in_.fetch(here(part, piece), on_host(part, piece).data());
  }
  void store(std::size_t part, place piece) {
    parts_[part].copying = in_.store(on_host(part, piece).data(), here(part, piece));
  }
  /// What reads and writes the rooms of all parts.
  template <class Use>
  void with_all(Use&& use) {
    send_off();
    for (std::size_t p = 0; p < parts_.size(); ++p) fetch(p, parts_[p].where);
    for (part_of& p : parts_) detail::wait_for(p.copying);
    use();
    for (std::size_t p = 0; p < parts_.size(); ++p) store(p, parts_[p].where);
  }

  memory<T>& in_;
  std::unique_ptr<carrier<T>> by_;
  std::vector<part_of> parts_;
  std::optional<std::pair<std::size_t, std::vector<double>>> next_; ///< that leaves
};

} // namespace tutti::detail
