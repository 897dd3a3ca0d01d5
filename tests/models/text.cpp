#include "text.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "temporary_folder.hpp"

namespace {

using models_test::contains;
using models_test::message_of;
using models_test::temporary_folder;

models::text_data counting(std::size_t n) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i < n; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(i));
  }
  return models::text_data(bytes);
}

std::string as_string(std::span<const std::uint8_t> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

/// One nat for every byte it is asked about, and it remembers which.
struct counting_model {
  struct {
    int context;
  } shape_;
  std::multiset<int> scored;
  int fewest_before = 1000;

  const auto& shape() const { return shape_; }
  double nats(std::span<const std::uint8_t> row, int batch, int first) {
    BOOST_REQUIRE(row.size() == static_cast<std::size_t>(shape_.context) + 1);
    for (int t = first; t < shape_.context; ++t) {
      scored.insert(row[static_cast<std::size_t>(t) + 1]);
      fewest_before = std::min(fewest_before, t + 1);
    }
    return batch * (shape_.context - first);
  }
};

} // namespace

BOOST_AUTO_TEST_SUITE(models)
BOOST_AUTO_TEST_SUITE(text_reader)

BOOST_AUTO_TEST_CASE(a_folder_is_its_text_files_in_order_of_path) {
  const temporary_folder folder;
  folder.write("b.txt", "2");
  folder.write("a/z.cpp", "1");
  folder.write("c.md", "3");
  folder.write("d.png", "no");
  folder.write("e.hpp", "4");

  const auto data = models::text_data::read(folder.path());

  BOOST_TEST(as_string(data.bytes()) == "1234");
  const auto twice = models::text_data::read({folder.path(), folder.path() / "c.md"});
  BOOST_TEST(as_string(twice.bytes()) == "12343");
}

BOOST_AUTO_TEST_CASE(a_file_is_read_whatever_its_name) {
  const temporary_folder folder;
  const std::string bytes("a\0\xff\r\n", 5);

  const auto data = models::text_data::read(folder.write("plain", bytes));

  BOOST_TEST(as_string(data.bytes()) == bytes);
}

BOOST_AUTO_TEST_CASE(the_last_tenth_is_held_out) {
  const auto data = counting(109);

  BOOST_TEST(data.training().size() == 99u);
  BOOST_TEST(data.held_out().size() == 10u);
  BOOST_TEST(int{data.held_out()[0]} == 99);
}

BOOST_AUTO_TEST_CASE(shards_cover_the_training_text_once) {
  const auto data = counting(109);
  std::string joined;

  for (std::size_t client = 0; client < 7; ++client) {
    const auto shard = data.shard(client, 7);
    BOOST_TEST((shard.size() == 14 || shard.size() == 15));
    joined += as_string(shard);
  }

  BOOST_TEST((joined == as_string(data.training())));
}

BOOST_AUTO_TEST_CASE(batches_depend_on_seed_step_and_rank_alone) {
  const auto data = counting(250);
  const auto rows = [&](std::uint64_t seed, std::uint64_t step, std::uint64_t rank) {
    std::vector<std::uint8_t> out;
    models::sample_rows(data.training(), 8, 6, seed, step, rank, out);
    return out;
  };

  const auto expected = rows(1, 2, 3);
  BOOST_REQUIRE(expected.size() == 54u);
  for (std::size_t i = 0; i < 54; ++i) {
    BOOST_TEST(int{expected[i]} == expected[i / 9 * 9] + static_cast<int>(i % 9));
    BOOST_TEST(int{expected[i]} < 225);
  }
  BOOST_TEST((expected == rows(1, 2, 3)));
  BOOST_TEST((expected != rows(2, 2, 3)));
  BOOST_TEST((expected != rows(1, 3, 3)));
  BOOST_TEST((expected != rows(1, 2, 4)));
}

BOOST_AUTO_TEST_CASE(batches_reach_both_ends_of_the_text) {
  const auto data = counting(20);
  std::set<int> starts;

  for (std::uint64_t step = 0; step < 200; ++step) {
    std::vector<std::uint8_t> out;
    models::sample_rows(data.training(), 8, 1, 1, step, 0, out);
    starts.insert(out[0]);
  }

  BOOST_TEST(starts.size() == 10u);
  BOOST_TEST(*starts.rbegin() == 9);
}

BOOST_AUTO_TEST_CASE(every_held_out_byte_is_scored_once) {
  for (std::size_t n : {180u, 191u, 199u, 240u}) {
    for (std::size_t ranks : {1u, 2u, 3u, 20u}) {
      const auto data = counting(n);
      counting_model model{{8}, {}, 1000};
      models::score total;
      for (std::size_t rank = 0; rank < ranks; ++rank) {
        const auto part = models::held_out_score(model, data, rank, ranks);
        total.nats += part.nats;
        total.bytes += part.bytes;
      }
      const std::multiset<int> wanted(data.held_out().begin(), data.held_out().end());
      BOOST_TEST((model.scored == wanted));
      BOOST_TEST(model.fewest_before >= 5);
      BOOST_TEST(total.bytes == data.held_out().size());
      BOOST_TEST(total.nats_per_byte() == 1.0);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_read_is_named_with_a_remedy) {
  const temporary_folder folder;
  const auto empty = folder.write("empty.txt", "");
  const auto none = folder.write("bare/image.png", "x").parent_path();
  const auto read = [](const std::filesystem::path& path) {
    return message_of([&] { models::text_data::read(path); });
  };

  BOOST_TEST(read(empty) == "train_text: cannot read " + empty.string() +
                                ": it is empty - give a text file, or a folder with "
                                ".md .hpp .txt .cpp files");
  BOOST_TEST(contains(read(none), "bare: it is empty - give a text file, or a folder"));
  BOOST_TEST(contains(read(folder.path() / "gone"),
                      "gone: No such file or directory - give an existing file or folder"));
  BOOST_TEST(contains(read("/proc/self/mem"), "cannot read /proc/self/mem: "));
}

BOOST_AUTO_TEST_CASE(too_short_a_text_is_refused_with_the_length_that_would_do) {
  BOOST_TEST(message_of([] { counting(59).require(5); }) ==
             "train_text: the text has 59 bytes, too few for a context of 5 - give at least 60");
  BOOST_TEST(message_of([] { counting(60).require(5); }) == "");
  BOOST_TEST(
      message_of([] { counting(100).require(5, 16); }) ==
      "train_text: the text has 100 bytes, too few for a context of 5 and 16 clients - give at "
      "least 107, or use fewer ranks");
  BOOST_TEST(message_of([] { counting(107).require(5, 16); }) == "");
  for (std::size_t client = 0; client < 16; ++client)
    BOOST_TEST(counting(107).shard(client, 16).size() >= 6u);
  std::vector<std::uint8_t> rows;
  BOOST_TEST(message_of([&] { models::sample_rows(counting(5).bytes(), 5, 1, 1, 1, 1, rows); }) ==
             "train_text: a part of 5 bytes is too short for rows of 6 - give more text, or use "
             "fewer clients");
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE_END()
