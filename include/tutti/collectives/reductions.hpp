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
  work.total = 0;
  for (const double w : work.weights) work.total += w;
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
/// What is wrong with a reduction.
template <class... Parts, class Comm, class Topology, class R, class T, class In>
objection reduction_objection(const Comm& comm, const Topology& topology, const R& r,
                              const buffer<T>& data, const In& in, int root, const options& how) {
  if (const objection wrong = detail::root_objection(root, comm.size()); !wrong.empty()) return wrong;
  if (const objection wrong = detail::topology_objection(comm, topology); !wrong.empty()) return wrong;
  if (const objection wrong = detail::reducer_objection(r, comm.size()); !wrong.empty()) return wrong;
  if (const objection wrong = detail::weight_objection<R, Parts...>(how); !wrong.empty()) return wrong;
  if (const objection wrong = detail::data_objection(data); !wrong.empty()) return wrong;
  return in.objection_to(data);
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
template <class Comm, class R, class T, class Use>
decltype(auto) after_agreement(Comm& comm, const R& r, std::span<T> data, const options& how,
                               Use&& use) {
  if constexpr (observes_own<R, T>) {
    const auto numbers =
        detail::agreed_numbers(comm, r, data.size(), how, [&](std::vector<double>& out) {
          r.observe(std::span<const T>{data}, std::span<double>{out});
        });
    const auto next = detail::exactly([&] { return r.agreed(std::span<const double>{numbers}); });
    return detail::after_agreement(comm, next, data, how, use);
  } else {
    return use(r);
  }
}

/// One reduction, prepared: what every reducing collective does before data moves. Ends with
/// use(make), make() being the operation that does it. `given` is the reducer that all ranks were given,
/// `r` what is left of it when its agreements are made. `weights` are those of all ranks, where they know
/// them already.
template <collective What, class T, class Given, class R, class Topology, class Codec, class Comm, class Use>
decltype(auto) prepare(const char* call, Comm& comm, const call_data& data, int root, const Given& given,
                       const R& r, const Topology& topology, const Codec& codec, const options& how,
                       Use&& use, std::span<const double> weights = {}) {
  task work{.call = call,
            .math = detail::arithmetic_of<T>(r, codec),
            .in = data.own,
            .out = data.own,
            .total = double(comm.size())};
  if constexpr (is_weighted<R>) {
    if (weights.empty())
      detail::agree_on_weights<R>(comm, how, work);
    else
      detail::take_weights<R>(work, weights, comm.rank());
  }
  constexpr bool must_meet =
      needs_every_contribution<R, T> || Codec::kind != codec_kind::exact;
  return detail::with_topology<What, must_meet>(
      topology, comm, data.bytes, [&](const auto& t) -> decltype(auto) {
        using topology_type = std::remove_cvref_t<decltype(t)>;
        work.word = detail::word_of<number_of<What>, T>(root, given, t, codec);
        work.name = &name_of_reduction<What, T, Given, topology_type, Codec>;
        const auto by_messages = [&]() -> decltype(auto) {
          return use([&] {
            return execution<Comm>{comm,
                                   detail::plan_for(comm, t, What, root, data.n,
                                                    topology_type::gathers, work.math),
                                   std::move(work), how};
          });
        };
        if constexpr (asks_for_traffic<Comm>)
          work.sent = tutti::traffic_of(t, What, root, detail::layout_of(comm), data.n);
        if constexpr (Codec::kind == codec_kind::exact && works_in_shared_memory<topology_type>)
          return detail::without_messages(comm, What, root, data, work, how, use, by_messages);
        else
          return by_messages();
      });
}

/// Agreements on what shows only in all contributions to a shard, then the reducer itself.
template <class Comm, class R, class T>
void unite_after_agreement(Comm& comm, const R& r, gathered_rows<T> rows, std::size_t first, T* out,
                           std::size_t n, const options& how, const task& weighed) {
  if constexpr (observes_gathered<R, T>) {
    const auto numbers = detail::agreed_numbers(comm, r, n, how, [&](std::vector<double>& seen) {
      if (rows.n > 0) r.observe_gathered(rows, first, std::span<double>{seen});
    });
    const auto next = detail::exactly([&] { return r.agreed(std::span<const double>{numbers}); });
    detail::unite_after_agreement(comm, next, rows, first, out, n, how, weighed);
  } else if (rows.n > 0) {
    static constexpr identity exact{};
    const arithmetic math = detail::arithmetic_of<T>(r, exact);
    std::vector<const std::byte*> in;
    for (const T* row : rows.rows) in.push_back(reinterpret_cast<const std::byte*>(row));
    math.unite(math, in, weighed.weights, reinterpret_cast<std::byte*>(out), rows.n, first,
               weighed.total);
  }
}

/// For reducers that must see all contributions before they can say what to do with them: collect,
/// agree, unite, and hand the result on.
template <collective What, class T, class R, class Topology, class Codec, class Comm>
void reduce_gathered(const char* call, Comm& comm, std::span<T> data, int root, const R& r,
                     const Topology& topology, const Codec& codec, const options& how) {
  const operations::visit now{comm.in_flight(), call, comm.rank()};
  static_assert(Codec::kind == codec_kind::exact,
                "tutti: a reducer that compares whole contributions takes them as they are - use "
                "tutti::identity");
  constexpr bool scatters = What == collective::reduce_scatter ||
                            (What == collective::all_reduce &&
                             carries_or_default<Topology>(collective::reduce_scatter));
  constexpr collective first = scatters ? collective::reduce_scatter : collective::reduce;
  constexpr collective second = scatters ? collective::all_gather : collective::broadcast;
  task weighed{.call = call, .total = double(comm.size())};
  if constexpr (is_weighted<working_reducer_t<R>>)
    detail::agree_on_weights<working_reducer_t<R>>(comm, how, weighed);
  detail::with_topology<first, true>(topology, comm, data.size_bytes(), [&](const auto& t) {
    auto collect = detail::made(comm, [&] {
      task work;
      work.call = call;
      work.word = detail::word_of<number_of<What>, T>(root, r, t, codec);
      work.name = &name_of_reduction<What, T, R, std::remove_cvref_t<decltype(t)>, Codec>;
      work.math = detail::copying(sizeof(T)); // rows are kept as they come
      work.out = reinterpret_cast<std::byte*>(data.data());
      work.in = work.out;
      work.keep_gathered = true;
      auto plan = detail::plan_for(comm, t, first, root, data.size(), true, work.math);
      return execution<Comm>{comm, std::move(plan), std::move(work), how};
    });
    detail::run_now(comm, collect);
    detail::made(comm, [&] {
      const auto got = collect.gathered();
      std::vector<const T*> rows;
      for (const std::byte* row : got.rows) rows.push_back(reinterpret_cast<const T*>(row));
      detail::unite_after_agreement<Comm, R, T>(comm, r, {rows, got.where.count}, got.where.offset,
                                                data.data() + got.where.offset, data.size(), how,
                                                weighed);
    });
    if constexpr (What == collective::all_reduce) {
      detail::start_copy<second>(call, comm, data, root, detail::runs_now(comm), {}, t, how);
    }
  });
}

template <collective What, class Comm, class In, class Data, class... Parts>
void reduce_now(const char* call, Comm& comm, const In& in, Data& given_data, int root,
                Parts&&... given) {
  using T = element_of<Data>;
  using parts = call_parts<Parts...>;
  detail::explain<known_parts_sentences<Parts...>, call_sentences<Parts...>>();
  using R = typename parts::reducer;
  using Topology = typename parts::topology;
  using Codec = typename parts::codec;
  if constexpr (valid_reduction<What, Topology, R, Codec, T>()) {
    const buffer<T> data = detail::buffer_of(given_data);
    const R& r = detail::pick<reducer_part, R>(given...);
    const Topology& topology = detail::pick<topology_part, Topology>(given...);
    const Codec& codec = detail::pick<codec_part, Codec>(given...);
    const options& how = detail::pick<options_part, options>(given...);
    detail::check_call<Comm, T, R, Topology, Codec>(
        comm, call, data.values.size(), root,
        detail::reduction_objection<Parts...>(comm, topology, r, data, in, root, how));
    in.copy_to(data.bytes());
    if constexpr (observes_gathered<R, T>) {
      detail::reduce_gathered<What, T>(call, detail::stationary(comm), data.values, root, r, topology,
                                       codec, how);
    } else {
      detail::after_agreement(comm, r, data.values, how, [&](const auto& working) {
        detail::prepare<What, T>(call, detail::stationary(comm), detail::data_of(data), root, r, working,
                                 topology, codec, how, detail::runs_now(comm));
      });
    }
  } else {
    detail::explain_reduction<What, Topology, R, Codec, T>();
  }
}

/// The same, where what was handed over can be used.
template <collective What, class Comm, class Data, class... Parts>
void reduce_checked(const char* call, Comm& comm, Data&& data, int root, Parts&&... parts) {
  if constexpr (can_use<handed<as::result, Data>>)
    detail::reduce_now<What>(call, comm, in_place{}, data, root, parts...);
  else
    detail::explain_data<handed<as::result, Data>>();
}

/// all_reduce(comm, in, out, parts...).
template <class Comm, class In, class Out, class... Parts>
void all_reduce_beside(Comm& comm, In&& in, Out&& out, Parts&&... parts) {
  if constexpr (can_use<handed<as::input, In>, handed<as::result, Out>>)
    detail::reduce_now<collective::all_reduce>(
        "all_reduce", comm, beside<element_of<Out>>{detail::input_of(in)}, out, 0, parts...);
  else
    detail::explain_data<handed<as::input, In>, handed<as::result, Out>>();
}

} // namespace detail

template <communicator Comm, class Data, class... Rest>
void all_reduce(Comm& comm, Data&& data, Rest&&... rest) {
  if constexpr (detail::data_follows<Data, Rest...>)
    detail::all_reduce_beside(comm, std::forward<Data>(data), std::forward<Rest>(rest)...);
  else
    detail::reduce_checked<collective::all_reduce>("all_reduce", comm, std::forward<Data>(data), 0,
                                                   rest...);
}

template <communicator Comm, class Data, class... Parts>
auto reduce_scatter(Comm& comm, Data&& data, Parts&&... parts) {
  detail::reduce_checked<collective::reduce_scatter>("reduce_scatter", comm, std::forward<Data>(data), 0,
                                                     parts...);
  if constexpr (detail::handed<detail::as::result, Data>::value) {
    const std::span values = detail::buffer_of(data).values;
    const shard mine = shard_of(values.size(), comm.rank(), comm.size());
    return values.subspan(mine.begin, mine.end - mine.begin);
  }
}

template <communicator Comm, class Data, class... Parts>
void reduce(Comm& comm, Data&& data, int root = 0, Parts&&... parts) {
  detail::reduce_checked<collective::reduce>("reduce", comm, std::forward<Data>(data), root, parts...);
}

} // namespace tutti
