// Public names of which some are missing in bad.md. Not compiled.
#pragma once

#define TUTTI_SPARE 1

namespace tutti {

namespace detail {
struct hidden {};
} // namespace detail

struct widget {
  int member;
};

template <class T>
concept widget_like = true;

template <class T, class U = std::pair<T, T>>
  requires widget_like<T>
constexpr T gadget(const U& from) {
  return from.member;
}

inline widget make_widget(int n) { return {n}; }

} // namespace tutti

namespace tutti::depot {

class [[nodiscard]] crate {};

} // namespace tutti::depot
