// Binding: a model as a trainer holds it, and the comparison of everything that ranks must agree on.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/aligned_values.hpp>
#include <tutti/core/flat_model.hpp>
#include <tutti/core/float16.hpp>
#include <tutti/core/hash.hpp>
#include <tutti/core/members.hpp>
#include <tutti/core/tensor.hpp>
#include <tutti/topologies/cost.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::detail {

/// A contiguous range, a span or a vector: one tensor without a name.
template <class Range>
concept plain_values = requires(Range& r) { std::span{r}; } &&
                       !requires(Range& r) { std::begin(r)->values; };

/// Any range of tensors, or plain values, as tensors.
template <class Range>
auto as_tensors(Range& range) {
  if constexpr (plain_values<Range>) {
    const std::span values{range};
    return std::vector<tensor<typename decltype(values)::element_type>>{{"values", values}};
  } else {
    using item = std::remove_cvref_t<decltype(*std::begin(range))>;
    return std::vector<item>(std::begin(range), std::end(range));
  }
}

/// What the tensors of a range hold, const or not.
template <class Range>
using tensor_value = typename decltype(decltype(detail::as_tensors(
    std::declval<Range&>()))::value_type::values)::element_type;
template <class Range>
using tensor_element = std::remove_const_t<tensor_value<Range>>;

/// In which memory tensors are.
template <class T, class Space>
Space space_of(const tensor<T, Space>&);
template <class Range>
using tensor_space = decltype(detail::space_of(detail::as_tensors(std::declval<Range&>()).front()));

/// What parameters of type V are trained in: short ones have a copy of their own in float.
template <class V>
using master_of = std::conditional_t<sizeof(V) == 2, float, V>;

/// Every number that ranks must agree on, part by part.
class compared_numbers {
public:
  template <class Part>
  void add(const Part& part) {
    parts_.push_back({text_with_type<Part>(), bits_.size()});
    bits_.push_back(type_hash<Part>());
    real_.push_back(false);
    detail::each_number(part, [&](std::uint64_t bits, bool real) {
      bits_.push_back(bits);
      real_.push_back(real);
    });
  }

  /// All of another's.
  void add(const compared_numbers& other) {
    for (const part_at& one : other.parts_) parts_.push_back({one.name, bits_.size() + one.begin});
    bits_.insert(bits_.end(), other.bits_.begin(), other.bits_.end());
    real_.insert(real_.end(), other.real_.begin(), other.real_.end());
  }

  std::uint64_t hash() const {
    return detail::hashed_numbers(hash_of_nothing, bits_);
  }
  std::span<const std::uint64_t> bits() const noexcept { return bits_; }

  /// A part that was added, as it is now.
  template <class Part>
  void renew(const Part& part) {
    for (const part_at& one : parts_)
      if (one.name == text_with_type<Part>()) {
        std::size_t k = one.begin;
        detail::each_number(part, [&](std::uint64_t bits, double) { bits_[++k] = bits; });
      }
  }
  /// Every number by a name: "number 1 in tutti::sgd".
  std::map<std::string, std::string> texts() const {
    std::map<std::string, std::string> out;
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      const std::size_t end = p + 1 < parts_.size() ? parts_[p + 1].begin : bits_.size();
      for (std::size_t k = parts_[p].begin + 1; k < end; ++k)
        out.emplace("number " + std::to_string(k - parts_[p].begin) + " in " +
                        name_of_type(parts_[p].name),
                    text(bits_[k], real_[k]));
    }
    return out;
  }

  /// What differs between ranks a and b, of which `other` are the numbers of b.
  std::string difference(std::span<const std::uint64_t> first, int a,
                         std::span<const std::uint64_t> other, int b) const {
    for (std::size_t k = 0; k < bits_.size(); ++k)
      if (first[k] != other[k]) {
        std::size_t p = 0;
        while (p + 1 < parts_.size() && parts_[p + 1].begin <= k) ++p;
        const std::string part = name_of_type(parts_[p].name);
        if (k == parts_[p].begin) return "another part in the place of " + part;
        return "number " + std::to_string(k - parts_[p].begin) + " in " + part + " is " +
               text(first[k], real_[k]) + " on rank " + std::to_string(a) + " and " +
               text(other[k], real_[k]) + " on rank " + std::to_string(b);
      }
    return {};
  }

private:
  struct part_at {
    std::string_view name;
    std::size_t begin;
  };
  static std::string text(std::uint64_t bits, bool real) {
    if (!real) return std::to_string(std::int64_t(bits));
    char out[32];
    std::snprintf(out, sizeof out, "%.9g", std::bit_cast<double>(bits));
    return out;
  }

  std::vector<part_at> parts_;
  std::vector<std::uint64_t> bits_;
  std::vector<char> real_;
};

/// What ranks must agree on of the parts, and of a topology what it comes to on these ranks.
template <class Parts, class Sync>
compared_numbers numbers_of(const Parts& parts, const Sync& sync) {
  compared_numbers all;
  all.add(parts.topology);
  all.add(parts.reducer);
  all.add(parts.codec);
  all.add(sync);
  using topology = std::remove_cvref_t<decltype(parts.topology)>;
  if constexpr (schedule_topology<topology>)
    all.add(tutti::chunks_of(parts.topology, detail::layout_of(parts.comm)));
  if constexpr (requires { parts.topology.costs(); }) all.add(text(parts.topology.costs()));
  return all;
}

/// What bind compares of one tensor.
struct tensor_facts {
  std::string name, shape; ///< the shape as a text
  const void* begin;
  std::size_t values, bytes;
  bool fits; ///< its shape
  bool frozen;

  std::uint64_t hash() const {
    const std::uint64_t text = detail::hashed_numbers(detail::hashed_numbers(hash_of_nothing, name), shape);
    return detail::hashed(detail::hashed(text, values), frozen);
  }
};

template <class T>
tensor_facts facts_of(const tensor<T>& t, std::span<std::byte> given, bool frozen) {
  return {t.name, text_of_shape(t), given.data(), t.values.size(), given.size(), fits_its_shape(t), frozen};
}

/// What is wrong with this rank's tensors; empty when nothing is.
inline std::string wrong_tensors(std::span<const tensor_facts> tensors) {
  std::vector<std::size_t> order;
  for (std::size_t k = 0; k < tensors.size(); ++k) {
    const tensor_facts& t = tensors[k];
    if (!t.fits)
      return "tensor " + std::to_string(k) + " (\"" + t.name + "\") has " + std::to_string(t.values) +
             " values and the shape " + t.shape +
             " - give the length of each dimension, the slowest first, or no shape";
    if (t.values > 0) order.push_back(k);
  }
  const auto address = [&](std::size_t k) {
    return reinterpret_cast<std::uintptr_t>(tensors[k].begin);
  };
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return address(a) < address(b); });
  for (std::size_t i = 1; i < order.size(); ++i)
    if (address(order[i - 1]) + tensors[order[i - 1]].bytes > address(order[i]))
      return "\"" + tensors[(std::min)(order[i - 1], order[i])].name + "\" and \"" +
             tensors[(std::max)(order[i - 1], order[i])].name +
             "\" are the same memory - give a tensor that is used twice once, with the sum of its "
             "gradients";
  std::vector<std::string_view> names;
  for (const tensor_facts& t : tensors) names.push_back(t.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  return twice == names.end()
             ? std::string{}
             : "two tensors have the name \"" + std::string{*twice} + "\" - give each its own";
}

/// What rank `who` has to say, on every rank.
inline std::string text_from(control& ranks, std::string text, int who) {
  std::uint64_t length = text.size();
  ranks.broadcast(std::as_writable_bytes(std::span{&length, 1}), who);
  text.resize(length);
  ranks.broadcast(std::as_writable_bytes(std::span{text.data(), text.size()}), who);
  return text;
}

/// The first tensor that ranks 0 and `odd`, with so many tensors each, do not have in common; `each` are the
/// hashes of this rank's.
inline std::string unlike_tensors(control& ranks, std::span<const tensor_facts> tensors,
                                  const std::vector<std::uint64_t>& each, std::size_t of_first,
                                  std::size_t of_odd, int odd) {
  std::vector<std::uint64_t> first = each, other = each;
  first.resize(of_first);
  other.resize(of_odd);
  ranks.broadcast(std::as_writable_bytes(std::span{first}), 0);
  ranks.broadcast(std::as_writable_bytes(std::span{other}), odd);
  std::size_t k = 0;
  while (k < of_first && k < of_odd && first[k] == other[k]) ++k;
  const std::string mine = k >= tensors.size() ? "missing"
                                               : "\"" + tensors[k].name + "\" (" + tensors[k].shape +
                                                     (tensors[k].frozen ? ", frozen)" : ")");
  const std::string a = detail::text_from(ranks, mine, 0), b = detail::text_from(ranks, mine, odd);
  return "tensor " + std::to_string(k) + " is " + a + " on rank 0 and " + b + " on rank " +
         std::to_string(odd);
}

/// All ranks bind the same thing: parts, options, names and shapes. Throws on every rank `mismatch` when
/// they do not, naming the first thing that differs, and `invalid_argument` when `wrong`, or the tensors of
/// a rank, cannot work. Cost: two small all_gathers, more only when something differs.
inline void verify_binding(control& ranks, std::span<const tensor_facts> tensors,
                           const compared_numbers& numbers, std::string wrong, const char* call) {
  if (wrong.empty()) wrong = detail::wrong_tensors(tensors);
  std::vector<std::uint64_t> each;
  std::uint64_t all = hash_of_nothing;
  for (const tensor_facts& t : tensors) {
    each.push_back(t.hash());
    all = detail::hashed(all, each.back());
  }
  constexpr std::size_t words = 5;
  const std::uint64_t mine[words] = {!wrong.empty(), tensors.size(), all, numbers.bits().size(),
                                     numbers.hash()};
  const std::vector<std::uint64_t> heads = ranks.gather(mine);
  const auto at = [&](int r, std::size_t k) { return heads[std::size_t(r) * words + k]; };
  const auto raise = [&](error_code code, int peer, std::string detail) {
    throw error{{.code = code,
                 .call = call,
                 .rank = ranks.rank(),
                 .peer = peer,
                 .detail = std::move(detail)}};
  };
  const auto disagree = [&](int other, const std::string& detail) {
    raise(error_code::mismatch, ranks.rank() == other ? 0 : other,
          detail + " - bind the same model and strategy on every rank");
  };
  for (int r = 0; r < ranks.size(); ++r)
    if (at(r, 0)) {
      raise(error_code::invalid_argument, r,
            "rank " + std::to_string(r) + ": " + detail::text_from(ranks, wrong, r));
    }
  int odd = 0;
  const auto differ = [&](std::size_t k) {
    odd = 0;
    for (int r = ranks.size() - 1; r > 0; --r)
      if (at(r, k) != at(0, k)) odd = r;
    return odd > 0;
  };
  const auto plans = [&] { return "ranks 0 and " + std::to_string(odd) + " plan different runs"; };
  if (differ(1) || differ(2)) {
    disagree(odd, detail::unlike_tensors(ranks, tensors, each, at(0, 1), at(odd, 1), odd));
  }
  if (differ(3)) disagree(odd, plans() + " (parts, options or element types)");
  if (differ(4)) {
    const int other = odd;
    const auto every = ranks.gather(numbers.bits());
    const std::size_t n = numbers.bits().size();
    const std::span<const std::uint64_t> values{every};
    disagree(other, plans() + ": " + numbers.difference(values.first(n), 0,
                                                        values.subspan(std::size_t(other) * n, n), other));
  }
}

} // namespace tutti::detail
