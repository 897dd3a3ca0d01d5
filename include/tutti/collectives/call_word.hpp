// The word of a call: one number for what is called, with which root, on which elements, with which
// parts and which numbers in them. What it is compared for is in communicators/call_history.hpp.
#pragma once

#include <tutti/codecs/identity.hpp>
#include <tutti/communicators/call_history.hpp>
#include <tutti/core/members.hpp>
#include <tutti/topologies/schedule.hpp>

#include <cstdint>
#include <type_traits>

namespace tutti::detail {

template <class T> inline constexpr std::uint64_t type_word = type_hash<T>();
template <class... Types>
inline constexpr std::uint64_t types_word = [] {
  std::uint64_t h = hash_of_nothing;
  ((h = detail::hashed(h, type_word<Types>)), ...);
  return h;
}();

/// `Call` is told apart from others by its number. Of parts without members it is a constant.
template <int Call, class T, class... Parts>
std::uint64_t word_of(int root, const Parts&... parts) {
  std::uint64_t h = types_word<T, Parts...> ^ std::uint64_t(Call);
  ((h = detail::hashed_numbers(h, parts)), ...);
  return root == 0 ? h : detail::hashed(h, std::uint64_t(root));
}
template <collective What> inline constexpr int number_of = int(What);
template <collective What>
inline constexpr bool is_rooted = What == collective::broadcast || What == collective::reduce;
/// Those that no topology carries.
enum class block_call : int { gather = 16, scatter, all_to_all, barrier };

template <collective What, class T, class R, class Topology, class Codec>
inline constexpr call_name name_of_reduction{
    name(What).data(),
    is_rooted<What>,
    text_with_type<T>(),
    text_with_type<R>(),
    text_with_type<Topology>(),
    std::is_same_v<Codec, identity> ? nullptr : text_with_type<Codec>()};
template <collective What, class T, class Topology>
inline constexpr call_name name_of_copy{name(What).data(), is_rooted<What>, text_with_type<T>(),
                                        nullptr, text_with_type<Topology>()};
template <block_call What, class T>
inline constexpr call_name name_of_block_call{What == block_call::gather       ? "gather"
                                              : What == block_call::scatter    ? "scatter"
                                              : What == block_call::all_to_all ? "all_to_all"
                                                                               : "barrier",
                                              What == block_call::gather || What == block_call::scatter,
                                              What == block_call::barrier ? nullptr : text_with_type<T>()};

} // namespace tutti::detail
