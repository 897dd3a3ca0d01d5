// Trace files: valid JSON whatever happens, microseconds, and spans that do not overlap on their track.
#include <tutti/communicators/simulated.hpp>
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

BOOST_AUTO_TEST_SUITE(traces)

namespace {

using nlohmann::json;
using tutti::simulated::machine;

/// A file that is gone when the test is over.
struct scratch {
  const std::string name = (std::filesystem::temp_directory_path() / "tutti_test_traces.json").string();
  ~scratch() { std::remove(name.c_str()); }
};

struct span {
  int rank;
  std::string track, name;
  double begin, length; ///< microseconds
  double end() const { return begin + length; }
};

/// The spans of a file; the names of tracks and ranks are checked on the way.
std::vector<span> spans_of(const std::string& file) {
  std::ifstream in{file};
  const json all = json::parse(in); // throws unless it is JSON to its end
  std::map<std::pair<int, int>, std::string> tracks;
  std::set<int> named;
  for (const json& e : all.at("traceEvents"))
    if (e.at("ph") == "M") {
      if (e.at("name") == "thread_name") tracks[{e.at("pid"), e.at("tid")}] = e.at("args").at("name");
      if (e.at("name") == "process_name") {
        BOOST_CHECK_EQUAL(e.at("args").at("name").get<std::string>(), "rank " + std::to_string(e.at("pid").get<int>()));
        named.insert(e.at("pid").get<int>());
      }
    }
  std::vector<span> spans;
  for (const json& e : all.at("traceEvents"))
    if (e.at("ph") == "X") {
      BOOST_CHECK(named.contains(e.at("pid").get<int>()));
      spans.push_back({e.at("pid"), tracks.at({e.at("pid"), e.at("tid")}), e.at("name"), e.at("ts"), e.at("dur")});
    }
  return spans;
}

/// Empty when no two spans of a track overlap.
std::string overlap(std::vector<span> spans) {
  std::sort(spans.begin(), spans.end(), [](const span& a, const span& b) {
    return std::tie(a.rank, a.track, a.begin) < std::tie(b.rank, b.track, b.begin);
  });
  for (std::size_t k = 1; k < spans.size(); ++k) {
    const span &a = spans[k - 1], &b = spans[k];
    if (a.rank == b.rank && a.track == b.track && b.begin < a.end() - 5e-4)
      return "rank " + std::to_string(a.rank) + ", " + a.track + ": " + a.name + " and " + b.name;
  }
  return {};
}

double total(const std::vector<span>& spans, int rank, const std::string& track) {
  double sum = 0;
  for (const span& s : spans)
    if (s.rank == rank && s.track == track) sum += s.length;
  return sum;
}
double last(const std::vector<span>& spans) {
  double end = 0;
  for (const span& s : spans) end = (std::max)(end, s.end());
  return end;
}

const machine slow{.between = {.latency = 1e-4, .bandwidth = 1e7}, .per_folded_byte = 1e-8};

} // namespace

BOOST_AUTO_TEST_CASE(microseconds_with_decimals) {
  const scratch file;
  tutti::trace_file trace{file.name};
  const auto took = tutti::simulated::run(2, {}, [&](auto& comm) {
    tutti::traced timed{comm, trace};
    timed.compute(1.5e-3);
    timed.compute(1.25e-7);
  });
  trace.close();
  const auto spans = spans_of(file.name);
  BOOST_REQUIRE_EQUAL(spans.size(), 4u);
  for (const span& s : spans) BOOST_CHECK(s.name == "computes" && (s.length == 1500 || s.length == .125));
  BOOST_CHECK_CLOSE(last(spans), took.seconds * 1e6, 1e-9);
}

BOOST_AUTO_TEST_CASE(what_ranks_do_fills_the_run) {
  const scratch file;
  tutti::trace_file trace{file.name};
  const auto took = tutti::simulated::run(4, slow, [&](auto& world) {
    tutti::traced comm{world, trace};
    std::vector<float> x(10000, 1.0f);
    for (int step = 0; step < 5; ++step) {
      tutti::compute(comm, 1e-3 * (1 + comm.rank()));
      tutti::all_reduce(comm, x, tutti::ring{});
    }
  });
  trace.close();
  const auto spans = spans_of(file.name);
  BOOST_CHECK_EQUAL(overlap(spans), "");
  BOOST_CHECK_CLOSE(last(spans), took.seconds * 1e6, 1e-3);
  for (int r = 0; r < 4; ++r) {
    const auto& its = took.ranks[std::size_t(r)];
    const double computes = total(spans, r, "computes"), combines = total(spans, r, "combines");
    BOOST_CHECK_CLOSE(computes, 5e3 * (1 + r), 1e-6);
    BOOST_CHECK_CLOSE(computes + combines, its.compute * 1e6, 1e-3);
    BOOST_CHECK_CLOSE(total(spans, r, "waits"), its.wait * 1e6, 1e-3);
    BOOST_CHECK_GT(combines, 0);
    BOOST_CHECK_GT(total(spans, r, "in flight 1"), 0);
    BOOST_CHECK_EQUAL(total(spans, r, "in flight 2"), 0);
  }
  const auto sent = std::find_if(spans.begin(), spans.end(),
                                 [](const span& s) { return s.rank == 1 && s.track == "in flight 1"; });
  BOOST_CHECK_EQUAL(sent->name, "send to 2");
}

BOOST_AUTO_TEST_CASE(three_in_flight_have_tracks_of_their_own) {
  const scratch file;
  tutti::trace_file trace{file.name};
  (void)tutti::simulated::run(3, slow, [&](auto& world) {
    tutti::traced comm{world, trace};
    std::vector<std::vector<float>> data(3, std::vector<float>(3000, 1.0f));
    for (int step = 0; step < 4; ++step) {
      std::vector<tutti::request> requests;
      for (auto& x : data) {
        tutti::compute(comm, 2e-4);
        requests.push_back(tutti::async_all_reduce(comm, x, tutti::ring{}));
      }
      for (auto& one : requests) one.wait();
    }
  });
  trace.close();
  const auto spans = spans_of(file.name);
  BOOST_CHECK_EQUAL(overlap(spans), "");
  for (int r = 0; r < 3; ++r) {
    BOOST_CHECK_GT(total(spans, r, "in flight 3"), 0);
    BOOST_CHECK_EQUAL(total(spans, r, "in flight 4"), 0);
  }
}

BOOST_AUTO_TEST_CASE(a_trainer_on_simulated_and_on_real_ranks) {
  const auto train = [](auto& world, tutti::trace_file& trace) {
    tutti::traced comm{world, trace};
    std::vector<float> values(5000, 1.0f), gradients(5000, .5f);
    tutti::strategy strategy{comm, tutti::ring{}, tutti::diloco{.period = 2}};
    auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = .1});
    for (int step = 0; step < 6; ++step) {
      tutti::compute(comm, 1e-3);
      trainer.step(gradients);
    }
    trainer.finalize();
  };
  const scratch file;
  {
    tutti::trace_file trace{file.name};
    (void)tutti::simulated::run(3, slow, [&](auto& world) { train(world, trace); });
  }
  BOOST_CHECK_EQUAL(overlap(spans_of(file.name)), "");
  {
    tutti::trace_file trace{file.name};
    tutti::threads::run(3, [&](auto& world) { train(world, trace); });
  }
  const auto spans = spans_of(file.name);
  BOOST_CHECK_EQUAL(overlap(spans), "");
  for (int r = 0; r < 3; ++r) BOOST_CHECK_GT(total(spans, r, "in flight 1"), 0);
}

BOOST_AUTO_TEST_CASE(whatever_happens_it_is_json) {
  const scratch file;
  {
    tutti::trace_file trace{file.name};
    BOOST_CHECK(spans_of(file.name).empty()); // before anything
  }
  BOOST_CHECK(spans_of(file.name).empty());
  {
    tutti::trace_file trace{file.name};
    (void)tutti::simulated::run(1, {}, [&](auto& world) { tutti::traced{world, trace}.compute(1); });
  }
  BOOST_CHECK_EQUAL(spans_of(file.name).size(), 1u);
  tutti::trace_file trace{file.name};
  const auto breaks = [&](auto& world) {
    tutti::traced comm{world, trace};
    std::vector<float> x(1000, 1.0f);
    tutti::all_reduce(comm, x, tutti::ring{});
    auto pending = tutti::async_all_reduce(comm, x, tutti::ring{});
    if (comm.rank() == 1) throw std::runtime_error{"the disk is full"};
    pending.wait();
    tutti::barrier(comm);
  };
  BOOST_CHECK_THROW((void)tutti::simulated::run(3, slow, breaks), std::runtime_error);
  const auto spans = spans_of(file.name); // open still
  BOOST_CHECK_EQUAL(overlap(spans), "");
  for (int r = 0; r < 3; ++r) BOOST_CHECK_GT(total(spans, r, "in flight 1"), 0);
  BOOST_CHECK_THROW(tutti::threads::run(3, breaks), std::runtime_error);
  BOOST_CHECK_GT(spans_of(file.name).size(), spans.size());
}

BOOST_AUTO_TEST_CASE(long_traces_are_whole) {
  const scratch file;
  tutti::trace_file trace{file.name};
  (void)tutti::simulated::run(2, slow, [&](auto& world) {
    tutti::traced comm{world, trace};
    for (int k = 0; k < 2000; ++k) {
      comm.compute(1e-6);
      tutti::barrier(comm);
    }
  });
  const auto spans = spans_of(file.name);
  BOOST_CHECK_EQUAL(overlap(spans), "");
  BOOST_CHECK_GT(spans.size(), 8000u);
  BOOST_CHECK_CLOSE(total(spans, 1, "computes"), 2000., 1e-6);
}

BOOST_AUTO_TEST_CASE(without_a_file_nothing_is_written) {
  (void)tutti::simulated::run(2, slow, [&](auto& world) {
    tutti::traced comm{world, static_cast<tutti::trace_file*>(nullptr)};
    comm.compute(1);
    tutti::barrier(comm);
    BOOST_CHECK_CLOSE(comm.seconds(), 1.001e-4, 1); // computing is not in it
  });
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_written) {
  const auto refused = [](const tutti::error& e) {
    return e.code() == tutti::error_code::transport && e.call() == "trace_file" &&
           std::string{e.what()}.find(" - give a file in a folder that is there, on a disk with room") !=
               std::string::npos;
  };
  BOOST_CHECK_EXCEPTION(tutti::trace_file{"/no such folder/trace.json"}, tutti::error, refused);
  if (!std::filesystem::exists("/dev/full")) return;
  tutti::trace_file full{"/dev/full"};
  BOOST_CHECK_EXCEPTION(full.close(), tutti::error, refused);
}

BOOST_AUTO_TEST_SUITE_END()
