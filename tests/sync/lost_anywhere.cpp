// A rank that leaves without a word, at every exchange of every policy that does not train on without it: all others
// end, each with an error that names it, or because they had no more to wait for; and none has half a step.
#include "training/small.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(lost_anywhere)

namespace {

using small_model::by_one;
using small_model::floats;

const tutti::options patience{.timeout = std::chrono::seconds{60}}; // a hang is another error, and too late
constexpr int ranks = 3;

struct outcome {
  bool left = false;             ///< the fault came to pass
  std::vector<std::string> said; ///< by each rank: what is wrong
  int named = 0;                 ///< by so many ranks
};

template <class Policy>
outcome run_with(const Policy& policy, tutti::fault what) {
  outcome all;
  all.said.resize(ranks);
  std::vector<char> named(ranks);
  try {
    tutti::threads::run(ranks, [&](auto& inner) {
      const auto r = std::size_t(inner.rank());
      tutti::faulty world{inner, what};
      floats w(4, float(1 + 4 * inner.rank())), before = w;
      std::int64_t made = 0;
      try {
        tutti::strategy strategy{world, policy, patience};
        auto trainer = strategy.bind(w, by_one);
        if (w != floats(4, 1)) all.said[r] += " does not start with rank 0's values";
        try {
          for (int k = 0; k < 2; ++k) {
            before = w;
            made = trainer.steps();
            trainer.step(floats(4, float(world.rank() + 1)));
          }
          before.clear();
          trainer.finalize();
        } catch (...) {
          if (!before.empty() && trainer.steps() == made && w != before) all.said[r] += " half a step";
          if (!before.empty() && trainer.steps() > made + 1) all.said[r] += " counts a step twice";
          throw;
        }
      } catch (const tutti::rank_leaves&) {
        all.left = true;
      } catch (const tutti::error& e) {
        named[r] = e.code() == tutti::error_code::peer_lost && e.peer() == what.rank;
        if (!named[r]) all.said[r] += std::string{" "} + e.what();
      }
    });
  } catch (const std::exception& e) {
    all.said[0] += std::string{" threw "} + e.what();
  }
  for (const char one : named) all.named += one;
  return all;
}

template <class Policy>
void sweep(const char* name, const Policy& policy) {
  int named = 0;
  for (int leaver = 0; leaver < ranks; ++leaver)
    for (std::uint64_t round = 0;; ++round) {
      const outcome got = run_with(policy, {.rank = leaver, .round = round});
      for (int r = 0; r < ranks; ++r)
        BOOST_CHECK_MESSAGE(got.said[std::size_t(r)].empty(),
                            name << ", rank " << leaver << " leaves at exchange " << round << ", rank " << r << ":"
                                 << got.said[std::size_t(r)]);
      if (!got.left) break;
      named += got.named;
    }
  BOOST_CHECK_MESSAGE(named >= 20, name << ": " << named << " errors named a rank");
}

} // namespace

BOOST_AUTO_TEST_CASE(is_named_by_all_who_reduce) {
  sweep("synchronous", tutti::synchronous{});
  sweep("sharded", tutti::sharded{});
  sweep("local_sgd", tutti::local_sgd{.period = 2});
  sweep("post_local_sgd", tutti::post_local_sgd{.first = 1, .later = 2});
  sweep("diloco", tutti::diloco{.period = 2});
  sweep("streaming_diloco", tutti::streaming_diloco{.period = 1, .fragments = 2, .delay = 1});
}

BOOST_AUTO_TEST_CASE(is_named_by_all_along_a_graph) {
  sweep("gossip", tutti::gossip{});
  sweep("overlapped_gossip", tutti::overlapped_gossip{});
  sweep("push_sum", tutti::push_sum{});
  sweep("gradient_tracking", tutti::gradient_tracking{});
  sweep("no_loco", tutti::no_loco{.period = 1});
  sweep("pairwise_averaging", tutti::pairwise_averaging{.seed = 2});
}

BOOST_AUTO_TEST_CASE(is_named_by_all_who_meet_at_servers) {
  sweep("asynchronous", tutti::asynchronous{.staleness = 1});
  sweep("backup_workers", tutti::backup_workers{.spare = 0});
  sweep("quorum", tutti::quorum{.min = 3});
}

BOOST_AUTO_TEST_SUITE_END()
