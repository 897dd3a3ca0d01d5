// What a data_parallel stands on (adapters/torch.hpp): a module as tensors that ranks have compared, and a trainer of
// elements that are known only when the module is seen.
#pragma once

#include <tutti/strategy/strategy.hpp>
#include <tutti/training/checkpoint.hpp>

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tutti::torch::detail {

template <class Sync>
inline constexpr bool reduces_gradients =
    tutti::detail::carrier_of<Sync> == carried_by::schedule && !tutti::detail::has_owners<Sync> &&
    tutti::detail::contribution_of<Sync> == contributes::gradient && !tutti::detail::over_population<Sync>;

/// An optimizer that leaves parameters alone.
struct moves_nothing {
  static constexpr std::array<std::string_view, 0> slots{};

  template <class T>
  auto at(std::int64_t /*step*/) const {
    return [](const rounding&, T&, T, T*) {};
  }
};

/// Dense, one value behind the other. LibTorch 1.13 makes zero of the only value of a sparse tensor when its stride is
/// 0, as the gradient of a sum has it (add_out_dense_sparse_cpu): so sparse values are copied first.
inline at::Tensor row_major(const at::Tensor& t) {
  if (!t.is_sparse()) return t.contiguous();
  const at::Tensor values = t._values().clone(at::MemoryFormat::Contiguous);
  return at::_sparse_coo_tensor_unsafe(t._indices(), values, t.sizes(), t.options()).to_dense();
}

/// The parameters and buffers of a module, by name, the same on all ranks. Buffers are kept beside a trainer.
class bound_module final : public tutti::detail::kept_by_trainer {
public:
  /// Collective. Compares `how` as well.
  template <class Strategy>
  bound_module(::torch::nn::Module& module, Strategy& strategy, const training_options& how)
      : keeps_order_{how.learns_order} {
    std::unordered_set<const void*> seen;
    const auto list = [&](const auto& all, std::vector<std::string>& names, std::vector<at::Tensor>& values) {
      for (const auto& entry : all)
        if (entry.value().defined() && seen.insert(entry.value().unsafeGetTensorImpl()).second) {
          names.push_back(entry.key());
          values.push_back(entry.value());
        }
    };
    list(module.named_parameters(), names_, parameters_);
    list(module.named_buffers(), buffer_names_, buffers_);

    auto& comm = tutti::detail::stationary(strategy.comm());
    ranks_ = std::make_unique<control_on<std::remove_reference_t<decltype(comm)>>>(comm, options{});
    std::vector<tutti::detail::tensor_facts> facts;
    for (std::size_t k = 0; k < size(); ++k) facts.push_back(facts_of(names_[k], parameters_[k]));
    for (std::size_t k = 0; k < buffers_.size(); ++k) facts.push_back(facts_of(buffer_names_[k], buffers_[k]));
    tutti::detail::compared_numbers numbers;
    numbers.add(how);
    tutti::detail::verify_binding(*ranks_, facts, numbers, what_is_wrong(), "data_parallel");
    for (std::size_t k = size(); k-- > 0;) order_.push_back(k);

    for (at::Tensor& value : parameters_) {
      if (!value.is_contiguous()) value.set_data(value.contiguous());
      places_.push_back(value.data_ptr());
    }
    for (const at::Tensor& value : parameters_) share(value);
    share_buffers();
  }

  std::size_t size() const noexcept { return parameters_.size(); }
  const at::Tensor& operator[](std::size_t k) const { return parameters_[k]; }
  const std::vector<at::Tensor>& parameters() const noexcept { return parameters_; }
  const std::string& name(std::size_t k) const { return names_[k]; }
  at::ScalarType element() const { return parameters_.front().scalar_type(); }

  /// In which gradients travel.
  const std::vector<std::size_t>& order() const noexcept { return order_; }
  std::vector<std::string> ordered_names() const {
    std::vector<std::string> all;
    for (const std::size_t k : order_) all.push_back(names_[k]);
    return all;
  }
  /// Collective: rank 0's `arrived` come first in the order of all ranks, and what is not among them behind.
  void adopt_order(const std::vector<std::size_t>& arrived) {
    std::vector<std::uint64_t> all(arrived.begin(), arrived.end());
    for (const std::size_t k : order_)
      if (std::find(arrived.begin(), arrived.end(), k) == arrived.end()) all.push_back(k);
    ranks_->broadcast(std::as_writable_bytes(std::span{all}), 0);
    order_.assign(all.begin(), all.end());
    learnt_ = 1;
  }
  bool order_is_learnt() const noexcept { return learnt_ != 0; }
  /// Whether it is another one than when this was asked last.
  bool order_is_new() { return std::exchange(order_is_new_, false); }

  /// Collective: rank 0's buffers become those of all.
  void share_buffers() {
    for (const at::Tensor& value : buffers_) share(value);
  }
  /// The buffers, number by number; and the order, where it is learnt.
  void state(archive& to) override {
    if (keeps_order_) {
      to.number("order is learnt", learnt_);
      std::vector<std::size_t> now(size());
      for (std::size_t place = 0; place < size(); ++place) {
        std::int64_t k = std::int64_t(order_[place]);
        to.number("parameter " + std::to_string(place) + " of the order", k);
        now[place] = std::size_t(k);
      }
      order_is_new_ = now != order_;
      order_ = std::move(now);
    }
    for (std::size_t k = 0; k < buffers_.size(); ++k) {
      const bool real = buffers_[k].is_floating_point();
      const at::Tensor values = buffers_[k].detach().to(real ? at::kDouble : at::kLong).contiguous().clone();
      for (std::int64_t i = 0; i < values.numel(); ++i) {
        const std::string name = buffer_names_[k] + " " + std::to_string(i);
        real ? to.number(name, values.data_ptr<double>()[i]) : to.number(name, values.data_ptr<std::int64_t>()[i]);
      }
      buffers_[k].detach().copy_(values);
    }
  }
  /// Every parameter is where it was when ranks began to train it.
  void require_in_place() const {
    for (std::size_t k = 0; k < size(); ++k)
      if (parameters_[k].data_ptr() != places_[k] || parameters_[k].scalar_type() != element())
        refuse("\"" + names_[k] + "\" is in another place than when the module was given, moved by to() or set_data() "
               "- make a new data_parallel of the module");
  }
  [[noreturn]] void refuse(std::string detail) const {
    throw error{{.code = error_code::invalid_argument,
                 .call = "data_parallel",
                 .rank = ranks_->rank(),
                 .detail = std::move(detail)}};
  }

private:
  /// Rank 0's values become those of all.
  void share(const at::Tensor& value) {
    const at::Tensor row_major = value.detach().contiguous();
    ranks_->broadcast({static_cast<std::byte*>(row_major.data_ptr()), row_major.nbytes()}, 0);
    if (!value.is_contiguous()) value.detach().copy_(row_major);
  }
  static tutti::detail::tensor_facts facts_of(const std::string& name, const at::Tensor& t) {
    std::string shape;
    for (const std::int64_t n : t.sizes()) shape += std::to_string(n) + " x ";
    shape = shape.empty() ? "one value" : shape.substr(0, shape.size() - 3);
    return {name, shape + ", " + at::toString(t.scalar_type()), address(t), std::size_t(t.numel()), spanned(t), true,
            !t.requires_grad()};
  }
  static bool in_host_memory(const at::Tensor& t) { return t.device().is_cpu() && t.layout() == at::kStrided; }
  static const void* address(const at::Tensor& t) { return in_host_memory(t) ? t.data_ptr() : nullptr; }
  /// From its first byte to its last.
  static std::size_t spanned(const at::Tensor& t) {
    if (!in_host_memory(t) || t.numel() == 0) return 0;
    std::int64_t last = 0;
    for (std::int64_t d = 0; d < t.dim(); ++d) last += (t.size(d) - 1) * t.stride(d);
    return std::size_t((last + 1) * std::int64_t(t.element_size()));
  }
  /// On this rank; empty when nothing is.
  std::string what_is_wrong() const {
    if (parameters_.empty()) return "the module has no parameters - register them before it is given";
    for (std::size_t k = 0; k < size() + buffers_.size(); ++k) {
      const bool trained = k < size();
      const at::Tensor& t = trained ? parameters_[k] : buffers_[k - size()];
      const std::string name = "\"" + (trained ? names_[k] : buffer_names_[k - size()]) + "\"";
      if (!in_host_memory(t))
        return name + " is " + (t.device().is_cpu() ? "sparse" : "on " + t.device().str()) +
               ", and ranks reach dense tensors in the host's memory - move the module to torch::kCPU";
      if (!trained) continue;
      const auto type = t.scalar_type();
      if (type != at::kFloat && type != at::kDouble && type != at::kBFloat16 && type != at::kHalf)
        return name + " is " + at::toString(type) +
               ", which is not trained - give Float, Double, BFloat16 or Half, or register it as a buffer";
      if (type != element())
        return name + " is " + at::toString(type) + ", and \"" + names_[0] + "\" is " + at::toString(element()) +
               " - give all parameters the same type, as module.to() does";
    }
    return {};
  }

  std::vector<std::string> names_, buffer_names_;
  std::vector<at::Tensor> parameters_, buffers_;
  std::vector<const void*> places_;
  std::vector<std::size_t> order_;
  std::int64_t learnt_ = 0; ///< whether it is another than that of registration
  bool keeps_order_ = false, order_is_new_ = false;
  std::unique_ptr<control> ranks_;
};

/// A trainer, whatever its parameters are made of.
template <class Optimizer>
class any_trainer {
public:
  virtual ~any_trainer() = default;
  virtual Optimizer& optimizer() = 0;
  virtual std::int64_t steps() const = 0;
  virtual std::int64_t skipped() const = 0;
  virtual double loss_scale() const = 0;
  virtual double gradient_norm() const = 0;
  virtual tutti::role role() const = 0;
  virtual bool had_gradient(std::size_t k) const = 0;
  /// What was agreed on of the parameter `like`, as a gradient of it: in its bucket where that has the same elements.
  virtual at::Tensor reduced(std::size_t k, const at::Tensor& like) = 0;
  virtual bool stands_in_bucket(std::size_t k, const at::Tensor& gradient) = 0;
  virtual void begin(const std::vector<bool>& present, double weight) = 0;
  virtual void ready(std::size_t k, const at::Tensor& gradient) = 0;
  virtual void finish() = 0;
  virtual void fail(std::exception_ptr why) = 0;
  virtual void join(function_ref<void()> after_each) = 0;
  virtual void freeze(const std::string& name, bool frozen) = 0;
  virtual void keep_beside(tutti::detail::kept_by_trainer& beside) = 0;
  virtual void serve() = 0;
  virtual void finalize() = 0;
  virtual void save(const std::string& folder, const save_options& how) = 0;
  virtual std::vector<std::string> load(const std::string& folder) = 0;
};

template <class V, class Optimizer, class Trainer>
class trainer_of final : public any_trainer<Optimizer> {
public:
  /// The trainer's last tensor is the first in the module's order.
  template <class Bind>
  trainer_of(const bound_module& module, Bind&& bind)
      : module_of_{module.order().rbegin(), module.order().rend()}, place_of_(module.size()), values_{arranged(module)},
        trainer_{bind(values_)} {
    for (std::size_t p = 0; p < module_of_.size(); ++p) place_of_[module_of_[p]] = p;
  }

  Optimizer& optimizer() override { return trainer_.optimizer(); }
  std::int64_t steps() const override { return trainer_.steps(); }
  std::int64_t skipped() const override { return trainer_.skipped(); }
  double loss_scale() const override { return trainer_.loss_scale(); }
  double gradient_norm() const override { return trainer_.gradient_norm(); }
  tutti::role role() const override { return trainer_.role(); }
  bool had_gradient(std::size_t k) const override { return trainer_.had_gradient(place_of_[k]); }
  at::Tensor reduced(std::size_t k, const at::Tensor& like) override {
    const auto values = trainer_.reduced(place_of_[k]);
    using T = typename decltype(values)::value_type;
    const auto type = std::is_same_v<T, double> ? at::kDouble : at::kFloat;
    const at::Tensor in_bucket = at::from_blob(values.data(), like.sizes(), at::TensorOptions(type));
    return std::is_same_v<T, V> ? in_bucket : in_bucket.to(like.scalar_type());
  }
  bool stands_in_bucket(std::size_t k, const at::Tensor& gradient) override {
    const void* const bucket = trainer_.reduced(place_of_[k]).data();
    return !gradient.is_sparse() && gradient.data_ptr() == bucket;
  }
  void begin(const std::vector<bool>& present, double weight) override {
    std::vector<tensor<const V>> gradients; // as long; each is elsewhere when it is ready
    for (std::size_t p = 0; p < values_.size(); ++p)
      gradients.push_back(
          {values_[p].name, present[module_of_[p]] ? std::span<const V>{values_[p].values} : std::span<const V>{}});
    trainer_.begin(gradients, weight);
  }
  void ready(std::size_t k, const at::Tensor& gradient) override {
    if (gradient.numel() == 0) return;
    trainer_.ready(place_of_[k], std::span{static_cast<const V*>(gradient.data_ptr()), std::size_t(gradient.numel())});
  }
  void finish() override { trainer_.finish(); }
  void fail(std::exception_ptr why) override { trainer_.fail(why); }
  void join(function_ref<void()> after_each) override { trainer_.join(after_each); }
  void freeze(const std::string& name, bool frozen) override { trainer_.freeze(name, frozen); }
  void keep_beside(tutti::detail::kept_by_trainer& beside) override { trainer_.keep_beside(beside); }
  void serve() override { trainer_.serve(); }
  void finalize() override { trainer_.finalize(); }
  void save(const std::string& folder, const save_options& how) override { trainer_.save(folder, how); }
  std::vector<std::string> load(const std::string& folder) override { return trainer_.load(folder); }

private:
  std::vector<tensor<V>> arranged(const bound_module& module) {
    std::vector<tensor<V>> all;
    for (const std::size_t k : module_of_) {
      at::Tensor value = module[k];
      if (only_hands_back && sizeof(V) == 2) aside_.push_back(value = value.detach().clone());
      all.push_back({module.name(k),
                     {static_cast<V*>(value.data_ptr()), std::size_t(value.numel())},
                     value.sizes().vec()});
    }
    return all;
  }
  /// Then parameters are not to be written, and those with masters would be.
  static constexpr bool only_hands_back = std::is_same_v<Optimizer, moves_nothing>;
  std::vector<at::Tensor> aside_;
  std::vector<std::size_t> module_of_, place_of_; ///< the number of a tensor in the module, and in the trainer
  std::vector<tensor<V>> values_;
  Trainer trainer_;
};

template <class V, class Strategy, class Optimizer>
std::unique_ptr<any_trainer<Optimizer>> trainer_of_elements(Strategy& strategy, const bound_module& module,
                                                            const Optimizer& optimizer, const training_options& how) {
  const auto bind = [&](std::vector<tensor<V>>& all) { return strategy.bind(all, optimizer, how); };
  using bound = decltype(bind(std::declval<std::vector<tensor<V>>&>()));
  return std::make_unique<trainer_of<V, Optimizer, bound>>(module, bind);
}

/// Collective.
template <class Strategy, class Optimizer>
std::unique_ptr<any_trainer<Optimizer>> bound_trainer(Strategy& strategy, const bound_module& module,
                                                      const Optimizer& optimizer, const training_options& how) {
  switch (module.element()) {
  case at::kDouble: return detail::trainer_of_elements<double>(strategy, module, optimizer, how);
  case at::kBFloat16: return detail::trainer_of_elements<bfloat16>(strategy, module, optimizer, how);
  case at::kHalf: return detail::trainer_of_elements<half>(strategy, module, optimizer, how);
  default: return detail::trainer_of_elements<float>(strategy, module, optimizer, how);
  }
}

} // namespace tutti::torch::detail
