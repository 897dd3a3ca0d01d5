// Any schedule as a drawing of its rounds.
#pragma once

#include <tutti/topologies/whole_schedule.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

namespace detail {

/// Chunks in ascending order, "0-2,5"; "all" of them.
inline std::string chunk_label(const chunk_range& range, int chunks) {
  if (range.count == chunks) return "all";
  std::vector<int> sorted;
  every_chunk(range, chunks, [&](int c) {
    sorted.push_back(c);
    return true;
  });
  std::sort(sorted.begin(), sorted.end());
  std::string text;
  for (std::size_t k = 0, last = 0; k < sorted.size(); k = last + 1) {
    for (last = k; last + 1 < sorted.size() && sorted[last + 1] == sorted[last] + 1;) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(sorted[k]);
    if (last > k) text += '-' + std::to_string(sorted[last]);
  }
  return text;
}

/// Writes the picture: a row for every rank, a band for every round, from left to right.
class schedule_drawing {
public:
  explicit schedule_drawing(const whole_schedule& all) : all_{all} {
    for (int rank = 0; rank < all.size; ++rank)
      for (const transfer& t : all.ranks[std::size_t(rank)])
        if (is_outgoing(t.act))
          messages_.push_back({t.round, rank, t.peer, t.act, chunk_label(t.chunks, all.chunks)});
    std::stable_sort(messages_.begin(), messages_.end(),
                     [](const message& a, const message& b) { return a.round < b.round; });
  }

  std::string draw(std::string_view title) {
    begin(title);
    for (int round = 0; round < all_.rounds; ++round) band(round);
    for (int rank = 0; rank < all_.size; ++rank) {
      text(left - 12, y(rank) + 4, "rank " + std::to_string(rank), "end");
      line(left, y(rank), x(all_.rounds), y(rank), "#808080", "stroke-opacity=\".35\"");
    }
    for (auto first = messages_.cbegin(); first != messages_.cend();) {
      const auto last = std::find_if(first, messages_.cend(),
                                     [&](const message& m) { return m.round != first->round; });
      draw_round({first, last});
      first = last;
    }
    legend();
    return out_ + labels_ + "</svg>\n";
  }

private:
  // Greys and colours of middle lightness: readable on white and on black.
  static constexpr int left = 76, top = 64, row = 48, column = 128;

  struct message {
    int round, from, to;
    action act;
    std::string label;
  };

  static int x(int round) { return left + round * column; }
  static int y(int rank) { return top + 24 + rank * row; }
  static std::string number(int n) { return '"' + std::to_string(n) + '"'; }
  static std::string_view color(action act) { return act == action::send ? "#d9730d" : "#2f74d0"; }
  static int label_width(const std::string& label) { return 10 + 6 * int(label.size()); }

  static std::string escaped(std::string_view plain) {
    std::string safe;
    for (const char c : plain)
      if (c == '&') safe += "&amp;";
      else if (c == '<') safe += "&lt;";
      else if (c == '>') safe += "&gt;";
      else safe += c;
    return safe;
  }

  void begin(std::string_view title) {
    const int width = (std::max)(x(all_.rounds) + 16, left + 620);
    const std::string size = std::to_string(width) + ' ' + std::to_string(y(all_.size) + 36);
    out_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + size +
           "\" width=" + number(width) +
           " font-family=\"sans-serif\" font-size=\"12\" fill=\"#808080\">\n<defs>\n";
    for (const action act : {action::send, action::publish})
      out_ +=
          "<marker id=\"" + marker(act) + "\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" " +
          "markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">" +
          "<path d=\"M0 0L8 4L0 8z\" fill=\"" + std::string{color(act)} + "\"/></marker>\n";
    out_ += "</defs>\n<text x=\"12\" y=\"24\" font-size=\"16\">" + escaped(title) + "</text>\n";
  }
  static std::string marker(action act) {
    return act == action::send ? "tutti-send" : "tutti-publish";
  }

  void band(int round) {
    if (round % 2 == 0)
      out_ += "<rect x=" + number(x(round)) + " y=" + number(top - 22) +
              " width=" + number(column) + " height=" + number(y(all_.size) - top + 2) +
              " fill-opacity=\".1\"/>\n";
    text(x(round) + column / 2, top - 6, "round " + std::to_string(round), "middle");
  }

  void text(int at_x, int at_y, std::string_view words, std::string_view anchor) {
    out_ += "<text x=" + number(at_x) + " y=" + number(at_y) + " text-anchor=\"" +
            std::string{anchor} + "\">" + escaped(words) + "</text>\n";
  }
  void line(int x1, int y1, int x2, int y2, std::string_view stroke, std::string_view more) {
    out_ += "<line x1=" + number(x1) + " y1=" + number(y1) + " x2=" + number(x2) +
            " y2=" + number(y2) + " stroke=\"" + std::string{stroke} + "\" " + std::string{more} +
            "/>\n";
  }
  /// Labels lie above all arrows.
  void label(int at_x, int at_y, const message& m) {
    const int width = label_width(m.label);
    labels_ += "<rect x=" + number(at_x - width / 2) + " y=" + number(at_y - 8) +
               " width=" + number(width) + " height=\"16\" rx=\"8\" fill=\"" +
               std::string{color(m.act)} + "\"/><text x=" + number(at_x) +
               " y=" + number(at_y + 4) +
               " font-size=\"11\" fill=\"#fff\" text-anchor=\"middle\">" + m.label + "</text>\n";
  }

  /// A label stands once at the sender when all it sends in the round is the same, once at the
  /// receiver when all it gets is the same, and on the arrow otherwise.
  void draw_round(const std::vector<message>& messages) {
    for (std::size_t k = 0; k < messages.size(); ++k) {
      const message& m = messages[k];
      const auto alone = [&](int message::*end) {
        return std::all_of(messages.begin(), messages.end(), [&](const message& other) {
          return other.*end != m.*end || (other.label == m.label && other.act == m.act);
        });
      };
      const auto first = [&](int message::*end) {
        return std::none_of(messages.begin(), messages.begin() + std::ptrdiff_t(k),
                            [&](const message& other) { return other.*end == m.*end; });
      };
      const bool at_sender = alone(&message::from);
      const bool at_receiver = !at_sender && alone(&message::to);
      const int half = label_width(m.label) / 2;
      int begin = x(m.round) + 14, end = x(m.round + 1) - 14;
      if (at_sender && first(&message::from)) label(begin - 6 + half, y(m.from), m);
      if (at_receiver && first(&message::to)) label(end + 6 - half, y(m.to), m);
      if (at_sender) begin += 2 * half - 6;
      if (at_receiver) end -= 2 * half - 4;
      if (!at_sender && !at_receiver)
        label(begin + (end - begin) / 4, y(m.from) + (y(m.to) - y(m.from)) / 4, m);
      line(begin, y(m.from), end, y(m.to), color(m.act),
           "stroke-width=\"1.6\" marker-end=\"url(#" + marker(m.act) + ")\"");
    }
  }

  void legend() {
    const int at = y(all_.size) + 12;
    int from = left;
    for (const action act : {action::send, action::publish}) {
      line(from, at, from + 36, at, color(act),
           "stroke-width=\"1.6\" marker-end=\"url(#" + marker(act) + ")\"");
      text(from + 44, at + 4,
           act == action::send ? "send: folded in by the receiver"
                               : "publish: stored by the receiver",
           "start");
      from += 250;
    }
    text(from, at + 4, "numbers: chunks", "start");
  }

  const whole_schedule& all_;
  std::vector<message> messages_;
  std::string out_, labels_;
};

} // namespace detail

/// An SVG document. Ranks are rows, rounds are bands, an arrow is a message and carries the numbers
/// of its chunks.
inline std::string svg(const whole_schedule& all, std::string_view title = {}) {
  const std::string plain =
      std::string{name(all.what)} + " of " + std::to_string(all.size) + " ranks";
  return detail::schedule_drawing{all}.draw(title.empty() ? plain : title);
}

} // namespace tutti
