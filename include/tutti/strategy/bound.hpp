// What bind makes of the parts of a strategy: a trainer, which names none of them.
#pragma once

#include <tutti/carriers/mixing.hpp>
#include <tutti/carriers/pairwise.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/carriers/reducing.hpp>
#include <tutti/carriers/serving.hpp>
#include <tutti/carriers/staged.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/topologies/mixing_proof.hpp>
#include <tutti/training/rooms.hpp>
#include <tutti/training/trainer.hpp>

#include <concepts>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::detail {

/// What bind() returns when a sentence has said why it cannot: whatever is done with it compiles, so that
/// the sentence stands alone.
template <class Optimizer>
struct unbound {
  template <class... All> void step(const All&...) {}
  template <class... All> void begin(const All&...) {}
  template <class... All> void accumulate(const All&...) {}
  template <class... All> void freeze(const All&...) {}
  template <class... All> void save(const All&...) {}
  template <class... All> std::vector<std::string> load(const All&...) { return {}; }
  template <class... All> void state(const All&...) {}
  template <class... All> void fail(const All&...) {}
  template <class... All> void join(const All&...) {}
  Optimizer& optimizer();
  double loss_scale() const { return 1; }
  double gradient_norm() const { return 0; }
  template <class... All> void ready(const All&...) {}
  void finish() {}
  void skip() {}
  bool had_gradient(std::size_t) const { return false; }
  std::vector<int> lost() const { return {}; }
  void serve() {}
  void finalize() {}
  tutti::role role() const { return role::worker; }
  std::int64_t steps() const { return 0; }
  std::int64_t skipped() const { return 0; }
  std::int64_t dropped() const { return 0; }
};

/// What is wrong with the roles of ranks, and with what the policy says of so many workers; empty when nothing is.
template <class Parts, class Sync>
std::string wrong_roles(const Parts& parts, const Sync& sync) {
  if constexpr (requires { parts.topology.server_count(1); }) {
    const int size = parts.comm.size();
    int servers = parts.topology.server_count(size);
    if constexpr (requires { servers = parts.topology.servers; })
      servers = parts.topology.servers; // as asked for
    if (servers < 1 || servers > size)
      return "there are " + std::to_string(servers) + " servers for " + std::to_string(size) +
             " ranks - give 1 to " + std::to_string(size);
    if (parts.topology.dedicates() && servers == size)
      return "all " + std::to_string(size) +
             " ranks are dedicated servers and none is left to work - start more ranks";
    if constexpr (requires { std::string{sync.wrong(1)}; })
      return sync.wrong(parts.topology.dedicates() ? size - servers : size);
  }
  return {};
}

/// What is wrong with a graph of these ranks; empty when nothing is.
template <class Sync, class Parts>
std::string wrong_graph(const Parts& parts) {
  std::string wrong;
  if constexpr (carrier_of<Sync> == carried_by::mixing || carrier_of<Sync> == carried_by::pairs) {
    const int size = parts.comm.size();
    if constexpr (requires { wrong = parts.topology.wrong(size); }) wrong = parts.topology.wrong(size);
    constexpr auto needs = has_ratios<Sync> ? stochastic::columns : stochastic::rows_and_columns;
    if (!wrong.empty()) return wrong;
    if (const mixing_verdict found = verify_mixing(parts.topology, size, needs); !found.holds())
      wrong = "the graph of these " + std::to_string(size) + " ranks does not lead to their mean - " + found.text();
  }
  return wrong;
}

template <class Sync>
std::uint64_t seed_of(const Sync& sync) {
  if constexpr (requires { std::uint64_t(sync.seed); })
    return std::uint64_t(sync.seed);
  else
    return 0;
}

/// Whether a codec that says nothing of tensors leaves vectors as they are.
template <class Parts, class Sync>
constexpr bool exempts_vectors() {
  using Codec = std::remove_cvref_t<decltype(std::declval<Parts>().codec)>;
  using Reducer = std::remove_cvref_t<decltype(std::declval<Parts>().reducer)>;
  return !std::is_same_v<Codec, identity> && !exempts_tensors<Codec> && !keeps_momentum<codec_of_tensors_t<Codec>> &&
         carrier_of<Sync> == carried_by::schedule && !staged_codec<Codec, float> && !agreeing_reducer<Reducer> &&
         !over_population<Sync> &&
         (contribution_of<Sync> == contributes::gradient || !has_owners<Sync>);
}
/// Of each tensor whether the codec leaves it as it is; empty where it leaves none.
template <class Sync, class Parts, class V>
std::vector<bool> exempt_tensors(const Parts& parts, std::span<const tensor<V>> tensors, const training_options& how) {
  std::vector<bool> exempt;
  if constexpr (exempts_tensors<std::remove_cvref_t<decltype(parts.codec)>>) {
    for (const tensor<V>& t : tensors) exempt.push_back(parts.codec.rule.exempts(t.name, t.shape));
  } else if constexpr (exempts_vectors<Parts, Sync>()) {
    bool all = true;
    for (const tensor<V>& t : tensors) {
      exempt.push_back(tutti::role_of(t.name, t.shape, how.roles) == parameter_role::vector);
      all = all && (exempt.back() || t.values.empty());
    }
    if (all) exempt.clear();
  }
  return exempt;
}
/// What is wrong with that; empty when nothing is.
template <class V>
std::string wrong_exemption(const std::vector<bool>& exempt, std::span<const tensor<V>> tensors) {
  if (exempt.empty()) return {};
  bool any = false;
  for (std::size_t k = 0; k < tensors.size(); ++k) {
    if (tensors[k].values.empty()) continue;
    any = true;
    if (!exempt[k]) return {};
  }
  return any ? "every tensor is exempt from the codec - give tensors their shapes, or leave the codec out" : std::string{};
}

/// What is wrong with an optimizer behind such a codec; empty when nothing is.
template <class Codec, class Optimizer>
std::string wrong_momentum(const Optimizer& optimizer) {
  if constexpr (keeps_momentum<codec_of_tensors_t<Codec>> && requires { optimizer.momentum; })
    if (optimizer.momentum != 0)
      return "the optimizer has a momentum, and gradients that arrive through tutti::dgc have gone through that of the "
             "codec already, so it would count twice - give the optimizer none, or use tutti::error_feedback";
  return {};
}

template <class T, class Parts, class Sync>
std::unique_ptr<carrier<T>> carrier_for(const Parts& parts, const Sync& sync, const flat_model<T>& model,
                                        std::span<const place> pieces) {
  const std::size_t tensors = model.count();
  return [&]<class Comm, class Topology, class Reducer, class Codec>(
             const carrying_parts<Comm, Topology, Reducer, Codec>& with) -> std::unique_ptr<carrier<T>> {
    if constexpr (carrier_of<Sync> == carried_by::placement)
      return std::make_unique<serving<T, Comm, Topology, Reducer, Codec>>(
          with, pieces.empty() ? 0 : pieces.front().size(), closing_answer{sync}, push_note::words(tensors));
    else if constexpr (carrier_of<Sync> == carried_by::pairs)
      return std::make_unique<pairwise<T, Comm, Topology>>(with.comm, with.topology, with.how, on_loss_of(sync),
                                                           seed_of(sync),
                                                           pieces.empty() ? 0 : pieces.front().size(),
                                                           push_note::words(tensors));
    else if constexpr (carrier_of<Sync> == carried_by::mixing)
      return std::make_unique<mixing<T, Comm, Topology, Codec, has_ratios<Sync> ? mixed_as::ratios : mixed_as::values>>(
          with.comm, with.topology, with.codec, with.how, pieces);
    else if constexpr (staged_codec<Codec, T>)
      return std::make_unique<staged<T, Comm, Topology, Reducer, Codec, has_owners<Sync>>>(with, model, pieces);
    else
      return std::make_unique<reducing<T, Comm, Topology, Reducer, Codec, has_owners<Sync>>>(with, pieces,
                                                                                             model.held_back_from());
  }(parts);
}

/// In the memory that the model is in, where it has a way to carry what is reduced: there, if the parts allow that.
/// Otherwise the carrier of the host, behind rooms. Collective.
template <class Sync, class T, class Parts, class Verbs>
std::unique_ptr<carrier<T>> carrier_in(Verbs& in, const Parts& parts, const Sync& sync, const flat_model<T>& model,
                                       std::span<const place> pieces) {
  if constexpr (carrier_of<Sync> == carried_by::schedule)
    if constexpr (requires { in.template carry<has_owners<Sync>>(parts, pieces, model.held_back_from()); })
      if (auto by = in.template carry<has_owners<Sync>>(parts, pieces, model.held_back_from())) return by;
  return std::make_unique<rooms<T>>(in, detail::carrier_for<T>(parts, sync, model, pieces), pieces);
}

/// How long buckets are to be, and the first of them, where that is left to the prices of the topology.
template <class Topology, class Comm>
training_options with_buckets(training_options how, const Topology& topology, const Comm& comm) {
  const bool given = how.bucket_bytes != 0;
  if (!given) {
    how.bucket_bytes = std::size_t{4} << 20;
    if constexpr (requires { topology.bucket_bytes(comm); }) how.bucket_bytes = topology.bucket_bytes(comm);
  }
  if (how.first_bucket_bytes == 0) how.first_bucket_bytes = given ? how.bucket_bytes : how.bucket_bytes / 4;
  return how;
}

/// What the driver of a trainer has to add to it.
struct driven_by {
  const char* call = "bind";      ///< that errors name
  compared_numbers numbers = {};  ///< that ranks must agree on, beside the strategy's
  std::string wrong = {};
  bool whole = false; ///< the gradient travels as one
};

/// Tensors as places in their memory, at which nothing but its verbs looks.
template <class V, class Space>
std::vector<tensor<V>> places_of(std::vector<tensor<V, Space>> given) {
  if constexpr (std::is_same_v<Space, host_memory>) return given;
  std::vector<tensor<V>> all;
  for (tensor<V, Space>& t : given)
    all.push_back({std::move(t.name), {t.values.data(), t.values.size()}, std::move(t.shape)});
  return all;
}
/// What is wrong with where they are; empty when nothing is.
template <class V, class Space>
std::string wrong_places(std::span<const tensor<V, Space>> given, const Space& where) {
  for (const tensor<V, Space>& t : given)
    if (const std::string wrong = where.wrong(t.values); !wrong.empty()) return "\"" + t.name + "\": " + wrong;
  return {};
}

template <class Parts, class Sync, class V, class Optimizer, class Space = host_memory>
auto bound_trainer(const Parts& parts, const Sync& sync, std::vector<tensor<V, Space>> tensors, Optimizer optimizer,
                   const training_options& how, driven_by driver = {}, const Space& space = {}) {
  using T = master_of<V>;
  using verbs = typename Space::template verbs<T>;
  using R = std::remove_cvref_t<decltype(parts.reducer)>;
  constexpr bool served = carrier_of<Sync> == carried_by::placement || carrier_of<Sync> == carried_by::pairs;
  constexpr bool weighs = is_weighted<working_reducer_t<R>> && (!served || pushes_together<Sync>);
  compared_numbers numbers = numbers_of(parts, sync);
  numbers.add(std::type_identity<V>{});
  numbers.add(optimizer);
  numbers.add(how);
  numbers.add(driver.numbers);
  std::string wrong = served ? detail::wrong_roles(parts, sync) : std::move(driver.wrong);
  if (wrong.empty()) wrong = detail::wrong_graph<Sync>(parts);
  if (wrong.empty()) wrong = detail::wrong_optimizer(optimizer);
  if (wrong.empty()) wrong = detail::wrong_momentum<std::remove_cvref_t<decltype(parts.codec)>>(optimizer);
  if (wrong.empty()) wrong = detail::wrong_places(std::span<const tensor<V, Space>>{tensors}, space);
  std::vector<tensor<V>> given = detail::places_of(std::move(tensors));
  if constexpr (offers_another<Optimizer>)
    if (wrong.empty() && how.clip > 0)
      wrong = "training_options::clip is given, and for this optimizer its momentum is exchanged, which is no gradient - clip "
              "what is given to the trainer, or use tutti::adamw";
  if constexpr (takes_matrices<Optimizer>)
    if (wrong.empty()) wrong = detail::without_matrices(how, std::span<const tensor<V>>{given});
  if constexpr (contribution_of<Sync> == contributes::difference)
    if (wrong.empty()) wrong = detail::wrong_optimizer(sync.outer);
  if (!weighs && parts.how.weight != 1)
    wrong = unused_weight;
  const std::vector<bool> exempt = detail::exempt_tensors<Sync>(parts, std::span<const tensor<V>>{given}, how);
  if (wrong.empty()) wrong = detail::wrong_exemption(exempt, std::span<const tensor<V>>{given});
  auto memory = std::make_unique<verbs>(space);
  auto& in = *memory;
  auto bound = detail::bound<T>(in, std::move(given), exempt);
  if (const objection of_codec = detail::codec_objection(parts.codec); wrong.empty() && !of_codec.empty())
    wrong = of_codec.in_words();
  if constexpr (requires { parts.codec.wrong(1); })
    if (const char* of_ranks = parts.codec.wrong(parts.comm.size()); wrong.empty() && of_ranks) wrong = of_ranks;
  const auto carry = [&](const flat_model<T>& model, std::span<const place> pieces) {
    if constexpr (std::is_same_v<Space, host_memory>) return detail::carrier_for<T>(parts, sync, model, pieces);
    else return detail::carrier_in<Sync, T>(in, parts, sync, model, pieces);
  };
  const auto outer = [&](place where) {
    if constexpr (contribution_of<Sync> == contributes::difference)
      return updater<T>{in, sync.outer, where};
    else
      return updater<T>{};
  };
  using comm_type = std::remove_reference_t<decltype(parts.comm)>;
  return trainer<T, Optimizer, Space>{
      training_plan<T>{
          .facts = {.policy = answers_of(sync),
                    .period = period_answer{sync},
                    .means = !std::derived_from<R, sum> || std::derived_from<R, mean>,
                    .weighs = weighs,
                    .whole = served || agreeing_reducer<R> || driver.whole,
                    .adds = std::derived_from<R, sum> &&
                            std::is_same_v<std::remove_cvref_t<decltype(parts.codec)>, identity>,
                    .together = served && pushes_together<Sync>,
                    .weight = parts.how.weight},
          .how = detail::with_buckets(how, parts.topology, parts.comm),
          .ranks = std::make_unique<control_on<comm_type>>(parts.comm, parts.how),
          .bound = std::move(bound),
          .numbers = std::move(numbers),
          .wrong = std::move(wrong),
          .call = driver.call,
          .where = std::move(memory),
          .carry = carry,
          .outer = outer},
      std::move(optimizer), space};
}

} // namespace tutti::detail
