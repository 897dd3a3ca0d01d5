// Gradients that become ready one by one during a backward pass: begin, ready(i), finish. The ranks
// may finish their layers in different orders; what goes out does so in one order everywhere, which
// is what lets operations find each other without names.
#include <tutti/communicators/operation.hpp>
#include <tutti/communicators/request.hpp>
#include <tutti/core/tensor.hpp>

#include <boost/test/unit_test.hpp>

#include <concepts>
#include <deque>
#include <memory>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

/// The shape of a trainer that takes gradients as they come.
template <class T>
concept incremental_trainer = requires(T t, std::size_t i) {
  t.begin();
  t.ready(i); // never blocks; the gradient is not touched by the caller until finish()
  t.finish(); // every gradient is the mean of all ranks'
};

/// Where the simulated ranks' operations meet: by channel, as messages would.
struct meeting {
  int size;
  std::vector<std::vector<std::vector<float>*>> at; ///< [channel][..]: buckets that have arrived
};

/// The sum of a bucket over all ranks, complete once all of them have started theirs.
class bucket_sum final : public tutti::operation {
public:
  bucket_sum(meeting& where, tutti::operations& all, std::vector<float>& bucket)
      : where_{where}, all_{all}, bucket_{bucket} {}
  bool advance() override { return int(where_.at[channel_].size()) == where_.size; }
  std::uint64_t progress() override { return 0; }
  void idle(std::uint64_t) override {}
  void check_deadline() override {}
  void abandon() noexcept override {}

private:
  void begin() override {
    channel_ = all_.next_channel();
    if (where_.at.size() <= channel_) where_.at.resize(channel_ + 1);
    where_.at[channel_].push_back(&bucket_);
    if (int(where_.at[channel_].size()) == where_.size) add(where_.at[channel_]);
  }
  static void add(const std::vector<std::vector<float>*>& all) {
    std::vector<float> total(all[0]->size());
    for (const auto* one : all)
      for (std::size_t i = 0; i < total.size(); ++i) total[i] += (*one)[i];
    for (auto* one : all) *one = total;
  }
  meeting& where_;
  tutti::operations& all_;
  std::vector<float>& bucket_;
  std::uint32_t channel_ = 0;
};

/// Tensors in buckets, last layer first; a bucket starts when all its tensors are ready and every
/// bucket before it has started.
class trainer {
public:
  trainer(meeting& where, tutti::operations& all, std::vector<tutti::tensor<float>> gradients,
          std::size_t tensors_per_bucket)
      : where_{where}, all_{all}, gradients_{std::move(gradients)}, each_{tensors_per_bucket} {}

  void begin() {
    const std::size_t buckets = (gradients_.size() + each_ - 1) / each_;
    missing_.assign(buckets, each_);
    if (gradients_.size() % each_ != 0) missing_.back() = gradients_.size() % each_;
    packed_.assign(buckets, {});
    started_ = 0;
  }

  void ready(std::size_t i) {
    --missing_[bucket_of(i)];
    while (started_ < missing_.size() && missing_[started_] == 0) start(started_++);
  }

  void finish() {
    for (auto& r : requests_) r.wait();
    requests_.clear();
    for (std::size_t b = 0; b < packed_.size(); ++b) {
      const float* from = packed_[b].data();
      each_tensor(b, [&](auto& t) {
        for (float& x : t.values) x = *from++ / float(where_.size);
      });
    }
  }

  std::size_t started() const { return started_; }

private:
  std::size_t bucket_of(std::size_t i) const { return (gradients_.size() - 1 - i) / each_; }
  template <class F>
  void each_tensor(std::size_t bucket, F f) {
    for (std::size_t i = 0; i < gradients_.size(); ++i)
      if (bucket_of(i) == bucket) f(gradients_[i]);
  }
  void start(std::size_t b) {
    each_tensor(
        b, [&](auto& t) { packed_[b].insert(packed_[b].end(), t.values.begin(), t.values.end()); });
    requests_.emplace_back(std::make_unique<bucket_sum>(where_, all_, packed_[b]),
                           all_);
  }

  meeting& where_;
  tutti::operations& all_;
  std::vector<tutti::tensor<float>> gradients_;
  std::size_t each_, started_ = 0;
  std::vector<std::size_t> missing_;
  std::vector<std::vector<float>> packed_;
  std::vector<tutti::request> requests_;
};

struct blocking_trainer {
  void step();
};

static_assert(incremental_trainer<trainer>);
static_assert(!incremental_trainer<blocking_trainer>);
static_assert(std::movable<tutti::request> && !std::copyable<tutti::request>);

} // namespace

BOOST_AUTO_TEST_CASE(gradients_ready_in_different_orders_meet) {
  meeting where{2, {}};
  tutti::operations in_flight[2];
  std::vector<float> values[2] = {{1, 2, 3, 4, 5}, {10, 20, 30, 40, 50}};
  std::deque<trainer> ranks;
  for (std::size_t r = 0; r < 2; ++r) {
    const std::span<float> all{values[r]};
    ranks.emplace_back(where, in_flight[r],
                       std::vector<tutti::tensor<float>>{{"embed", all.subspan(0, 2)},
                                                         {"bias", all.subspan(2, 1)},
                                                         {"head", all.subspan(3, 2)}},
                       std::size_t{1});
  }

  for (auto& r : ranks) r.begin();
  for (const std::size_t i : {2, 1, 0}) ranks[0].ready(i);
  ranks[1].ready(0);
  BOOST_CHECK_EQUAL(ranks[1].started(), 0u); // it is not its turn
  for (const std::size_t i : {2, 1}) ranks[1].ready(i);
  for (auto& r : ranks) r.finish();

  for (const auto& v : values) BOOST_CHECK((v == std::vector<float>{5.5, 11, 16.5, 22, 27.5}));
  BOOST_CHECK_EQUAL(in_flight[0].count(), 0u);
}

BOOST_AUTO_TEST_SUITE_END()
