// Handwritten digits: the IDX files of MNIST, or generated images of the same shape.
#pragma once

#include "data_file.hpp"
#include "random.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace models {

inline constexpr int image_side = 28;
inline constexpr int image_pixels = image_side * image_side;
inline constexpr int digit_classes = 10;

/// Images as bytes, one after the other; a model reads them as values in 0 .. 1.
struct image_set {
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> labels;

  std::size_t size() const { return labels.size(); }
  int inputs() const { return image_pixels; }
  int label(std::size_t i) const { return labels[i]; }

  template <class T> void copy_input(std::size_t i, T* out) const {
    const std::uint8_t* image = pixels.data() + i * image_pixels;
    for (int j = 0; j < image_pixels; ++j) {
      out[j] = static_cast<T>(image[j]) / T{255};
    }
  }
};

struct digits {
  image_set training, test;
  std::string source; ///< for the user: where the images are from
};

namespace idx {

/// The payload of an IDX file of unsigned bytes whose dimensions are (count, inner...).
inline std::vector<std::uint8_t> read(const std::filesystem::path& path,
                                      const std::vector<std::uint32_t>& inner) {
  auto bytes = read_file(path, "mnist");
  const auto word = [&](std::size_t i) {
    return std::uint32_t{bytes[4 * i]} << 24 | std::uint32_t{bytes[4 * i + 1]} << 16 |
           std::uint32_t{bytes[4 * i + 2]} << 8 | std::uint32_t{bytes[4 * i + 3]};
  };
  const std::size_t header = 4 * (2 + inner.size());
  const auto magic = static_cast<std::uint32_t>(0x801 + inner.size());
  if (bytes.size() < header || word(0) != magic) {
    throw unreadable("mnist", path,
                     "no IDX file of bytes with " + std::to_string(1 + inner.size()) +
                         " dimensions (magic " + std::to_string(magic) + ")",
                     "check that images and labels are not exchanged");
  }
  std::size_t item = 1;
  for (std::size_t d = 0; d < inner.size(); ++d) {
    if (word(2 + d) != inner[d]) {
      throw unreadable("mnist", path,
                       "dimension " + std::to_string(1 + d) + " is " + std::to_string(word(2 + d)) +
                           ", not " + std::to_string(inner[d]),
                       "give images of 28 x 28 pixels");
    }
    item *= inner[d];
  }
  const std::size_t expected = header + item * word(1);
  if (bytes.size() != expected) {
    throw unreadable("mnist", path,
                     "it holds " + std::to_string(bytes.size()) + " bytes and announces " +
                         std::to_string(expected),
                     "fetch the file again, it is damaged or incomplete");
  }
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header));
  return bytes;
}

} // namespace idx

/// Either path may name a plain file or one compressed by gzip.
inline image_set read_images(const std::filesystem::path& images,
                             const std::filesystem::path& labels) {
  image_set set{idx::read(images, {image_side, image_side}), idx::read(labels, {})};
  if (set.pixels.size() != set.size() * image_pixels) {
    throw unreadable("mnist", labels,
                     std::to_string(set.size()) + " labels for " +
                         std::to_string(set.pixels.size() / image_pixels) + " images",
                     "give files that belong together");
  }
  if (set.size() == 0) {
    throw unreadable("mnist", labels, "it holds no labels", "give at least one image");
  }
  if (std::any_of(set.labels.begin(), set.labels.end(), [](int l) { return l > 9; })) {
    throw unreadable("mnist", labels, "a label above 9", "give labels 0 to 9");
  }
  return set;
}

/// The four files under their original names, with or without .gz.
inline digits read_digits(const std::filesystem::path& folder) {
  const auto images = [&](const char* part) {
    const std::string prefix = part;
    return read_images(plain_or_gz(folder / (prefix + "-images-idx3-ubyte")),
                       plain_or_gz(folder / (prefix + "-labels-idx1-ubyte")));
  };
  return {images("train"), images("t10k"), "MNIST in " + folder.string()};
}

namespace generated {

/// Image i: the pattern of its class (7 x 7 cells, a quarter of them bright), moved by up to four
/// pixels, with one pixel in six flipped.
inline void draw_image(std::uint64_t seed, std::uint64_t i, int label, std::uint8_t* image) {
  const auto class_number = static_cast<std::uint64_t>(label);
  const auto pattern = draw(12, class_number, 0) & draw(12, class_number, 1);
  const auto where = draw(seed, i);
  const int right = static_cast<int>(where % 5), down = static_cast<int>(where / 5 % 5);
  for (int y = 0; y < image_side; ++y) {
    std::uint64_t noise = 0;
    for (int x = 0; x < image_side; ++x, noise >>= 8) {
      if (x % 7 == 0) {
        noise = draw(seed, i, static_cast<std::uint64_t>(y * 4 + x / 7 + 1));
      }
      const int column = (x + right) / 4 % 7, row = (y + down) / 4 % 7;
      const bool bright = (pattern >> (7 * row + column) & 1) != 0;
      const bool flipped = (noise & 0xff) < 43;
      *image++ = static_cast<std::uint8_t>(bright != flipped ? 128 + (noise >> 1 & 0x7f) : 0);
    }
  }
}

inline image_set images(std::size_t n, std::uint64_t seed) {
  image_set set{std::vector<std::uint8_t>(n * image_pixels), {}};
  for (std::size_t i = 0; i < n; ++i) {
    const int label = static_cast<int>(draw(seed, i, 1000) % digit_classes);
    set.labels.push_back(static_cast<std::uint8_t>(label));
    draw_image(seed, i, label, set.pixels.data() + i * image_pixels);
  }
  return set;
}

} // namespace generated

/// A stand-in that needs no files: ten classes of noisy patterns, the same on every machine.
inline digits generate_digits(std::size_t training = 6000, std::size_t test = 1000) {
  return {generated::images(training, 1), generated::images(test, 2), "generated images"};
}

/// MNIST below TUTTI_DATA; the stand-in when that is unset.
inline digits find_digits() {
  const auto folder = data_folder();
  return folder ? read_digits(*folder / "mnist") : generate_digits();
}

} // namespace models
