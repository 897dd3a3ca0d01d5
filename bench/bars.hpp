// A bar for each of many measurements as an SVG file, with a mark where it was to reach.
#pragma once

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

struct bar {
  std::string name;
  double value; ///< 0 and more
  double mark;  ///< 0: none
};

/// Readable on light and dark backgrounds. Throws when the file cannot be written.
inline void write_bars(const std::string& file, const std::string& title, const std::vector<bar>& bars) {
  constexpr int left = 300, width = 360, row = 22, top = 40;
  double most = 1;
  for (const bar& b : bars) most = std::max({most, b.value, b.mark});
  const auto at = [&](double v) { return left + width * v / most; };
  const auto escaped = [](const std::string& text) {
    std::string out;
    for (const char c : text) out += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
    return out;
  };
  std::ofstream out{file};
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << left + width + 60 << "\" height=\""
      << top + row * int(bars.size()) + 10 << "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#808080\">\n"
      << "<text x=\"10\" y=\"22\" font-size=\"14\">" << escaped(title) << "</text>\n";
  for (std::size_t k = 0; k < bars.size(); ++k) {
    const bar& b = bars[k];
    const int y = top + row * int(k);
    char value[16];
    std::snprintf(value, sizeof value, "%.2f", b.value);
    out << "<text x=\"" << left - 8 << "\" y=\"" << y + 13 << "\" text-anchor=\"end\">" << escaped(b.name)
        << "</text>\n<rect x=\"" << left << "\" y=\"" << y << "\" width=\"" << at(b.value) - left
        << "\" height=\"16\" fill=\"#2563eb\"/>\n<text x=\"" << at(std::max(b.value, b.mark)) + 6 << "\" y=\"" << y + 13
        << "\">" << value << "</text>\n";
    if (b.mark > 0)
      out << "<line x1=\"" << at(b.mark) << "\" x2=\"" << at(b.mark) << "\" y1=\"" << y - 2 << "\" y2=\"" << y + 18
          << "\" stroke=\"#f97316\" stroke-width=\"2\"/>\n";
  }
  out << "</svg>\n";
  if (!out.flush()) throw std::runtime_error{"cannot write " + file};
}

} // namespace bench
