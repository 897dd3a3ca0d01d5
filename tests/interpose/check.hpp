// What the checks of the interposer share. They are a plain program of MPI's: it knows nothing of
// tutti, and has to be right under MPI alone, too. What it compares with it computes itself.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace check {

/// The next check; within 250 s it is over, or the program ends, naming it.
void begin(const char* name);

/// Says what is wrong, once or a few times a check.
void that(bool right, const std::string& what);

/// How often something was wrong on this rank.
int failures();

/// Whether the interposer serves this program, so that Open MPI's own bugs are out of the way.
extern bool served;

inline int rank_in(MPI_Comm comm) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  return rank;
}
inline int size_of(MPI_Comm comm) {
  int size = 0;
  MPI_Comm_size(comm, &size);
  return size;
}

/// So often a communicator is used before the interposer serves it.
inline constexpr int served_from = 64;
inline void use_often(MPI_Comm comm) {
  for (int k = 0; k < served_from; ++k) MPI_Barrier(comm);
}

enum class fold { sum, product, min, max };

struct operation {
  MPI_Op op;
  fold by;
  const char* name;
};
inline const std::vector<operation>& operations() {
  static const std::vector<operation> all = {{MPI_SUM, fold::sum, "sum"},
                                             {MPI_PROD, fold::product, "product"},
                                             {MPI_MIN, fold::min, "min"},
                                             {MPI_MAX, fold::max, "max"}};
  return all;
}

/// What a rank contributes: small numbers, of which sums and products are exact in every type.
template <class T> T value(int rank, int i, int salt = 0) {
  const int k = (rank * 5 + i * 3 + salt) % 6 - 2; // -2 ... 3
  return T(T(-1) < T(0) ? k : k + 2);
}
template <class T> std::vector<T> given(int rank, int n, int salt = 0) {
  std::vector<T> all(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) all[std::size_t(i)] = value<T>(rank, i, salt);
  return all;
}

template <class T> T folded(fold by, T a, T b) {
  switch (by) {
  case fold::sum:
    return T(a + b);
  case fold::product:
    return T(a * b);
  case fold::min:
    return a < b ? a : b;
  case fold::max:
    return a < b ? b : a;
  }
  return a;
}
template <class T> T reduced(fold by, int size, int i, int salt = 0) {
  T all = value<T>(0, i, salt);
  for (int r = 1; r < size; ++r) all = folded(by, all, value<T>(r, i, salt));
  return all;
}

/// What comes out behind it must not be touched.
template <class T> std::vector<T> room_for(int n) {
  return std::vector<T>(static_cast<std::size_t>(n) + 1, T(77));
}

/// The first n of got are the reduction from element `from` on, and what lies behind is as it was.
template <class T>
void is_reduced(const std::vector<T>& got, int n, fold by, int size, const std::string& what,
                int from = 0, int salt = 0) {
  for (int i = 0; i < n; ++i)
    if (got[std::size_t(i)] != reduced<T>(by, size, from + i, salt))
      return that(false, what + ": element " + std::to_string(i) + " of " + std::to_string(n) +
                             " is " + std::to_string(got[std::size_t(i)]) + ", not " +
                             std::to_string(reduced<T>(by, size, from + i, salt)));
  that(got.back() == T(77), what + ": wrote behind its end");
}

// The checks, each collective over MPI_COMM_WORLD.
void reductions();
void copies();
void communicators();
void requests();
void in_flight();
void at_random();
void refusals();
void doors();
void at_once();      ///< needs MPI_THREAD_MULTIPLE
void small_stacks(); ///< the same

// Each a program of its own.
void known_numbers_of_calls();
void no_memory(); ///< for the communicators that it makes
void mismatch();

} // namespace check
