// Parameter servers are saved where all ranks have met: every push has been answered, and none is lost or applied
// twice, whatever workers were doing and on however many ranks training goes on.
#include "training/checkpoint_run.hpp"
#include "training/scratch.hpp"
#include "training/small.hpp"

#include <tutti/training/checkpoint.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

BOOST_AUTO_TEST_SUITE(checkpoint_servers)

namespace {

using small_model::floats;
using small_model::must_equal;
using small_model::on;
using tutti::asynchronous;
using tutti::star;

/// Adds up what is pushed, and in a slot how often, and the numbers of the pushes.
struct adding_up {
  static constexpr std::array<std::string_view, 2> slots{"pushes", "numbers"};
  template <class T> auto at(std::int64_t step) const {
    return [step](const tutti::rounding&, T& p, T g, T* slot) {
      p += g;
      slot[0] += 1;
      slot[1] += T(step);
    };
  }
};

constexpr std::size_t n = 11;

/// Binds, loads `from` where it is given, makes its steps, and saves as `to` where that is given.
template <class World, class... Parts>
floats pushed(World& world, const std::string& from, int steps, const std::string& to, bool ends,
              const Parts&... parts) {
  floats values(n), ones(n, 1.f);
  tutti::strategy strategy{world, tutti::sum{}, parts...};
  auto trainer = strategy.bind(values, adding_up{});
  if (!from.empty()) trainer.load(from);
  for (int k = 0; k < steps && trainer.role() != tutti::role::server; ++k) trainer.step(ones);
  if (!ends && !to.empty()) trainer.save(to);
  if (!ends) return values;
  if (trainer.role() == tutti::role::server) trainer.serve();
  trainer.finalize();
  if (!to.empty()) trainer.save(to);
  return values;
}
floats number(const std::string& folder, const char* name, std::size_t count = 1) {
  tutti::safetensors::reader state{folder + "/state.safetensors"};
  std::vector<std::int64_t> values(count);
  state.read(name, 0, values);
  return {values.begin(), values.end()};
}
floats values_of(const std::string& file, const char* name, std::size_t first = 0) {
  floats values(n);
  tutti::safetensors::reader{file}.read(name, first, values);
  return values;
}

} // namespace

// A run on another number of ranks goes on without what each worker had, and with all else.
BOOST_AUTO_TEST_CASE(what_is_a_workers_stays_as_it_is_on_other_ranks) {
  const scratch folder;
  for (const int ranks : {3, 2, 3, 5})
    checkpoints::on_ranks(ranks, [&](tutti::control& all) {
      checkpoints::small_run run{all.rank(), ranks}, before{all.rank(), ranks};
      run.train(9), before.train(1);
      const auto of_a_worker = [](checkpoints::small_run& one) {
        one.more = [&one](tutti::archive& to) {
          to.values("own", one.own, {0, one.model.size()}, tutti::held_by::worker);
          to.number("skipped", one.skipped, tutti::held_by::worker);
        };
      };
      of_a_worker(run), of_a_worker(before);
      if (!std::filesystem::exists(folder / "x")) return checkpoints::save(all, run, folder / "x");
      const auto own = ranks == 3 ? run.own : before.own;
      const auto skipped = ranks == 3 ? run.skipped : before.skipped;
      checkpoints::load(all, before, folder / "x");
      must_equal(before.own == own && before.skipped == skipped, true, "what is a worker's");
      must_equal(before.steps, 9, "what is everyone's");
      must_equal(before.slot == run.slot, true, "what is an owner's");
    });
  // However many ranks a file says that it is of, its tensors are as it says.
  const std::string path = folder / "x/state.safetensors", good = file_bytes(path);
  for (const char digit : {'4', '0', 'x'}) {
    std::string bad = good;
    bad[bad.find("\"ranks\":\"3\"") + 9] = digit;
    put_file(path, bad);
    for (const std::string& one : checkpoints::said_by(2, [&](tutti::control& all) {
           checkpoints::small_run run{all.rank(), 2};
           run.more = [&run](tutti::archive& to) { to.number("skipped", run.skipped, tutti::held_by::worker); };
           checkpoints::load(all, run, folder / "x");
         }))
      BOOST_CHECK_MESSAGE(one.starts_with("bad_data") && has(one, "tensor 'skipped' is I64 [3]"), one);
  }
}

// Nobody waits for anybody: ranks come to save in any order, while others push to their servers.
BOOST_AUTO_TEST_CASE(no_push_is_lost_or_applied_twice) {
  for (const star& servers : {star{}, star{.servers = 2}, star{.servers = 4}})
    for (const int staleness : {3, tutti::unbounded}) {
      const scratch folder;
      const asynchronous policy{.staleness = staleness};
      const auto steps = [&](int rank) { return staleness == tutti::unbounded ? 5 + 7 * rank : 12; };
      int all = 0;
      for (int r = 0; r < 4; ++r) all += steps(r);

      on(4, [&](auto& world) {
        pushed(world, "", steps(world.rank()), folder / "first", false, servers, policy);
        return pushed(world, folder / "first", 0, folder / "again", false, servers, policy);
      });
      BOOST_CHECK(values_of(folder / "first/model.safetensors", "values") == floats(n, float(all)));
      BOOST_CHECK(values_of(folder / "first/state.safetensors", "pushes/values") == floats(n, float(all)));
      BOOST_CHECK(number(folder / "first", "pushes") == floats{float(all)});
      BOOST_CHECK(number(folder / "first", "steps of a worker", 4) ==
                  (floats{float(steps(0)), float(steps(1)), float(steps(2)), float(steps(3))}));
      for (const char* file : {"/model.safetensors", "/state.safetensors"})
        BOOST_CHECK(file_bytes(folder / (std::string{"first"} + file)) ==
                    file_bytes(folder / (std::string{"again"} + file)));

      const auto ends = on(4, [&](auto& world) {
        return pushed(world, folder / "first", 5, folder / "end", true, servers, policy);
      });
      all += 4 * 5;
      small_model::expect_all("values", ends, floats(n, float(all)));
      BOOST_CHECK(values_of(folder / "end/state.safetensors", "pushes/values") == floats(n, float(all)));
      BOOST_CHECK(values_of(folder / "end/state.safetensors", "numbers/values") ==
                  floats(n, float(all * (all + 1) / 2)));
    }
}

// Each worker has its own parameters back, and its own clock, which servers hold it to.
BOOST_AUTO_TEST_CASE(workers_go_on_with_what_they_have_pulled) {
  const scratch folder;
  const auto got = on(3, [&](auto& world) {
    floats values(n), ones(n, 1.f), second(n, 9.f);
    tutti::strategy strategy{world, tutti::sum{}, asynchronous{.staleness = 2}, star{.servers = 2}};
    auto trainer = strategy.bind(values, adding_up{});
    for (int turn = 0; turn < 3; ++turn) {
      if (turn == world.rank()) trainer.step(ones);
      tutti::barrier(world);
    }
    trainer.save(folder / "x");
    auto other = strategy.bind(second, adding_up{});
    must_equal(other.load(folder / "x").empty(), true, "nothing differs");
    must_equal(second[n - 1], float(world.rank() + 1), "what was pulled");
    must_equal(trainer.steps() == 1 && other.steps() == 1, true, "steps");
    if (world.rank() == 2) // two steps ahead of the others, which have made one
      for (int k = 0; k < 2; ++k) other.step(ones);
    tutti::barrier(world);
    other.finalize();
    trainer.finalize();
    return floats{second[0], values[0]};
  });
  small_model::expect_all("the end", got, {5, 3});
  BOOST_CHECK(number(folder / "x", "clock", 3) == (floats{1, 1, 1}));
  for (std::size_t r = 0; r < 3; ++r)
    BOOST_CHECK(values_of(folder / "x/state.safetensors", "pulled/values", r * n) == floats(n, float(r + 1)));
}

BOOST_AUTO_TEST_CASE(what_servers_hold_is_loaded_on_any_number_of_ranks) {
  const scratch folder;
  on(3, [&](auto& world) {
    return pushed(world, "", 4 + world.rank(), folder / "x", false, asynchronous{}, star{.servers = 2});
  });
  for (const int ranks : {1, 2, 4})
    for (const star& servers : {star{}, star{.servers = (ranks + 1) / 2}}) {
      std::vector<std::string> told;
      const auto ends = on(ranks, [&](auto& world) {
        floats values(n, 7.f), ones(n, 1.f);
        tutti::strategy strategy{world, tutti::sum{}, asynchronous{.staleness = 1}, servers};
        auto trainer = strategy.bind(values, adding_up{});
        const auto differs = trainer.load(folder / "x");
        if (world.rank() == 0) told = differs;
        must_equal(values[0] == 15 && values[n - 1] == 15, true, "workers pull first");
        must_equal(trainer.steps(), 6, "the most steps");
        for (int k = 0; k < 3; ++k) trainer.step(ones);
        trainer.save(folder / "y");
        trainer.finalize();
        return values;
      });
      const int all = 15 + 3 * ranks;
      small_model::expect_all("values on " + std::to_string(ranks), ends, floats(n, float(all)));
      BOOST_CHECK(values_of(folder / "y/state.safetensors", "numbers/values") ==
                  floats(n, float(all * (all + 1) / 2)));
      BOOST_REQUIRE(!told.empty());
      BOOST_CHECK_EQUAL(told.back(), (folder / "x") + " was saved by 3 ranks, and here are " + std::to_string(ranks) +
                                         ": workers begin with the values of the servers, and a scale of the loss of "
                                         "their own");
    }
}

// It holds nobody's own then.
BOOST_AUTO_TEST_CASE(after_the_end_all_have_the_same) {
  const scratch folder;
  const auto got = on(3, [&](auto& world) {
    pushed(world, "", 2 + world.rank(), folder / "x", true, asynchronous{});
    return pushed(world, folder / "x", 1, "", true, asynchronous{.staleness = 0});
  });
  small_model::expect_all("values", got, floats(n, 12));
  BOOST_CHECK(!tutti::safetensors::reader{folder / "x/state.safetensors"}.find("pulled/values"));
}

// A dedicated server does nothing but answer until the end: who calls before is told, and training goes on.
BOOST_AUTO_TEST_CASE(dedicated_servers_are_saved_after_the_end) {
  const scratch folder;
  const star dedicated{.servers = 2, .dedicated = true};
  std::vector<std::string> said(4);
  const auto got = on(4, [&](auto& world) {
    floats values(n), ones(n, 1.f), second(n);
    tutti::strategy strategy{world, tutti::sum{}, asynchronous{}, dedicated};
    auto trainer = strategy.bind(values, adding_up{});
    const auto train = [&](auto& by, int steps) {
      if (by.role() == tutti::role::server) by.serve();
      else
        for (int k = 0; k < steps; ++k) by.step(ones);
    };
    train(trainer, 3);
    said[std::size_t(world.rank())] = thrown_by([&] { trainer.save(folder / "x"); });
    const std::string at_load = thrown_by([&] { trainer.load(folder / "x"); });
    must_equal(at_load == said[std::size_t(world.rank())], true, "load is told the same");
    trainer.finalize();
    trainer.save(folder / "x");
    auto other = strategy.bind(second, adding_up{});
    must_equal(other.load(folder / "x").empty(), true, "nothing differs");
    must_equal(second[0] == 6 && second[n - 1] == 6, true, "what is loaded");
    train(trainer, 2);
    trainer.finalize();
    train(other, 1);
    other.finalize();
    return floats{values[0], second[0], second[n - 1]};
  });
  small_model::expect_all("trained on", got, {10, 8, 8});
  small_model::expect_texts("before the end", said,
                            "dedicated servers answer pushes and nothing else until finalize() - save and load after "
                            "it, on every rank");
  const auto worked = on(3, [&](auto& world) {
    return pushed(world, folder / "x", 1, "", true, asynchronous{});
  });
  small_model::expect_all("where servers work as well", worked, floats(n, 9));
}

// A worker without a step does not know whether servers are in serve() yet; they know who waits for them.
BOOST_AUTO_TEST_CASE(whoever_meets_servers_that_serve_is_told_on_every_rank) {
  const scratch folder;
  std::vector<std::string> said(5);
  on(5, [&](auto& world) {
    floats values(n);
    tutti::strategy strategy{world, tutti::sum{}, asynchronous{}, star{.servers = 2, .dedicated = true}};
    auto trainer = strategy.bind(values, adding_up{});
    trainer.save(folder / "before"); // where all do, it is no matter
    said[std::size_t(world.rank())] = thrown_by([&] {
      if (trainer.role() == tutti::role::server) trainer.serve();
      else trainer.save(folder / "x");
    });
    return values;
  });
  small_model::expect_texts("while servers serve", said,
                            "dedicated servers answer pushes and nothing else until finalize() - save and load after "
                            "it, on every rank");
  BOOST_CHECK(std::filesystem::exists(folder / "before") && !std::filesystem::exists(folder / "x"));
}

// A load that fails on all ranks has changed nothing on servers either, and pushes that come soon after count.
BOOST_AUTO_TEST_CASE(what_cannot_be_loaded_changes_nothing) {
  const scratch folder;
  const auto got = on(3, [&](auto& world) {
    floats values(n), ones(n, 1.f), few(3);
    tutti::strategy strategy{world, tutti::sum{}, asynchronous{}, star{.servers = 2}};
    auto trainer = strategy.bind(values, adding_up{});
    auto small = strategy.bind(few, adding_up{});
    small.save(folder / "small");
    for (int k = 0; k < 40; ++k) {
      trainer.step(ones);
      const std::string said = thrown_by([&] { trainer.load(folder / (k % 2 ? "small" : "nowhere")); });
      if (!has(said, k % 2 ? "bad_data" : "transport")) throw std::logic_error{said};
    }
    trainer.finalize();
    trainer.save(folder / "x");
    return values;
  });
  small_model::expect_all("values", got, floats(n, 120));
  BOOST_CHECK(values_of(folder / "x/state.safetensors", "numbers/values") == floats(n, 120 * 121 / 2));
}

// A loaded state is not pushed to before all of it is there.
BOOST_AUTO_TEST_CASE(pushes_right_after_a_load_count) {
  const scratch folder;
  const auto got = on(4, [&](auto& world) {
    floats values(n), ones(n, 1.f);
    tutti::strategy strategy{world, tutti::sum{}, asynchronous{}, star{.servers = 3}};
    auto trainer = strategy.bind(values, adding_up{});
    trainer.step(ones);
    trainer.save(folder / "x");
    for (int k = 0; k < 40; ++k) {
      for (int more = 0; more < world.rank(); ++more) trainer.step(ones);
      trainer.load(folder / "x");
      trainer.step(ones);
      trainer.save(folder / "y");
      if (world.rank() == 0)
        must_equal(values_of(folder / "y/model.safetensors", "values") == floats(n, 8), true, "every push");
      trainer.load(folder / "x");
    }
    trainer.finalize();
    return values;
  });
  small_model::expect_all("values", got, floats(n, 4));
}

// Workers have unlike values of it, and would keep them.
BOOST_AUTO_TEST_CASE(nothing_is_frozen_while_workers_differ) {
  const auto got = on(2, [&](auto& world) {
    floats values(n), ones(n, 1.f);
    tutti::strategy strategy{world, tutti::sum{}, asynchronous{}};
    auto trainer = strategy.bind(values, adding_up{});
    trainer.step(ones);
    const std::string said = thrown_by([&] { trainer.freeze("values"); });
    if (!has(said, "replicas differ, and would for ever - freeze after an agreement")) throw std::logic_error{said};
    trainer.finalize();
    trainer.freeze("values");
    trainer.step(ones);
    trainer.finalize();
    return values;
  });
  small_model::expect_all("values", got, floats(n, 2));
}

// A state in memory goes to another trainer as well.
BOOST_AUTO_TEST_CASE(the_state_of_servers_can_be_visited) {
  const auto got = on(3, [&](auto& world) {
    floats values(n), ones(n, 1.f), second(n);
    tutti::strategy strategy{world, tutti::sum{}, asynchronous{}, star{.servers = 2}};
    auto trainer = strategy.bind(values, adding_up{});
    for (int k = 0; k < 5; ++k) trainer.step(ones);
    auto saved = small_model::state_of(trainer);
    saved.begin_reading();
    auto other = strategy.bind(second, adding_up{});
    other.state(saved);
    other.step(ones);
    other.finalize();
    trainer.finalize();
    return floats{values[0], second[0], second[n - 1]};
  });
  small_model::expect_all("values", got, {15, 18, 18});
}

BOOST_AUTO_TEST_SUITE_END()
