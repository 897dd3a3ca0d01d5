// Rows by 64-bit keys: every key has one owner, every push counts once, and what a row begins as.
#include "training/small.hpp"

#include <tutti/carriers/sparse_table.hpp>

#include <array>
#include <cstring>
#include <limits>
#include <memory>
#include <thread>

BOOST_AUTO_TEST_SUITE(sparse_tables)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::expect_texts;
using small_model::floats;
using small_model::must_equal;
using small_model::on;
using tutti::sparse_options;
using tutti::sparse_table;
using tutti::star;
using keys = std::vector<std::uint64_t>;

constexpr std::uint64_t last = ~std::uint64_t{0};
const star layouts[] = {{}, {.servers = 3}, {.servers = 1, .dedicated = true}, {.servers = 2, .dedicated = true}};

/// What its communicator counts while it is there.
template <class Handle>
struct held_exchange {
  Handle inner;
  std::shared_ptr<int> token;
  bool test() { return inner.test(); }
  bool take_back() { return tutti::detail::take_back(inner); }
  int waiting_for() const { return inner.waiting_for(); }
};
template <class Inner>
class counting_exchanges : public tutti::decorator<Inner> {
public:
  using tutti::decorator<Inner>::decorator;
  template <class Execution>
  auto exchange(Execution execution, tutti::channel on, const tutti::exchange_round& round) {
    auto handle = this->inner_.exchange(execution, on, round);
    return held_exchange<decltype(handle)>{std::move(handle), token_};
  }
  long held() const { return token_.use_count() - 1; }

private:
  std::shared_ptr<int> token_ = std::make_shared<int>();
};
template <class Inner>
counting_exchanges(Inner&&) -> counting_exchanges<Inner>;

/// g^2 in its slot, and p -= g / sqrt(slot): the first form of AdaGrad.
struct adagrad {
  static constexpr std::array<std::string_view, 1> slots{"sum"};
  template <class T> auto at(std::int64_t) const {
    return [](const tutti::rounding&, T& p, T g, T* slot) {
      slot[0] += g * g;
      p -= g / std::sqrt(slot[0]);
    };
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(every_key_has_one_owner) {
  for (int servers = 1; servers <= 7; ++servers)
    for (const std::uint64_t n : {std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{10}, std::uint64_t{700}}) {
      const tutti::detail::key_ranges ranges{n - 1, servers};
      for (std::uint64_t key = 0; key < n; ++key) {
        int owner = 0;
        while (std::size_t(key) >= tutti::shard_of(std::size_t(n), owner, servers).end) ++owner;
        BOOST_CHECK_MESSAGE(ranges.owner(key) == owner, key << " of " << n << " on " << servers);
      }
    }
  for (const int servers : {1, 2, 3, 5, 7, 1024}) {
    const tutti::detail::key_ranges ranges{last, servers};
    BOOST_CHECK(ranges.owner(0) == 0 && ranges.owner(last) == servers - 1);
    const std::uint64_t longer = last / std::uint64_t(servers);
    int before = 0;
    for (int s = 1; s < servers; ++s)
      for (const unsigned off : {0u, 1u, 2u}) {
        const std::uint64_t key = std::uint64_t(s) * longer + off * 512;
        BOOST_CHECK(ranges.owner(key) >= before && ranges.owner(key) < servers);
        before = ranges.owner(key);
      }
  }
}

BOOST_AUTO_TEST_CASE(keys_of_64_bits_come_back_as_they_are) {
  const keys large{0, (1ull << 24) + 1, 1ull << 31, (1ull << 53) + 1, 1ull << 63, last - 1, last};
  for (const star& servers : layouts) {
    const auto got = on(4, [&](auto& world) {
      sparse_table table{world, servers, by_one, sparse_options{.columns = 2}};
      floats rows(2 * large.size(), -1), mine(rows.size());
      const bool works = table.role() != tutti::role::server;
      if (works) table.pull(large, rows);
      must_equal(works && rows != floats(rows.size()), false, "rows that nobody has pushed to are not zeros");
      tutti::barrier(world); // nobody has pushed yet
      if (!works) table.serve();
      else {
        if (world.rank() == 3) {
          for (std::size_t k = 0; k < rows.size(); ++k) mine[k] = -float(k + 1);
          table.push(large, mine);
          table.pull(large, rows);
        }
      }
      table.finish();
      return world.rank() == 3 ? rows : floats{};
    });
    floats wanted;
    for (std::size_t k = 0; k < 2 * large.size(); ++k) wanted.push_back(float(k + 1));
    expect_all("rows", {got[3]}, wanted);
  }
}

BOOST_AUTO_TEST_CASE(every_push_counts_once_whoever_pushes_and_training_goes_on) {
  for (const star& servers : layouts) {
    const int workers = servers.dedicated ? 4 - servers.servers : 4;
    const auto got = on(4, [&](auto& world) {
      sparse_table table{world, servers, by_one, sparse_options{.columns = 3, .keys = 100}};
      floats rows(9);
      for (int epoch = 1; epoch <= 3; ++epoch) {
        if (table.role() == tutti::role::server) {
          table.serve();
        } else {
          const keys some{7, 40, std::uint64_t(90 + world.rank())}; // two are everybody's
          for (int k = 0; k < 50; ++k) table.push(some, floats(9, -1));
          table.pull(some, rows);
          must_equal(rows[8], float(50 * epoch), "a row of its own");
        }
        table.finish();
        tutti::barrier(world);
        if (table.role() != tutti::role::server) table.pull(keys{7, 40}, std::span{rows}.first(6));
        tutti::barrier(world);
        if (table.role() != tutti::role::server) must_equal(rows[0], float(50 * epoch * workers), "a row of all");
      }
      return floats{float(table.size())};
    });
    float all = 0;
    for (const floats& one : got) all += one[0];
    BOOST_CHECK_EQUAL(all, float(2 + workers));
  }
}

BOOST_AUTO_TEST_CASE(rows_have_slots_and_steps_of_their_own) {
  const auto got = on(2, [](auto& world) {
    sparse_table table{world, star{}, adagrad{}, sparse_options{.columns = 1}};
    sparse_table moments{world, star{}, tutti::adam{.learning_rate = .5}, sparse_options{.columns = 1}};
    floats row(1), other(1);
    if (world.rank() == 1) {
      table.push(keys{7}, floats{7}); // 3 and 4 of one batch are summed by whom they are of
      table.pull(keys{7}, row);
      for (int k = 0; k < 3; ++k) moments.push(keys{5}, floats{1});
      moments.push(keys{9}, floats{1});
      moments.pull(keys{9}, other);
    }
    table.finish();
    moments.finish();
    return world.rank() == 1 ? floats{row[0], std::round(100 * other[0])} : floats{-1, -50};
  });
  expect_all("AdaGrad, and Adam's first step", got, {-1, -50});
}

BOOST_AUTO_TEST_CASE(rows_begin_as_they_are_drawn) {
  const auto drawn = [](int ranks, const star& servers, std::uint64_t seed) {
    return on(ranks, [&](auto& world) {
      sparse_table table{world, servers, by_one, sparse_options{.columns = 50, .scale = .5, .seed = seed}};
      floats rows(100), again(100);
      table.pull(keys{3, last}, rows);
      table.push(keys{last}, floats(50, 0));
      table.pull(keys{3, last}, again);
      must_equal(rows == again && table.size() <= 1, true, "pushed to or not");
      table.finish();
      return rows;
    })[0];
  };
  const floats rows = drawn(1, {}, 1);
  BOOST_CHECK(rows == drawn(3, {.servers = 2}, 1) && rows != drawn(1, {}, 2));
  double sum = 0;
  for (const float v : rows) {
    BOOST_CHECK(v >= -.5f && v < .5f);
    sum += v;
  }
  BOOST_CHECK(std::abs(sum) < 15 && rows[0] != rows[50]);
}

// Whoever else is waiting, for whatever: here servers for requests, and workers in a barrier.
BOOST_AUTO_TEST_CASE(wrong_keys_are_one_error_on_every_rank) {
  const auto expect = [](const keys& asked, std::size_t values, const std::string& wanted) {
    for (const star& servers : layouts)
      for (const bool pulls : {false, true}) {
        const auto errors = trial::errors_on_ranks(4, [&](auto& world) {
          sparse_table table{world, servers, by_one, sparse_options{.columns = 2, .keys = 10}};
          floats rows(values);
          if (world.rank() == 3 && pulls) table.pull(asked, rows);
          if (world.rank() == 3 && !pulls) table.push(asked, rows);
          if (table.role() == tutti::role::server) table.serve();
          table.finish();
          tutti::barrier(world);
        });
        expect_texts("on every rank", errors, "invalid_argument on rank");
        expect_texts("on every rank", errors, std::string{pulls ? "tutti: pull: " : "tutti: push: "});
        expect_texts("on every rank", errors, "(peer 3): " + wanted);
      }
  };
  expect({4, 3}, 4, "key 3 follows 4 - sort the keys");
  expect({4, 4}, 4, "key 4 is given twice - give each once, with the sum of its gradients");
  expect({4, 10}, 4, "key 10 is out of range - give keys less than 10");
  expect({4}, 4, "there are 4 values for 1 rows of 2");
  expect({4}, 3, "there are 3 values for 1 rows of 2");
}

BOOST_AUTO_TEST_CASE(a_gradient_that_is_no_number_is_one_error_on_every_rank) {
  for (const star& servers : layouts)
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      const auto errors = trial::errors_on_ranks(4, [&](auto& world) {
        sparse_table table{world, servers, by_one, sparse_options{.columns = 2}};
        if (world.rank() == 3) table.push(keys{4, 7}, floats{1, 1, 1, bad});
        if (table.role() == tutti::role::server) table.serve();
        table.finish();
        tutti::barrier(world);
      });
      expect_texts("on every rank", errors, "tutti: push: non_finite on rank");
      expect_texts("on every rank", errors, "(peer 3): the gradient of key 7 holds a NaN or an infinity - leave such a "
                                            "key out, or lower the learning rate");
    }
}

// All ranks hear of it, whoever owns the row.
BOOST_AUTO_TEST_CASE(a_row_that_would_overflow_is_one_error_on_every_rank) {
  for (const star& servers : layouts) {
    const auto errors = trial::errors_on_ranks(4, [&](auto& world) {
      sparse_table table{world, servers, by_one, sparse_options{.columns = 2}};
      if (world.rank() == 3)
        for (int k = 0; k < 2; ++k) table.push(keys{4, 7}, floats{1, 1, 1, -3e38f});
      if (table.role() == tutti::role::server) table.serve();
      table.finish();
      tutti::barrier(world);
    });
    expect_texts("on every rank", errors, "non_finite on rank");
    expect_texts("on every rank", errors, "the row of key 7 would overflow by a push of rank 3 - lower the learning "
                                          "rate, or clip the gradients");
  }
}

BOOST_AUTO_TEST_CASE(one_key_and_none_are_tables_and_requests_too) {
  for (const star& servers : layouts)
    for (const bool finishes_early : {false, true}) {
      const auto got = on(4, [&](auto& world) {
        sparse_table table{world, servers, by_one, sparse_options{.columns = 2, .keys = 1}};
        floats row(2);
        if (table.role() == tutti::role::server) {
          table.serve();
        } else if (!finishes_early || world.rank() == 3) {
          table.push(keys{}, floats{});
          table.pull(keys{}, {});
          table.push(keys{0}, floats{-1, -2});
        }
        table.finish();
        tutti::barrier(world);
        if (table.role() != tutti::role::server) table.pull(keys{0}, row);
        tutti::barrier(world);
        return world.rank() == 3 ? row : floats{};
      });
      const float pushes = finishes_early ? 1.f : float(servers.dedicated ? 4 - servers.servers : 4);
      expect_all("the row", {got[3]}, floats{pushes, 2 * pushes});
    }
}

// What asks keeps nothing of the caller's: that is free when the call has failed.
BOOST_AUTO_TEST_CASE(a_request_that_fails_leaves_the_callers_memory_alone) {
  for (const bool pulls : {false, true}) {
    long held = -1;
    const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
      counting_exchanges comm{world};
      sparse_table table{comm, star{.servers = 1, .dedicated = true}, by_one, sparse_options{}};
      if (world.rank() == 0) return;
      floats row(1);
      try {
        for (;;) pulls ? table.pull(keys{1}, row) : table.push(keys{1}, row);
      } catch (...) {
        held = comm.held();
        throw;
      }
    });
    BOOST_CHECK_MESSAGE(errors[1].find("(peer 0)") != std::string::npos, trial::joined(errors));
    BOOST_CHECK_MESSAGE(held == 0, "a failed " << (pulls ? "pull" : "push") << " holds " << held << " exchanges");
  }
}

BOOST_AUTO_TEST_CASE(a_server_that_is_lost_is_named_on_every_rank) {
  for (const bool dedicated : {false, true})
    for (const int leaver : {0, 1}) {
      const auto errors = trial::errors_on_ranks(4, [&](auto& world) {
        sparse_table table{world, star{.servers = 2, .dedicated = dedicated}, by_one, sparse_options{.keys = 10}};
        if (world.rank() == leaver) return;
        floats rows(2);
        if (table.role() == tutti::role::server) table.serve();
        while (table.role() != tutti::role::server) table.pull(keys{4, 5}, rows);
        table.finish();
      });
      for (int r = 0; r < 4; ++r)
        if (r != leaver)
          BOOST_CHECK_MESSAGE(errors[std::size_t(r)].find("(peer " + std::to_string(leaver) + ")") != std::string::npos,
                              trial::joined(errors));
    }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_is_refused) {
  const auto errors = trial::errors_on_ranks(2, [](auto& world) {
    sparse_table table{world, star{.servers = 1, .dedicated = true}, by_one, sparse_options{}};
    std::string said;
    try {
      if (world.rank() == 0) table.pull(keys{}, {});
    } catch (const tutti::error& e) {
      said = e.what();
    }
    const std::string wanted = "tutti: pull: invalid_argument on rank 0: this rank is a dedicated server - "
                               "call serve()";
    must_equal(said, world.rank() == 0 ? wanted : "", "what a server is told");
    table.serve();
    table.finish();
  });
  expect_texts("nobody else is troubled", errors, "none");
  const auto made = [](auto what) {
    return trial::errors_on_ranks(3, [&](auto& world) { what(world); });
  };
  expect_texts("columns",
               made([](auto& world) { sparse_table t{world, star{}, by_one, sparse_options{.columns = 0}}; }),
               "invalid_argument on rank");
  expect_texts("servers", made([](auto& world) {
                 sparse_table t{world, star{.servers = 3, .dedicated = true}, by_one, sparse_options{}};
               }),
               "there is nobody to serve, or to work - give at least one server, and more ranks than dedicated ones");
  expect_texts("options", made([](auto& world) {
                 sparse_table t{world, star{}, by_one, sparse_options{.seed = std::uint64_t(world.rank() == 2)}};
               }),
               "ranks 0 and 2 make tables with other servers, columns, keys, seeds or optimizers");
  for (const double scale : {-1., 1e39, std::numeric_limits<double>::quiet_NaN()})
    expect_texts("scale", made([&](auto& world) {
                   sparse_table t{world, star{}, by_one, sparse_options{.scale = scale}};
                 }),
                 "the scale of the rows is negative, or no number of their type - give at least 0");
  expect_texts("whose key", made([](auto& world) {
                 sparse_table t{world, star{.servers = 3}, by_one, sparse_options{.keys = 1}};
                 must_equal(t.owner(0), 0, "the owner of the only key");
                 t.owner(1);
               }),
               "tutti: owner: invalid_argument on rank");
}

BOOST_AUTO_TEST_CASE(a_worker_that_leaves_is_missed_by_its_servers) {
  const auto errors = trial::errors_on_ranks(3, [](auto& world) {
    sparse_table table{world, star{.servers = 1, .dedicated = true}, by_one, sparse_options{}};
    if (world.rank() == 2) return;
    if (world.rank() == 0) table.serve();
    else table.push(keys{1}, floats{1});
    table.finish();
    tutti::barrier(world);
  });
  BOOST_CHECK_MESSAGE(errors[0].find("rank 2 has left without finish() - call it on every rank after its last "
                                     "request") != std::string::npos,
                      trial::joined(errors));
}

BOOST_AUTO_TEST_SUITE_END()
