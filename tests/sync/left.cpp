// Workers that return without finalize(): everybody is told at once who it was.
#include "communicators/wait_until.hpp"
#include "sync/model.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

BOOST_AUTO_TEST_SUITE(workers_that_leave)

namespace {

/// Nobody waits that long unless something is wrong.
const tutti::options patience{.timeout = std::chrono::seconds{20}};

/// Adds gradients up, and counts how often.
struct adding_up {
  static constexpr std::array<std::string_view, 0> slots{};
  std::atomic<int>* updates = nullptr;
  template <class T>
  auto at(std::int64_t) const {
    if (updates) ++*updates;
    return [](const tutti::rounding&, T& p, T g, T*) { p += g; };
  }
};

/// Looks for pushes for the first time when one is there and rank `leaver` has left.
template <class Inner> class looks_late : public tutti::decorator<Inner> {
  using inner_handle = tutti::detail::exchange_handle_of<typename tutti::decorator<Inner>::inner_type>;

public:
  class handle {
  public:
    handle(inner_handle&& inner, looks_late& of, tutti::channel on)
        : inner_{std::move(inner)}, of_{&of}, on_{on} {}
    bool test() {
      of_->look(on_);
      return inner_.test();
    }
    bool take_back() { return tutti::detail::take_back(inner_); }
    int waiting_for() const { return inner_.waiting_for(); }

  private:
    inner_handle inner_;
    looks_late* of_;
    tutti::channel on_;
  };

  looks_late(Inner&& inner, int leaver)
      : tutti::decorator<Inner>{std::forward<Inner>(inner)}, leaver_{leaver} {}
  template <class Execution>
  auto exchange(Execution execution, tutti::channel on, const tutti::exchange_round& round) {
    return handle{this->inner_.exchange(execution, on, round), *this, on};
  }

private:
  void look(tutti::channel on) {
    if (this->rank() != 0 || on < tutti::operations::channel_count) return;
    wait_until([&] { return looked_ || (this->inner_.probe(on) && this->inner_.has_left(leaver_)); });
    looked_ = true;
  }

  int leaver_;
  bool looked_ = false;
};
template <class Inner> looks_late(Inner&&, int) -> looks_late<Inner>;

/// What the ranks are told that train for ever, while rank `leaver` returns after `steps` steps.
std::vector<tutti::failure> told(int ranks, tutti::star servers, int staleness, int leaver,
                                 int steps) {
  std::vector<tutti::failure> out(static_cast<std::size_t>(ranks));
  try {
    tutti::threads::run(ranks, [&](auto& world) {
      try {
        std::vector<float> values(20), ones(20, 1.0f);
        tutti::strategy strategy{world, servers, tutti::sum{},
                                 tutti::asynchronous{.staleness = staleness}, patience};
        auto trainer = strategy.bind(values, adding_up{});
        if (trainer.role() == tutti::role::server) trainer.serve();
        for (int step = 0; world.rank() != leaver || step < steps; ++step) trainer.step(ones);
      } catch (const tutti::error& e) {
        out[std::size_t(world.rank())] = e.details();
        throw;
      }
    });
  } catch (const tutti::error&) {
  }
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_worker_that_returns_without_finalize_is_named_to_all) {
  for (const tutti::star servers :
       {tutti::star{}, tutti::star{.servers = 2}, tutti::star{.servers = 1, .dedicated = true},
        tutti::star{.servers = 2, .dedicated = true}})
    for (const int staleness : {0, 2, tutti::unbounded})
      for (const int steps : {0, 3}) {
        const int ranks = 5, leaver = 3;
        const auto all = told(ranks, servers, staleness, leaver, steps);
        for (int r = 0; r < ranks; ++r) {
          const tutti::failure& f = all[std::size_t(r)];
          const bool right = r == leaver
                                 ? f.peer == -1
                                 : f.code == tutti::error_code::peer_lost && f.peer == leaver &&
                                       f.rank == r &&
                                       f.detail.find("rank 3 has left without finalize()") == 0;
          BOOST_CHECK_MESSAGE(right, servers.servers << " servers, dedicated " << servers.dedicated
                                                     << ", staleness " << staleness << ", rank "
                                                     << r << " was told "
                                                     << tutti::error{f}.what());
        }
      }
}

// Rank 1 has pushed and rank 2 has left before the server looks for the first time.
BOOST_AUTO_TEST_CASE(what_was_pushed_counts_before_the_loss_does) {
  for (const int staleness : {0, 2, tutti::unbounded}) {
    std::atomic<int> updates{0};
    std::vector<int> blamed(3, -1);
    try {
      tutti::threads::run(3, [&](auto& world) {
        std::vector<float> values(1), ones(1, 1.0f);
        looks_late late{world, 2};
        tutti::strategy strategy{late, tutti::star{.servers = 1, .dedicated = true}, tutti::sum{},
                                 tutti::asynchronous{.staleness = staleness}, patience};
        auto trainer = strategy.bind(values, adding_up{&updates});
        if (world.rank() == 2) return;
        try {
          if (world.rank() == 0) trainer.serve();
          trainer.step(ones);
          trainer.finalize();
        } catch (const tutti::error& e) {
          blamed[std::size_t(world.rank())] = e.peer();
          throw;
        }
      });
    } catch (const tutti::error& e) {
      BOOST_CHECK(e.code() == tutti::error_code::peer_lost);
    }
    BOOST_CHECK_EQUAL(updates, 1);
    BOOST_CHECK_MESSAGE(blamed[0] == 2 && blamed[1] == 2,
                        "staleness " << staleness << ": ranks 0 and 1 blame " << blamed[0]
                                     << " and " << blamed[1]);
  }
}

BOOST_AUTO_TEST_SUITE_END()
