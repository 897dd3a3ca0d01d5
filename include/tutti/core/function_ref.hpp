// function_ref: a function that somebody else owns, as an argument.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace tutti {

template <class Signature>
class function_ref;

/// Refers to anything that can be called; what it refers to outlives it. Copying it copies nothing.
template <class Result, class... Arguments>
class function_ref<Result(Arguments...)> {
public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, function_ref> &&
             std::is_invocable_r_v<Result, F&, Arguments...>)
  function_ref(F&& f) noexcept
      : object_{const_cast<void*>(static_cast<const void*>(std::addressof(f)))},
        call_{[](void* object, Arguments... arguments) -> Result {
          return (*static_cast<std::add_pointer_t<F>>(object))(std::forward<Arguments>(arguments)...);
        }} {}

  Result operator()(Arguments... arguments) const {
    return call_(object_, std::forward<Arguments>(arguments)...);
  }

private:
  void* object_;
  Result (*call_)(void*, Arguments...);
};

} // namespace tutti
