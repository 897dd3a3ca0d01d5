// A line plot as an SVG file.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace support {

struct point {
  double x, y;
};

enum class scale : unsigned char { linear, logarithmic }; ///< of both axes

struct line {
  std::string name;
  std::vector<point> points;
  std::string colour = "#3b82f6";
};

namespace plot_detail {

/// A round step that cuts `span` into about `parts`.
inline double round_step(double span, int parts) {
  const double raw = span / parts, base = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double m : {1.0, 2.0, 5.0})
    if (raw <= m * base) return m * base;
  return 10 * base;
}

inline std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", v);
  return text;
}

} // namespace plot_detail

/// Readable on light and dark backgrounds. Throws when the file cannot be written.
inline void write_plot(const std::string& file, const std::string& title, const std::string& x_name,
                       const std::string& y_name, std::vector<line> lines,
                       scale by = scale::linear) {
  using plot_detail::number;
  if (by == scale::logarithmic)
    for (line& l : lines)
      for (point& p : l.points) p = {std::log10(p.x), std::log10(p.y)};
  const auto label = [&](double v) {
    return number(by == scale::logarithmic ? std::pow(10.0, v) : v);
  };
  constexpr double left = 64, top = 40, width = 620, height = 320;
  double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
  for (const line& l : lines)
    for (const point& p : l.points) {
      x0 = std::min(x0, p.x), x1 = std::max(x1, p.x);
      y0 = std::min(y0, p.y), y1 = std::max(y1, p.y);
    }
  if (!(x1 >= x0)) throw std::runtime_error("plot: there is nothing to draw");
  if (x1 == x0) x1 = x0 + 1;
  if (y1 == y0) y1 = y0 + 1;
  const auto px = [&](double x) { return number(left + (x - x0) / (x1 - x0) * width); };
  const auto py = [&](double y) { return number(top + (y1 - y) / (y1 - y0) * height); };

  std::ofstream out{file};
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 420\" "
         "font-family=\"sans-serif\" font-size=\"12\" fill=\"#808080\">\n"
      << "<text x=\"64\" y=\"24\" font-size=\"15\">" << title << "</text>\n";
  const bool decades = by == scale::logarithmic;
  const double xs = decades ? 1 : plot_detail::round_step(x1 - x0, 8);
  const double ys = decades ? 1 : plot_detail::round_step(y1 - y0, 6);
  for (double x = std::ceil(x0 / xs) * xs; x <= x1; x += xs)
    out << "<path d=\"M" << px(x) << " " << top << "v" << height << "\" stroke=\"#80808040\"/>"
        << "<text x=\"" << px(x) << "\" y=\"378\" text-anchor=\"middle\">" << label(x)
        << "</text>\n";
  for (double y = std::ceil(y0 / ys) * ys; y <= y1; y += ys)
    out << "<path d=\"M" << left << " " << py(y) << "h" << width << "\" stroke=\"#80808040\"/>"
        << "<text x=\"58\" y=\"" << py(y) << "\" text-anchor=\"end\">" << label(y) << "</text>\n";
  out << "<text x=\"374\" y=\"402\" text-anchor=\"middle\">" << x_name << "</text>\n"
      << "<text x=\"16\" y=\"200\" text-anchor=\"middle\" transform=\"rotate(-90 16 200)\">"
      << y_name << "</text>\n";
  double legend = top + 16;
  for (const line& l : lines) {
    out << "<polyline fill=\"none\" stroke-width=\"1.6\" stroke=\"" << l.colour << "\" points=\"";
    for (const point& p : l.points) out << px(p.x) << "," << py(p.y) << " ";
    out << "\"/>\n<text x=\"676\" y=\"" << legend << "\" text-anchor=\"end\" fill=\"" << l.colour
        << "\">" << l.name << "</text>\n";
    legend += 16;
  }
  out << "</svg>\n";
  if (!out.flush()) throw std::runtime_error("plot: cannot write " + file + " - check the folder");
}

} // namespace support
