// LibTorch: a torch::nn::Module trained on many ranks.
//
//   tutti::torch::data_parallel ddp{*module, strategy, tutti::adamw{}};  // in place of an optimizer of torch::optim
//   ddp.step(loss);                                                      // in place of zero_grad, backward and step
//
//   tutti::torch::data_parallel ddp{*module, strategy};                  // beside one
//   optimizer.zero_grad(); ddp.backward(loss); optimizer.step();
//
// A gradient is ready as soon as autograd has accumulated it, and buckets travel while the backward pass goes on. Which
// parameters the loss leads to is looked up in its graph, so unused branches need no mode. What a plain
// loss.backward() accumulates beforehand is added, and goes with the next step: DDP's no_sync.
//
// Parameters are those of named_parameters(), each once however often it is registered; they are laid out row-major,
// as they are in buckets and files. On each rank a module of its own, on the CPU.
#pragma once

#include <tutti/adapters/torch_hooks.hpp>
#include <tutti/adapters/torch_trainer.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::torch {

/// In place of one of tutti's optimizers: gradients are handed back.
using no_optimizer = detail::moves_nothing;

/// Made, and used, by every rank; the strategy and the module must outlive it. Who makes it hears on every rank, as an
/// error, of a module that differs between ranks, which names the first tensor, of a tensor that is not in the host's
/// memory, and of an element that is not trained; then rank 0's parameters and buffers are those of all. `training`
/// is that of strategy::bind; a step agrees on failures, whatever it says of that.
/// Between steps parameters are read and written by whoever likes; they stay in their place.
template <class Strategy, class Optimizer = no_optimizer>
class data_parallel {
  static constexpr bool hands_back = std::is_same_v<Optimizer, no_optimizer>;
  static_assert(!hands_back || detail::reduces_gradients<typename Strategy::sync_type>,
                "tutti::torch::data_parallel: this sync policy moves parameters by itself, and no gradient comes back "
                "that an optimizer of torch::optim could use - give one of tutti's optimizers, or tutti::synchronous");

public:
  explicit data_parallel(::torch::nn::Module& module, Strategy& strategy, training_options training = {})
    requires(std::is_same_v<Optimizer, no_optimizer>) // not hands_back: deduction must not look into the class
      : data_parallel{module, strategy, Optimizer{}, std::move(training)} {}
  data_parallel(::torch::nn::Module& module, Strategy& strategy, Optimizer optimizer, training_options training = {})
      : strategy_{strategy}, training_{std::move(training)}, model_{module, strategy, training_} {
    learning_ = std::exchange(training_.learns_order, false);
    training_.agree_on_failures = true;
    bind(std::move(optimizer));
    hooks_.resize(model_.size());
    for (std::size_t k = 0; k < model_.size(); ++k) hooks_.follow(k, model_[k], *this);
  }
  data_parallel(const data_parallel&) = delete;
  data_parallel& operator=(const data_parallel&) = delete;
  /// Gradients that were handed back stand in its buckets, and go with them.
  ~data_parallel() {
    for (std::size_t k = 0; hands_back && trainer_ && k < model_.size(); ++k)
      if (const at::Tensor& g = model_[k].grad(); g.defined() && trainer_->stands_in_bucket(k, g))
        model_[k].mutable_grad().reset();
  }

  /// One step by the gradient of `loss` and of what was accumulated, which is gone afterwards. Collective, as
  /// trainer::step, whose weight it is. What is thrown in the backward pass of any rank is thrown here on all: there
  /// what it was, elsewhere an error that names rank and cause; parameters are then as before, gradients are gone, and
  /// training may go on - or where ranks step by themselves, the communicator is revoked.
  void step(const at::Tensor& loss, double weight = 1)
    requires(!hands_back)
  {
    pass(loss, weight);
  }
  /// The mean over all ranks - the strategy's reducer - of the gradient of `loss` and of what was accumulated, in
  /// grad(), for any optimizer of torch::optim: in the buckets, where the next step overwrites it - unless elements are
  /// bfloat16 or half - and where the next backward pass adds to it if it is not cleared, without a copy. Collective;
  /// throws as step(). Whether there is one: not where the step is skipped, by training_options::non_finite. Parameters
  /// of which no rank has a gradient keep what they have.
  bool backward(const at::Tensor& loss, double weight = 1)
    requires(hands_back)
  {
    return pass(loss, weight);
  }
  /// loss.backward() of this rank alone, by the scale of the loss: gradients add up until step(). Not collective.
  void no_sync(const at::Tensor& loss) { scaled(loss).backward(); }

  /// No more batches on this rank: takes part in the others' steps, without a gradient, until all have come here.
  void join()
    requires(!hands_back)
  {
    join([] {});
  }
  /// The same; after_each() is called after each of the others' steps that was not skipped, and does what each of them
  /// does then: sets the next rate, or where gradients are handed back, makes the step of LibTorch's optimizer.
  template <class AfterEach>
  void join(AfterEach&& after_each) {
    trainer_->join([&] {
      if constexpr (hands_back) hand_back();
      after_each();
    });
    if constexpr (!hands_back) touch();
  }

  /// Collective: rank 0's buffers - running means, counts - become those of all. In training every rank has its own.
  void share_buffers() { model_.share_buffers(); }
  /// Collective, as trainer::save and load; with the buffers, which are shared before: a number for each value.
  void save(const std::string& folder, const save_options& how = {})
    requires(!hands_back)
  {
    share_buffers();
    trainer_->save(folder, how);
  }
  std::vector<std::string> load(const std::string& folder)
    requires(!hands_back)
  {
    auto differs = trainer_->load(folder);
    if (model_.order_is_new()) { // the one that was saved
      bind(trainer_->optimizer());
      differs = trainer_->load(folder);
    }
    learning_ = learning_ && !model_.order_is_learnt();
    touch();
    return differs;
  }

  /// The names of the parameters as their gradients travel: the last one first, or as rank 0 has had them complete in
  /// the first step, where training_options::learns_order says so. That is also in a checkpoint.
  std::vector<std::string> order() const { return model_.ordered_names(); }

  // What a trainer is asked, see training/trainer.hpp.
  Optimizer& optimizer() noexcept { return trainer_->optimizer(); }
  std::int64_t steps() const { return trainer_->steps(); }
  std::int64_t skipped() const { return trainer_->skipped(); }
  double loss_scale() const { return trainer_->loss_scale(); }
  double gradient_norm() const { return trainer_->gradient_norm(); }
  tutti::role role() const { return trainer_->role(); }
  void serve() { trainer_->serve(); }
  void finalize() {
    trainer_->finalize();
    touch();
  }

private:
  friend detail::gradient_hooks;

  /// While a step is under way.
  struct passing {
    data_parallel& of;
    explicit passing(data_parallel& all) : of{all} { of.passing_ = true; }
    ~passing() {
      of.passing_ = false;
      of.hooks_.forget_gradients();
    }
  };

  /// Collective. A trainer of the parameters in their present order.
  void bind(Optimizer optimizer) {
    trainer_.reset();
    training_options now = training_;
    for (std::size_t k = 0; k < model_.size(); ++k)
      if (!model_[k].requires_grad()) now.frozen.push_back(model_.name(k));
    trainer_ = detail::bound_trainer(strategy_, model_, optimizer, now);
    trainer_->keep_beside(model_);
  }
  at::Tensor scaled(const at::Tensor& loss) const {
    const double scale = trainer_->loss_scale();
    return scale == 1 ? loss : loss * scale;
  }

  bool pass(const at::Tensor& loss, double weight) {
    if (passing_) model_.refuse("step() was called within the backward pass of another - end that one first");
    const passing under_way{*this};
    const std::int64_t applied = trainer_->steps() - trainer_->skipped();
    exchange_failed_ = false;
    std::exception_ptr failed = caught([&] { prepare(loss); });
    const bool learnt = std::exchange(learning_, false);
    if (learnt) {
      arrived_.clear();
      if (!failed) failed = caught([&] { differentiate(loss); });
      model_.adopt_order(arrived_);
      bind(trainer_->optimizer());
    }
    std::vector<bool> present(model_.size());
    for (std::size_t k = 0; k < model_.size() && !failed; ++k)
      present[k] = hooks_[k].trained && (hooks_[k].reached || model_[k].grad().defined());
    trainer_->begin(present, weight);
    offering_ = true;
    if (!failed)
      failed = caught([&] {
        for (std::size_t k = model_.size(); k-- > 0;)
          if (present[k] && (learnt || !hooks_[k].reached)) offer(k);
        if (!learnt) differentiate(loss);
      });
    offering_ = false;
    if (exchange_failed_) std::rethrow_exception(failed);
    try {
      failed ? trainer_->fail(failed) : trainer_->finish();
    } catch (...) {
      forget_gradients();
      throw;
    }
    const bool usable = trainer_->steps() - trainer_->skipped() > applied;
    if (!hands_back) {
      forget_gradients();
      touch();
    } else if (usable) {
      hand_back();
    }
    return usable;
  }
  template <class Call>
  static std::exception_ptr caught(Call&& call) {
    try {
      call();
    } catch (...) {
      return std::current_exception();
    }
    return nullptr;
  }
  /// What is to be known before the step is opened.
  void prepare(const at::Tensor& loss) {
    for (std::size_t k = 0; k < model_.size(); ++k)
      if (model_[k].requires_grad() != hooks_[k].trained) {
        trainer_->freeze(model_.name(k), hooks_[k].trained);
        hooks_.follow(k, model_[k], *this);
      }
    hooks_.walk(loss);
    model_.require_in_place();
    if (!loss.defined() || !loss.requires_grad()) model_.refuse("the loss does not depend on any parameter");
  }
  void differentiate(const at::Tensor& loss) {
    scaled(loss).backward();
    for (std::size_t k = 0; k < model_.size(); ++k)
      if (hooks_[k].trained && hooks_[k].reached && !hooks_[k].ready)
        model_.refuse("the backward pass ended without the gradient of \"" + model_.name(k) + "\"");
  }
  /// By autograd, on the thread that called backward(): grad() of parameter k is complete.
  void accumulated(std::size_t k) {
    if (!passing_) return;
    if (hooks_[k].ready || !hooks_[k].reached)
      model_.refuse("the gradient of \"" + model_.name(k) + "\" " +
                    (hooks_[k].ready ? "was accumulated twice" : "came unexpectedly") +
                    " in one backward pass - run no backward pass within another");
    hooks_[k].ready = true;
    offering_ ? offer(k) : arrived_.push_back(k);
  }
  void offer(std::size_t k) {
    detail::tracked_parameter& t = hooks_[k];
    const at::Tensor& gradient = model_[k].grad();
    t.ready = true;
    t.gradient = gradient.defined() ? detail::row_major(gradient) : at::zeros_like(model_[k]); // a function gave none
    try {
      trainer_->ready(k, t.gradient);
    } catch (...) {
      exchange_failed_ = true;
      throw;
    }
  }
  void hand_back() {
    const double norm = trainer_->gradient_norm(), most = training_.clip;
    for (std::size_t k = 0; k < model_.size(); ++k)
      if (trainer_->had_gradient(k)) {
        model_[k].mutable_grad() = trainer_->reduced(k, model_[k]);
        if (most > 0 && norm > most) model_[k].mutable_grad().mul_(most / norm);
      }
  }
  void forget_gradients() {
    for (const at::Tensor& value : model_.parameters()) value.mutable_grad().reset();
  }
  /// Graphs that were recorded before the step are not to be used after it: autograd notices.
  void touch() {
    for (const at::Tensor& value : model_.parameters()) value.unsafeGetTensorImpl()->bump_version();
  }

  Strategy& strategy_;
  training_options training_;
  detail::bound_module model_;
  std::unique_ptr<detail::any_trainer<Optimizer>> trainer_;
  detail::gradient_hooks hooks_;
  std::vector<std::size_t> arrived_; ///< gradients, in the step in which their order is learnt
  bool learning_ = false, passing_ = false, offering_ = false, exchange_failed_ = false;
};

template <class Strategy>
data_parallel(::torch::nn::Module&, Strategy&) -> data_parallel<Strategy>;
template <class Strategy>
data_parallel(::torch::nn::Module&, Strategy&, training_options) -> data_parallel<Strategy>;
template <class Strategy, class Optimizer>
data_parallel(::torch::nn::Module&, Strategy&, Optimizer) -> data_parallel<Strategy, Optimizer>;
template <class Strategy, class Optimizer>
data_parallel(::torch::nn::Module&, Strategy&, Optimizer, training_options) -> data_parallel<Strategy, Optimizer>;

} // namespace tutti::torch
