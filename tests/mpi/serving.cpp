// The parameter server under MPI: its receives are in flight for as long as its trainer is there,
// which has to harm nobody - neither those who wait for something else, nor those who leave.
#include "communicators/conformance.hpp"
#include "mpi/on_mpi.hpp"

#include <tutti/tutti.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace {

/// Adds gradients up.
struct summing_up {
  static constexpr std::array<std::string_view, 0> slots{};
  template <class T>
  auto at(std::int64_t) const {
    return [](const tutti::rounding&, T& p, T g, T*) { p += g; };
  }
};

/// body(world, star, report) for servers that work and servers that do not, where ranks share
/// memory and by messages alone.
template <class Body>
void with_servers(const std::string& name, const Body& body) {
  for (const bool dedicated : {false, true})
    for (const bool shared : {true, false})
      on_mpi(name + (dedicated ? ", a dedicated server" : ", two servers") +
                 (shared ? ", in shared memory" : ", by messages"),
             [&](auto& world, report& r) {
               if (dedicated && world.size() == 1) return;
               body(world, tutti::star{.servers = dedicated ? 1 : (std::min)(2, world.size()),
                                       .dedicated = dedicated}, r);
             },
             {.shared_memory = shared, .progress_thread = may_have_threads()});
}

template <class Trainer>
bool works(const Trainer& trainer) {
  return trainer.role() != tutti::role::server;
}

} // namespace

BOOST_AUTO_TEST_SUITE(parameter_servers)

BOOST_AUTO_TEST_CASE(answer_from_within_other_waits_and_train_on_after_the_end) {
  with_servers("evaluation", [](auto& world, tutti::star servers, report& r) {
    // Long ranges are sent only when they are asked for.
    for (const std::size_t n : {std::size_t{40}, std::size_t{100'000}}) {
      std::vector<float> values(n), ones(n, 1.0f), pushed(1);
      tutti::strategy strategy{world, servers, tutti::sum{}, tutti::asynchronous{}};
      auto trainer = strategy.bind(values, summing_up{});
      for (int epoch = 0; epoch < 3; ++epoch) {
        for (int k = 0; works(trainer) && k < 3 + 2 * world.rank(); ++k, ++pushed[0])
          trainer.step(ones);
        std::vector<float> loss(2, 1.0f), all = pushed;
        if (epoch % 2 == 0)
          tutti::all_reduce(world, loss);
        else
          tutti::all_reduce(world, loss, tutti::ring{});
        r.check(loss[1] == float(world.size()), "a sum is wrong");
        if (epoch == 0) continue;
        tutti::all_reduce(world, all);
        trainer.finalize();
        r.check(values.front() == all[0] && values.back() == all[0], [&] {
          return "a value is " + std::to_string(values.back()) + " after " +
                 std::to_string(all[0]) + " pushes";
        });
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(that_are_dropped_without_the_end_leave_the_communicator_as_it_was) {
  with_servers("dropped", [](auto& world, tutti::star servers, report& r) {
    for (const int steps : {0, 3}) {
      for (int again = 0; again < 2; ++again) {
        std::vector<float> values(70'000), ones(70'000, 1.0f);
        tutti::strategy strategy{world, servers, tutti::asynchronous{}};
        auto trainer = strategy.bind(values, tutti::sgd{});
        for (int k = 0; works(trainer) && k < steps; ++k) trainer.step(ones);
        conformance::meet(world);
      }
      std::vector<int> meeting(1, 1);
      tutti::all_reduce(world, meeting);
      r.check(meeting[0] == world.size(), "a sum is wrong");
    }
  });
}

BOOST_AUTO_TEST_CASE(do_not_miss_who_leaves_after_the_end) {
  with_servers("leaving", [](auto& world, tutti::star servers, report& r) {
    const int last = world.size() - 1;
    auto rest = world.split(world.rank() == last && last > 0, 0);
    std::vector<float> values(20), ones(20, 1.0f);
    tutti::strategy strategy{world, servers, tutti::asynchronous{.staleness = 1}};
    {
      auto trainer = strategy.bind(values, tutti::sgd{});
      for (int k = 0; works(trainer) && k < 3; ++k) trainer.step(ones);
      trainer.finalize();
      if (world.rank() != last) {
        const auto until = conformance::patient.until(tutti::clock::now());
        while (!world.has_left(last) && tutti::clock::now() < until)
          (void)conformance::failure_of([&] {
            (void)world.probe(1);
            world.in_flight().step();
          });
        for (int k = 0; k < 200; ++k) world.in_flight().step();
        std::vector<int> meeting(1, 1);
        tutti::all_reduce(rest, meeting);
        r.check(meeting[0] == rest.size(), "a sum is wrong");
      }
    }
    r.check(world.leave(), "somebody did not come");
  });
}

BOOST_AUTO_TEST_SUITE_END()
