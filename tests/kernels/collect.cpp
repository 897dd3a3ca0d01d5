// The body by which gradients become contributions, against the loops of the host.
#include "kernels/memory.hpp"

#include <tutti/kernels/collect.hpp>
#include <tutti/kernels/context.hpp>
#include <tutti/training/host_verbs.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <vector>

namespace collect_kernels {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;

constexpr std::size_t lanes = 64;

template <class G, class T>
void agrees(std::size_t n, std::size_t offset, bool adds, T factor, T divisor) {
  const auto values = random_values<G>(n, 3);
  const auto there = random_values<T>(n, 4);
  const guarded<G> in{values, offset};
  const guarded<T> out{there, offset};
  constexpr std::size_t length = 16 / (sizeof(G) < sizeof(T) ? sizeof(G) : sizeof(T));
  const std::size_t head = kernels::head_of(n, length, in.data(), out.data());
  kernels::run_on_host<lanes>(3, [&](auto& block) {
    kernels::collect(block, kernels::collected<G, T, T>{in.data(), out.data(), n, head, adds, factor, divisor});
  });
  std::vector<T> right = there;
  tutti::detail::collect_values(values.data(), right.data(), n, adds, factor, divisor);
  BOOST_CHECK_EQUAL(difference(out.values(), right), "");
  BOOST_CHECK(out.guards_hold());
}

BOOST_AUTO_TEST_SUITE(kernels_collect)

BOOST_AUTO_TEST_CASE(contributions_have_the_bits_of_the_host) {
  for (const std::size_t n : lengths)
    for (const std::size_t offset : {0, 1})
      for (const bool adds : {false, true})
        for (const float divisor : {1.f, 3.f}) {
          agrees<float, float>(n, offset, adds, divisor == 1 ? 1.f : .7f, divisor);
          agrees<tutti::bfloat16, float>(n, offset, adds, .7f, divisor);
          agrees<double, float>(n, offset, adds, .7f, divisor);
        }
  agrees<float, double>(1000, 1, true, .7, 3.);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace collect_kernels
