// What is handed over to a call: one value, a result beside its contribution, complex numbers,
// 16-bit integers, structs under a reducer of the user's own; and buffers that overlap, as they may
// and as they may not. Templates on the communicator: the same code runs on threads and under MPI.
#pragma once

#include "collectives/matrix.hpp"
#include "communicators/conformance.hpp"

#include <tutti/collectives/collectives.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/ring.hpp>

#include <array>
#include <complex>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace handed {

using conformance::failure_of;
using conformance::told;
using matrix::patient;

/// A struct of a size that no cache line is a multiple of.
struct nearest {
  float distance;
  int rank;
  int index;
  bool operator==(const nearest&) const = default;
};

/// The least distance and where it is; of equal ones the lowest rank.
struct least_distance {
  using part = tutti::reducer_part;
  template <class A> constexpr A identity() const {
    return {std::numeric_limits<float>::infinity(), std::numeric_limits<int>::max(), 0};
  }
  template <class A> constexpr A combine(A a, A b) const {
    if (a.distance != b.distance) return a.distance < b.distance ? a : b;
    return a.rank < b.rank ? a : b;
  }
};

/// So long that a block of 256 would be no block any more.
struct moments {
  std::array<double, 100> of;
  bool operator==(const moments&) const = default;
};
struct sum_of_moments {
  using part = tutti::reducer_part;
  template <class A> constexpr A identity() const { return {}; }
  template <class A> constexpr A combine(A a, const A& b) const {
    for (std::size_t k = 0; k < a.of.size(); ++k) a.of[k] += b.of[k];
    return a;
  }
};

/// What fits a line, what fits a slot, what goes in place or through stages, with a rest.
inline constexpr std::size_t lengths[] = {1, 2, 100, 20001};

/// Whether each element is what the first one has to be; on every topology, and in every form.
template <class T, class R, class Comm, class Make, class Wanted>
void reduces(Comm& comm, report& r, const std::string& name, Make&& make, Wanted&& wanted,
             R reducer = {}) {
  const auto on = [&](const char* where, auto... topology) {
    for (const std::size_t n : lengths) {
      std::vector<T> given(n), out(n);
      for (std::size_t i = 0; i < n; ++i) given[i] = make(comm.rank(), int(i % 7));
      const auto is_right = [&](const std::vector<T>& got) {
        for (std::size_t i = 0; i < n; ++i)
          if (!(got[i] == wanted(comm.size(), int(i % 7)))) return false;
        return true;
      };
      const auto label = [&] { return name + " on " + where + " n=" + std::to_string(n); };
      auto data = given;
      tutti::all_reduce(comm, data, reducer, topology..., patient());
      r.check(is_right(data), label);
      const auto& read_only = given;
      tutti::all_reduce(comm, read_only, out, reducer, topology..., patient());
      r.check(is_right(out), [&] { return label() + ", beside"; });
      data = given;
      tutti::all_reduce(comm, data, data, reducer, topology..., patient());
      r.check(is_right(data), [&] { return label() + ", beside itself"; });
      out.assign(n, T{});
      tutti::async_all_reduce(comm, read_only, out, reducer, topology..., patient()).wait();
      r.check(is_right(out), [&] { return label() + ", beside, async"; });
      auto again = tutti::persistent_all_reduce(comm, std::span{read_only}, out, reducer,
                                                topology..., patient());
      for (int k = 0; k < 3; ++k) {
        out.assign(n, T{});
        again.start();
        again.wait();
        r.check(is_right(out), [&] { return label() + ", beside, start " + std::to_string(k); });
      }
    }
  };
  on("the default");
  on("direct", tutti::direct{});
  on("ring", tutti::ring{});
  on("halving_doubling", tutti::halving_doubling{});
}

template <class Comm> void every_element(Comm& comm, report& r) {
  using wave = std::complex<float>;
  const int p = comm.size();
  reduces<wave, tutti::sum>(
      comm, r, "sum of complex floats", [](int rank, int i) { return wave(float(rank), float(i)); },
      [](int size, int i) { return wave(float(size * (size - 1) / 2), float(size * i)); });
  reduces<std::complex<double>, tutti::mean>(
      comm, r, "mean of complex doubles",
      [p](int rank, int i) { return std::complex<double>(rank * p, i); },
      [](int size, int i) { return std::complex<double>(size * (size - 1) / 2, i); });
  reduces<short, tutti::sum>(
      comm, r, "sum of shorts", [](int rank, int i) { return short(20000 * rank + i); },
      [](int size, int i) { return short(20000 * (size * (size - 1) / 2) + size * i); });
  reduces<long long, tutti::max>(
      comm, r, "max of long longs", [](int rank, int i) { return (1LL << 40) * rank + i; },
      [](int size, int i) { return (1LL << 40) * (size - 1) + i; });
  reduces<nearest, least_distance>(
      comm, r, "least distance",
      [](int rank, int i) {
        return nearest{float((rank + i) % 2), rank, i};
      },
      [](int size, int i) {
        const int rank = i % 2 == 0 || size == 1 ? 0 : 1;
        return nearest{float((rank + i) % 2), rank, i};
      });
  reduces<moments, sum_of_moments>(
      comm, r, "moments",
      [](int rank, int i) {
        moments m;
        for (std::size_t k = 0; k < m.of.size(); ++k) m.of[k] = double(rank) * double(k) + i;
        return m;
      },
      [](int size, int i) {
        moments m;
        for (std::size_t k = 0; k < m.of.size(); ++k)
          m.of[k] = size * (size - 1) / 2 * double(k) + size * i;
        return m;
      });
}

/// One value is data of one element, in every call.
template <class Comm> void one_value(Comm& comm, report& r) {
  const int rank = comm.rank(), p = comm.size(), sum = p * (p - 1) / 2;
  float loss = float(rank * p);
  tutti::all_reduce(comm, loss, tutti::mean{}, patient());
  r.check(loss == float(sum), "the mean of one value");
  int total = -1;
  tutti::all_reduce(comm, rank, total, patient());
  r.check(total == sum, "the sum of one value, beside it");
  tutti::async_all_reduce(comm, rank, total, tutti::max{}, patient()).wait();
  r.check(total == p - 1, "the max of one value, async");
  nearest best{float(p - rank), rank, 7};
  tutti::all_reduce(comm, best, least_distance{}, patient());
  r.check(best == nearest{1, p - 1, 7}, "the nearest");
  nearest told = best;
  if (rank != 0) told = {};
  tutti::broadcast(comm, told, 0, patient());
  r.check(told == best, "a struct that is broadcast");
  int at_root = rank;
  tutti::reduce(comm, at_root, p - 1, patient());
  r.check(rank != p - 1 || at_root == sum, "one value that is reduced");
  std::vector<int> all(std::size_t(p), -1);
  const auto is_ranks = [&] {
    for (int k = 0; k < p; ++k)
      if (all[std::size_t(k)] != k) return false;
    return true;
  };
  tutti::all_gather(comm, rank, all, patient());
  r.check(is_ranks(), "one value of each rank");
  all.assign(std::size_t(p), -1);
  tutti::async_all_gather(comm, rank, all, patient()).wait();
  r.check(is_ranks(), "one value of each rank, async");
  all.assign(std::size_t(p), -1);
  tutti::gather(comm, rank, all, p - 1, patient());
  r.check(rank != p - 1 || is_ranks(), "one value of each rank at the root");
  int mine = -1;
  tutti::scatter(comm, all, mine, p - 1, patient());
  r.check(mine == rank, "one value from the root");
}

/// This rank's block may stand in its place in the whole.
template <class Comm> void in_its_place(Comm& comm, report& r) {
  constexpr std::size_t n = 5;
  const auto me = std::size_t(comm.rank()), p = std::size_t(comm.size());
  const int root = comm.size() - 1;
  const auto each = [&](auto&& check) {
    for (std::size_t k = 0; k < n * p; ++k)
      if (!check(k)) return false;
    return true;
  };
  std::vector<int> all(n * p);
  const std::span mine = std::span{all}.subspan(me * n, n);
  const auto fill = [&] {
    all.assign(n * p, -1);
    for (std::size_t k = 0; k < n; ++k) mine[k] = int(me * n + k);
  };
  const auto is_whole = [&] { return each([&](std::size_t k) { return all[k] == int(k); }); };
  fill();
  tutti::all_gather(comm, mine, all, patient());
  r.check(is_whole(), "all_gather of a block in its place");
  fill();
  tutti::gather(comm, mine, all, root, patient());
  r.check(comm.rank() != root || is_whole(), "gather of a block in its place");
  const std::vector<int> whole = all;
  tutti::scatter(comm, all, mine, root, patient());
  r.check(comm.rank() != root || all == whole, "scatter to a block in its place");
  r.check(comm.rank() == root || mine[1] == int(me * n + 1), "scatter from a block in its place");
}

/// Overlaps that would come out wrong; each on a communicator of its own, which is revoked.
inline constexpr const char* overlaps[] = {
    "all_to_all",     "async_all_to_all", "all_to_all shifted",   "gather",     "async_gather",
    "gather shifted", "scatter",          "async_scatter",        "all_gather", "async_all_gather",
    "all_reduce",     "async_all_reduce", "persistent_all_reduce"};

template <class Comm> void overlapping(Comm& comm, report& r, std::size_t which) {
  constexpr std::size_t n = 3;
  const auto me = std::size_t(comm.rank()), p = std::size_t(comm.size());
  if (p == 1 && which != 2) return; // the only block is in its place
  const int root = comm.size() - 1;
  std::vector<int> memory(n * (p + 1), 1);
  const std::span<int> all = std::span{memory}.first(n * p);
  const std::span<const int> read{all};
  const std::span<int> other = all.subspan((me + 1) % p * n, n);
  const std::span<int> shifted = std::span{memory}.subspan(me * n + 1, n);
  const auto how = patient();
  const auto call = [&] {
    switch (which) {
    case 0:
      return tutti::all_to_all(comm, read, all, how);
    case 1:
      return tutti::async_all_to_all(comm, all, all, how).wait();
    case 2:
      return tutti::all_to_all(comm, all, std::span{memory}.subspan(1, n * p), how);
    case 3:
      return tutti::gather(comm, other, all, root, how);
    case 4:
      return tutti::async_gather(comm, other, all, root, how).wait();
    case 5:
      return tutti::gather(comm, shifted, all, root, how);
    case 6:
      return tutti::scatter(comm, all, other, root, how);
    case 7:
      return tutti::async_scatter(comm, read, shifted, root, how).wait();
    case 8:
      return tutti::all_gather(comm, other, all, how);
    case 9:
      return tutti::async_all_gather(comm, shifted, all, how).wait();
    case 10:
      return tutti::all_reduce(comm, read.first(n), all.subspan(1, n), how);
    case 11:
      return tutti::async_all_reduce(comm, read.subspan(1, n), all.first(n), how).wait();
    default: {
      auto again = tutti::persistent_all_reduce(comm, read.first(n), all.subspan(n - 1, n), how);
      again.start();
      again.wait();
    }
    }
  };
  const auto got = failure_of([&] {
    call();
    tutti::barrier(comm, how); // a rank that sends to the one that objects may be done by then
  });
  const bool whole = got.what.detail.find("give two buffers") != std::string::npos,
             block = got.what.detail.find("give memory apart from the whole") != std::string::npos,
             result =
                 got.what.detail.find("give the same memory, or two buffers") != std::string::npos;
  r.check(got.failed && got.what.code == tutti::error_code::invalid_argument &&
              (which < 3    ? whole
               : which < 10 ? block
                            : result),
          [&] { return std::string{overlaps[which]} + ": refused on every rank - " + told(got); });
}

template <class Comm> void lengths_that_differ(Comm& comm, report& r) {
  const std::vector<float> in(5);
  std::vector<float> out(4);
  const auto got = failure_of([&] { tutti::all_reduce(comm, in, out, patient()); });
  r.check(got.failed && got.what.code == tutti::error_code::invalid_argument &&
              got.what.detail.find("5 elements are given and there is room for 4") !=
                  std::string::npos,
          [&] { return "a result that is too short is refused - " + told(got); });
}

} // namespace handed
