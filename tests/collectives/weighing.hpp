// Weighted means at the ends of what weights can be, in every way in which a reduction is carried
// out: by messages, in slots, in place, through stages, attached; folded on the way or gathered;
// encoded.
#pragma once

#include "communicators/report.hpp"

#include <tutti/tutti.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace weighing {

/// What the odd ranks hold: nothing of it may be seen.
template <class T> T rubbish(std::size_t i) {
  constexpr float all[] = {std::numeric_limits<float>::quiet_NaN(),
                           std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity(), 7.0f};
  return T(all[i % 4]);
}

/// Of ranks that weigh w, and odd ones that weigh nothing. All that counts is threes, and so is the
/// mean.
template <class T, class Comm, class Call>
void threes(Comm& comm, report& r, const std::string& how, std::size_t n, double w, Call&& call) {
  const bool counts = comm.rank() % 2 == 0;
  std::vector<T> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = counts ? T(3.0f) : rubbish<T>(i);
  const tutti::options options{.weight = counts ? w : 0.0};
  const tutti::shard there = call(x, options);
  bool right = true;
  std::size_t at = 0;
  for (std::size_t i = there.begin; i < there.end; ++i)
    if (right && !(std::abs(float(x[i]) - 3.0f) < 0.02f)) right = false, at = i;
  r.check(right, [&] {
    return how + " of " + std::string{tutti::element_name<T>} + ", n = " + std::to_string(n) +
           ", weight " + std::to_string(std::log10(w)) + " (log10): element " + std::to_string(at) +
           " is " + std::to_string(float(x[at])) + " instead of 3";
  });
}

template <class T, class Comm, class... Parts>
void all_reduced(Comm& comm, report& r, const std::string& on, std::size_t n, double w,
                 Parts... parts) {
  threes<T>(comm, r, "all_reduce on " + on, n, w, [&](auto& x, const tutti::options& how) {
    tutti::all_reduce(comm, x, tutti::weighted_mean{}, parts..., how);
    return tutti::shard{0, x.size()};
  });
}

/// In every way that there is to get there.
template <class T, class Comm> void every_way(Comm& comm, report& r, double w) {
  for (const std::size_t n : {std::size_t{1}, std::size_t{1000}}) {
    all_reduced<T>(comm, r, "ring", n, w, tutti::ring{});
    all_reduced<T>(comm, r, "recursive_doubling", n, w, tutti::recursive_doubling{});
    all_reduced<T>(comm, r, "halving_doubling", n, w, tutti::halving_doubling{});
    all_reduced<T>(comm, r, "binomial_tree", n, w, tutti::binomial_tree{});
    all_reduced<T>(comm, r, "direct", n, w, tutti::direct{});
    all_reduced<T>(comm, r, "star", n, w, tutti::star{});
    all_reduced<T>(comm, r, "ring, bfloat16", n, w, tutti::ring{}, tutti::cast<tutti::bfloat16>{});
    all_reduced<T>(comm, r, "direct, bfloat16", n, w, tutti::direct{},
                   tutti::cast<tutti::bfloat16>{});
  }
  for (const std::size_t n : {std::size_t{3}, std::size_t{200}, std::size_t{20000}}) {
    all_reduced<T>(comm, r, "the default topology", n, w); // slots, in place or stages
    all_reduced<T>(comm, r, "one_shot", n, w, tutti::one_shot{});
    const auto own = [&](std::size_t all) {
      return tutti::shard_of(all, comm.rank(), comm.size());
    };
    threes<T>(comm, r, "reduce_scatter", n, w, [&](auto& x, const tutti::options& how) {
      (void)tutti::reduce_scatter(comm, x, tutti::weighted_mean{}, how);
      return own(x.size());
    });
    threes<T>(comm, r, "reduce", n, w, [&](auto& x, const tutti::options& how) {
      tutti::reduce(comm, x, 0, tutti::weighted_mean{}, how);
      return tutti::shard{0, comm.rank() == 0 ? x.size() : 0};
    });
    threes<T>(comm, r, "async_all_reduce", n, w, [&](auto& x, const tutti::options& how) {
      tutti::async_all_reduce(comm, x, tutti::weighted_mean{}, how).wait();
      return tutti::shard{0, x.size()};
    });
    threes<T>(comm, r, "persistent_all_reduce", n, w, [&](auto& x, const tutti::options& how) {
      auto again = tutti::persistent_all_reduce(comm, x, tutti::weighted_mean{}, how);
      again.start();
      again.wait();
      return tutti::shard{0, x.size()};
    });
    threes<T>(comm, r, "all_reduce of a symmetric buffer", n, w,
              [&](auto& x, const tutti::options& how) {
                auto shared = comm.template allocate<T>(x.size());
                std::copy(x.begin(), x.end(), shared.span().begin());
                tutti::all_reduce(comm, shared, tutti::weighted_mean{}, how);
                std::copy(shared.span().begin(), shared.span().end(), x.begin());
                return tutti::shard{0, x.size()};
              });
  }
}

/// Every element type, at weights that vanish in it, overflow in it, and ordinary ones.
template <class Comm> void every_element(Comm& comm, report& r) {
  for (const double w : {1e-46, 1e38, 3e38, 5.0, 1e308, 5e-324}) {
    every_way<float>(comm, r, w);
    if (w == 5.0) continue;
    all_reduced<double>(comm, r, "ring", 100, w, tutti::ring{});
    all_reduced<double>(comm, r, "direct", 100, w, tutti::direct{});
    all_reduced<tutti::half>(comm, r, "ring", 100, w, tutti::ring{});
    all_reduced<tutti::bfloat16>(comm, r, "direct", 100, w, tutti::direct{});
  }
  every_way<double>(comm, r, 5.0);
  every_way<tutti::half>(comm, r, 1e-46);
  every_way<tutti::bfloat16>(comm, r, 3e38);
}

} // namespace weighing
