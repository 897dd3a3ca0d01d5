// Models of a few values, worked out by hand, runs of them on threads, and their state in memory.
#pragma once

#include "sync/model.hpp"

#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace small_model {

using floats = std::vector<float>;

inline constexpr tutti::sgd by_one{.learning_rate = 1};

/// What body(world) returns on every rank.
template <class Body> auto on(int ranks, Body&& body) {
  using result = std::decay_t<decltype(body(std::declval<tutti::threads::communicator&>()))>;
  std::vector<result> out(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](tutti::threads::communicator& world) {
    out[std::size_t(world.rank())] = body(world);
  });
  return out;
}

/// Within a rank's thread, where Boost.Test must not be called: what is wrong ends the run.
template <class A, class B> void must_equal(const A& got, const B& wanted, const char* what) {
  if (got == wanted) return;
  std::ostringstream out;
  out.precision(9);
  out << what << " is " << got << ", wanted " << wanted;
  throw std::logic_error{out.str()};
}

/// Tensors by name; a gradient without values is absent.
template <class V = float> struct tensors {
  std::vector<std::string> names;
  std::vector<std::vector<V>> values;

  std::vector<tutti::tensor<V>> parameters() {
    std::vector<tutti::tensor<V>> out;
    for (std::size_t k = 0; k < names.size(); ++k) out.push_back({names[k], values[k]});
    return out;
  }
  floats flat() const {
    floats out;
    for (const auto& v : values)
      for (const V x : v) out.push_back(float(x));
    return out;
  }
};
template <class V>
std::vector<tutti::tensor<const V>> gradients(const std::vector<std::vector<V>>& values) {
  std::vector<tutti::tensor<const V>> out;
  for (const auto& v : values) out.push_back({"", std::span<const V>{v}});
  return out;
}

inline std::string text(const floats& values) {
  std::ostringstream out;
  out.precision(9);
  for (const float v : values) out << " " << v;
  return out.str();
}
/// All ranks have `wanted`, to a relative `tolerance`; 0: the same numbers.
inline void expect_all(const std::string& what, const std::vector<floats>& got,
                       const floats& wanted, double tolerance = 0) {
  for (std::size_t r = 0; r < got.size(); ++r) {
    bool right = got[r].size() == wanted.size();
    for (std::size_t k = 0; right && k < wanted.size(); ++k)
      right = std::abs(double(got[r][k]) - double(wanted[k])) <=
              tolerance * std::abs(double(wanted[k]));
    BOOST_CHECK_MESSAGE(right, what << ", rank " << r << ":" << text(got[r]) << " - wanted"
                                    << text(wanted));
  }
}
inline void expect_texts(const std::string& what, const std::vector<std::string>& texts,
                         const std::string& wanted) {
  BOOST_CHECK_MESSAGE(trial::all_contain(texts, wanted),
                      what << ": \"" << wanted << "\" is missing:" << trial::joined(texts));
}

/// A state in memory: written by one visit, read by others.
class memory final : public tutti::archive {
public:
  memory() = default;
  memory(memory&& other) noexcept : archive{}, entries_{std::move(other.entries_)} {}
  void begin_reading() { reading_ = true, next_ = 0; }

  void values(std::string_view name, std::span<float> mine, tutti::place, tutti::held_by) override {
    visit(name, mine);
  }
  void values(std::string_view name, std::span<double> mine, tutti::place,
              tutti::held_by) override {
    visit(name, mine);
  }
  void number(std::string_view name, std::int64_t& value, tutti::held_by) override {
    visit(name, std::span{&value, 1});
  }
  void number(std::string_view name, double& value, tutti::held_by) override {
    visit(name, std::span{&value, 1});
  }

  /// The values that have this name, one behind the other.
  std::vector<double> of(std::string_view name) const {
    std::vector<double> out;
    for (const entry& e : entries_)
      if (e.name == name) out.insert(out.end(), e.values.begin(), e.values.end());
    return out;
  }
  /// The names of what differs, bit by bit.
  std::string difference(const memory& other) const {
    std::string out = entries_.size() == other.entries_.size() ? "" : "other entries ";
    for (std::size_t k = 0; k < entries_.size() && k < other.entries_.size(); ++k)
      if (entries_[k].name != other.entries_[k].name ||
          entries_[k].bytes != other.entries_[k].bytes)
        out += "\"" + entries_[k].name + "\" ";
    return out;
  }

private:
  struct entry {
    std::string name;
    std::vector<std::byte> bytes;
    std::vector<double> values;
  };
  template <class T> void visit(std::string_view name, std::span<T> mine) {
    const auto bytes = std::as_writable_bytes(mine);
    if (!reading_) {
      entries_.push_back(
          {std::string{name}, {bytes.begin(), bytes.end()}, {mine.begin(), mine.end()}});
      return;
    }
    const entry& e = entries_.at(next_++);
    if (e.name != name || e.bytes.size() != bytes.size())
      throw std::runtime_error{"\"" + std::string{name} + "\" is visited in the place of \"" +
                               e.name + "\""};
    std::copy(e.bytes.begin(), e.bytes.end(), bytes.begin());
  }

  std::vector<entry> entries_;
  std::size_t next_ = 0;
  bool reading_ = false;
};

template <class Trainer> memory state_of(Trainer& trainer) {
  memory m;
  trainer.state(m);
  return m;
}

} // namespace small_model
