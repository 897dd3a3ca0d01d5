// parameter_server --compare: what a bound on staleness is good for when workers are slow, in virtual time.
#pragma once

#include "models/uneven_workers.hpp"
#include "support/json.hpp"
#include "support/options.hpp"
#include "support/plot.hpp"
#include "support/progress.hpp"

#include <CLI/CLI.hpp>
#include <tutti/sync/asynchronous.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

/// Four workers, of which one at a time takes four times as long for a step: each in turn, or always the same one.
class comparison {
public:
  void add_options(CLI::App& app) {
    app.add_flag("--compare", asked_, "in virtual time, how soon no staleness, --staleness and no bound learn the same")
        ->capture_default_str();
    app.add_option("--svg", svg_, "with --compare, draw loss over time for the one that is always slow into this file");
    app.add_option("--faster", faster_, "with --compare, fail unless --staleness is so many times as fast in turn");
  }
  bool asked() const { return asked_; }

  /// As many steps as given without staleness; what the others need to the same loss. The program's exit status.
  int run(const models::sparse_rows& rows, models::uneven_workers how, int steps, int staleness,
          const std::string& json) const {
    support::check_writable("--svg", svg_);
    support::progress progress{isatty(2) == 1, 6};
    nlohmann::json results{{"steps", steps}};
    double in_turn = 0;
    std::vector<support::line> lines;
    std::printf("4 workers, a step takes 10 ms, one that is slow 40; virtual seconds to the same loss\n"
                "%-9s  %-13s  %8s  %8s  %9s\n", "slow", "staleness", "loss", "seconds", "times");
    int done = 0;
    for (const bool always : {false, true}) {
      const char* who = always ? "always" : "in turn";
      how.takes = [always](int worker, int step) { return worker == (always ? 3 : step % 4) ? slow : quick; };
      how.until = 0;
      how.at_most = steps * slow;
      double bsp = 0;
      const std::pair<int, const char*> bounds[] = {
          {0, "#808080"}, {staleness, "#3b82f6"}, {tutti::unbounded, "#16a34a"}};
      for (const auto& [bound, colour] : bounds) {
        const bool first = lines.size() % 3 == 0;
        const auto name = bound == tutti::unbounded ? std::string{"unbounded"} : std::to_string(bound);
        progress.update(done++, std::string{"slow "} + who + ", staleness " + name);
        const auto got = models::loss_over_time(rows, how, tutti::asynchronous{.staleness = bound});
        if (first) how.until = got.losses.back().loss, how.at_most *= 1.5; // a bound is not to be slower than that
        const double seconds = got.seconds_to(how.until), times = first ? 1 : bsp / seconds;
        if (first) bsp = seconds;
        if (!always && lines.size() == 1) in_turn = times;
        std::printf("%-9s  %-13s  %8.4f  %8.3f  %9.2f\n", who, name.c_str(), how.until, seconds, times);
        results["runs"].push_back({{"slow", who}, {"staleness", name}, {"loss", how.until}, {"seconds", seconds},
                                   {"times", times}});
        support::line line{"staleness " + name, {}, colour};
        for (const auto& at : got.losses) line.points.push_back({at.seconds, at.loss});
        lines.push_back(std::move(line));
      }
    }
    progress.update(6, "done");
    if (!svg_.empty())
      support::write_plot(svg_, "One of four workers is always slow", "seconds, virtual", "loss, nats",
                          {lines.begin() + 3, lines.end()});
    support::write_json(json, results);
    if (in_turn >= faster_) return 0;
    throw std::runtime_error("--faster: staleness " + std::to_string(staleness) + " is " + std::to_string(in_turn) +
                             " times as fast");
  }

private:
  static constexpr double quick = .01, slow = .04; // seconds

  bool asked_ = false;
  std::string svg_;
  double faster_ = 0;
};
