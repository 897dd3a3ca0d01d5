// Which jobs the executor's tests draw.
#include "jobs.hpp"

namespace adversary {

namespace {

std::size_t draw_length(tutti::random_stream& random, int size) {
  const auto p = std::size_t(size);
  const std::size_t lengths[] = {0, 1, p - 1, p, p + 1, 2 * p + 1, 3 * p, 40};
  const auto k = random.below(12);
  return k < 8 ? lengths[k] : k < 10 ? 2 * p : random.below(60);
}

std::unique_ptr<job> draw_reduction(tutti::random_stream& random, const shape& s) {
  using tutti::bfloat16;
  using narrow = tutti::cast<bfloat16>;
  if (s.topology.meets() && random.below(3) == 0) {
    if (random.below(2) == 0)
      return std::make_unique<reduction<float, medians, tutti::identity>>(s);
    return std::make_unique<reduction<float, medians, narrow>>(s);
  }
  switch (random.below(7)) {
  case 0:
    return std::make_unique<reduction<float, sums, tutti::identity>>(s);
  case 1:
    return std::make_unique<reduction<float, sums, narrow>>(s);
  case 2:
    return std::make_unique<reduction<float, means, tutti::identity>>(s);
  case 3:
    return std::make_unique<reduction<float, means, narrow>>(s);
  case 4:
    return std::make_unique<reduction<float, largest, tutti::identity>>(s);
  case 5:
    return std::make_unique<reduction<bfloat16, means, tutti::identity>>(s);
  default:
    return std::make_unique<reduction<std::int32_t, sums, tutti::identity>>(s);
  }
}

} // namespace

std::unique_ptr<job> draw_job(tutti::random_stream& random, int size) {
  shape s;
  s.size = size;
  s.root = random.below(2) == 0 ? 0 : int(random.below(std::uint32_t(size)));
  s.n = draw_length(random, size);
  s.seed = random();
  const auto kind = random.below(20);
  if (kind == 0) return std::make_unique<barrier>(size);
  if (kind <= 3) return std::make_unique<block_copy>(blocks(kind - 1), s);
  do {
    s.what = tutti::all_collectives[random.below(5)];
    s.topology.kind = int(random.below(any_topology::count + 3));
  } while (!s.topology.carried(s.what));
  if (s.what == collective::all_gather || s.what == collective::broadcast)
    return std::make_unique<copy>(s);
  return draw_reduction(random, s);
}

} // namespace adversary
