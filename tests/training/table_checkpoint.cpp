// Tables of rows in files: beside the checkpoint of a trainer, from and to any number of servers.
#include "training/scratch.hpp"
#include "training/small.hpp"

#include <tutti/carriers/sparse_table.hpp>
#include <tutti/training/checkpoint.hpp>
#include <tutti/training/table_checkpoint.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(table_checkpoints)

namespace {

using small_model::by_one;
using small_model::expect_texts;
using small_model::floats;
using small_model::must_equal;
using small_model::on;
using keys = std::vector<std::uint64_t>;

constexpr tutti::adam adam{.learning_rate = .125};
const tutti::sparse_options three{.columns = 3, .scale = .5, .seed = 7};

/// Steps [from, to) of three ranks that train a model, and rows of their own beside it; goes on from a checkpoint where
/// there are steps before. What they have at the end: the model, and the rows.
std::vector<floats> train(const scratch& folder, const std::string& name, int servers, int from, int to) {
  return on(3, [&](auto& world) {
    const auto rank = std::uint64_t(world.rank());
    const keys mine{rank, 1000 + rank, (std::uint64_t{1} << 63) + rank, ~std::uint64_t{0} - rank};
    floats model(5, 1), rows(12);
    tutti::sparse_table table{world, tutti::star{.servers = servers}, adam, three};
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(model, adam);
    if (from > 0) {
      table.load(folder / "rows");
      trainer.load(folder / "step");
    }
    for (int step = from; step < to; ++step) {
      const keys now{mine.begin() + step % 2, mine.end()}; // so that rows have unlike numbers of steps
      const auto pulled = std::span{rows}.first(3 * now.size());
      table.pull(now, pulled);
      floats gradients(pulled.size());
      for (std::size_t i = 0; i < pulled.size(); ++i) gradients[i] = pulled[i] * model[i % 5] - float(step);
      table.push(now, gradients);
      trainer.step(floats(5, pulled[0]));
    }
    table.finish();
    table.save(folder / name);
    if (from == 0) trainer.save(folder / "step");
    table.pull(mine, rows);
    tutti::barrier(world);
    model.insert(model.end(), rows.begin(), rows.end());
    return model;
  });
}

/// What every rank is told by a call on a table of those options, or "none"; then all go on with it.
std::vector<std::string> told(const tutti::sparse_options& what, auto&& call, auto&& goes_on) {
  return on(3, [&](auto& world) {
    tutti::sparse_table table{world, tutti::star{.servers = 2}, by_one, what};
    floats row(what.columns, -1);
    table.push(keys{4}, row);
    table.finish();
    std::string said = "none";
    try {
      call(table, world);
    } catch (const tutti::error& e) {
      said = e.what();
    }
    tutti::barrier(world);
    goes_on(table);
    table.finish();
    return said;
  });
}
std::vector<std::string> told(const tutti::sparse_options& what, auto&& call) {
  return told(what, call, [&](auto& table) { // as if nothing had been called
    floats row(what.columns);
    table.pull(keys{4}, row);
    must_equal(row[0], 3.f, "the row");
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(training_goes_on_with_the_same_bits_on_any_number_of_servers) {
  const scratch folder;
  const auto whole = train(folder, "whole", 2, 0, 9);
  const std::string rows_of_whole = file_bytes(folder / "whole");
  for (const int before : {1, 3}) {
    train(folder, "rows", before, 0, 4);
    for (const int servers : {1, 2, 3}) {
      const auto got = train(folder, "resumed", servers, 4, 9);
      BOOST_CHECK_MESSAGE(got == whole, before << " servers, then " << servers << ": other bits");
      BOOST_CHECK_MESSAGE(file_bytes(folder / "resumed") == rows_of_whole, servers << " servers write another file");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_table_without_rows_is_saved_and_loaded) {
  const scratch folder;
  on(3, [&](auto& world) {
    tutti::sparse_table{world, tutti::star{.servers = 2}, by_one, tutti::sparse_options{}}.save(folder / "none");
    return 0;
  });
  const auto errors = told({}, [&](auto& table, auto&) { table.load(folder / "none"); },
                           [](auto& table) { must_equal(table.size(), 0u, "its size"); });
  expect_texts("loaded over a row", errors, "none");
}

// All ranks have it, nothing has changed, and all may go on.
BOOST_AUTO_TEST_CASE(what_cannot_be_loaded_is_one_error_and_changes_nothing) {
  const scratch folder;
  const auto refused = [&](const tutti::sparse_options& what, const std::string& file, const std::string& wanted) {
    expect_texts(file, told(what, [&](auto& table, auto&) { table.load(folder / file); }), wanted);
  };
  expect_texts("saved", told({.seed = 3}, [&](auto& table, auto&) { table.save(folder / "seed_3"); }), "none");
  refused({}, "seed_3", "mismatch on rank");
  refused({}, "seed_3", "was saved by a table whose seed is 3, and here it is 0");
  refused({}, "nowhere", "transport on rank");
  const auto file_of = [&](const char* name, const keys& all, std::int64_t steps, bool table) {
    using tutti::safetensors::dtype;
    const std::uint64_t n = all.size();
    std::map<std::string, std::string> notes;
    if (table) notes = {{"tutti.table", "1"}, {"keys", "10"}, {"scale", "0"}, {"seed", "0"}};
    const tutti::safetensors::layout layout{{{"keys", dtype::uint64, {n}},
                                             {"steps", dtype::int64, {n}},
                                             {"rows", dtype::float32, {n, 1}},
                                             {"slot.momentum_buffer", dtype::float32, {n, 1}}},
                                            notes};
    tutti::safetensors::writer file{folder / name, layout};
    file.write("keys", 0, all);
    file.write("steps", 0, std::vector<std::int64_t>(n, steps));
    file.write("rows", 0, floats(n));
    file.write("slot.momentum_buffer", 0, floats(n));
    file.publish();
  };
  file_of("unsorted", {5, 4}, 1, true);
  refused({.keys = 10}, "unsorted", "key 4 is out of range, or not behind the one before it");
  file_of("twice", {5, 5}, 1, true);
  refused({.keys = 10}, "twice", "key 5 is out of range, or not behind the one before it");
  file_of("beyond", {5, 10}, 1, true);
  refused({.keys = 10}, "beyond", "bad_data on rank");
  file_of("never", {5}, 0, true);
  refused({.keys = 10}, "never", "key 5 was pushed to 0 times");
  file_of("other", {5}, 1, false);
  refused({.keys = 10}, "other", "holds no table of rows");
  file_of("narrow", {5}, 1, true);
  refused({.columns = 2, .keys = 10}, "narrow", "tensor 'rows' is");
}

BOOST_AUTO_TEST_CASE(who_has_asked_since_finish_is_told_on_every_rank) {
  const scratch folder;
  for (const bool loads : {false, true}) {
    const auto errors = told({}, [&](auto& table, auto& world) {
      floats row(1);
      if (world.rank() == 2) table.pull(keys{4}, row);
      loads ? table.load(folder / "rows") : table.save(folder / "rows");
    });
    expect_texts("on every rank", errors, "invalid_argument on rank");
    expect_texts("on every rank", errors, "rank 2: this rank has pulled or pushed since finish() - call that first");
  }
}

BOOST_AUTO_TEST_SUITE_END()
