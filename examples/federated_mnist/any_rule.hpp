// any_rule: one of some reducers that compare contributions, chosen while the program runs.
#pragma once

#include <tutti/reducers/distances.hpp>
#include <tutti/reducers/elementary.hpp>

#include <cstddef>
#include <span>
#include <utility>
#include <variant>

namespace federated_mnist {

/// What is left of any_rule when its agreement is made.
template <class... Rules>
struct any_working {
  using part = tutti::reducer_part;
  static constexpr bool in_lanes = (tutti::detail::gathers_lanes<Rules> && ...);
  std::variant<Rules...> rule;

  template <class A>
  A gather(std::span<A> column) const {
    return std::visit([&](const auto& r) { return r.gather(column); }, rule);
  }
};

template <class First, class... Rest>
struct any_rule {
  using part = tutti::reducer_part;
  using agreement_reducer = tutti::sum;
  template <class T>
  static constexpr bool accepts = tutti::real_element<T>;
  using working = any_working<tutti::working_reducer_t<First>, tutti::working_reducer_t<Rest>...>;

  std::variant<First, Rest...> rule;

  std::size_t agreement(std::size_t n, int size) const {
    return of_agreeing([&](const auto& r) { return std::size_t(r.agreement(n, size)); });
  }
  template <class T>
  void observe_gathered(tutti::gathered_rows<T> all, std::size_t first, std::span<double> numbers) const {
    of_agreeing([&](const auto& r) { return r.observe_gathered(all, first, numbers), std::size_t{}; });
  }
  working agreed(std::span<const double> numbers) const { return agreed_at<0>(numbers); }
  int least_contributions() const {
    return std::visit(
        [](const auto& r) {
          if constexpr (requires { r.least_contributions(); }) return int(r.least_contributions());
          else return 1;
        },
        rule);
  }
  const char* objection() const {
    return std::visit(
        [](const auto& r) -> const char* {
          if constexpr (requires { r.objection(); }) return r.objection();
          else return nullptr;
        },
        rule);
  }

private:
  /// By its place: some of what is left is of one type.
  template <std::size_t I>
  working agreed_at(std::span<const double> numbers) const {
    using left = decltype(working::rule);
    if (const auto* r = std::get_if<I>(&rule)) {
      if constexpr (tutti::agreeing_reducer<std::variant_alternative_t<I, decltype(rule)>>)
        return {left{std::in_place_index<I>, r->agreed(numbers)}};
      else
        return {left{std::in_place_index<I>, *r}};
    }
    if constexpr (I < sizeof...(Rest)) return agreed_at<I + 1>(numbers);
    else return {left{}};
  }
  template <class Use>
  std::size_t of_agreeing(Use&& use) const {
    return std::visit(
        [&]<class R>(const R& r) {
          if constexpr (tutti::agreeing_reducer<R>) return use(r);
          else return std::size_t{0};
        },
        rule);
  }
};

} // namespace federated_mnist
