// What a call may be handed as its data, and what is said where it cannot be.
//
// Data is elements in contiguous memory - whatever a std::span is made of, or has data() and size()
// - or one value. A result is written to what can be written and is there afterwards; what is only
// read may be const, and a temporary where the call is over when it returns.
#pragma once

#include <tutti/communicators/direct_access.hpp>
#include <tutti/core/part.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <span>
#include <string>
#include <type_traits>

namespace tutti::detail {

template <class T>
concept has_storage = requires(T& t) {
  requires std::is_pointer_v<decltype(t.data())>;
  requires std::is_object_v<std::remove_pointer_t<decltype(t.data())>>;
  { t.size() } -> std::convertible_to<std::size_t>;
};
/// Eigen's rows of a matrix stored by columns, and its like.
template <class T>
concept has_gaps = requires {
  requires int(T::InnerStrideAtCompileTime) != 1;
};

template <class T>
concept contiguous =
    !has_gaps<T> && (has_storage<T> || std::is_array_v<T> || requires(T & t) { std::span{t}; });
template <class T>
concept goes_over_elements = has_gaps<T> || has_storage<T> || requires(T& t) {
  t.begin();
};
/// Pointers and iterators: they do not say how many.
template <class T>
concept points = std::is_pointer_v<T> || requires(std::remove_cv_t<T> t) {
  *t;
  ++t;
};
template <class T>
concept one_value =
    (std::is_arithmetic_v<T> || std::is_enum_v<T> || std::is_class_v<T> ||
     std::is_union_v<T>)&&std::is_trivially_copyable_v<T>&& std::is_copy_constructible_v<T> &&
    !contiguous<T> && !goes_over_elements<T> && !points<T> && !has_part<T>;

/// What gives elements that may be written even where it is const itself does not own them.
template <class T>
concept has_storage_of_others = has_storage<const T> && !is_symmetric<T> && requires(const T& t) {
  requires !std::is_const_v<std::remove_pointer_t<decltype(t.data())>>;
};
/// Whether elements live on when the object is gone: a span, a view, Eigen::Map.
template <class T>
inline constexpr bool only_refers = std::ranges::enable_borrowed_range<std::remove_const_t<T>> ||
                                    has_storage_of_others<std::remove_const_t<T>>;
template <class T>
requires requires {
  typename T::PlainObject;
}
inline constexpr bool only_refers<T> =
    !std::is_same_v<std::remove_const_t<T>, typename T::PlainObject>;

template <class T> struct element_in { using type = void; };
template <contiguous T> struct element_in<T> {
  using type = typename decltype(std::span{std::declval<T&>()})::element_type;
};
template <class T>
requires(contiguous<T>&& has_storage<T>) struct element_in<T> {
  using type = std::remove_pointer_t<decltype(std::declval<T&>().data())>;
};
template <one_value T> struct element_in<T> { using type = T; };

/// The elements of what was handed over, const where they cannot be written. Data is as a
/// forwarding reference deduces it.
template <class Data>
using handed_element = typename element_in<std::remove_reference_t<Data>>::type;
/// The same without const.
template <class Data> using element_of = std::remove_const_t<handed_element<Data>>;

/// How a call uses what it is handed.
enum class as { result, input, kept_input };

template <as How, class Data> struct handed {
  using type = std::remove_reference_t<Data>;
  static constexpr bool part = has_part<type>;
  static constexpr bool counts = contiguous<type> || one_value<type> || part || !points<type>;
  static constexpr bool stands_together =
      contiguous<type> || one_value<type> || part || points<type> || !goes_over_elements<type>;
  static constexpr bool is_data = contiguous<type> || one_value<type>;
  static constexpr bool writable =
      !is_data || How != as::result || !std::is_const_v<handed_element<Data>>;
  static constexpr bool stays = !is_data || How == as::input || !writable ||
                                std::is_lvalue_reference_v<Data> || only_refers<type>;
  static constexpr bool value = is_data && writable && stays;
};
template <class Handed> struct handed_sentences {
  using facts = Handed;
  static_assert(!facts::part,
                "tutti: a part stands where the data should be - give the data first, "
                "and then reducer, topology, codec and options");
  static_assert(facts::counts,
                "tutti: a pointer or iterator does not say how many elements there are "
                "- give std::span{pointer, n}");
  static_assert(
      facts::stands_together,
      "tutti: these elements do not stand one behind the other in memory, as those of "
      "std::deque, std::vector<bool> and rows of a matrix that is stored by columns - copy "
      "them into a std::vector, or into an Eigen vector");
  static_assert(
      facts::is_data || facts::part || !facts::counts || !facts::stands_together,
      "tutti: this is neither elements in contiguous memory nor one trivially copyable "
      "value - give a std::vector, a std::span, an Eigen matrix, a value, or the bytes of a "
      "serialised form");
  static_assert(facts::writable,
                "tutti: the result is written to this data, which is const - give "
                "data that may be written; tutti::all_reduce also takes a place for "
                "the result: all_reduce(comm, in, out)");
  static_assert(facts::stays,
                "tutti: this is a temporary, which is gone when its result is there or "
                "before it has been read - give it a name");
};

template <class A, class B> struct alike_sentences {
  static_assert(
      std::is_same_v<A, B>,
      "tutti: the elements of the two buffers are of different types - give both the same");
};

/// Whether a call can use what it is handed: `handed` of each.
template <class... Handed> inline constexpr bool can_use = (Handed::value && ...);
template <class A, class B>
requires(A::value&& B::value) inline constexpr bool can_use<A, B> =
    std::is_same_v<element_of<typename A::type>, element_of<typename B::type>>;
/// Names the first mistake.
template <class First, class... Second> constexpr void explain_data() {
  if constexpr (!First::value) (void)sizeof(handed_sentences<First>);
  else if constexpr (!(Second::value && ...)) ((void)sizeof(handed_sentences<Second>), ...);
  else
    ((void)sizeof(
         alike_sentences<element_of<typename First::type>, element_of<typename Second::type>>),
     ...);
}

/// Whether what follows the data is data, too, and no part: where the result goes.
template <class Data, class... Rest> inline constexpr bool data_follows = false;
template <class Data, class Next, class... Rest>
inline constexpr bool data_follows<Data, Next, Rest...> =
    !has_part<Next> &&
    !std::is_same_v<std::remove_cv_t<std::remove_all_extents_t<std::remove_reference_t<Next>>>,
                    char> &&
    (contiguous<std::remove_reference_t<Next>> ||
     goes_over_elements<std::remove_reference_t<Next>> ||
     (std::is_lvalue_reference_v<Next> &&
      (std::is_arithmetic_v<std::remove_cvref_t<Next>> || points<std::remove_cvref_t<Next>> ||
       std::is_same_v<std::remove_cvref_t<Next>, element_of<Data>>)));

/// What is wrong with the arguments of a call, as far as its own rank can see; empty when nothing
/// is. Every call asks, so it costs no more than a pointer until it is put into words.
struct objection {
  constexpr objection() {} // numbers stay unset
  /// In the place of each number the text has a %.
  template <class... Numbers>
  constexpr objection(const char* why, Numbers... given)
      : text{why}, count{sizeof...(given)}, numbers{static_cast<long long>(given)...} {}

  const char* text = nullptr;
  std::size_t count = 0;
  long long numbers[3]; ///< count of them

  bool empty() const noexcept { return text == nullptr; }
  std::string in_words() const {
    std::string all;
    std::size_t next = 0;
    for (const char* c = text; *c != '\0'; ++c)
      if (*c == '%' && next < count) all += std::to_string(numbers[next++]);
      else all += *c;
    return all;
  }
};

/// What a call was handed: its elements; of a symmetric buffer also where everyone's are.
template <class T> struct buffer {
  std::span<T> values;
  const symmetric_memory* memory = nullptr;
  const char* wrong = nullptr;

  std::byte* bytes() const {
    return reinterpret_cast<std::byte*>(const_cast<std::remove_const_t<T>*>(values.data()));
  }
};

template <class Data> auto buffer_of(Data& data) {
  using T = handed_element<Data&>;
  buffer<T> all;
  if constexpr (one_value<Data>) {
    all.values = std::span<T>{&data, 1};
  } else if constexpr (has_storage<Data>) {
    all.values = std::span<T>{data.data(), static_cast<std::size_t>(data.size())};
  } else {
    all.values = std::span{data};
  }
  if constexpr (is_symmetric<std::remove_cv_t<Data>>) {
    all.memory = data.memory();
    if (!data)
      all.wrong =
          "the symmetric buffer holds no memory: it was moved from, or never allocated - give "
          "the one that communicator::allocate returned";
  }
  if constexpr (requires {
                  data.outerStride();
                  data.outerSize();
                  data.innerSize();
                })
    if (data.outerSize() > 1 && data.outerStride() != data.innerSize())
      all.wrong =
          "there are gaps between the columns or rows of this part of a matrix - copy it into a "
          "matrix of its own";
  return all;
}

/// The same, of what is only read.
template <class Data> auto input_of(const Data& data) {
  const auto given = detail::buffer_of(data);
  return buffer<const element_of<Data>>{given.values, given.memory, given.wrong};
}

/// What is wrong with any of the buffers themselves.
template <class... T> objection data_objection(const buffer<T>&... data) {
  const char* wrong = nullptr;
  ((wrong = wrong ? wrong : data.wrong), ...);
  if (wrong) return {wrong};
  return {};
}

/// Whether they have memory in common.
template <class T, class U> bool overlap(std::span<T> a, std::span<U> b) noexcept {
  const auto at = [](const auto* p) { return reinterpret_cast<std::uintptr_t>(p); };
  return !a.empty() && !b.empty() && at(a.data()) < at(b.data() + b.size()) &&
         at(b.data()) < at(a.data() + a.size());
}

inline objection blocks_objection(int size, std::size_t block, std::size_t all) {
  if (all == block * std::size_t(size)) [[likely]]
    return {};
  return {"the whole holds % elements, % blocks of % are needed", all, size, block};
}

/// A whole of `size` blocks, and the block of rank `rank`: apart from the whole, or at its place in
/// it.
template <class T, class U>
objection block_objection(int rank, int size, std::span<T> block, std::span<U> all) {
  const std::size_t n = block.size();
  if (const objection wrong = detail::blocks_objection(size, n, all.size()); !wrong.empty())
    return wrong;
  if (detail::overlap(block, all) && block.data() != all.data() + std::size_t(rank) * n)
    return {
        "the block lies within the whole, but not in its place there - give memory apart from the "
        "whole, or the % elements from % on, where the block of rank % is",
        n, std::size_t(rank) * n, rank};
  return {};
}

/// Where a reduction finds its contribution: where the result goes.
struct in_place {
  template <class T> static objection objection_to(const buffer<T>&) { return {}; }
  static void copy_to(std::byte*) {}
};
/// Or beside it, from where it is copied at every start.
template <class T> struct beside {
  buffer<const T> in;

  objection objection_to(const buffer<T>& out) const {
    const std::span<const T> from = in.values;
    const std::span<T> to = out.values;
    if (const objection wrong = detail::data_objection(in); !wrong.empty()) return wrong;
    if (from.size() != to.size())
      return {"% elements are given and there is room for % in the result - make them equally long",
              from.size(), to.size()};
    if (from.data() != to.data() && detail::overlap(from, to))
      return {
          "the contribution and the place for the result overlap - give the same memory, or two "
          "buffers"};
    return {};
  }
  void copy_to(std::byte* out) const {
    if (const std::byte* from = in.bytes(); from != out && !in.values.empty())
      std::memcpy(out, from, in.values.size_bytes());
  }
};

} // namespace tutti::detail
