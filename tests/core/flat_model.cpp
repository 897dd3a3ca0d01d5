#include <tutti/core/flat_model.hpp>

#include <boost/test/unit_test.hpp>

#include <numeric>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(flat_models)

namespace {

/// Tensors of these lengths, a scalar and empty ones among them; values count up in the order of the range.
struct three {
  explicit three(std::vector<std::size_t> lengths) {
    for (std::size_t n : lengths) values.emplace_back(n);
    std::vector<tutti::tensor<float>> tensors;
    for (std::size_t k = 0; k < values.size(); ++k)
      tensors.push_back({"tensor " + std::to_string(k), values[k]});
    model = tutti::flat_model<float>{tensors};
    float next = 0;
    for (std::size_t k = values.size(); k-- > 0;)
      for (float& x : values[k]) x = next++;
  }
  std::vector<std::vector<float>> values;
  tutti::flat_model<float> model;
};

} // namespace

BOOST_AUTO_TEST_CASE(the_last_tensor_comes_first) {
  const three all{{3, 5, 2}};
  BOOST_CHECK_EQUAL(all.model.size(), 10u);
  BOOST_CHECK((all.model.place_of(2) == tutti::place{0, 2}));
  BOOST_CHECK((all.model.place_of(1) == tutti::place{2, 7}));
  BOOST_CHECK((all.model.place_of(0) == tutti::place{7, 10}));
}

BOOST_AUTO_TEST_CASE(what_is_held_back_comes_behind_all_others) {
  std::vector<std::vector<float>> values{{0, 1}, {2}, {}, {3, 4, 5}, {}};
  std::vector<tutti::tensor<float>> tensors;
  for (auto& v : values) tensors.push_back({"", v});
  const tutti::flat_model<float> model{tensors, {false, true, true, true, false}};
  BOOST_CHECK_EQUAL(model.held_back_from(), 2u);
  BOOST_CHECK((model.place_of(0) == tutti::place{0, 2}));
  BOOST_CHECK((model.place_of(3) == tutti::place{2, 5}));
  BOOST_CHECK((model.place_of(1) == tutti::place{5, 6}));
  std::vector<float> read;
  model.each({0, 6}, [&](std::size_t k, tutti::place at) {
    for (const float v : model.values(k, at)) read.push_back(v);
  });
  BOOST_CHECK((read == std::vector<float>{0, 1, 3, 4, 5, 2}));
  for (std::size_t i = 0; i < 6; ++i) BOOST_CHECK_EQUAL(model.tensor_at(i), i < 2 ? 0u : i < 5 ? 3u : 1u);
  std::vector<std::size_t> met;
  model.each({1, 6}, [&](std::size_t k, tutti::place) { met.push_back(k); });
  BOOST_CHECK((met == std::vector<std::size_t>{0, 3, 1}));
  BOOST_CHECK_EQUAL(tutti::flat_model<float>{tensors}.held_back_from(), 6u);
}

// Every place of models with empty tensors and scalars: pieces cover it, in order, each in its tensor.
BOOST_AUTO_TEST_CASE(pieces_of_every_place_cover_it_in_order) {
  for (const std::vector<std::size_t>& lengths :
       std::vector<std::vector<std::size_t>>{{}, {4}, {3, 5, 2}, {1, 0, 1}, {0, 3, 0, 0, 2, 0}, {0}, {0, 0}}) {
    const three all{lengths};
    const std::size_t n = all.model.size();
    for (std::size_t begin = 0; begin <= n; ++begin)
      for (std::size_t end = begin; end <= n; ++end) {
        std::size_t at = begin;
        all.model.each({begin, end}, [&](std::size_t k, tutti::place piece) {
          BOOST_CHECK_EQUAL(piece.begin, at);
          at = piece.end;
          const auto own = all.model.values(k, piece);
          BOOST_CHECK_EQUAL(own.size(), piece.size());
          for (std::size_t i = 0; i < own.size(); ++i) BOOST_CHECK_EQUAL(own[i], float(piece.begin + i));
        });
        BOOST_CHECK_EQUAL(at, end);
      }
    for (std::size_t i = 0; i < n; ++i) {
      const tutti::place here = all.model.place_of(all.model.tensor_at(i));
      BOOST_CHECK(here.begin <= i && i < here.end);
    }
  }
}

BOOST_AUTO_TEST_CASE(places_have_something_in_common_or_nothing) {
  using tutti::place;
  BOOST_CHECK((tutti::common(place{2, 7}, place{4, 9}) == place{4, 7}));
  BOOST_CHECK(tutti::common(place{2, 4}, place{4, 9}).empty());
  BOOST_CHECK(tutti::common(place{6, 9}, place{1, 3}).empty());
  BOOST_CHECK((tutti::common(place{0, 9}, place{3, 3}) == place{3, 3}));
}

BOOST_AUTO_TEST_SUITE_END()
