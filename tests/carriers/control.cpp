// Small words go by control_of(comm): on a communicator that moves nothing short, by the way that it has for them.
#include "communicators/on_threads.hpp"
#include "sync/model.hpp"

#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(carriers)

namespace {

using ranks = tutti::threads::communicator;

/// Refuses every message that is shorter than what the tests reduce.
template <class Inner>
class without_words : public tutti::decorator<Inner> {
public:
  explicit without_words(Inner&& inner) : tutti::decorator<Inner>{std::forward<Inner>(inner)} {}

  template <class Execution>
  auto exchange(Execution execution, tutti::channel on, const tutti::exchange_round& round) {
    for (const tutti::outgoing& m : round.sends) require_long(m.bytes.size());
    for (const tutti::incoming& m : round.receives) require_long(m.bytes.size());
    return this->inner_.exchange(execution, on, round);
  }

private:
  static void require_long(std::size_t bytes) {
    if (bytes < 1024)
      throw tutti::error{{.code = tutti::error_code::unsupported,
                          .detail = std::to_string(bytes) + " bytes are words of the host"}};
  }
};
template <class Inner>
without_words(Inner&&) -> without_words<Inner>;

/// The same, and it has another way for them.
template <class Inner>
class with_words_apart : public without_words<Inner> {
public:
  using without_words<Inner>::without_words;
  auto& control() noexcept { return this->inner_; }
};
template <class Inner>
with_words_apart(Inner&&) -> with_words_apart<Inner>;

constexpr std::size_t n = 6144; ///< elements: 2 KiB and more a message on a few ranks

/// What ranks end with that reduce 0, 1, 2, ... times their rank.
template <class... Parts>
std::vector<float> reduced(auto& comm, const Parts&... parts) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = float(comm.rank()) * float(i % 7);
  tutti::all_reduce(comm, x, parts...);
  return x;
}

/// body(comm) leaves the same values on both kinds of communicator.
template <class Body>
void works_apart(const std::string& name, int size, Body&& body) {
  on_threads(size, [&](ranks& world, report& r) {
    with_words_apart apart{world};
    const std::vector<float> got = body(apart), wanted = body(world);
    r.check(trial::same_bits(got, wanted), name + " has other values");
  });
}

template <class... Parts>
auto trained(const Parts&... parts) {
  return [=](auto& comm) {
    std::vector<float> values(n, float(comm.rank())), gradient(n);
    tutti::strategy strategy{comm, parts...};
    auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = .1});
    for (int step = 0; step < 3; ++step) {
      for (std::size_t i = 0; i < n; ++i) gradient[i] = values[i] - float(comm.rank() + int(i % 5));
      trainer.step(gradient);
    }
    trainer.join();
    trainer.finalize();
    return values;
  };
}

struct few_clients {
  int clients() const { return 4; }
  double examples(int client) const { return client + 1; }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream) const {
    for (float& x : local.parameters()) x = x + float(client) - .5f * x;
  }
  tutti::score evaluate(std::span<const float> values, int rank, int size) const {
    return {double(values[0]) * (rank + 1), double(size)};
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(words_are_refused_where_they_have_no_way_of_their_own) {
  const auto texts = trial::errors_on_ranks(2, [](ranks& world) {
    without_words narrow{world};
    (void)reduced(narrow, tutti::weighted_mean{}, tutti::ring{});
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(texts, "8 bytes are words of the host"), trial::joined(texts));
}

BOOST_AUTO_TEST_CASE(calls_agree_by_the_way_for_words) {
  works_apart("a weighted mean", 3, [](auto& comm) {
    return reduced(comm, tutti::weighted_mean{}, tutti::ring{}, tutti::options{.weight = comm.rank() + 1.0});
  });
  works_apart("krum", 3, [](auto& comm) { return reduced(comm, tutti::krum{.f = 0}, tutti::direct{}); });
  works_apart("what is checked", 2, [](auto& comm) {
    tutti::checked careful{comm};
    return reduced(careful, tutti::ring{});
  });
}

BOOST_AUTO_TEST_CASE(trainers_agree_by_the_way_for_words) {
  works_apart("synchronous", 2, trained(tutti::ring{}));
  works_apart("weighted", 3, trained(tutti::ring{}, tutti::weighted_mean{}, tutti::options{.weight = 2}));
  works_apart("clipped", 2, trained(tutti::ring{}, tutti::training_options{.clip = 1}));
  works_apart("sharded", 2, trained(tutti::ring{}, tutti::sharded{}));
  works_apart("local", 2, trained(tutti::ring{}, tutti::local_sgd{.period = 2}));
}

BOOST_AUTO_TEST_CASE(rounds_agree_by_the_way_for_words) {
  works_apart("federated", 2, [](auto& comm) {
    std::vector<float> values(n, 3.0f);
    few_clients people;
    tutti::strategy strategy{comm, tutti::ring{}, tutti::federated{.fraction = 1}};
    strategy.run(values, people, {.rounds = 2, .seed = 3});
    return values;
  });
}

BOOST_AUTO_TEST_CASE(what_is_counted_is_what_goes_through) {
  on_threads(2, [](ranks& world, report& r) {
    const auto sent = [](auto& comm, const auto&... parts) {
      tutti::counted counted{comm};
      (void)reduced(counted, tutti::ring{}, parts...);
      return counted.sent().messages;
    };
    with_words_apart apart{world};
    r.check(sent(world, tutti::sum{}) == 2 && sent(apart, tutti::sum{}) == 2, "a sum is two messages");
    r.check(sent(world, tutti::weighted_mean{}) > 2, "weights that go through it were not counted");
    r.check(sent(apart, tutti::weighted_mean{}) == 2, "weights that go by another way were counted");
  });
}

BOOST_AUTO_TEST_CASE(decorators_pass_on_the_way_for_words) {
  on_threads(1, [](ranks& world, report& r) {
    with_words_apart apart{world};
    tutti::counted counted{apart};
    tutti::traced traced{counted};
    tutti::checked checked{traced};
    tutti::faulty faulty{checked, tutti::fault{.rank = -1}};
    r.check(&tutti::control_of(faulty) == &world, "it is another communicator");
    r.check(&tutti::control_of(world) == &world, "without one it is not the communicator itself");
  });
}

BOOST_AUTO_TEST_SUITE_END()
