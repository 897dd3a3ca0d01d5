// staged: contributions are reduced over a schedule in several stages, by a codec that makes each of the one before it.
#pragma once

#include <tutti/carriers/reducing.hpp>
#include <tutti/collectives/chain.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <tuple>
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
      const auto tensors = detail::coded_tensors(model, where);
      pieces_.push_back({where, detail::shared_values<T>(with_.comm, where.size()),
                         with_.codec.template stages<T>(staged_part{where, tensors, with_.comm.rank(), with_.comm.size(),
                                                                    std::derived_from<Reducer, mean>})});
      make_stages(pieces_.back(), every_stage);
    }
  }

  place owned(std::size_t part) const override {
    return Owners ? detail::owned_shard(pieces_[part].where, with_.comm) : pieces_[part].where;
  }
  std::span<T> room(std::size_t part) override { return pieces_[part].values.span(); }
  bool weighs() const override { return std::derived_from<Reducer, mean>; }

  void offer(std::size_t part, std::span<const double> weights) override {
    piece& p = pieces_[part];
    if constexpr (std::derived_from<Reducer, mean>)
      detail::scale_for_mean(p.values.span(), weights, with_.comm.rank());
    p.coded.begin(exchanges_.before());
    p.often.start();
  }
  void settle(std::size_t part) override { pieces_[part].often.wait(); }
  void keep(std::size_t part) override {
    pieces_[part].coded.commit();
    exchanges_.keep();
  }
  void state(archive& to) override {
    exchanges_.state(to);
    for (piece& p : pieces_) p.coded.state(to);
  }
  void hand_out(std::size_t part) override {
    if constexpr (Owners) tutti::all_gather(with_.comm, pieces_[part].values, with_.topology, with_.how);
  }

private:
  using values_type = decltype(detail::shared_values<T>(std::declval<Comm&>(), std::size_t{}));
  using stages_type = decltype(std::declval<const Codec&>().template stages<T>(staged_part{}));
  /// What counts for what is in what is contributed already.
  using plain_reducer = std::conditional_t<std::derived_from<Reducer, mean>, mean, Reducer>;

  template <class Messages>
  struct made_of;
  template <class... Messages>
  struct made_of<std::tuple<Messages...>> {
    using rooms = std::tuple<decltype(detail::shared_values<typename Messages::value_type>(std::declval<Comm&>(), 0))...>;
    using indices = std::index_sequence_for<Messages...>;
  };
  using rooms_type = typename made_of<typename stages_type::messages>::rooms;
  static constexpr typename made_of<typename stages_type::messages>::indices every_stage{};
  template <std::size_t K>
  using message = std::tuple_element_t<K, typename stages_type::messages>;

  struct piece {
    place where;
    values_type values;
    stages_type coded;
    rooms_type rooms = {}; ///< of the messages
    persistent_request often = {};
  };

  template <std::size_t... K>
  void make_stages(piece& p, std::index_sequence<K...>) {
    std::vector<std::unique_ptr<operation>> stages;
    (stages.push_back(stage<K>(p)), ...);
    p.often = {detail::chain_of(with_.comm, [&p](std::size_t k) { prepare(p, k, every_stage); }, std::move(stages)),
               with_.comm.in_flight()};
  }
  template <std::size_t K>
  std::unique_ptr<operation> stage(piece& p) {
    auto& room = std::get<K>(p.rooms);
    room = detail::shared_values<typename message<K>::value_type>(with_.comm, p.coded.length(int(K)));
    const auto reduced_by = [&](const auto& reducer) {
      return detail::all_reduce_later<detail::starts::again>(with_.comm, room, with_.topology, reducer, with_.how);
    };
    if constexpr (message<K>::reduction == stage_reduction::contributions)
      return reduced_by(static_cast<const plain_reducer&>(with_.reducer));
    else if constexpr (message<K>::reduction == stage_reduction::maximum)
      return reduced_by(max{});
    else
      return reduced_by(sum{});
  }
  /// Before a stage; and behind the last.
  template <std::size_t... K>
  static void prepare(piece& p, std::size_t stage, std::index_sequence<K...>) {
    const detail::exact_mode held;
    ((stage == K ? encode<K>(p) : void()), ...);
    if (stage == sizeof...(K)) p.coded.decode(p.values.span(), agreed<sizeof...(K)>(p));
  }
  template <std::size_t K>
  static void encode(piece& p) {
    p.coded.template encode<int(K)>(p.values.span(), agreed<K>(p), std::get<K>(p.rooms).span());
  }
  /// What came of the stage before stage K.
  template <std::size_t K>
  static auto agreed(piece& p) {
    constexpr std::size_t before = K > 0 ? K - 1 : 0;
    std::span<const typename message<before>::value_type> all;
    if constexpr (K > 0) all = std::get<before>(p.rooms).span();
    return all;
  }

  carrying_parts<Comm, Topology, Reducer, Codec> with_;
  std::vector<piece> pieces_; ///< chains refer to them
  detail::counted_exchanges exchanges_;
};

} // namespace tutti
