// The loop of policies that schedules carry: every rank holds the parameters, gradients are reduced.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/sync/bucket.hpp>
#include <tutti/sync/ensemble.hpp>

#include <array>
#include <cstdint>
#include <limits>

namespace tutti {

/// A model bound to a strategy whose sync policy is carried by schedules. Made by strategy::bind;
/// the strategy and the parameters must outlive it. All members but ready() and the accessors are
/// collective. Determinism: run_to_run; parameters are bitwise equal on all ranks after every step.
/// Cost of a step: one all_reduce (or reduce_scatter and all_gather when sharded) of the gradients.
template <class Ensemble, class T, class Optimizer>
class replicated_trainer {
public:
  using sync_type = typename Ensemble::sync_type;
  static constexpr tutti::determinism determinism =
      detail::joint_determinism<sync_type, typename Ensemble::reducer_type,
                                typename Ensemble::topology_type>;

  /// Broadcasts rank 0's parameters; throws `mismatch` when names or lengths differ between ranks.
  replicated_trainer(Ensemble parts, std::vector<tensor<T>> parameters, Optimizer optimizer)
      : parts_{std::move(parts)}, parameters_{std::move(parameters)},
        optimizer_{std::move(optimizer)} {
    if constexpr (!is_weighted<working_reducer_t<reducer_type>>)
      detail::refuse_weight(parts_.comm, "bind", parts_.how, detail::unused_weight);
    detail::verify_binding(parts_.comm, parameters_, detail::plan_hash(parts_), parts_.how);
    check_policy();
    make_buckets();
    for (tensor<T>& p : parameters_) tutti::broadcast(parts_.comm, p.values, 0, parts_.how);
  }

  tutti::role role() const noexcept { return role::worker; }
  Optimizer& optimizer() noexcept { return optimizer_; }
  std::int64_t steps() const noexcept { return step_; }
  /// Steps that were left out because of a NaN or infinity.
  std::int64_t skipped() const noexcept { return skipped_; }

  /// One step with gradients that are all there.
  template <class Gradients>
  void step(const Gradients& gradients) {
    begin(gradients);
    for (std::size_t k = parameters_.size(); k-- > 0;) ready(k);
    finish();
  }

  /// Opens a step. `gradients` are tensors as long as the parameters; their values are read from
  /// ready() on, and must keep until finish() has returned.
  template <class Gradients>
  void begin(const Gradients& gradients) {
    if (open_) wrong_gradients("begin() was called twice without finish() between");
    gradients_.clear();
    for (const auto& g : detail::as_tensors(gradients)) gradients_.push_back(g.values);
    if (gradients_.size() != parameters_.size())
      wrong_gradients("there are " + std::to_string(gradients_.size()) + " gradients for " +
                      std::to_string(parameters_.size()) + " parameters");
    for (std::size_t k = 0; k < gradients_.size(); ++k)
      if (gradients_[k].size() != parameters_[k].values.size())
        wrong_gradients("the gradient of \"" + parameters_[k].name + "\" has " +
                        std::to_string(gradients_[k].size()) + " values, the parameter has " +
                        std::to_string(parameters_[k].values.size()));
    for (bucket& b : buckets_) b.missing = b.slots.size();
    is_ready_.assign(parameters_.size(), false);
    launched_ = 0;
    open_ = true;
  }

  /// The gradient of tensor k is final. Each tensor once a step, in any order; a bucket whose tensors
  /// are all ready is on its way while the caller computes on.
  void ready(std::size_t k) {
    if (!open_ || k >= is_ready_.size() || is_ready_[k])
      wrong_gradients("ready(" + std::to_string(k) + ") was called " +
                      (!open_ ? "outside begin() and finish()"
                              : k >= is_ready_.size() ? "for a tensor that there is not"
                                                      : "twice in a step"));
    is_ready_[k] = true;
    bucket& b = buckets_[bucket_of_[k].first];
    const detail::bucket_slot& s = b.slots[bucket_of_[k].second];
    std::copy(gradients_[k].begin(), gradients_[k].end(),
              b.values.span().begin() + std::ptrdiff_t(s.offset));
    --b.missing;
    // Every rank starts its buckets in the same order, so that they meet.
    while (launched_ < buckets_.size() && buckets_[launched_].missing == 0)
      start(buckets_[launched_++]);
    parts_.comm.in_flight().step();
  }

  /// Waits for all buckets and applies the optimizer.
  void finish() {
    if (!open_) wrong_gradients("finish() was called without begin()");
    if (launched_ != buckets_.size())
      wrong_gradients("finish() was called before every tensor was ready()");
    open_ = false;
    ++step_;
    for (bucket& b : buckets_) b.under_way.wait();
    if (parts_.how.non_finite != non_finite::pass && !all_finite()) return;
    ++updates_;
    for (bucket& b : buckets_) apply(b);
  }

  /// No rank of this kind of policy is a server, so there is nothing to serve and nothing to finish;
  /// here so that one program fits every policy.
  void serve() noexcept {}
  void finalize() noexcept {}

private:
  using reducer_type = typename Ensemble::reducer_type;
  static constexpr bool sharded = sync_type::update == updates_at::owner;
  /// These agree while the data is on its way, which the caller has to wait for.
  static constexpr bool blocks = observes_gathered<reducer_type, T>;

  /// Answers that this loop does not carry out are refused, not ignored.
  void check_policy() const {
    const sync_type& sync = parts_.sync;
    const int size = parts_.comm.size();
    detail::refuse_answer(parts_.comm.rank(), "bind",
                          "the loop of synchronous policies exchanges everything with every rank in "
                          "each step",
                          sync.period() != 1            ? "period() is not 1"
                          : sync.fragment(0).count != 1 ? "fragment() is not everything"
                          : sync.quorum(size) != size   ? "quorum() is not every rank"
                          : sync.lead() != 0            ? "lead() is not 0"
                          : sync.worth(0) != 1          ? "worth(0) is not 1"
                          : sync.delay() != 0           ? "delay() is not 0"
                                                        : nullptr);
  }

  using values_type = decltype(detail::shared_values<T>(
      std::declval<typename Ensemble::comm_type&>(), std::size_t{}));

  struct bucket {
    std::vector<detail::bucket_slot> slots;
    values_type values; ///< reduced in place; where ranks reach each other's memory, without copies
    detail::optimizer_state<T, Optimizer> state;
    shard mine{};
    std::size_t missing = 0;
    request under_way;
  };

  void make_buckets() {
    std::vector<std::size_t> lengths;
    for (const tensor<T>& p : parameters_) lengths.push_back(p.values.size());
    bucket_of_.resize(lengths.size());
    // What a reducer agrees on is a fact about the whole gradient, so that travels as one.
    const std::size_t bytes =
        agreeing_reducer<reducer_type> ? ~std::size_t{0} : parts_.how.bucket_bytes;
    for (auto& slots : detail::bucket_slots(lengths, sizeof(T), bytes)) {
      bucket b;
      const std::size_t n = slots.back().offset + slots.back().length;
      for (std::size_t k = 0; k < slots.size(); ++k)
        bucket_of_[slots[k].tensor] = {buckets_.size(), k};
      b.slots = std::move(slots);
      b.values = detail::shared_values<T>(parts_.comm, n);
      b.mine = sharded ? shard_of(n, parts_.comm.rank(), parts_.comm.size()) : shard{0, n};
      b.state = detail::optimizer_state<T, Optimizer>{b.mine.end - b.mine.begin};
      buckets_.push_back(std::move(b));
    }
  }

  void start(bucket& b) {
    const auto call = [&](auto&& collective) {
      return collective(parts_.comm, b.values, parts_.topology, parts_.reducer, parts_.codec,
                        parts_.how);
    };
    if constexpr (blocks && sharded)
      call([](auto&&... with) { tutti::reduce_scatter(with...); });
    else if constexpr (blocks)
      call([](auto&&... with) { tutti::all_reduce(with...); });
    else if constexpr (sharded)
      b.under_way = call([](auto&&... with) { return tutti::async_reduce_scatter(with...); });
    else
      b.under_way = call([](auto&&... with) { return tutti::async_all_reduce(with...); });
  }

  /// Applies the optimizer to what this rank updates: everything, or its shard.
  void apply(bucket& b) {
    const detail::exact_mode held;
    for (const detail::bucket_slot& s : b.slots) {
      const std::size_t begin = (std::max)(s.offset, b.mine.begin);
      const std::size_t end = (std::min)(s.offset + s.length, b.mine.end);
      if (begin >= end) continue;
      const std::span<T> values = parameters_[s.tensor].values.subspan(begin - s.offset, end - begin);
      const std::span<const T> gradient = b.values.span().subspan(begin, end - begin);
      tutti::update<T>(optimizer_, updates_, values, gradient,
                       b.state.piece(begin - b.mine.begin, end - begin));
      if constexpr (sharded)
        std::copy(values.begin(), values.end(), b.values.span().begin() + std::ptrdiff_t(begin));
    }
    if constexpr (sharded) gather_parameters(b);
  }

  void gather_parameters(bucket& b) {
    tutti::all_gather(parts_.comm, b.values, parts_.topology, parts_.how);
    for (const detail::bucket_slot& s : b.slots) {
      const std::span<const T> from = b.values.span().subspan(s.offset, s.length);
      std::copy(from.begin(), from.end(), parameters_[s.tensor].values.begin());
    }
  }

  /// Looks at the reduced result, which is the same on all ranks (or shared between them when sharded);
  /// only when it is bad are the ranks' own gradients searched for the culprit.
  bool all_finite() {
    bool good = true;
    for (const bucket& b : buckets_)
      for (std::size_t i = b.mine.begin; i < b.mine.end; ++i)
        good = good && is_finite(b.values.span()[i]);
    if constexpr (sharded) {
      std::array<std::uint8_t, 1> bad{std::uint8_t(!good)};
      tutti::all_reduce(parts_.comm, bad, max{}, plain_options());
      good = bad[0] == 0;
    }
    if (good) return true;
    if (parts_.how.non_finite == non_finite::error) find_culprit();
    ++skipped_;
    return false;
  }

  [[noreturn]] void find_culprit() {
    constexpr std::uint64_t none = (std::numeric_limits<std::uint64_t>::max)();
    std::array<std::uint64_t, 1> mine{none};
    const bool counts = !is_weighted<working_reducer_t<reducer_type>> || parts_.how.weight != 0;
    for (std::size_t k = counts ? gradients_.size() : 0; k-- > 0;)
      for (const T g : gradients_[k])
        if (!is_finite(g)) mine[0] = k;
    std::vector<std::uint64_t> firsts(std::size_t(parts_.comm.size()));
    tutti::all_gather(parts_.comm, mine, firsts, plain_options());
    failure f{.code = error_code::non_finite, .call = "step", .rank = parts_.comm.rank()};
    const std::string when = "step " + std::to_string(step_) + ": ";
    f.detail = when + "the reduced gradient overflowed although every rank's own is finite";
    for (std::size_t r = 0; r < firsts.size(); ++r)
      if (firsts[r] != none) {
        f.peer = int(r);
        f.detail = when + "the gradient of \"" + parameters_[firsts[r]].name +
                   "\" on rank " + std::to_string(r) + " holds a NaN or an infinity";
        break;
      }
    f.detail += " - lower the learning rate, clip, or bind with options{.non_finite = "
                "non_finite::skip}";
    throw error{std::move(f)};
  }

  options plain_options() const { return {.timeout = parts_.how.timeout}; }

  [[noreturn]] void wrong_gradients(std::string detail) const {
    throw error{{.code = error_code::invalid_argument,
                 .call = "step",
                 .rank = parts_.comm.rank(),
                 .detail = std::move(detail)}};
  }

  Ensemble parts_;
  std::vector<tensor<T>> parameters_;
  Optimizer optimizer_;
  std::vector<bucket> buckets_;
  std::vector<std::pair<std::size_t, std::size_t>> bucket_of_;
  std::vector<std::span<const T>> gradients_;
  std::vector<char> is_ready_; ///< std::vector<bool> takes a compiler a hundredth of a second
  std::size_t launched_ = 0;
  bool open_ = false; ///< between begin() and finish()
  std::int64_t step_ = 0, updates_ = 0, skipped_ = 0;
};

} // namespace tutti
