// Recommendations by matrix factorisation: every user and every item has a row of numbers on servers, and a rating is
// their product. Workers draw ratings, pull the rows that these concern, and push gradients of those alone; the ratings
// are made up, of rows that nobody knows.
// test: --at-most 0.05
// test: --ranks 4 --servers 2 --steps 1500 --at-most 0.05
// refuses: --ranks 2 --servers 2 => there is nobody to serve, or to work
// refuses: --factors 0 => a row has no columns
// refuses: --json /no/such/folder/out => --json /no/such/folder/out: No such file .* - give a file
#include "support/json.hpp"
#include "support/launch.hpp"
#include "support/options.hpp"

#include <CLI/CLI.hpp>
#include <tutti/carriers/sparse_table.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

struct setting {
  std::uint64_t users = 400, items = 300, seed = 1;
  std::size_t factors = 4, batch = 64;
  int steps = 3000;
};

/// Rating number k of a stream: of whom, of what, and how much.
struct rating {
  std::uint64_t user, item;
  float stars;

  rating(const setting& of, tutti::random_stream& draws)
      : user{draws.below(std::uint32_t(of.users))}, item{draws.below(std::uint32_t(of.items))},
        stars{hidden(of, user, 1) * hidden(of, item, 2) + hidden(of, user, 3) * hidden(of, item, 4)} {}
  static float hidden(const setting& of, std::uint64_t who, std::uint32_t what) {
    return 2 * tutti::random_stream{of.seed, what, who}.uniform() - 1;
  }
};

/// The rows of a table that a batch concerns: sorted keys, rows, and their gradients.
struct some_rows {
  std::vector<std::uint64_t> keys;
  std::vector<float> values, gradients;

  template <class Table>
  void pull(Table& from, std::vector<std::uint64_t> wanted, std::size_t columns) {
    std::sort(wanted.begin(), wanted.end());
    wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
    keys = std::move(wanted);
    values.assign(keys.size() * columns, 0);
    gradients.assign(values.size(), 0);
    from.pull(keys, values);
  }
  std::size_t at(std::uint64_t key, std::size_t columns) const {
    return std::size_t(std::lower_bound(keys.begin(), keys.end(), key) - keys.begin()) * columns;
  }
};

/// Of a batch of ratings: pulls, fills in gradients, and returns the sum of squared errors.
template <class Table>
double look_at(const setting& how, Table& users, Table& items, const std::vector<rating>& batch, some_rows& u,
               some_rows& v) {
  std::vector<std::uint64_t> who, what;
  for (const rating& r : batch) who.push_back(r.user), what.push_back(r.item);
  u.pull(users, std::move(who), how.factors);
  v.pull(items, std::move(what), how.factors);
  double squares = 0;
  for (const rating& r : batch) {
    const std::size_t i = u.at(r.user, how.factors), j = v.at(r.item, how.factors);
    float error = -r.stars;
    for (std::size_t k = 0; k < how.factors; ++k) error += u.values[i + k] * v.values[j + k];
    for (std::size_t k = 0; k < how.factors; ++k) {
      u.gradients[i + k] += error * v.values[j + k];
      v.gradients[j + k] += error * u.values[i + k];
    }
    squares += error * error;
  }
  return squares;
}

int main(int argc, char** argv) try {
  setting how;
  int ranks = 3, servers = 1;
  double rate = 0.2, at_most = 1e9, error = 0;
  std::string json;
  CLI::App app{"Matrix factorisation with rows on parameter servers"};
  app.option_defaults()->always_capture_default();
  app.add_option("--ranks", ranks, "threads, servers included");
  app.add_option("--servers", servers, "dedicated servers");
  app.add_option("--steps", how.steps, "steps of each worker");
  app.add_option("--batch", how.batch, "ratings of each step");
  app.add_option("--factors", how.factors, "numbers a row");
  app.add_option("--rate", rate, "learning rate");
  app.add_option("--seed", how.seed, "names users, items and batches");
  app.add_option("--json", json, "write the error and settings to this file");
  app.add_option("--at-most", at_most, "fail when the error is greater, as a part of the ratings' own");
  CLI11_PARSE(app, argc, argv);
  support::check_ranks(ranks);
  support::check_writable("--json", json);
  tutti::threads::run(ranks, [&](auto& world) {
    const tutti::star placed{.servers = servers, .dedicated = true};
    tutti::sparse_options rows{.columns = how.factors, .scale = .5, .seed = how.seed};
    const tutti::sgd descends{.learning_rate = rate};
    tutti::sparse_table users{world, placed, descends, rows};
    rows.seed += 1;
    tutti::sparse_table items{world, placed, descends, rows};
    if (users.role() == tutti::role::worker) {
      tutti::random_stream draws{how.seed, 100, std::uint64_t(world.rank())};
      some_rows u, v;
      std::vector<rating> batch;
      const auto draw = [&](std::size_t n) {
        batch.clear();
        while (batch.size() < n) batch.emplace_back(how, draws);
      };
      for (int step = 0; step < how.steps; ++step) {
        draw(how.batch);
        look_at(how, users, items, batch, u, v);
        users.push(u.keys, u.gradients);
        items.push(v.keys, v.gradients);
      }
      draw(5000); // new ones
      double all = 0;
      for (const rating& r : batch) all += r.stars * r.stars;
      const double left = look_at(how, users, items, batch, u, v);
      if (world.rank() == ranks - 1) error = std::sqrt(left / all);
    }
    users.finish();
    items.finish();
  });
  std::printf("of new ratings %.3f is not explained\n", error);
  support::write_json(json, {{"error", error}, {"ranks", ranks}, {"servers", servers}, {"steps", how.steps}});
  return error <= at_most ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "recommender: %s\n", e.what());
  return 1;
}
