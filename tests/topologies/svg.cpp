// The drawing of a schedule shows every message, once, with its chunks.
#include "every_topology.hpp"

#include <tutti/topologies/svg.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::size_t count(std::string_view text, std::string_view word) {
  std::size_t found = 0;
  for (auto at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++found;
  return found;
}

/// Whether every tag that is opened is closed, in order.
bool well_formed(std::string_view text) {
  std::vector<std::string_view> open;
  for (auto at = text.find('<'); at != text.npos; at = text.find('<', at + 1)) {
    const auto end = text.find('>', at);
    if (end == text.npos) return false;
    const auto tag = text.substr(at + 1, end - at - 1);
    const bool closes = tag.front() == '/';
    const auto name = tag.substr(closes, tag.find_first_of(" /", 1) - closes);
    if (tag.back() == '/') continue;
    if (!closes) open.push_back(name);
    else if (open.empty() || open.back() != tag.substr(1)) return false;
    else open.pop_back();
  }
  return open.empty() && count(text, "\"") % 2 == 0;
}

std::size_t messages(const tutti::whole_schedule& all) {
  std::size_t sum = 0;
  for (const auto& transfers : all.ranks)
    for (const auto& t : transfers) sum += tutti::is_outgoing(t.act);
  return sum;
}

} // namespace

BOOST_AUTO_TEST_SUITE(svg)

BOOST_AUTO_TEST_CASE(every_message_is_an_arrow) {
  tests::every_topology([]<class T>(const std::string& name, const T& topology) {
    for (const int size : {1, 2, 5, 8})
      tests::every_collective<T>(size, [&](tutti::collective what, int root) {
        const auto all = tutti::collect(topology, what, root, size);

        const std::string drawing = tutti::svg(all);

        const std::size_t in_legend = 2;
        BOOST_CHECK_MESSAGE(count(drawing, "marker-end") == messages(all) + in_legend,
                            name << ", " << tutti::name(what) << " of " << size);
        BOOST_CHECK_MESSAGE(well_formed(drawing),
                            name << ", " << tutti::name(what) << " of " << size);
      });
  });
}

BOOST_AUTO_TEST_CASE(chunks_are_named_in_ascending_runs) {
  BOOST_CHECK_EQUAL(tutti::detail::chunk_label({3}, 5), "3");
  BOOST_CHECK_EQUAL(tutti::detail::chunk_label({1, 3}, 5), "1-3");
  BOOST_CHECK_EQUAL(tutti::detail::chunk_label({4, 3}, 6), "0,4-5");
  BOOST_CHECK_EQUAL(tutti::detail::chunk_label({0, 3, 2}, 6), "0,2,4");
  BOOST_CHECK_EQUAL(tutti::detail::chunk_label({2, 6}, 6), "all");
}

BOOST_AUTO_TEST_CASE(a_title_is_escaped) {
  const auto all = tutti::collect(tutti::star{}, tutti::collective::reduce, 0, 3);

  const std::string drawing = tutti::svg(all, "pipelined<ring> & co");

  BOOST_CHECK_NE(drawing.find("pipelined&lt;ring&gt; &amp; co"), drawing.npos);
}

BOOST_AUTO_TEST_SUITE_END()
