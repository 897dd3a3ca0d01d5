// What a slow worker costs under each sync policy, in virtual time: logistic regression on a9a (TUTTI_DATA; or rows of
// its kind) by four workers, of which one at a time takes four times as long, until the loss is .37. Links are so fast
// that computing alone counts. Every run is made twice and has to have the same bits.
#include "report.hpp"

#include "models/uneven_workers.hpp"
#include "support/plot.hpp"

#include <tutti/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr int workers = 4;
constexpr double quick = .01, slow = .04; // seconds of a step
constexpr double bar = .37;               // the loss

/// Who is slow in a step.
using slow_one = int (*)(int step);
int in_turn(int step) { return step % workers; }
int by_lot(int step) { return int(tutti::random_stream{1, std::uint32_t(step)}.below(workers)); }
int always_the_last(int) { return workers - 1; }

double takes(slow_one who, int worker, int step) { return worker == who(step) ? slow : quick; }

/// When workers that wait for nothing but the bound have made so many steps together.
double bound_allows(slow_one who, int staleness, int steps) {
  std::vector<double> ends(workers), closed, all; // of each worker's last step, of each step of all, of all steps
  for (int step = 0; int(all.size()) < 2 * steps; ++step) {
    const double open = step > staleness ? closed[std::size_t(step - staleness - 1)] : 0;
    for (int w = 0; w < workers; ++w) {
      double& end = ends[std::size_t(w)];
      end = std::max(end, open) + takes(who, w, step);
      all.push_back(end);
    }
    closed.push_back(*std::max_element(ends.begin(), ends.end()));
  }
  std::sort(all.begin(), all.end());
  return all[std::size_t(steps - 1)];
}

bool same_bits(const models::loss_curve& a, const models::loss_curve& b) {
  const auto same = [](const models::timed_loss& x, const models::timed_loss& y) {
    return x.seconds == y.seconds && x.loss == y.loss;
  };
  return a.trace_hash == b.trace_hash && a.steps == b.steps &&
         std::equal(a.losses.begin(), a.losses.end(), b.losses.begin(), b.losses.end(), same);
}

/// One way of being slow: what each policy makes of it, beside the first, which waits for everyone.
class course {
public:
  course(bench::report& report, const models::sparse_rows& rows, const char* name, slow_one who)
      : report_{report}, rows_{rows}, name_{name}, who_{who} {}

  /// How much sooner the loss is reached than by the first.
  template <class Policy> double run(const char* name, const Policy& policy, const char* colour) {
    const models::uneven_workers how{.workers = workers,
                                     .takes = [this](int w, int step) { return takes(who_, w, step); },
                                     .until = bar,
                                     .at_most = 100};
    std::cerr << "stragglers: " << name_ << ", " << name << '\n';
    const auto got = models::loss_over_time(rows_, how, policy);
    repeats_ = repeats_ && same_bits(got, models::loss_over_time(rows_, how, policy));
    int steps = 0;
    for (const int n : got.steps) steps += n;
    const double seconds = got.seconds_to(bar);
    if (lines_.empty()) first_ = seconds, steps_ = steps;
    report_.row({{"slow", name_}, {"policy", name}, {"seconds", seconds}, {"BSP / this", first_ / seconds},
                 {"steps", steps}, {"steps a second", steps / got.seconds}});
    support::line line{.name = name, .points = {}, .colour = colour};
    for (std::size_t k = 0; k < got.losses.size(); k += 1 + got.losses.size() / 150)
      line.points.push_back({got.losses[k].seconds, got.losses[k].loss});
    lines_.push_back(std::move(line));
    return first_ / seconds;
  }
  /// The same of workers that a bound alone holds up, for as many steps.
  double ideal(int staleness) const {
    return bound_allows(who_, 0, steps_) / bound_allows(who_, staleness, steps_);
  }
  bool repeats() const { return repeats_; }
  /// Beside the results: FILE.svg.
  void draw() const {
    if (report_.json_file().empty()) return;
    support::write_plot(std::filesystem::path{report_.json_file()}.replace_extension(".svg"),
                        "One of four workers is slow, " + name_, "seconds, virtual", "loss, nats", lines_);
  }

private:
  bench::report& report_;
  const models::sparse_rows& rows_;
  const std::string name_;
  const slow_one who_;
  double first_ = 0; ///< when the first has reached the loss, and
  int steps_ = 0;    ///< in how many steps
  std::vector<support::line> lines_;
  bool repeats_ = true;
};

} // namespace

int main(int argc, char** argv) try {
  bench::report report("stragglers", argc, argv);
  const auto data = models::find_classification();
  report.machine("data", data.source);
  const tutti::asynchronous ssp{.staleness = 3};
  const char *grey = "#808080", *blue = "#3b82f6", *green = "#16a34a", *red = "#dc2626", *orange = "#ea580c",
             *violet = "#9333ea";

  course turns{report, data.training, "in turn", in_turn};
  turns.run("BSP", tutti::synchronous{}, grey);
  const double turned = turns.run("SSP 3", ssp, blue);
  report.at_least("each in turn: SSP over BSP", turned, 2.0);
  report.at_most("each in turn: SSP over what its bound allows", turned / turns.ideal(3), 1.02);

  course lots{report, data.training, "by lot", by_lot};
  lots.run("BSP", tutti::synchronous{}, grey);
  const double drawn = lots.run("SSP 3", ssp, blue);
  report.at_least("by lot: SSP over BSP", drawn, 1.7);
  report.at_most("by lot: SSP over what its bound allows", drawn / lots.ideal(3), 1.02);

  course one{report, data.training, "always", always_the_last};
  one.run("BSP", tutti::synchronous{}, grey);
  const double on_servers = one.run("BSP on servers", tutti::asynchronous{.staleness = 0}, grey);
  const double bounded = one.run("SSP 3", ssp, blue);
  const double asp = one.run("ASP", tutti::asynchronous{}, green);
  const double backup = one.run("1 backup worker", tutti::backup_workers{.spare = 1}, red);
  const double gossip = one.run("gossip", tutti::gossip{}, orange);
  const double pairs = one.run("pairwise", tutti::pairwise_averaging{}, violet);
  report.at_least("always the same: ASP over BSP", asp, 2.5);
  report.at_least("always the same: one backup worker over BSP", backup, 2.5);
  report.at_least("always the same: pairwise averaging over BSP", pairs, 2.5);
  for (const auto& [name, speed] : {std::pair{"BSP on servers", on_servers}, std::pair{"SSP", bounded},
                                    std::pair{"gossip", gossip}})
    report.at_most(std::string{"always the same: "} + name + " is off BSP by", std::abs(speed - 1), .02);

  report.equal("runs that have not the same bits twice", !(turns.repeats() && lots.repeats() && one.repeats()), 0);
  one.draw();
  return report.finish();
} catch (const std::exception& e) {
  std::cerr << "stragglers: " << e.what() << '\n';
  return 1;
}
