// Masters of short parameters, servers, ranks that throw in the middle of a step, and rounds over clients,
// each with a plain loop to compare with.
#include "by_others/plain_training.hpp"
#include "communicators/on_threads.hpp"

#include <tutti/training/checkpoint.hpp>
#include <tutti/tutti.hpp>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <unistd.h>

BOOST_AUTO_TEST_SUITE(trainer_facilities_as_others_test)

namespace {

std::uint32_t drawn(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return tutti::philox({a, b, c, d}, {14, 41})[0];
}
std::uint32_t word(std::size_t n) { return std::uint32_t(n); }

template <class T, class V> std::vector<tutti::tensor<T>> tensors_of(std::vector<std::vector<V>>& all) {
  std::vector<tutti::tensor<T>> tensors;
  for (std::size_t t = 0; t < all.size(); ++t) tensors.push_back({"t" + std::to_string(t), std::span<T>{all[t]}, {}});
  return tensors;
}

std::string scratch_folder(const char* name) {
  return (std::filesystem::temp_directory_path() / (name + std::to_string(::getpid()))).string();
}

/// bfloat16 and half, with gradients in the same short elements: whole numbers, so that everything is exact in float.
template <class T, class Policy> void masters(const std::string& what, const Policy& policy) {
  for (const int ranks : {1, 2, 3, 5})
    on_threads(ranks, [&](auto& comm, report& r) {
      const std::vector<std::size_t> sizes{5, 1, 7};
      std::vector<std::vector<T>> x;
      std::vector<std::vector<float>> wanted;
      for (const std::size_t n : sizes) x.emplace_back(n, T(1.0f)), wanted.emplace_back(n, 1.0f);
      const std::string folder = scratch_folder("tutti_masters");
      tutti::strategy s{comm, policy, tutti::sum{}};
      for (int part = 0; part < 2; ++part) {
        auto trainer = s.bind(tensors_of<T>(x), tutti::sgd{.learning_rate = 0x1p-10});
        if (part == 1) trainer.load(folder);
        for (int step = 6 * part + 1; step <= 6 * part + 6; ++step) {
          for (std::uint32_t micro = 0; micro < 2; ++micro) {
            std::vector<std::vector<T>> g;
            for (std::size_t t = 0; t < sizes.size(); ++t) {
              g.emplace_back();
              for (std::size_t i = 0; i < sizes[t]; ++i)
                for (int rank = 0; rank < ranks; ++rank) {
                  const float one = float(drawn(word(t * 10 + i), std::uint32_t(step), micro, std::uint32_t(rank)) % 7);
                  wanted[t][i] -= 0x1p-10f * one;
                  if (rank == comm.rank()) g[t].push_back(T(one));
                }
            }
            trainer.accumulate(tensors_of<const T>(g));
          }
          trainer.step();
          for (std::size_t t = 0; t < sizes.size(); ++t)
            for (std::size_t i = 0; i < sizes[t]; ++i)
              r.check(float(x[t][i]) == float(T(wanted[t][i])), what + ": step " + std::to_string(step));
        }
        if (part == 0) trainer.save(folder);
        else trainer.finalize();
        for (auto& tensor : x) tensor.assign(tensor.size(), part == 0 ? T(-3.0f) : tensor[0]);
      }
      if (comm.rank() == 0) std::filesystem::remove_all(folder);
    });
}

struct thrown {};

/// Rank `who` throws within its step `when`, having handed over some of its gradients: the others keep what they had.
template <class Policy> void throws_in_a_step(const std::string& what, const Policy& policy, bool apart) {
  for (const int ranks : {2, 3, 5})
    for (const int when : {1, 3, 4, 6}) {
      const int who = when % ranks;
      std::vector<std::vector<std::vector<double>>> all(std::size_t(ranks), {{1, 2, 3}, {4, 5}, {6, 7, 8, 9}});
      auto before = all;
      std::vector<int> made(std::size_t(ranks), 0);
      bool caught = false;
      try {
        tutti::threads::run(ranks, [&](auto& comm) {
          auto& x = all[std::size_t(comm.rank())];
          tutti::strategy s{comm, policy, tutti::training_options{.bucket_bytes = 16, .clip = 2}};
          auto trainer = s.bind(tensors_of<double>(x), tutti::adamw{.learning_rate = 0.1});
          for (int step = 1; step <= 6; ++step) {
            before[std::size_t(comm.rank())] = x;
            auto g = x;
            g[1][0] *= comm.rank() + step;
            const auto given = tensors_of<const double>(g);
            trainer.begin(given);
            trainer.ready(2);
            if (comm.rank() == who && step == when) throw thrown{};
            trainer.ready(0), trainer.ready(1);
            trainer.finish();
            made[std::size_t(comm.rank())] = step;
          }
          trainer.finalize();
        });
      } catch (const thrown&) {
        caught = true;
      }
      BOOST_CHECK_MESSAGE(caught, what << ": what a rank threw did not come out of run");
      for (std::size_t r = 0; r < all.size(); ++r) {
        BOOST_CHECK_MESSAGE(apart || made[r] == when - 1, what << ": rank " << r << " made step " << made[r]);
        if (made[r] < 6)
          BOOST_CHECK_MESSAGE(all[r] == before[r], what << " on " << ranks << ": half a step on rank " << r);
      }
    }
}

} // namespace

BOOST_AUTO_TEST_CASE(masters_of_short_parameters) {
  masters<tutti::bfloat16>("bfloat16, synchronous", tutti::synchronous{});
  masters<tutti::bfloat16>("bfloat16, sharded", tutti::sharded{});
  masters<tutti::half>("half, synchronous", tutti::synchronous{});
  masters<tutti::half>("half, sharded", tutti::sharded{});
}

BOOST_AUTO_TEST_CASE(a_rank_that_throws_in_a_step) {
  throws_in_a_step("synchronous", tutti::synchronous{}, false);
  throws_in_a_step("sharded", tutti::sharded{}, false);
  throws_in_a_step("local_sgd", tutti::local_sgd{3}, true);
  throws_in_a_step("diloco", tutti::diloco{3}, true);
  throws_in_a_step("sharded_diloco", tutti::sharded_diloco{3}, true);
}

// One worker with servers is a plain loop, whatever the optimizer.
BOOST_AUTO_TEST_CASE(one_worker_and_its_servers) {
  for (const int ranks : {2, 3})
    on_threads(ranks, [&](auto& comm, report& r) {
      std::vector<std::vector<double>> x{{1, 2, 3}, {4, 5, 6, 7}}, wanted = x, m{{0, 0, 0}, {0, 0, 0, 0}}, v = m;
      tutti::strategy s{comm, tutti::star{.servers = ranks - 1, .dedicated = true}, tutti::asynchronous{.staleness = 0},
                        tutti::training_options{.bucket_bytes = 16}};
      auto trainer = s.bind(tensors_of<double>(x), tutti::adamw{.learning_rate = 0.05, .weight_decay = 0.1});
      const plain::rule rule{.adam = true, .rate = 0.05, .decay = 0.1};
      std::int64_t steps[2] = {0, 0};
      for (int outer = 0; outer < 3; ++outer) {
        if (trainer.role() == tutti::role::server) trainer.serve();
        for (int step = 1; step <= 5; ++step) {
          std::vector<std::vector<double>> g(2);
          for (std::size_t t = 0; t < 2; ++t) {
            ++steps[t];
            for (std::size_t i = 0; i < wanted[t].size(); ++i) {
              g[t].push_back(double(drawn(word(t * 10 + i), std::uint32_t(step), std::uint32_t(outer), 2) % 9) - 4);
              rule.move(steps[t], wanted[t][i], g[t][i], m[t][i], v[t][i]);
            }
          }
          if (trainer.role() == tutti::role::server) continue;
          trainer.step(tensors_of<const double>(g));
        }
        trainer.finalize();
        for (std::size_t t = 0; t < 2; ++t)
          for (std::size_t i = 0; i < wanted[t].size(); ++i)
            r.check(std::abs(x[t][i] - wanted[t][i]) < 1e-9,
                    "outer " + std::to_string(outer) + ", tensor " + std::to_string(t));
      }
    });
}

namespace {

/// What x and y are on the worker of a dedicated server after some steps of gradient 1; y may have only the odd ones.
template <class Optimizer, class Each>
std::vector<double> with_a_server(report& r, auto& comm, const Optimizer& optimizer, bool gaps, Each&& each) {
  std::vector<std::vector<double>> x{{0}, {0}};
  tutti::strategy s{comm, tutti::star{.servers = 1, .dedicated = true}, tutti::asynchronous{.staleness = 0}};
  auto trainer = s.bind(tensors_of<double>(x), optimizer);
  if (trainer.role() == tutti::role::server) trainer.serve();
  for (int step = 1; step <= 3 && trainer.role() != tutti::role::server; ++step) {
    each(trainer, step);
    std::vector<std::vector<double>> g{{1}, {1}};
    if (gaps && step % 2 == 0) std::vector<double>().swap(g[1]); // not cleared, see empty_gradients
    trainer.step(tensors_of<const double>(g));
  }
  trainer.finalize();
  r.check(true, "");
  return {x[0][0], x[1][0]};
}

} // namespace

// "A rate set in the middle: wherever the update is made, at a server too, it is the rate that counts, or a
// sentence says who may set it."
BOOST_AUTO_TEST_CASE(a_rate_set_by_the_worker_of_a_dedicated_server) {
  on_threads(2, [](auto& comm, report& r) {
    std::string said;
    std::vector<double> x{-6, 0};
    try {
      x = with_a_server(r, comm, tutti::sgd{.learning_rate = 1}, false,
                        [](auto& trainer, int step) { trainer.optimizer().learning_rate = step; });
    } catch (const tutti::error& e) {
      said = e.what();
    }
    r.check(!said.empty() || x[0] == -6, "rates 1, 2 and 3 lead to " + std::to_string(x[0]));
  });
}

// "Zero is not the same as absent: absent ones keep parameter and slots."
BOOST_AUTO_TEST_CASE(a_tensor_without_a_gradient_at_a_server) {
  on_threads(2, [](auto& comm, report& r) {
    const auto momentum =
        with_a_server(r, comm, tutti::sgd{.learning_rate = 1, .momentum = 0.5}, true, [](auto&&...) {});
    r.check(momentum[1] == -2.5, "two steps with momentum lead to " + std::to_string(momentum[1]) + ", not -2.5");
    const auto decayed =
        with_a_server(r, comm, tutti::sgd{.learning_rate = 1, .weight_decay = 0.5}, true, [](auto&&...) {});
    r.check(decayed[1] == -1.5, "two steps with decay lead to " + std::to_string(decayed[1]) + ", not -1.5");
  });
}

// reference.md: "A tensor whose gradient has no values has none in this step" - wherever a span of none points to.
BOOST_AUTO_TEST_CASE(empty_gradients) {
  const auto follow = [](report& r, auto& s, const std::string& what) {
    std::vector<std::vector<double>> x{{0}, {0}};
    auto trainer = s.bind(tensors_of<double>(x), tutti::sgd{.learning_rate = 1});
    for (int step = 1; step <= 3; ++step) {
      std::vector<std::vector<double>> g{{1}, {1}};
      if (step == 2) g[1].clear(); // keeps its memory
      trainer.step(tensors_of<const double>(g));
    }
    trainer.finalize();
    const double wanted = -2;
    r.check(x[1][0] == wanted, what + ": gradients 1, none and 1 lead to " + std::to_string(x[1][0]));
  };
  for (const int ranks : {1, 2})
    on_threads(ranks, [&](auto& comm, report& r) {
      tutti::strategy synchronous{comm}, sharded{comm, tutti::sharded{}}, local{comm, tutti::local_sgd{2}};
      tutti::strategy served{comm, tutti::star{}, tutti::asynchronous{}};
      follow(r, synchronous, "synchronous");
      follow(r, sharded, "sharded");
      follow(r, local, "local_sgd");
      follow(r, served, "asynchronous");
    });
}

// Pushes of gradients that do not depend on the parameters, by SGD: their sum, in whatever order.
BOOST_AUTO_TEST_CASE(workers_in_any_order) {
  for (const int ranks : {1, 2, 3, 5})
    for (const int staleness : {0, 2, tutti::unbounded})
      on_threads(ranks, [&](auto& comm, report& r) {
        std::vector<std::vector<double>> x{{1, 2, 3}, {4, 5, 6, 7}}, wanted = x;
        tutti::strategy s{comm, tutti::star{.servers = ranks > 2 ? 2 : 1}, tutti::asynchronous{staleness}};
        auto trainer = s.bind(tensors_of<double>(x), tutti::sgd{.learning_rate = 0.25});
        for (int round = 0; round < 3; ++round) {
          for (int rank = 0; rank < ranks; ++rank)
            for (int step = 0; step < 4; ++step) {
              std::vector<std::vector<double>> g(2);
              for (std::size_t t = 0; t < 2; ++t) {
                if (drawn(word(t), std::uint32_t(step), std::uint32_t(rank), 3) % 3 == 0) continue;
                for (std::size_t i = 0; i < wanted[t].size(); ++i) {
                  g[t].push_back(double(drawn(word(t * 10 + i), std::uint32_t(step), std::uint32_t(rank), 4) % 9) - 4);
                  wanted[t][i] -= 0.25 * g[t][i] / ranks;
                }
              }
              if (rank == comm.rank()) trainer.step(tensors_of<const double>(g));
            }
          trainer.finalize();
          for (std::size_t t = 0; t < 2; ++t)
            for (std::size_t i = 0; i < wanted[t].size(); ++i)
              r.check(std::abs(x[t][i] - wanted[t][i]) < 1e-9, "round " + std::to_string(round) + ", tensor " +
                                                                   std::to_string(t) + ": " + std::to_string(x[t][i]) +
                                                                   ", not " + std::to_string(wanted[t][i]));
        }
      });
}

BOOST_AUTO_TEST_SUITE_END()
