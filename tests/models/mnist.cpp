#include "mnist.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <stdlib.h>

#include "temporary_folder.hpp"

namespace {

using models_test::contains;
using models_test::message_of;
using models_test::temporary_folder;

std::string word(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(value >> shift & 0xff));
  }
  return bytes;
}

std::string image_file(std::uint32_t count, std::uint32_t side = 28) {
  std::string bytes = word(0x803) + word(count) + word(28) + word(side);
  for (std::uint32_t i = 0; i < count * 28 * side; ++i) {
    bytes.push_back(static_cast<char>(i % 251));
  }
  return bytes;
}

std::string label_file(const std::string& labels) {
  return word(0x801) + word(static_cast<std::uint32_t>(labels.size())) + labels;
}

/// What reading these two files as images and labels throws.
std::string failure(const std::string& images, const std::string& labels) {
  const temporary_folder folder;
  const auto image_path = folder.write("images", images);
  const auto label_path = folder.write("labels", labels);
  return message_of([&] { models::read_images(image_path, label_path); });
}

} // namespace

BOOST_AUTO_TEST_SUITE(models)
BOOST_AUTO_TEST_SUITE(mnist_reader)

BOOST_AUTO_TEST_CASE(plain_and_compressed_files_hold_the_same_images) {
  const temporary_folder folder;
  const std::string labels("\x07\x00\x09", 3);
  for (const std::string part : {"train", "t10k"}) {
    folder.write(part + "-images-idx3-ubyte", image_file(3));
    folder.write_gz(part + "-labels-idx1-ubyte.gz", label_file(labels));
  }

  const auto digits = models::read_digits(folder.path());

  BOOST_TEST(digits.training.size() == 3u);
  BOOST_TEST(digits.test.size() == 3u);
  BOOST_TEST(digits.training.label(0) == 7);
  BOOST_TEST(digits.training.label(2) == 9);
  std::vector<double> pixels(784);
  digits.training.copy_input(1, pixels.data());
  BOOST_TEST(pixels[0] == 784 % 251 / 255.0);
  BOOST_TEST(pixels[783] == 1567 % 251 / 255.0);
  BOOST_TEST(digits.source == "MNIST in " + folder.path().string());
}

BOOST_AUTO_TEST_CASE(malformed_files_are_named_with_a_remedy) {
  const std::string labels = label_file(std::string("\x01\x02", 2));
  const std::string images = image_file(2);

  BOOST_TEST(failure(images, labels) == "");
  BOOST_TEST(contains(failure(labels, images), "no IDX file of bytes with 3 dimensions (magic "
                                               "2051) - check that images and labels are not "
                                               "exchanged"));
  BOOST_TEST(contains(failure("", labels), "no IDX file of bytes with 3 dimensions"));
  BOOST_TEST(contains(failure(image_file(2, 30), labels),
                      "dimension 2 is 30, not 28 - give images of 28 x 28 pixels"));
  BOOST_TEST(contains(failure(images.substr(0, 1000), labels),
                      "it holds 1000 bytes and announces 1584 - fetch the file again"));
  BOOST_TEST(contains(failure(images + "x", labels), "it holds 1585 bytes and announces 1584"));
  BOOST_TEST(contains(failure(image_file(3), labels),
                      "2 labels for 3 images - give files that belong together"));
  BOOST_TEST(contains(failure(images, label_file(std::string("\x01\x0a", 2))),
                      "a label above 9 - give labels 0 to 9"));
  BOOST_TEST(
      contains(failure(image_file(0), label_file("")), "it holds no labels - give at least one"));
}

BOOST_AUTO_TEST_CASE(missing_and_damaged_files_are_named_with_a_remedy) {
  const temporary_folder folder;
  const auto packed = folder.write_gz("packed.gz", image_file(40));
  std::filesystem::resize_file(packed, std::filesystem::file_size(packed) / 2);
  const auto read = [](const std::filesystem::path& path) {
    return message_of([&] { models::read_file(path, "mnist"); });
  };

  BOOST_TEST(read(folder.path() / "gone") ==
             "mnist: cannot read " + (folder.path() / "gone").string() +
                 ": No such file or directory - give an existing file you may read");
  BOOST_TEST(contains(read(folder.path()), "it is a folder - give a file"));
  BOOST_TEST(contains(read(packed), " - fetch the file again, it is damaged or incomplete"));
}

BOOST_AUTO_TEST_CASE(generated_images_are_the_same_everywhere_and_of_all_classes) {
  const auto once = models::generate_digits(300, 50), again = models::generate_digits(300, 50);

  BOOST_TEST((once.training.pixels == again.training.pixels));
  BOOST_TEST((once.training.labels == again.training.labels));
  const std::set<int> classes(once.training.labels.begin(), once.training.labels.end());
  BOOST_TEST(classes.size() == 10u);
  std::uint64_t check = 0;
  for (const auto pixel : once.test.pixels) {
    check = models::mix(check + pixel);
  }
  BOOST_TEST(check == 17419077784580840101u);
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE_END()
