// Calls in which one rank does something else than the others: whatever way the data would take,
// everyone gets a mismatch that says so, long before any deadline, and nobody a number.
#pragma once

#include "communicators/report.hpp"

#include <tutti/tutti.hpp>

#include <string>
#include <vector>

namespace disagreements {

using how = tutti::options;

/// No rank waits so long: what it waits for comes, or it hears of the mismatch.
inline how patient() {
  return {.timeout = std::chrono::seconds{8}};
}

/// The largest, and a number that changes nothing.
struct largest {
  using part = tutti::reducer_part;
  double knob = 0;
  template <class A> constexpr A identity() const { return tutti::max{}.identity<A>(); }
  template <class A> constexpr A combine(A a, A b) const { return tutti::max{}.combine(a, b); }
};
/// The same by an agreement, in which the number plays no part either.
struct agreeing {
  using part = tutti::reducer_part;
  using agreement_reducer = tutti::max;
  int knob = 0;
  std::size_t agreement(std::size_t, int) const { return 1; }
  template <class T> void observe(std::span<const T>, std::span<double> seen) const { seen[0] = 1; }
  tutti::max agreed(std::span<const double>) const { return {}; }
};

enum class form { now, later, again };

template <class Comm, class... Parts>
void reduce_all(form f, Comm& w, std::vector<float>& x, const Parts&... parts) {
  if (f == form::now) return tutti::all_reduce(w, x, parts...);
  if (f == form::later) return tutti::async_all_reduce(w, x, parts...).wait();
  auto again = tutti::persistent_all_reduce(w, x, parts...);
  again.start();
  again.wait();
}

/// visit(name, text, call) for each: call(comm, odd, how) does the usual thing, or the odd one;
/// `text` is in everyone's error.
template <class Visit> void of_reductions(bool thorough, Visit&& visit) {
  using namespace tutti;
  for (const std::size_t n : {300, 3, 5000}) {
    if (!thorough && n != 300) break;
    const std::string of = ", " + std::to_string(n) + " floats";
    for (const form f : {form::now, form::later, form::again}) {
      if (f != form::now && (!thorough || n != 300)) break;
      visit("sum and max" + of, "with tutti::max on", [=](auto& w, bool odd, const how& h) {
        std::vector<float> x(n, 1);
        odd ? reduce_all(f, w, x, max{}, h) : reduce_all(f, w, x, h);
      });
      visit("sum and max on a ring" + of, "with tutti::max on tutti::ring",
            [=](auto& w, bool odd, const how& h) {
              std::vector<float> x(n, 1);
              odd ? reduce_all(f, w, x, ring{}, max{}, h) : reduce_all(f, w, x, ring{}, h);
            });
      visit("a number of a reducer" + of, "with another number",
            [=](auto& w, bool odd, const how& h) {
              std::vector<float> x(n, 1);
              reduce_all(f, w, x, largest{odd ? .25 : .5}, h);
            });
    }
    visit("a ring and the default topology" + of, "on tutti::ring",
          [=](auto& w, bool odd, const how& h) {
            std::vector<float> x(n, 1);
            odd ? all_reduce(w, x, ring{}, h) : all_reduce(w, x, h);
          });
  }
  const auto on = [&](const char* name, const char* text, const auto& usual, const auto& other) {
    visit(name, text, [=](auto& w, bool odd, const how& h) {
      std::vector<float> x(300, 1);
      odd ? all_reduce(w, x, other, h) : all_reduce(w, x, usual, h);
    });
  };
  on("a ring and a tree", "on tutti::binomial_tree", ring{}, binomial_tree{});
  on("doubling and halving", "on tutti::halving_doubling", recursive_doubling{},
     halving_doubling{});
  on("segments", "with another number", pipelined{ring{}, 2}, pipelined{ring{}, 3});
  on("servers", "with another number", star{}, star{.servers = 2});
  on("codecs", "as tutti::cast<tutti::bfloat16>", cast<half>{}, cast<bfloat16>{});
  on("a codec and none", "as tutti::cast<tutti::half>", identity{}, cast<half>{});
  on("a number of an agreeing reducer", "with another number", agreeing{1}, agreeing{2});
  on("an agreeing reducer and another", "tutti::sum", agreeing{}, sum{});
  visit("a number of krum", "with another number", [](auto& w, bool odd, const how& h) {
    std::vector<float> x(300, 1);
    if (w.size() >= 5) all_reduce(w, x, krum{.keep = odd ? 2 : 1}, h);
    else all_reduce(w, x, largest{odd ? 1. : 2.}, h);
  });
  visit("a number of a trimmed mean", "with another number", [](auto& w, bool odd, const how& h) {
    std::vector<float> x(300, 1);
    if (w.size() >= 3) all_reduce(w, x, trimmed_mean{odd ? 0 : 1}, h);
    else all_reduce(w, x, largest{odd ? 1. : 2.}, h);
  });
  visit("elements of the same length", "int", [](auto& w, bool odd, const how& h) {
    std::vector<float> x(300, 1);
    std::vector<int> y(300, 1);
    odd ? all_reduce(w, y, h) : all_reduce(w, x, h);
  });
  visit("one of three in flight", "on every rank", [](auto& w, bool odd, const how& h) {
    std::vector<float> x(300, 1), y(300, 1), z(300, 1);
    auto first = async_all_reduce(w, x, ring{}, h);
    auto second =
        odd ? async_all_reduce(w, y, ring{}, max{}, h) : async_all_reduce(w, y, ring{}, h);
    auto third = async_all_reduce(w, z, h);
    third.wait();
    second.wait();
    first.wait();
  });
}

/// The usual root is 0, the odd one 1.
template <class Visit> void of_roots_and_calls(bool thorough, Visit&& visit) {
  using namespace tutti;
  for (const std::size_t n : {300, 3, 5000}) {
    if (!thorough && n != 300) break;
    const std::string of = ", " + std::to_string(n) + " floats";
    visit("roots of a broadcast" + of, "root 1", [=](auto& w, bool odd, const how& h) {
      std::vector<float> x(n, 1);
      broadcast(w, x, odd, h);
    });
    visit("roots of a broadcast on a tree" + of, "root 1", [=](auto& w, bool odd, const how& h) {
      std::vector<float> x(n, 1);
      broadcast(w, x, odd, k_nomial_tree{}, h);
    });
    visit("roots of a reduce" + of, "root 1", [=](auto& w, bool odd, const how& h) {
      std::vector<float> x(n, 1);
      reduce(w, x, odd, h);
    });
    visit("roots of a reduce on a tree" + of, "root 1", [=](auto& w, bool odd, const how& h) {
      std::vector<float> x(n, 1);
      reduce(w, x, odd, binomial_tree{}, h);
    });
  }
  visit("roots of a gather", "root 1", [](auto& w, bool odd, const how& h) {
    std::vector<float> x(3, 1), all(3 * std::size_t(w.size()));
    gather(w, x, all, odd, h);
  });
  visit("roots of a scatter", "root 1", [](auto& w, bool odd, const how& h) {
    std::vector<float> x(3, 1), all(3 * std::size_t(w.size()));
    scatter(w, all, x, odd, h);
  });
  visit("a gather and an all_to_all", "all_to_all of 3 float", [](auto& w, bool odd, const how& h) {
    std::vector<float> x(3, 1), all(3 * std::size_t(w.size())), out = all;
    odd ? all_to_all(w, all, out, h) : gather(w, x, all, 0, h);
  });
  visit("an all_gather and a broadcast", "broadcast of 300 float",
        [](auto& w, bool odd, const how& h) {
          std::vector<float> x(300, 1);
          odd ? broadcast(w, x, 0, h) : all_gather(w, x, h);
        });
  visit("a reduce and a reduce_scatter", "reduce_scatter of 300 float",
        [](auto& w, bool odd, const how& h) {
          std::vector<float> x(300, 1);
          if (odd) reduce_scatter(w, x, h);
          else reduce(w, x, 0, h);
        });
  visit("a barrier and an all_reduce", "barrier", [](auto& w, bool odd, const how& h) {
    std::vector<std::uint8_t> x(1);
    odd ? barrier(w, h) : all_reduce(w, x, max{}, h);
  });
}

template <class Visit> void of_lengths(bool thorough, Visit&& visit) {
  using namespace tutti;
  for (const auto& [usual, other] : {std::pair{3, 4}, {300, 0}, {0, 3}, {5000, 300}}) {
    if (!thorough && usual > 3) continue;
    const std::string of = std::to_string(usual) + " and " + std::to_string(other);
    const auto length = [=](bool odd) { return std::size_t(odd ? other : usual); };
    visit(of, "lengths and types", [=](auto& w, bool odd, const how& h) {
      std::vector<float> x(length(odd), 1);
      all_reduce(w, x, h);
    });
    visit(of + " on a ring", "lengths and types", [=](auto& w, bool odd, const how& h) {
      std::vector<float> x(length(odd), 1);
      all_reduce(w, x, ring{}, h);
    });
    visit(of + " gathered", "lengths and types", [=](auto& w, bool odd, const how& h) {
      std::vector<float> x(length(odd), 1);
      all_gather(w, x, h);
    });
  }
}

/// Of every kind, or also of every length and form.
template <class Visit> void each(bool thorough, Visit&& visit) {
  of_reductions(thorough, visit);
  of_roots_and_calls(thorough, visit);
  of_lengths(thorough, visit);
}

/// On a communicator of its own, which is of no use afterwards. Rank `odd` differs.
template <class Comm, class Call>
void check(Comm& comm, report& r, int odd, const std::string& name, const std::string& text,
           const Call& call) {
  try {
    call(comm, comm.size() > 1 && comm.rank() == odd, patient());
    tutti::barrier(comm, patient()); // who waited for nobody hears of it here
    r.check(comm.size() == 1, name + ": nothing was thrown");
  } catch (const tutti::error& e) {
    r.check(e.code() == tutti::error_code::mismatch && e.rank() == comm.rank() && e.peer() >= 0 &&
                e.peer() != comm.rank() && std::string{e.what()}.find(text) != std::string::npos,
            [&] {
              return name + ": a mismatch that names a peer and says \"" + text + "\", not \"" +
                     e.what() + '"';
            });
  }
}

} // namespace disagreements
