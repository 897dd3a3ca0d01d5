// A sampler for torch::data: every rank reads its share of an epoch's order.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/core/random.hpp>

#include <torch/data/samplers/base.h>
#include <torch/serialize/archive.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace tutti::torch {

/// Of an order of all items that is a function of (seed, epoch), rank r of p reads items r, r + p, ...: none twice, and
/// ranks that have fewer than others have one fewer. The data loader begins the epoch that was set last anew each time;
/// copies are one sampler, so that the epoch is set on the one that the caller has kept. Not collective.
/// invalid_argument for 2^32 items or more.
class epoch_sampler final : public ::torch::data::samplers::Sampler<> {
public:
  template <class Comm>
  epoch_sampler(std::size_t items, const Comm& comm, std::uint64_t seed = 0, bool shuffles = true)
      : what_{std::make_shared<shared>(
            shared{items, std::size_t(comm.rank()), std::size_t(comm.size()), seed, shuffles})} {
    what_->arrange();
  }

  void set_epoch(std::size_t epoch) { what_->epoch = epoch; }
  /// Of this rank.
  std::size_t size() const noexcept { return what_->mine.size(); }

  void reset(at::optional<std::size_t> items = at::nullopt) override {
    if (items) what_->items = *items;
    what_->arrange();
  }
  at::optional<std::vector<std::size_t>> next(std::size_t batch) override {
    shared& all = *what_;
    const std::size_t n = (std::min)(batch, all.mine.size() - all.read);
    if (n == 0) return at::nullopt;
    const auto from = all.mine.begin() + std::ptrdiff_t(all.read);
    all.read += n;
    return std::vector<std::size_t>(from, from + std::ptrdiff_t(n));
  }
  /// The epoch, and how far it has been read.
  void save(::torch::serialize::OutputArchive& archive) const override {
    archive.write("epoch", at::IValue{std::int64_t(what_->epoch)});
    archive.write("read", at::IValue{std::int64_t(what_->read)});
  }
  void load(::torch::serialize::InputArchive& archive) override {
    at::IValue epoch, read;
    archive.read("epoch", epoch);
    archive.read("read", read);
    what_->epoch = std::size_t(epoch.toInt());
    what_->arrange();
    what_->read = (std::min)(std::size_t(read.toInt()), what_->mine.size());
  }

private:
  struct shared {
    std::size_t items, rank, ranks;
    std::uint64_t seed;
    bool shuffles;
    std::size_t epoch = 0, read = 0;
    std::vector<std::size_t> mine = {};

    void arrange() {
      if (items > ~std::uint32_t{0})
        throw error{{.code = error_code::invalid_argument,
                     .call = "epoch_sampler",
                     .rank = int(rank),
                     .detail = "there are " + std::to_string(items) + " items - give fewer than 2^32"}};
      std::vector<std::size_t> all(items);
      std::iota(all.begin(), all.end(), std::size_t{0});
      random_stream draws{seed, std::uint32_t(epoch)};
      for (std::size_t left = items; shuffles && left > 1; --left)
        std::swap(all[left - 1], all[draws.below(std::uint32_t(left))]);
      mine.clear();
      read = 0;
      for (std::size_t k = rank; k < items; k += ranks) mine.push_back(all[k]);
    }
  };
  std::shared_ptr<shared> what_;
};

} // namespace tutti::torch
