// What a communicator's handle promises: it may be moved and may end while calls on it are in flight, two
// threads in it at once are an error, and lengths that no memory holds are refused. On threads and MPI.
#pragma once

#include "communicators/conformance.hpp"
#include "communicators/wait_until.hpp"

#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/counted.hpp>
#include <tutti/optimizers/sgd.hpp>
#include <tutti/strategy/strategy.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/ring.hpp>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace handles {

/// A vector of communicators that grows while every one of them has something in flight.
template <class Comm, class... Parts>
void in_a_growing_vector(Comm& world, report& r, const Parts&... parts) {
  std::vector<Comm> all;
  std::vector<std::vector<float>> data(12, std::vector<float>(300, 1.0f));
  std::vector<tutti::request> requests;
  std::vector<tutti::persistent_request> again;
  for (auto& x : data) {
    all.push_back(world.split(0, world.rank()));
    requests.push_back(tutti::async_all_reduce(all.back(), x, parts...));
    again.push_back(tutti::persistent_barrier(all.back()));
  }
  for (auto& one : requests) one.wait();
  for (auto& one : again) one.start();
  for (auto& one : again) one.wait();
  for (const auto& x : data)
    r.check(x[299] == float(world.size()), [&] { return "the sum is " + std::to_string(x[299]); });
}

/// A communicator that ends while a call on it is in flight.
template <class Comm, class... Parts>
void ended_before_its_requests(Comm& world, report& r, const Parts&... parts) {
  std::vector<float> x(300, 1.0f), y(300, 2.0f);
  tutti::request late;
  tutti::persistent_request never;
  {
    auto short_lived = world.split(0, world.rank());
    late = tutti::async_all_reduce(short_lived, x, parts...);
    never = tutti::persistent_all_reduce(short_lived, y, parts...);
  }
  late.wait();
  r.check(x[7] == float(world.size()), [&] { return "the sum is " + std::to_string(x[7]); });
  const auto got = conformance::failure_of([&] { never.start(); });
  r.check(got.failed && got.what.code == tutti::error_code::invalid_argument, conformance::told(got));
}

/// A trainer goes on when its communicator is somewhere else.
template <class Comm>
void under_a_trainer(Comm& world, report& r) {
  std::vector<Comm> all;
  all.push_back(world.split(0, world.rank()));
  std::vector<float> parameters(40, 0.0f), gradients(40, 1.0f);
  tutti::strategy strategy{all[0], tutti::mean{}};
  auto trainer = strategy.bind(parameters, tutti::sgd{.learning_rate = 1.0});
  for (int step = 0; step < 3; ++step) {
    trainer.step(gradients);
    all.push_back(world.split(0, world.rank()));
  }
  r.check(parameters[39] == -3.0f, [&] { return "the parameter is " + std::to_string(parameters[39]); });
}

template <class Comm>
void decorated(Comm& world, report& r) {
  std::vector<float> x(300, 1.0f);
  tutti::counted at_first{world.split(0, world.rank())};
  tutti::counted moved{std::move(at_first)};
  auto under_way = tutti::async_all_reduce(moved, x, tutti::ring{});
  const bool open = moved.in_flight().count() > 0;
  const auto got = conformance::failure_of([&] { tutti::counted again{std::move(moved)}; });
  if (open)
    r.check(got.failed && got.what.code == tutti::error_code::invalid_argument && got.what.call == "move",
            conformance::told(got));
  if (!open && !got.failed) return; // it was complete at once, and where it is now has ended
  under_way.wait();
  r.check(x[7] == float(world.size()), [&] { return "the sum is " + std::to_string(x[7]); });
}

/// A decorator that ends before a request that was made through it.
template <class Comm>
void decorator_ended_first(Comm& world, report& r) {
  std::vector<float> x(300, 1.0f), y(300, 1.0f);
  tutti::request through, beside = tutti::async_all_reduce(world, y, tutti::ring{});
  {
    tutti::counted counting{world};
    through = tutti::async_all_reduce(counting, x, tutti::ring{});
  }
  r.check(x[299] == float(world.size()), "a decorator ended before what was in flight through it");
  through.wait();
  beside.wait();
  r.check(y[299] == float(world.size()), [&] { return "the sum is " + std::to_string(y[299]); });
}

/// Two threads of rank 0 are in a call that the other ranks do not make before one of the two was refused.
template <class Comm>
void two_threads_in_one(Comm& world, report& r) {
  auto shared = world.split(0, world.rank());
  const auto enter = [&] {
    const auto got = conformance::failure_of([&] { tutti::barrier(shared); });
    if (!got.failed) return false;
    r.check(got.what.code == tutti::error_code::invalid_argument && got.what.rank == 0 &&
                got.what.call == "barrier",
            conformance::told(got));
    tutti::barrier(world);
    return true;
  };
  if (world.rank() == 0 && world.size() > 1) {
    std::atomic<int> refused{0};
    std::atomic<bool> begun{false};
    {
      std::jthread second{[&] {
        wait_until([&] { return bool(begun); });
        for (int k = 0; k < 1000; ++k) std::this_thread::yield();
        refused += enter();
      }};
      begun = true;
      refused += enter();
    }
    r.check(refused == 1, [&] { return std::to_string(refused) + " of two threads were refused"; });
  } else {
    tutti::barrier(world);
    tutti::barrier(shared);
  }
}

/// Lengths that overflow, and more than there is.
template <class Comm>
void too_long(Comm& world, report& r) {
  const auto refused = [&](const char* what, auto&& call) {
    auto own = world.split(0, world.rank());
    const auto got = conformance::failure_of([&] { call(own); });
    r.check(got.failed && got.what.code == tutti::error_code::invalid_argument &&
                got.what.call == "allocate",
            [&] { return std::string{what} + ": " + conformance::told(got); });
  };
  refused("2^61 doubles", [](auto& c) { (void)c.template allocate<double>(std::size_t{1} << 61); });
  refused("-1 chars", [](auto& c) { (void)c.template allocate<char>(std::size_t(-1)); });
  refused("as many bytes as there are numbers, but for 8",
          [](auto& c) { (void)c.template allocate<char>(SIZE_MAX - 8); });
}

/// More than there are channels.
template <class Comm, class... Parts>
void many_in_flight(Comm& world, report& r, const Parts&... parts) {
  constexpr std::size_t n = 17000;
  std::vector<std::array<float, 1>> data(n);
  for (std::size_t k = 0; k < n; ++k) data[k][0] = float(int(k % 1000) + world.rank());
  std::vector<tutti::request> requests;
  requests.reserve(n);
  for (auto& x : data) requests.push_back(tutti::async_all_reduce(world, x, parts...));
  for (auto& one : requests) one.wait();
  const int p = world.size();
  std::size_t wrong = 0;
  for (std::size_t k = 0; k < n; ++k) wrong += data[k][0] != float(int(k % 1000) * p + p * (p - 1) / 2);
  r.check(wrong == 0, [&] { return std::to_string(wrong) + " of " + std::to_string(n) + " are wrong"; });
}

} // namespace handles
