// Buckets: how many bytes travel together, the first of them fewer.
#include "training/small.hpp"

BOOST_AUTO_TEST_SUITE(buckets)

namespace {

using small_model::floats;
using small_model::on;

/// Exchanges of a step of seven tensors of 16 bytes, on a schedule of one round.
template <class Topology>
std::uint64_t exchanges(const tutti::training_options& how, const Topology& topology) {
  return on(2, [&](auto& world) {
    tutti::counted comm{world};
    small_model::tensors<> m{{"a", "b", "c", "d", "e", "f", "g"}, std::vector<floats>(7, floats(4))};
    tutti::strategy strategy{comm, topology};
    auto trainer = strategy.bind(m.parameters(), small_model::by_one, how);
    comm.reset();
    trainer.step(small_model::gradients(m.values));
    const std::uint64_t one = comm.sent().exchanges;
    trainer.step(small_model::gradients(m.values));
    small_model::must_equal(comm.sent().exchanges, 2 * one, "exchanges of two steps");
    return one;
  })[0];
}

} // namespace

BOOST_AUTO_TEST_CASE(the_first_bucket_may_be_shorter) {
  const tutti::one_shot once{};
  const std::uint64_t whole = exchanges({.bucket_bytes = 1000}, once); // all in one, and what goes beside it
  BOOST_CHECK_EQUAL(exchanges({}, once), whole);
  BOOST_CHECK_EQUAL(exchanges({.bucket_bytes = 48}, once), whole + 2);                            // 3 3 1
  BOOST_CHECK_EQUAL(exchanges({.bucket_bytes = 48, .first_bucket_bytes = 16}, once), whole + 2);  // 1 3 3
  BOOST_CHECK_EQUAL(exchanges({.bucket_bytes = 48, .first_bucket_bytes = 1}, once), whole + 2);   // the same
  BOOST_CHECK_EQUAL(exchanges({.bucket_bytes = 32, .first_bucket_bytes = 16}, once), whole + 3);  // 1 2 2 2
  BOOST_CHECK_EQUAL(exchanges({.bucket_bytes = 16, .first_bucket_bytes = 96}, once), whole + 1);  // 6 1
}

BOOST_AUTO_TEST_SUITE_END()
