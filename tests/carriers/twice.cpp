// Messages that are delivered twice: what each (worker, clock) asks for is done once.
#include "training/small.hpp"

#include <tutti/carriers/sparse_table.hpp>

#include <cstdint>
#include <cstring>

BOOST_AUTO_TEST_SUITE(messages_that_come_twice)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::floats;
using small_model::on;
using keys = std::vector<std::uint64_t>;

template <class Handle>
struct both {
  Handle one, other;
  bool test() {
    const bool first = one.test();
    return other.test() && first;
  }
  bool take_back() {
    const bool first = tutti::detail::take_back(one);
    return tutti::detail::take_back(other) && first;
  }
  int waiting_for() const { return one.waiting_for() < 0 ? other.waiting_for() : one.waiting_for(); }
};

/// Whatever a worker asks of servers is sent twice, but for its last word.
template <class Inner>
class delivering_twice : public tutti::decorator<Inner> {
public:
  delivering_twice(Inner&& inner, int* twice) : tutti::decorator<Inner>{std::forward<Inner>(inner)}, twice_{twice} {}

  template <class Execution>
  auto exchange(Execution execution, tutti::channel on, const tutti::exchange_round& round) {
    using handle = decltype(this->inner_.exchange(execution, on, round));
    handle once = this->inner_.exchange(execution, on, round);
    const bool again = this->rank() != 0 && on >= tutti::operations::channel_count && asks(round);
    if (again) ++*twice_;
    return both<handle>{std::move(once), this->inner_.exchange(execution, on, again ? round : tutti::exchange_round{})};
  }

private:
  static bool asks(const tutti::exchange_round& round) {
    std::uint64_t kind = 0;
    if (round.sends.size() < 2 || round.sends[0].bytes.size() < sizeof kind) return false;
    std::memcpy(&kind, round.sends[0].bytes.data(), sizeof kind);
    return kind == 1 || kind == 2; // a push with or without a gradient; a pull or a push of rows
  }
  int* twice_;
};
template <class Inner>
delivering_twice(Inner&&, int*) -> delivering_twice<Inner>;

/// What two workers on one server come to in five steps, one of them left out, if each counts once.
template <class Policy>
void counts_once(const char* name, const Policy& policy) {
  int twice[3] = {};
  const auto got = on(3, [&](auto& world) {
    delivering_twice comm{world, &twice[world.rank()]};
    floats values(4);
    tutti::strategy strategy{comm, tutti::star{.servers = 1, .dedicated = true}, tutti::sum{}, policy};
    auto trainer =
        strategy.bind(values, by_one, tutti::training_options{.non_finite = tutti::non_finite::skip});
    if (trainer.role() == tutti::role::server) trainer.serve();
    for (int step = 0; step < 5 && trainer.role() != tutti::role::server; ++step)
      trainer.step(floats(4, world.rank() == 2 && step == 2 ? NAN : -1.f));
    trainer.finalize();
    return values;
  });
  BOOST_CHECK_MESSAGE(twice[1] == 5 && twice[2] == 5, name << ": " << twice[1] << " and " << twice[2] << " came twice");
  expect_all(name, got, floats(4, 9));
}

} // namespace

BOOST_AUTO_TEST_CASE(a_push_is_applied_once) {
  counts_once("in lockstep", tutti::asynchronous{.staleness = 0});
  counts_once("without a bound", tutti::asynchronous{});
  counts_once("with all workers", tutti::backup_workers{.spare = 0});
}

BOOST_AUTO_TEST_CASE(rows_are_pushed_and_pulled_once) {
  int twice[3] = {};
  const auto got = on(3, [&](auto& world) {
    delivering_twice comm{world, &twice[world.rank()]};
    tutti::sparse_table table{comm, tutti::star{.servers = 1, .dedicated = true}, by_one, tutti::sparse_options{}};
    floats rows(2);
    if (table.role() == tutti::role::server) table.serve();
    for (int k = 0; k < 4 && table.role() != tutti::role::server; ++k) {
      table.push(keys{7, std::uint64_t(10 + world.rank())}, floats{-1, -1});
      table.pull(keys{7, std::uint64_t(10 + world.rank())}, rows);
    }
    table.finish();
    if (table.role() != tutti::role::server) table.pull(keys{7}, std::span{rows}.first(1));
    table.finish();
    return rows;
  });
  BOOST_CHECK_MESSAGE(twice[1] == 9 && twice[2] == 9, twice[1] << " and " << twice[2] << " requests came twice");
  expect_all("a row of both, and one of its own", {got[1], got[2]}, {8, 4});
}

BOOST_AUTO_TEST_SUITE_END()
