// The K-way reduction kernel against the host's reducers, bit for bit.
#include "cuda/kernels.hpp"

#include <tutti/codecs/identity.hpp>
#include <tutti/collectives/arithmetic.hpp>
#include <tutti/core/random.hpp>
#include <tutti/cuda/runtime.hpp>
#include <tutti/reducers/elementary.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace {

const std::vector<std::size_t> lengths{0,  1,  3,   7,   15,  16,   17,   31,
                                       32, 33, 255, 256, 257, 1023, 1025, 10007};

template <class T>
kernels::reduction<T> random_rows(int k, std::size_t n, std::size_t offset, double total) {
  using A = tutti::accumulator_t<T>;
  kernels::reduction<T> rows{{}, offset, total};
  const A special[] = {A(0), -A(0), std::numeric_limits<A>::infinity(),
                       std::numeric_limits<A>::denorm_min(), std::numeric_limits<A>::quiet_NaN()};
  for (int r = 0; r < k; ++r) {
    tutti::random_stream random{std::uint64_t(n), std::uint32_t(k), std::uint64_t(r)};
    std::vector<T> row;
    for (std::size_t i = 0; i < n; ++i) {
      const A x = A(random.uniform() - 0.5f) * A(1 << (i % 11));
      row.push_back(tutti::element_cast<T>(random.below(97) == 0 ? special[random.below(5)] : x));
    }
    rows.in.push_back(std::move(row));
  }
  return rows;
}

/// What the reducers `sum` and `mean` make of the rows in collectives.
template <class T>
std::vector<T> by_collectives(const kernels::reduction<T>& rows) {
  static constexpr tutti::identity exact{};
  static constexpr tutti::sum sum{};
  static constexpr tutti::mean mean{};
  const auto math = rows.total == 1 ? tutti::detail::arithmetic_of<T>(sum, exact)
                                    : tutti::detail::arithmetic_of<T>(mean, exact);
  std::vector<const std::byte*> in;
  for (const auto& row : rows.in) in.push_back(reinterpret_cast<const std::byte*>(row.data()));
  std::vector<T> out(rows.in[0].size());
  math.unite(math, in, {}, reinterpret_cast<std::byte*>(out.data()), out.size(), 0, rows.total);
  return out;
}

/// The first element whose bits differ, NaN being equal to NaN; the length when there is none.
template <class T>
std::size_t first_difference(const std::vector<T>& a, const std::vector<T>& b) {
  using A = tutti::accumulator_t<T>;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const A x = tutti::element_cast<A>(a[i]), y = tutti::element_cast<A>(b[i]);
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0 && (x == x || y == y)) return i;
  }
  return a.size();
}

/// Empty when run(rows) has the bits that collectives give.
template <class T, class Run>
std::string compared(const kernels::reduction<T>& rows, Run&& run) {
  const std::size_t n = rows.in[0].size();
  const std::size_t i = first_difference(run(rows), by_collectives(rows));
  if (i == n) return {};
  return "K " + std::to_string(rows.in.size()) + ", n " + std::to_string(n) + ", offset " +
         std::to_string(rows.offset) + (rows.uneven ? ", uneven" : "") + ": element " +
         std::to_string(i);
}

template <class T, class Run>
void check_all(Run&& run, const char* where) {
  std::string wrong;
  const auto check = [&](const kernels::reduction<T>& rows) {
    if (const std::string found = compared(rows, run); !found.empty()) wrong = found;
  };
  for (const int k : {1, 2, 3, 5, 8, 16})
    for (const std::size_t n : lengths)
      for (const std::size_t offset : {0, 1, 2, 3})
        for (const double total : {1.0, double(k)}) {
          auto rows = random_rows<T>(k, n, offset, total);
          check(rows);
          rows.uneven = true;
          check(rows);
        }
  check(random_rows<T>(3, (std::size_t{1} << 20) + 3, 1, 3));
  BOOST_CHECK_MESSAGE(wrong.empty(), tutti::element_name<T> << " on the " << where << ": " << wrong);
}

template <class T>
void check_host() {
  check_all<T>([](const auto& rows) { return rows.on_host(); }, "host");
}
template <class T>
void check_device() {
  check_all<T>([](const auto& rows) { return rows.on_device(); }, "device");
}

} // namespace

BOOST_AUTO_TEST_SUITE(cuda)

BOOST_AUTO_TEST_CASE(the_body_on_the_host_equals_the_collectives_bit_for_bit) {
  check_host<float>();
  check_host<double>();
  check_host<tutti::bfloat16>();
  check_host<tutti::half>();
}

BOOST_AUTO_TEST_CASE(too_many_contributions_are_refused) {
  const auto refused = [](int k) {
    try {
      random_rows<float>(k, 4, 0, 1).on_host();
    } catch (const tutti::error& e) {
      return e.code() == tutti::error_code::invalid_argument &&
             std::string{e.what()}.find("17 contributions were given - give 1 to 16") !=
                 std::string::npos;
    }
    return false;
  };
  BOOST_CHECK(refused(17));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cuda_device)

BOOST_AUTO_TEST_CASE(the_kernel_equals_the_collectives_bit_for_bit) {
  if (tutti::cuda::device_count() == 0) {
    std::puts("skipped: there is no GPU here");
    return;
  }
  check_device<float>();
  check_device<double>();
  check_device<tutti::bfloat16>();
  check_device<tutti::half>();
}

BOOST_AUTO_TEST_SUITE_END()
