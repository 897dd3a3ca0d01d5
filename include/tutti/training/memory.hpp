// Memory spaces: where the values of a model are, and the few things that trainers do with them there.
//
//   a space        a value of a type like host_memory (core/tensor.hpp), given to bind:
//     span<T>      how a tensor says where its values are: data() and size()
//     verbs<T>     what is done with them; made of the space, and a trainer has its own
//     wrong(span)  what is wrong with values there, a text that is empty when nothing is
//     values(span) what a trainer holds of it as a span<T>
//
//   memory<T>      the verbs that depend on no part of a strategy. Trainers, updaters and carriers call them, and have no
//                  loop over values of their own
//   verbs<T>       is a memory<T>, and has three templates over types that are the program's:
//     update(o, step, values, gradients, slots, factor, before)    a step of an optimizer
//     collect(from, to, adds, factor, divisor)                     a gradient of another type becomes a contribution
//     cast(from, to, n)                                            masters and the short values that they stand for
//
// Here a std::span<T> is a place in a memory, of which only verbs look at the values. Verbs are done in the order of the
// calls, some of them after the call: who wants to see a result on the host fetches it, or asks for what was found. What
// they compute is rounded as it is written, so bits do not depend on the space - those of a norm alone may differ in the
// last ones, as every space adds up squares in an order of its own.
#pragma once

#include <tutti/core/flat_model.hpp>
#include <tutti/core/function_ref.hpp>
#include <tutti/training/verdict.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace tutti {

/// Where tensors may be.
template <class S>
concept memory_space = std::copy_constructible<S> && requires {
  typename S::template span<float>;
  typename S::template verbs<float>;
};

namespace detail {

template <class T>
class memory;

/// Values that somebody keeps in a memory, which outlives them; zeros at first.
template <class T>
class kept_values {
public:
  kept_values() = default;
  kept_values(memory<T>& in, std::size_t n) : in_{&in}, values_{in.allocate(n)} {}
  kept_values(kept_values&& from) noexcept
      : in_{std::exchange(from.in_, nullptr)}, values_{std::exchange(from.values_, {})} {}
  kept_values& operator=(kept_values&& from) noexcept {
    std::swap(in_, from.in_);
    std::swap(values_, from.values_);
    return *this;
  }
  ~kept_values() {
    if (in_) in_->release(values_);
  }

  std::span<T> span() const noexcept { return values_; }
  std::span<T> in(place where) const { return values_.subspan(where.begin, where.size()); }
  std::size_t size() const noexcept { return values_.size(); }

private:
  memory<T>* in_ = nullptr;
  std::span<T> values_;
};

/// Values on their way to or from the host.
class copy_under_way {
public:
  virtual ~copy_under_way() = default;
  virtual void wait() = 0;
};
/// Null where they have arrived.
using arriving = std::unique_ptr<copy_under_way>;
inline void wait_for(arriving& values) {
  if (const arriving there = std::move(values)) there->wait();
}

template <class T>
class memory {
public:
  memory() = default;
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;
  virtual ~memory() = default;

  // --- copies -----------------------------------------------------------------------------------

  virtual std::span<T> allocate(std::size_t n) = 0;
  virtual void release(std::span<T> values) noexcept = 0;
  virtual void clear(std::span<T> values) = 0;
  /// As many values, apart from each other.
  virtual void copy(std::span<const T> from, std::span<T> to) = 0;
  /// Out of this memory into the host's, and back. The host's is left alone until they have arrived.
  [[nodiscard]] virtual arriving fetch(std::span<const T> from, T* to) = 0;
  [[nodiscard]] virtual arriving store(const T* from, std::span<T> to) = 0;
  /// Memory of the host that is copied from and to again and again, until unpin(): copies of it may be faster.
  virtual void pin(std::span<T> /*on_host*/) {}
  virtual void unpin(std::span<T> /*on_host*/) noexcept {}
  /// use(values) with bytes of this memory on the host; what it changes in them is there afterwards.
  virtual void on_host(std::span<std::byte> bytes, function_ref<void(std::span<std::byte>)> use) = 0;

  // --- looks ------------------------------------------------------------------------------------

  /// Looks whether values are finite, and if `norm` how long they are.
  virtual void look(std::span<const T> values, bool norm) = 0;
  /// What was found in all that was looked at since the last call, whose squares are added up in the order of the looks.
  virtual step_verdict found() = 0;
  /// From now on all that is collected last (collect() of a step's last micro-batch) is looked at for its magnitudes.
  virtual void bound(T limit) = 0;
  /// Whether none since the last call was as great as the limit; may say no where they are close.
  virtual bool is_bounded() = 0;
  /// Nothing counts any more that was looked at.
  virtual void forget() noexcept = 0;
  /// The first value that is not finite; as many as there are where all are.
  virtual std::size_t first_bad(std::span<const T> values) = 0;

  // --- arithmetic -------------------------------------------------------------------------------

  /// Times a factor, or over a divisor; of factor 0 zeros, whatever they were.
  virtual void scale(std::span<T> values, T factor) = 0;
  virtual void divide(std::span<T> values, T divisor) = 0;
  /// What training/elementwise.hpp describes, each with its numbers.
  virtual void depart(std::span<T> values, std::span<const T> agreed) = 0;
  virtual void keep_share(std::span<T> values, std::span<const T> agreed, double share) = 0;
  virtual void track(std::span<T> tracked, std::span<const T> own, std::span<T> last, T factor) = 0;
  virtual void pull(std::span<T> gradient, std::span<const T> own, std::span<T> mixed, double by) = 0;

  // --- graphs -----------------------------------------------------------------------------------

  /// Whether what is done now is recorded as well, to be done again later.
  virtual bool is_captured() const { return false; }

  // --- what is made of these ----------------------------------------------------------------------

  /// A place of a model out of its tensors, and into them.
  void read(const flat_model<T>& model, place where, std::span<T> to) {
    model.each(where, [&](std::size_t k, place at) {
      copy(model.values(k, at), to.subspan(at.begin - where.begin, at.size()));
    });
  }
  void write(const flat_model<T>& model, place where, std::span<const T> from) {
    model.each(where, [&](std::size_t k, place at) {
      copy(from.subspan(at.begin - where.begin, at.size()), model.values(k, at));
    });
  }
  /// use(values) with values of this memory on the host.
  template <class Use>
  void on_host(std::span<T> values, Use&& use) {
    on_host(std::as_writable_bytes(values), [&](std::span<std::byte> bytes) {
      use(std::span<T>{reinterpret_cast<T*>(bytes.data()), values.size()});
    });
  }
};

} // namespace detail
} // namespace tutti
