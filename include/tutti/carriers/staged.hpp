// staged: contributions are reduced over a schedule in several stages, by a codec that makes each of the one before it.
#pragma once

#include <tutti/carriers/reducing.hpp>
#include <tutti/collectives/chain.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

/// The tensors of a part, for a staged codec; one that is cut has no shape there.
template <class T>
std::vector<coded_tensor> coded_tensors(const flat_model<T>& model, place part) {
  std::vector<coded_tensor> all;
  model.each(part, [&](std::size_t k, place piece) {
    std::span<const std::int64_t> shape;
    if (piece == model.place_of(k)) shape = model[k].shape;
    all.push_back({{piece.begin - part.begin, piece.end - part.begin}, shape});
  });
  return all;
}

} // namespace detail

/// A chain of all_reduces of each part, one of each stage; every rank has the whole result, of which an owner uses its
/// shard. Weights scale what is contributed, so reducers are sums and means. Cost of a part: that of the all_reduces, one
/// behind the other, of as many values as the codec says; nothing is allocated after the first step.
template <class T, class Comm, class Topology, class Reducer, class Codec, bool Owners>
class staged final : public carrier<T> {
public:
  /// Collective.
  staged(const carrying_parts<Comm, Topology, Reducer, Codec>& with, const flat_model<T>& model,
         std::span<const place> parts)
      : with_{with} {
    with_.how.weight = 1; // weights come with each offer
    pieces_.reserve(parts.size());
    for (const place where : parts) {
      pieces_.push_back({where, detail::shared_values<T>(with_.comm, where.size()),
                         with_.codec.template stages<T>(where, detail::coded_tensors(model, where))});
      begin_with(pieces_.back());
    }
  }

  place owned(std::size_t part) const override {
    return Owners ? detail::owned_shard(pieces_[part].where, with_.comm) : pieces_[part].where;
  }
  std::span<T> room(std::size_t part) override { return pieces_[part].values.span(); }
  bool weighs() const override { return std::derived_from<Reducer, mean>; }

  void offer(std::size_t part, std::span<const double> weights) override {
    detail::scale_for_mean(pieces_[part].values.span(), weights, with_.comm.rank());
    pieces_[part].often.start();
  }
  void settle(std::size_t part) override { pieces_[part].often.wait(); }
  void keep(std::size_t part) override { pieces_[part].coded.commit(); }
  void state(archive& to) override {
    for (piece& p : pieces_) p.coded.state(to);
  }
  void hand_out(std::size_t part) override {
    if constexpr (Owners) tutti::all_gather(with_.comm, pieces_[part].values, with_.topology, with_.how);
  }

private:
  using values_type = decltype(detail::shared_values<T>(std::declval<Comm&>(), std::size_t{}));
  using stages_type = decltype(std::declval<const Codec&>().template stages<T>(place{}, {}));
  /// What counts for what is in what is contributed already.
  using stage_reducer = std::conditional_t<std::derived_from<Reducer, mean>, mean, Reducer>;

  struct piece {
    place where;
    values_type values;
    stages_type coded;
    std::vector<values_type> messages = {}; ///< of each stage
    persistent_request often = {};
  };

  void begin_with(piece& p) {
    for (int k = 0; k < p.coded.count(); ++k)
      p.messages.push_back(detail::shared_values<T>(with_.comm, p.coded.length(k)));
    std::vector<std::unique_ptr<operation>> stages;
    for (values_type& message : p.messages)
      stages.push_back(detail::all_reduce_later<detail::starts::again>(
          with_.comm, message, with_.topology, static_cast<const stage_reducer&>(with_.reducer), with_.how));
    p.often = {detail::chain_of(with_.comm, [&p](std::size_t k) { prepare(p, k); }, std::move(stages)),
               with_.comm.in_flight()};
  }
  static void prepare(piece& p, std::size_t stage) {
    const detail::exact_mode held;
    std::span<const T> agreed;
    if (stage > 0) agreed = p.messages[stage - 1].span();
    if (stage < p.messages.size())
      p.coded.encode(int(stage), p.values.span(), agreed, p.messages[stage].span());
    else
      p.coded.decode(p.values.span(), agreed);
  }

  carrying_parts<Comm, Topology, Reducer, Codec> with_;
  std::vector<piece> pieces_; ///< chains refer to them
};

} // namespace tutti
