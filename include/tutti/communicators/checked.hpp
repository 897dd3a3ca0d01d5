// checked: every rank makes the same call, with the same lengths and types, or every rank gets an error.
#pragma once

#include <tutti/communicators/decorator.hpp>
#include <tutti/communicators/rendezvous.hpp>

#include <string>

namespace tutti {

/// Before each collective all ranks compare what they are about to do; where they differ, every rank
/// throws error_code::mismatch naming two ranks and what each called. Where a rank's arguments cannot
/// work, it throws invalid_argument, and the others a mismatch that names it. Nothing of the data has
/// moved then, and the communicator remains usable. Costs size - 1 messages of 32 bytes a rank and
/// call.
template <class Inner>
class checked : public transparent_decorator<Inner> {
public:
  explicit checked(Inner&& inner, const options& how = {})
      : transparent_decorator<Inner>{std::forward<Inner>(inner)}, how_{how} {}

  /// `numbers` are a call's length, type and root; `valid` says whether this rank can make it, and the
  /// caller throws when it cannot. Called by the collectives.
  void verify(const char* call, std::span<const std::uint64_t> numbers, bool valid) {
    std::uint64_t mine[fields] = {valid ? code_of(call) : refused};
    for (std::size_t k = 0; k < numbers.size() && k + 1 < fields; ++k) mine[k + 1] = numbers[k];
    const auto all = detail::rendezvous(tutti::control_of(this->inner_), call, mine, how_.until(tutti::now_of(*this)));
    if (!valid) return;
    for (int r = 0; r < this->size(); ++r)
      if (all[std::size_t(r) * fields] == refused)
        refuse(call, r, "rank " + std::to_string(r) + " gave arguments that cannot work");
    for (int r = 1; r < this->size(); ++r)
      for (std::size_t k = 0; k < fields; ++k)
        if (all[std::size_t(r) * fields + k] != all[k]) disagree(call, r, k, all);
  }

  auto split(int color, int key)
    requires splitting_communicator<typename decorator<Inner>::inner_type>
  {
    using child = decltype(this->inner_.split(color, key));
    return checked<child>{this->inner_.split(color, key), how_};
  }

private:
  static constexpr std::size_t fields = 4;
  static constexpr std::uint64_t refused = ~std::uint64_t{0};

  static constexpr const char* names[] = {"all_reduce", "reduce_scatter", "reduce", "all_gather",
                                          "broadcast",  "gather",         "scatter", "all_to_all",
                                          "barrier",    "bind"};
  static std::uint64_t code_of(const char* call) {
    for (std::size_t k = 0; k < std::size(names); ++k)
      if (std::string_view{call} == names[k]) return k;
    return std::size(names);
  }
  static std::string name_of(std::uint64_t code) {
    return code < std::size(names) ? names[code] : "another call";
  }

  [[noreturn]] void disagree(const char* call, int other, std::size_t field,
                             const std::vector<std::uint64_t>& all) const {
    const std::uint64_t first = all[field], second = all[std::size_t(other) * fields + field];
    std::string detail;
    if (field == 0)
      detail = "rank 0 calls " + name_of(first) + ", rank " + std::to_string(other) + " calls " +
               name_of(second);
    else if (field == 1)
      detail = "rank 0 gives " + std::to_string(first) + " elements, rank " +
               std::to_string(other) + " gives " + std::to_string(second);
    else if (field == 2)
      detail = "ranks 0 and " + std::to_string(other) +
               " give different element types, reducers, topologies or codecs";
    else
      detail = "rank 0 names root " + std::to_string(first) + ", rank " + std::to_string(other) +
               " names root " + std::to_string(second);
    refuse(call, this->rank() == other ? 0 : other, detail);
  }
  [[noreturn]] void refuse(const char* call, int peer, const std::string& detail) const {
    throw error{{.code = error_code::mismatch,
                 .call = call,
                 .rank = this->rank(),
                 .peer = peer,
                 .detail = detail + " - make the same call on every rank"}};
  }

  options how_;
};
template <class Inner>
checked(Inner&&) -> checked<Inner>;
template <class Inner>
checked(Inner&&, options) -> checked<Inner>;

} // namespace tutti
