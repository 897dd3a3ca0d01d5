// The verbs of a device's memory (training/memory.hpp): work of one stream, by the kernels of the library.
#pragma once

#include <tutti/cuda/collect.cuh>
#include <tutti/cuda/device_buffer.hpp>
#include <tutti/cuda/device_memory.hpp>
#include <tutti/cuda/device_reducing.cuh>
#include <tutti/cuda/exact_arithmetic.cuh>
#include <tutti/cuda/norm.cuh>
#include <tutti/cuda/peer_reducing.cuh>
#include <tutti/cuda/staging.hpp>
#include <tutti/cuda/update.cuh>
#include <tutti/reducers/elementary.hpp>
#include <tutti/training/host_verbs.hpp>
#include <tutti/training/memory.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::cuda::detail {

/// Values that a stream copies.
class copy_of_stream final : public tutti::detail::copy_under_way {
public:
  explicit copy_of_stream(const stream& on) : over_{on} {}
  void wait() override { over_.wait(); }
  const event& over() const noexcept { return over_; }

private:
  event over_;
};

/// What goes out and comes in has a stream of its own beside the trainer's, so that it is copied while that computes:
/// it leaves behind all that the trainer's was given before, and that waits for what comes in.
template <class T> class device_verbs final : public tutti::detail::elementwise_verbs<T, device_verbs<T>> {
public:
  /// Refuses kernels that were built to compute otherwise than the host.
  explicit device_verbs(const device_memory& where) : on_{where.on()}, copies_{on_.device()}, probe_{on_, 1} {
    cuda::require_exact_arithmetic(on_);
  }

  std::span<T> allocate(std::size_t n) override {
    device_buffer<T> made{on_, n};
    const std::span<T> values{made.span().data(), n};
    clear(values);
    if (n > 0) kept_.emplace(values.data(), std::move(made));
    return values;
  }
  void release(std::span<T> values) noexcept override { kept_.erase(values.data()); }
  void clear(std::span<T> values) override {
    if (values.empty()) return;
    const current_device held{on_.device()};
    cuda::check(cudaMemsetAsync(values.data(), 0, values.size_bytes(), on_.handle()), "cudaMemsetAsync");
  }
  void copy(std::span<const T> from, std::span<T> to) override {
    move(on_, to.data(), from.data(), from.size_bytes(), cudaMemcpyDeviceToDevice);
  }
  tutti::detail::arriving fetch(std::span<const T> from, T* to) override {
    detail::refuse_capture(on_, call, staged);
    copies_.wait_for(on_);
    move(copies_, to, from.data(), from.size_bytes(), cudaMemcpyDeviceToHost);
    return std::make_unique<copy_of_stream>(copies_);
  }
  tutti::detail::arriving store(const T* from, std::span<T> to) override {
    detail::refuse_capture(on_, call, staged);
    copies_.wait_for(on_);
    move(copies_, to.data(), from, to.size_bytes(), cudaMemcpyHostToDevice);
    auto there = std::make_unique<copy_of_stream>(copies_);
    on_.wait_for(there->over());
    return there;
  }
  void pin(std::span<T> values) override {
    if (values.empty()) return;
    const current_device held{on_.device()};
    if (cudaHostRegister(values.data(), values.size_bytes(), cudaHostRegisterPortable) == cudaSuccess)
      pinned_.insert(values.data());
    else static_cast<void>(cudaGetLastError()); // then the runtime copies once more
  }
  void unpin(std::span<T> values) noexcept override {
    if (pinned_.erase(values.data()) > 0 && cudaHostUnregister(values.data()) != cudaSuccess)
      static_cast<void>(cudaGetLastError());
  }
  using tutti::detail::memory<T>::on_host;
  void on_host(std::span<std::byte> bytes, function_ref<void(std::span<std::byte>)> use) override {
    detail::refuse_capture(on_, call, staged);
    host_slot copy{bytes.size() + 1};
    if (!bytes.empty()) copy.copy(on_, copy.data(), bytes.data(), bytes.size(), cudaMemcpyDeviceToHost);
    copy.wait();
    use({copy.data(), bytes.size()});
    if (!bytes.empty()) copy.copy(on_, bytes.data(), copy.data(), bytes.size(), cudaMemcpyHostToDevice);
  }

  void look(std::span<const T> values, bool norm) override {
    if (values.empty()) return;
    if (looks_.size() == workspaces_.size()) workspaces_.emplace_back(on_, 1);
    judge(values, workspaces_[looks_.size()]);
    looks_.push_back({values, norm});
  }
  tutti::detail::step_verdict found() override {
    tutti::detail::step_verdict all;
    if (looks_.empty()) return all;
    detail::refuse_capture(on_, call, "the host waits for the verdict on every step, unless training_options say "
                                      "non_finite::pass and nothing is clipped");
    if (!verdicts_ || workspaces_.size() > room_for_) {
      room_for_ = workspaces_.size();
      verdicts_.emplace(room_for_ * sizeof(norm_verdict));
    }
    auto* const here = reinterpret_cast<norm_verdict*>(verdicts_->data());
    for (std::size_t k = 0; k < looks_.size(); ++k) fetch_verdict(workspaces_[k], here + k, *verdicts_);
    verdicts_->wait();
    for (std::size_t k = 0; k < looks_.size(); ++k) {
      all.finite = all.finite && is_finite_as(here[k], looks_[k].values);
      if (looks_[k].norm) all.squares += here[k].squares;
    }
    looks_.clear();
    return all;
  }
  void bound(T limit) override { limit_ = limit; }
  bool is_bounded() override { // no value is greater than the root of the sum of all squares
    const auto contributed = found();
    return contributed.finite && std::sqrt(contributed.squares) < double(limit_);
  }
  void forget() noexcept override { looks_.clear(); }
  std::size_t first_bad(std::span<const T> values) override { return first_bad_of(values); }

  bool is_captured() const override { return on_.is_captured(); }

  void scale(std::span<T> values, T factor) override {
    if (factor == 1) return;
    if (factor == 0) return clear(values);
    cuda::collect<T, T, T>(on_, there(std::span<const T>{values}), there(values), false, factor, T(1));
  }
  void divide(std::span<T> values, T divisor) override {
    if (divisor == 1) return;
    cuda::collect<T, T, T>(on_, there(std::span<const T>{values}), there(values), false, T(1), divisor);
  }

  template <class O>
  void update(const O& o, std::int64_t step, std::span<T> values, std::span<const T> gradients,
              const optimizer_slots<T, slots_of<O>>& slots, T factor = 1, std::span<const T> /*before*/ = {}) {
    detail::explain_optimizer<O>();
    if constexpr (runs_on_device<O>) {
      refuse_other_numbers(o, step);
      const device_span<const T> in[] = {there(gradients)};
      device_parameters<T, slots_of<O>> of{there(values), {}};
      for (std::size_t k = 0; k != slots_of<O>; ++k) of.slots[k] = there(slots[k]);
      const std::span<const device_span<const T>> one{in};
      detail::update_static<1, built_for>(on_, tutti::sum{}, one, o, step, of, factor);
    }
  }
  template <class G> void collect(std::span<const G> from, std::span<T> to, bool adds, T factor, T divisor, bool last) {
    const bool is_there = static_cast<const void*>(from.data()) == to.data(); // made where it is collected
    if (!is_there || factor != 1 || divisor != 1)
      cuda::collect<G, T, T>(on_, there(from), there(to), adds, factor, divisor);
    if (last && limit_ > 0) look(to, true);
  }
  template <class G> bool is_finite_gradient(std::span<const G> values) {
    judge(values, probe_);
    host_slot verdict{sizeof(norm_verdict)};
    auto* const here = reinterpret_cast<norm_verdict*>(verdict.data());
    fetch_verdict(probe_, here, verdict);
    verdict.wait();
    return is_finite_as(*here, values);
  }
  template <class From, class To> void cast(std::span<const From> from, std::span<To> to) {
    cuda::collect<From, To, T>(on_, there(from), there(to), false, T(1), T(1));
  }

  /// A carrier that works where this memory is: ranks reach each other's, or messages name it; null where there is none
  /// for these parts. Collective.
  template <bool Owners, class Parts>
  std::unique_ptr<carrier<T>> carry(const Parts& parts, std::span<const place> pieces, std::size_t exempt_from) {
    if (auto by = detail::carried_by_peers<T, Owners, built_for>(*this, on_, parts, pieces)) return by;
    return detail::carried_on_device<T, Owners, built_for>(*this, on_, parts, pieces, exempt_from);
  }

private:
  static constexpr const char* call = "trainer";
  static constexpr const char* staged = "what travels goes through the host, which takes part in it";

  struct looked_at {
    std::span<const T> values;
    bool norm;
  };

  /// A graph repeats the numbers of the step that it was made of, which are parameters of its kernels.
  template <class O> void refuse_other_numbers(const O& o, std::int64_t step) const {
    const auto these = o.template at<T>(step), next = o.template at<T>(step + 1);
    if (std::memcmp(&these, &next, sizeof these) != 0)
      detail::refuse_capture(on_, call, "this optimizer has other numbers in every step, and a graph repeats those of "
                                        "one; capture what comes before the update, or use tutti::sgd");
  }
  template <class X> device_span<X> there(std::span<X> values) const noexcept {
    return {values.data(), values.size(), on_.device()};
  }
  static void move(const stream& by, void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    const current_device held{by.device()};
    cuda::check(cudaMemcpyAsync(to, from, bytes, kind, by.handle()), "cudaMemcpyAsync");
  }
  template <class G> void judge(std::span<const G> values, norm_workspace& with) {
    const device_span<const G> all[] = {there(values)};
    cuda::judge_norm<G>(on_, std::span<const device_span<const G>>{all}, with);
  }
  void fetch_verdict(const norm_workspace& of, norm_verdict* to, host_slot& in) {
    in.copy(on_, to, of.verdict().data(), sizeof *to, cudaMemcpyDeviceToHost);
  }
  /// Squares of finite doubles may add up to infinity; then the values are looked at on the host.
  template <class G> bool is_finite_as(const norm_verdict& verdict, std::span<const G> values) {
    return verdict.finite || first_bad_of(values) == values.size();
  }
  template <class G> std::size_t first_bad_of(std::span<const G> values) {
    host_slot copy{values.size_bytes() + 1};
    const std::span<const G> here{reinterpret_cast<const G*>(copy.data()), values.size()};
    if (!values.empty()) copy.copy(on_, copy.data(), values.data(), values.size_bytes(), cudaMemcpyDeviceToHost);
    copy.wait();
    const auto bad = std::find_if_not(here.begin(), here.end(), [](G v) { return tutti::is_finite(v); });
    return std::size_t(bad - here.begin());
  }

  const stream& on_;
  stream copies_;
  std::map<const T*, device_buffer<T>> kept_;
  std::set<const T*> pinned_;
  std::vector<norm_workspace> workspaces_; ///< of each look of a step
  std::vector<looked_at> looks_;
  norm_workspace probe_;
  std::optional<host_slot> verdicts_;
  std::size_t room_for_ = 0;
  T limit_ = 0; ///< 0: nothing is bounded
};

} // namespace tutti::cuda::detail
