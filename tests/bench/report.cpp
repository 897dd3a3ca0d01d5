// bench/report.hpp: what a benchmark hands back, and when its claims hold.
#define TUTTI_MPI_VERSION "no MPI"
#include "../../bench/report.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include <unistd.h>

BOOST_AUTO_TEST_SUITE(bench_report)

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

struct result {
  int status;
  bench::json file; ///< what --json has written
  std::string printed;
};

/// Redirects a stream for as long as it lives.
class captured {
public:
  explicit captured(std::ostream& stream) : stream_{stream}, before_{stream.rdbuf(text_.rdbuf())} {}
  ~captured() { stream_.rdbuf(before_); }
  captured(const captured&) = delete;
  captured& operator=(const captured&) = delete;
  std::string text() const { return text_.str(); }

private:
  std::ostream& stream_;
  std::ostringstream text_;
  std::streambuf* before_;
};

/// A benchmark that consists of measure(report), started with --json.
template <class Measure> result run(Measure&& measure) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("tutti-report-" + std::to_string(getpid()) + ".json");
  std::string name = "bench", flag = "--json", file = path.string();
  char* arguments[] = {name.data(), flag.data(), file.data()};
  result got;
  {
    captured out{std::cout}, err{std::cerr};
    bench::report report{"trial", 3, arguments};
    measure(report);
    got.status = report.finish();
    got.printed = out.text() + err.text();
  }
  got.file = bench::json::parse(std::ifstream{path});
  std::filesystem::remove(path);
  return got;
}

/// Whether a single claim holds: by the file, and by the exit status, which have to agree.
template <class Claim> bool holds(Claim&& claim) {
  const result got = run(claim);
  const bool told = got.file["claims"].at(0)["holds"].template get<bool>();
  BOOST_CHECK_EQUAL(got.status, told ? 0 : 1);
  return told;
}

} // namespace

BOOST_AUTO_TEST_CASE(claims_hold_on_the_right_side_of_the_bar) {
  const double below = 1.5, bar = 2, above = 2.5;

  const double measured[] = {below, bar, above};
  const bool at_most[] = {true, true, false}, at_least[] = {false, true, true};
  const bool is_below[] = {true, false, false}, equal[] = {false, true, false};

  for (int k = 0; k < 3; ++k) {
    const double m = measured[k];
    BOOST_CHECK_EQUAL(holds([=](auto& r) { r.at_most("a", m, bar); }), at_most[k]);
    BOOST_CHECK_EQUAL(holds([=](auto& r) { r.at_least("a", m, bar); }), at_least[k]);
    BOOST_CHECK_EQUAL(holds([=](auto& r) { r.below("a", m, bar); }), is_below[k]);
    BOOST_CHECK_EQUAL(holds([=](auto& r) { r.equal("a", m, bar); }), equal[k]);
  }
}

BOOST_AUTO_TEST_CASE(what_is_no_number_holds_on_neither_side) {
  const double numbers[] = {nan, -nan, infinity, -infinity};
  for (const double odd : numbers)
    for (const auto& [measured, bar] : {std::pair{odd, 1.0}, {1.0, odd}, {odd, odd}}) {
      const auto m = measured, b = bar;
      BOOST_TEST_CONTEXT(m << " against " << b) {
        BOOST_CHECK(!holds([=](auto& r) { r.at_most("a", m, b); }));
        BOOST_CHECK(!holds([=](auto& r) { r.at_least("a", m, b); }));
        BOOST_CHECK(!holds([=](auto& r) { r.below("a", m, b); }));
        BOOST_CHECK(!holds([=](auto& r) { r.equal("a", m, b); }));
      }
    }
}

BOOST_AUTO_TEST_CASE(the_median_of_nothing_fulfils_no_claim) {
  BOOST_CHECK(std::isnan(bench::median({})));
  BOOST_CHECK_EQUAL(bench::median({3, 1, 2}), 2);
  BOOST_CHECK_EQUAL(bench::median({4, 1, 2, 3}), 2.5);
  BOOST_CHECK(!holds([](auto& r) { r.at_most("a", bench::median({}), 1); }));
}

BOOST_AUTO_TEST_CASE(the_file_has_all_there_is_to_say) {
  const result got = run([](auto& r) {
    r.machine("GPU", "none");
    r.row({{"bytes", 8}, {"microseconds", 0.25}});
    r.row({{"bytes", 16}, {"side", "other"}});
    r.at_most("fast", 0.25, 1);
    r.at_least("slow", 0.25, 1);
  });

  const bench::json& file = got.file;
  BOOST_REQUIRE_EQUAL(file.size(), 4u);
  BOOST_CHECK_EQUAL(file["benchmark"], "trial");
  for (const char* what : {"cpu", "cores", "compiler", "mpi", "GPU"})
    BOOST_CHECK_MESSAGE(file["machine"].contains(what), "the machine lacks " << what);
  BOOST_CHECK_EQUAL(file["machine"]["mpi"], "no MPI");
  BOOST_REQUIRE_EQUAL(file["rows"].size(), 2u);
  BOOST_CHECK_EQUAL(file["rows"][0]["microseconds"], 0.25);
  BOOST_CHECK_EQUAL(file["rows"][1]["side"], "other");
  BOOST_REQUIRE_EQUAL(file["claims"].size(), 2u);
  const bench::json& fast = file["claims"][0];
  BOOST_CHECK_EQUAL(fast["claim"], "fast");
  BOOST_CHECK_EQUAL(fast["measured"], 0.25);
  BOOST_CHECK_EQUAL(fast["bar"], 1.0);
  BOOST_CHECK_EQUAL(fast["holds"], true);
  BOOST_CHECK_EQUAL(file["claims"][1]["holds"], false);
  BOOST_CHECK_EQUAL(got.status, 1); // one of two is enough
}

BOOST_AUTO_TEST_CASE(an_unmeasured_claim_is_null_in_the_file) {
  const result got = run([](auto& r) { r.at_least("a", infinity, 1); });
  BOOST_CHECK(got.file["claims"][0]["measured"].is_null());
  BOOST_CHECK_EQUAL(got.file["claims"][0]["holds"], false);
}

BOOST_AUTO_TEST_CASE(a_benchmark_may_claim_nothing_but_not_measure_nothing) {
  BOOST_CHECK_EQUAL(run([](auto& r) { r.row({{"bytes", 8}}); }).status, 0);
  const result empty = run([](auto&) {});
  BOOST_CHECK_EQUAL(empty.status, 1);
  BOOST_CHECK_MESSAGE(empty.printed.find("trial: nothing was measured") != std::string::npos,
                      empty.printed);
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_written_is_an_error) {
  std::string name = "bench", flag = "--json", file = "/nowhere/at/all.json";
  char* arguments[] = {name.data(), flag.data(), file.data()};
  captured out{std::cout}, err{std::cerr};
  bench::report report{"trial", 3, arguments};
  report.at_most("a", 1, 2);
  BOOST_CHECK_EQUAL(report.finish(), 2);
  BOOST_CHECK(err.text().find("cannot write /nowhere/at/all.json") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
