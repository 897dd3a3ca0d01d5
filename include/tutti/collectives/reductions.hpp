// all_reduce, reduce_scatter, reduce: the collectives that compute.
// What they promise is in collectives/collectives.hpp.
#pragma once

#include <tutti/collectives/copies.hpp>
#include <tutti/reducers/weights.hpp>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

namespace tutti {

template <communicator Comm, class Data, class... Parts>
void all_reduce(Comm& comm, Data&& data, Parts&&... parts);

namespace detail {

/// Every rank's weight, in rank order, and their sum; the same bits on every rank.
template <class R>
void take_weights(task& work, std::span<const double> all, int rank) {
  const exact_mode held;
  const auto refuse = [&](int peer, std::string detail) {
    throw error{{.code = error_code::invalid_argument,
                 .call = work.call,
                 .rank = rank,
                 .peer = peer,
                 .detail = std::move(detail)}};
  };
  work.weights.assign(all.begin(), all.end());
  bool nothing = true;
  for (std::size_t k = 0; k < all.size(); ++k) {
    if (!(all[k] >= 0) || !tutti::is_finite(all[k]))
      refuse(int(k), "rank " + std::to_string(k) + " gave a weight that is negative or not finite - "
                     "give what its contribution counts for in options::weight");
    nothing = nothing && all[k] == 0;
  }
  if (nothing) refuse(-1, "all weights are zero - at least one rank must count");
  if constexpr (has_relative_weights<R>) detail::scale_weights(work.weights);
  work.weight = work.weights[std::size_t(rank)];
  work.total = detail::total_weight(work.weights);
}
/// The same, of what each rank gives in its options.
template <class R, class Comm>
void agree_on_weights(Comm& comm, const options& how, task& work) {
  std::vector<double> all(std::size_t(comm.size()), 0.0);
  tutti::all_gather(tutti::control_of(comm), std::span<const double>{&how.weight, 1}, all, how);
  detail::take_weights<R>(work, all, comm.rank());
}

template <class R>
objection reducer_objection(const R& r, int size) {
  if constexpr (requires { r.objection(); })
    if (const char* wrong = r.objection()) return {wrong};
  if constexpr (requires { r.least_contributions(); })
    if (size < r.least_contributions())
      return {"this reducer needs at least % contributions, there are %",
              r.least_contributions(), size};
  return {};
}
/// A weight that would count for nothing. A call that gives no options does not ask.
template <class R, class... Parts>
objection weight_objection(const options& how) {
  if constexpr (count_parts<options_part, Parts...> > 0 && !is_weighted<working_reducer_t<R>>)
    if (how.weight != 1) return {unused_weight};
  return {};
}
/// A reduction: what is to be done with which data, and the parts as all ranks were given them. It refers to them.
template <collective What, class Comm, class T, class R, class Topology, class Codec, class Memory = no_codec_memory>
struct reduction {
  static constexpr collective what = What;
  using element = T;
  using reducer_type = R;
  using topology_type = Topology;
  using codec_type = Codec;
  static constexpr bool valid = valid_reduction<What, Topology, R, Codec, T, Memory>();
  static constexpr void explain() { detail::explain_reduction<What, Topology, R, Codec, T, Memory>(); }

  called<Comm> call;
  buffer<T> data;
  const R& reducer;
  const Topology& topology;
  const Codec& codec;
  const options& how;
  const Memory& memory = default_part<Memory>;
};
template <collective What, class Comm, class Data, class... Parts>
using reduction_of = reduction<What, Comm, element_of<Data>, typename call_parts<Parts...>::reducer,
                               typename call_parts<Parts...>::topology, typename call_parts<Parts...>::codec,
                               typename call_parts<Parts...>::memory>;

template <class Codec>
objection codec_objection(const Codec& codec) {
  if constexpr (requires { codec.objection(); })
    if (const char* wrong = codec.objection()) return {wrong};
  if constexpr (exempts_tensors<Codec>)
    return detail::codec_objection(codec.inner);
  else
    return {};
}
template <class Memory>
objection memory_objection(const Memory& memory, std::size_t n) {
  if constexpr (requires { memory.state(); })
    if (memory.size() != 0 && memory.size() != n)
      return {"the codec's memory is of % values, and the data has % - a memory goes on with data of one length",
              memory.size(), n};
  return {};
}
/// What is wrong with a reduction.
template <class... Parts, class Reduction, class In>
objection reduction_objection(const Reduction& given, const In& in) {
  const int size = given.call.comm.size();
  if (const objection wrong = detail::root_objection(given.call.root, size); !wrong.empty()) return wrong;
  if (const objection wrong = detail::topology_objection(given.call.comm, given.topology); !wrong.empty())
    return wrong;
  if (const objection wrong = detail::reducer_objection(given.reducer, size); !wrong.empty()) return wrong;
  if (const objection wrong = detail::weight_objection<typename Reduction::reducer_type, Parts...>(given.how);
      !wrong.empty())
    return wrong;
  if (const objection wrong = detail::codec_objection(given.codec); !wrong.empty()) return wrong;
  if (const objection wrong = detail::memory_objection(given.memory, given.data.values.size()); !wrong.empty())
    return wrong;
  if (const objection wrong = detail::data_objection(given.data); !wrong.empty()) return wrong;
  return in.objection_to(given.data);
}
/// Throws when something is wrong with a reduction, see check_call. `Parts` are those that the call was given.
template <class... Parts, class Reduction, class In = in_place>
void check_reduction(const Reduction& given, const In& in = {}) {
  detail::check_call<typename Reduction::element, typename Reduction::reducer_type,
                     typename Reduction::topology_type, typename Reduction::codec_type>(
      given.call, given.data.values.size(), detail::reduction_objection<Parts...>(given, in));
}
/// The reduction that the arguments of a call make; throws when it cannot work.
template <class Reduction, class Comm, class In, class Data, class... Parts>
Reduction made_reduction(const called<Comm>& call, const In& in, Data& data, const Parts&... parts) {
  const Reduction given{call,
                        detail::buffer_of(data),
                        detail::picked<reducer_part, typename Reduction::reducer_type>(parts...),
                        detail::picked<topology_part, typename Reduction::topology_type>(parts...),
                        detail::picked<codec_part, typename Reduction::codec_type>(parts...),
                        detail::picked<options_part, options>(parts...),
                        detail::picked<memory_part, typename call_parts<Parts...>::memory>(parts...)};
  detail::check_reduction<Parts...>(given, in);
  return given;
}

/// What a reduction on topology t is in the history of calls.
template <class Reduction, class Topology>
void name_reduction(task& work, const Reduction& given, const Topology& t) {
  using T = typename Reduction::element;
  work.word = detail::word_of<number_of<Reduction::what>, T>(given.call.root, given.reducer, t, given.codec);
  work.name = &name_of_reduction<Reduction::what, T, typename Reduction::reducer_type, Topology,
                                 typename Reduction::codec_type>;
}

/// The numbers of one agreement, combined over all ranks.
template <class Comm, class R, class Observe>
std::vector<double> agreed_numbers(Comm& comm, const R& r, std::size_t n, const options& how,
                                   Observe&& observe) {
  using combined = typename R::agreement_reducer;
  std::vector<double> numbers(std::size_t(r.agreement(n, comm.size())),
                              combined{}.template identity<double>());
  detail::made(comm, [&] { observe(numbers); });
  tutti::all_reduce(tutti::control_of(comm), numbers, combined{}, options{.timeout = how.timeout});
  return numbers;
}

/// Calls use(reducer) when every agreement on the ranks' own data is made.
template <class Reduction, class R, class Use>
decltype(auto) after_agreement(const Reduction& given, const R& r, Use&& use) {
  using T = typename Reduction::element;
  if constexpr (observes_own<R, T>) {
    const std::span<const T> own{given.data.values};
    const auto numbers = detail::agreed_numbers(given.call.comm, r, own.size(), given.how,
                                                [&](std::vector<double>& out) { r.observe(own, std::span{out}); });
    const auto next = detail::exactly([&] { return r.agreed(std::span<const double>{numbers}); });
    return detail::after_agreement(given, next, use);
  } else {
    return use(r);
  }
}

/// One reduction, prepared: what every reducing collective does before data moves. Ends with use(make), make()
/// being the operation that does it. It works with `r` and `codec`, which outlive the operation: the reducer is
/// what is left of that of the call when its agreements are made. `weights` are those of all ranks, where they
/// know them already.
template <class Reduction, class R, class Codec, class Use>
decltype(auto) prepare(const Reduction& given, const R& r, const Codec& codec, Use&& use,
                       std::span<const double> weights = {}) {
  using T = typename Reduction::element;
  constexpr collective What = Reduction::what;
  auto& comm = detail::stationary(given.call.comm);
  task work{given.call.name, given.data.bytes()};
  work.math = detail::arithmetic_of<T>(r, codec);
  work.math.rank = comm.rank();
  work.math.ranks = comm.size();
  work.math.everywhere = What == collective::all_reduce;
  if constexpr (requires { given.memory.state(); }) work.math.memory = &given.memory.state();
  work.total = double(comm.size());
  collective_call<std::remove_reference_t<decltype(comm)>> call{
      comm, What, given.call.root, detail::data_of(given.data), work, given.how};
  if constexpr (is_weighted<R>) {
    if (weights.empty())
      detail::agree_on_weights<R>(comm, given.how, call.work);
    else
      detail::take_weights<R>(call.work, weights, comm.rank());
  }
  constexpr bool is_exact = Codec::kind == codec_kind::exact;
  return detail::with_topology<What, needs_every_contribution<R, T> || !is_exact>(
      given.topology, comm, call.data.bytes, [&](const auto& t) -> decltype(auto) {
        using topology_type = std::remove_cvref_t<decltype(t)>;
        detail::name_reduction(call.work, given, t);
        constexpr bool may_share = is_exact && works_in_shared_memory<topology_type>;
        return detail::carry_out<may_share, topology_type::gathers>(call, t, use);
      });
}

/// Agreements on what shows only in all contributions to a shard - it begins at element `first` - then the reducer
/// itself, which is `r` so far.
template <class Reduction, class R, class T>
void unite_after_agreement(const Reduction& given, const R& r, gathered_rows<T> rows, std::size_t first,
                           const task& weighed) {
  if constexpr (observes_gathered<R, T>) {
    const auto observe = [&](std::vector<double>& seen) {
      if (rows.n > 0) r.observe_gathered(rows, first, std::span<double>{seen});
    };
    const auto numbers = detail::agreed_numbers(detail::stationary(given.call.comm), r, given.data.values.size(),
                                                given.how, observe);
    const auto next = detail::exactly([&] { return r.agreed(std::span<const double>{numbers}); });
    detail::unite_after_agreement(given, next, rows, first, weighed);
  } else if (rows.n > 0) {
    static constexpr identity exact{};
    const arithmetic math = detail::arithmetic_of<T>(r, exact);
    std::vector<const std::byte*> in;
    for (const T* row : rows.rows) in.push_back(reinterpret_cast<const std::byte*>(row));
    math.unite(math, in, weighed.weights, reinterpret_cast<std::byte*>(given.data.values.data() + first), rows.n,
               first, weighed.total);
  }
}

/// For reducers that must see all contributions before they can say what to do with them: collect,
/// agree, unite, and hand the result on.
template <class Reduction>
void reduce_gathered(const Reduction& given) {
  using T = typename Reduction::element;
  using R = typename Reduction::reducer_type;
  auto& comm = detail::stationary(given.call.comm);
  using comm_type = std::remove_reference_t<decltype(comm)>;
  const operations::visit now{comm.in_flight(), given.call.name, comm.rank()};
  static_assert(Reduction::codec_type::kind == codec_kind::exact,
                "tutti: a reducer that compares whole contributions takes them as they are - use "
                "tutti::identity");
  constexpr bool all = Reduction::what == collective::all_reduce;
  constexpr bool scatters =
      Reduction::what == collective::reduce_scatter ||
      (all && carries_or_default<typename Reduction::topology_type>(collective::reduce_scatter));
  constexpr collective first = scatters ? collective::reduce_scatter : collective::reduce;
  [[maybe_unused]] constexpr collective second = scatters ? collective::all_gather : collective::broadcast;
  task weighed{given.call.name};
  weighed.total = double(comm.size());
  if constexpr (is_weighted<working_reducer_t<R>>)
    detail::agree_on_weights<working_reducer_t<R>>(comm, given.how, weighed);
  const call_data data = detail::data_of(given.data);
  detail::with_topology<first, true>(given.topology, comm, data.bytes, [&](const auto& t) {
    auto collect = detail::made(comm, [&] {
      task work{given.call.name, data.own};
      work.math = detail::copying(sizeof(T)); // rows are kept as they come
      work.keep_gathered = true;
      detail::name_reduction(work, given, t);
      const collective_call<comm_type> call{comm, first, given.call.root, data, work, given.how};
      auto plan = detail::plan_for(call, t, true);
      return execution<comm_type>{comm, std::move(plan), std::move(work), given.how};
    });
    detail::run_now(comm, collect);
    detail::made(comm, [&] {
      const auto got = collect.gathered();
      std::vector<const T*> rows;
      for (const std::byte* row : got.rows) rows.push_back(reinterpret_cast<const T*>(row));
      detail::unite_after_agreement<Reduction, R, T>(given, given.reducer, {rows, got.where.count},
                                                     got.where.offset, weighed);
    });
    if constexpr (all) {
      std::span<T> values = given.data.values;
      const called handing{given.call.name, comm, given.call.root};
      detail::start_copy<second>(handing, values, {}, detail::runs_now(comm), t, given.how);
    }
  });
}

template <collective What, class Comm, class In, class Data, class... Parts>
void reduce_now(const called<Comm>& call, const In& in, Data& data, const Parts&... parts) {
  detail::explain<known_parts_sentences<Parts...>, call_sentences<Parts...>>();
  using made = reduction_of<What, Comm, Data, Parts...>;
  if constexpr (made::valid) {
    const made given = detail::made_reduction<made>(call, in, data, parts...);
    in.copy_to(given.data.bytes());
    if constexpr (observes_gathered<typename made::reducer_type, typename made::element>)
      detail::reduce_gathered(given);
    else
      detail::after_agreement(given, given.reducer, [&](const auto& working) {
        detail::prepare(given, working, given.codec, detail::runs_now(detail::stationary(call.comm)));
      });
  } else {
    made::explain();
  }
}

/// The same, where what was handed over can be used.
template <collective What, class Comm, class Data, class... Parts>
void reduce_checked(const called<Comm>& call, Data&& data, const Parts&... parts) {
  if constexpr (can_use<handed<as::result, Data>>)
    detail::reduce_now<What>(call, in_place{}, data, parts...);
  else
    detail::explain_data<handed<as::result, Data>>();
}

/// all_reduce(comm, in, out, parts...).
template <class Comm, class In, class Out, class... Parts>
void all_reduce_beside(const called<Comm>& call, In&& in, Out&& out, const Parts&... parts) {
  if constexpr (can_use<handed<as::input, In>, handed<as::result, Out>>)
    detail::reduce_now<collective::all_reduce>(call, beside<element_of<Out>>{detail::input_of(in)}, out, parts...);
  else
    detail::explain_data<handed<as::input, In>, handed<as::result, Out>>();
}

} // namespace detail

template <communicator Comm, class Data, class... Rest>
void all_reduce(Comm& comm, Data&& data, Rest&&... rest) {
  const detail::called call{"all_reduce", comm};
  if constexpr (detail::data_follows<Data, Rest...>)
    detail::all_reduce_beside(call, std::forward<Data>(data), std::forward<Rest>(rest)...);
  else
    detail::reduce_checked<collective::all_reduce>(call, std::forward<Data>(data), rest...);
}

template <communicator Comm, class Data, class... Parts>
auto reduce_scatter(Comm& comm, Data&& data, Parts&&... parts) {
  detail::reduce_checked<collective::reduce_scatter>(detail::called{"reduce_scatter", comm},
                                                     std::forward<Data>(data), parts...);
  if constexpr (detail::handed<detail::as::result, Data>::value) {
    const std::span values = detail::buffer_of(data).values;
    const shard mine = shard_of(values.size(), comm.rank(), comm.size());
    return values.subspan(mine.begin, mine.end - mine.begin);
  }
}

template <communicator Comm, class Data, class... Parts>
void reduce(Comm& comm, Data&& data, int root = 0, Parts&&... parts) {
  detail::reduce_checked<collective::reduce>(detail::called{"reduce", comm, root},
                                             std::forward<Data>(data), parts...);
}

} // namespace tutti
