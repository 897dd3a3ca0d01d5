// Partitioners: every row is one client's, and the shapes are those that they are named after.
#include <tutti/federated/partition.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_partition)

namespace {

std::vector<int> ten_classes(std::size_t n) {
  std::vector<int> labels(n);
  for (std::size_t k = 0; k < n; ++k) labels[k] = int(k * 7 % 10);
  return labels;
}
template <class Partition>
tutti::client_rows cut(const Partition& by, const std::vector<int>& labels, int clients, std::uint64_t seed = 1) {
  return by(std::span<const int>{labels}, clients, seed);
}
bool is_cover(const tutti::client_rows& cut, std::size_t n) {
  std::vector<std::uint32_t> all;
  for (const auto& rows : cut) {
    if (!std::is_sorted(rows.begin(), rows.end())) return false;
    all.insert(all.end(), rows.begin(), rows.end());
  }
  std::sort(all.begin(), all.end());
  for (std::size_t k = 0; k < all.size(); ++k)
    if (all[k] != k) return false;
  return all.size() == n;
}
std::set<int> labels_of(const std::vector<std::uint32_t>& rows, const std::vector<int>& labels) {
  std::set<int> out;
  for (const auto row : rows) out.insert(labels[row]);
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(every_partition_is_a_disjoint_cover) {
  for (const std::size_t n : {0u, 5u, 1000u})
    for (const int clients : {1, 7, 100}) {
      const auto labels = ten_classes(n);
      const auto check = [&](const char* name, const auto& by) {
        const auto got = cut(by, labels, clients);
        BOOST_CHECK_MESSAGE(got.size() == std::size_t(clients) && is_cover(got, n),
                            name << ", " << n << " of " << clients);
        BOOST_CHECK(got == cut(by, labels, clients));
        if (n == 1000 && clients == 7) BOOST_CHECK(got != cut(by, labels, clients, 2));
      };
      check("iid", tutti::iid_partition{});
      check("shards", tutti::shard_partition{});
      check("power law", tutti::power_law_partition{});
      check("labels and power law", tutti::label_power_law_partition{});
      check("labels that nobody has", tutti::label_power_law_partition{.labels = 1});
      for (const double alpha : {.001, .01, .3, 100.0}) check("dirichlet", tutti::dirichlet_partition{alpha});
    }
}

BOOST_AUTO_TEST_CASE(iid_clients_hold_equally_many_and_shards_few_labels) {
  const auto labels = ten_classes(1000);
  for (const auto& rows : cut(tutti::iid_partition{}, labels, 7)) BOOST_CHECK(rows.size() == 142 || rows.size() == 143);
  int two = 0;
  for (const auto& rows : cut(tutti::shard_partition{}, labels, 100)) {
    BOOST_CHECK_EQUAL(rows.size(), 10u);
    two += labels_of(rows, labels).size() == 2;
    BOOST_CHECK(labels_of(rows, labels).size() <= 2);
  }
  BOOST_CHECK_MESSAGE(two > 70, "only " << two << " of 100 clients have two labels");
}

BOOST_AUTO_TEST_CASE(clients_of_two_labels_have_two_and_sizes_that_fall_as_a_power) {
  const auto labels = ten_classes(20000);
  const auto got = cut(tutti::label_power_law_partition{.labels = 2, .exponent = .5}, labels, 100);
  std::vector<double> sizes;
  for (const auto& rows : got) {
    BOOST_CHECK_EQUAL(labels_of(rows, labels).size(), 2u);
    sizes.push_back(double(rows.size()));
  }
  std::sort(sizes.rbegin(), sizes.rend());
  BOOST_CHECK_MESSAGE(sizes[0] > 4 * sizes[50] && sizes[0] < 15 * sizes[99], sizes[0] << ", " << sizes[50]);
  for (const auto& rows : cut(tutti::label_power_law_partition{.labels = 3, .exponent = 0}, labels, 20))
    BOOST_CHECK(rows.size() > 950 && rows.size() < 1050 && labels_of(rows, labels).size() == 3);
}

/// The mean of max(share) over labels is near 1 for a small alpha, and near 1 / clients for a great one.
BOOST_AUTO_TEST_CASE(alpha_says_how_uneven_labels_are) {
  const auto labels = ten_classes(5000);
  const auto greatest_share = [&](double alpha) {
    const auto got = cut(tutti::dirichlet_partition{alpha}, labels, 10);
    double sum = 0;
    for (int label = 0; label < 10; ++label) {
      std::size_t most = 0;
      for (const auto& rows : got)
        most = std::max(most, std::size_t(std::count_if(rows.begin(), rows.end(),
                                                        [&](auto r) { return labels[r] == label; })));
      sum += double(most) / 500 / 10;
    }
    return sum;
  };
  BOOST_CHECK(greatest_share(.01) > .85);
  BOOST_CHECK(greatest_share(100) < .16);
  const double middle = greatest_share(1);
  BOOST_CHECK_MESSAGE(middle > .2 && middle < .45, middle); // the mean of the greatest of ten is .293
}

// Shares of a Dirichlet distribution have mean 1/2 and variance 1 / (4 (2 alpha + 1)) of two clients.
BOOST_AUTO_TEST_CASE(dirichlet_shares_have_the_moments_of_the_distribution) {
  const std::vector<int> one_label(1000, 3);
  for (const double alpha : {.3, 1.0, 5.0}) {
    double sum = 0, squares = 0;
    constexpr int draws = 400;
    for (int k = 0; k < draws; ++k) {
      const auto got = cut(tutti::dirichlet_partition{alpha}, one_label, 2, std::uint64_t(k));
      const double share = double(got[0].size()) / 1000 - .5;
      sum += share, squares += share * share;
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    BOOST_CHECK_SMALL(sum / draws, 5 * std::sqrt(variance / draws));
    BOOST_CHECK_MESSAGE(std::abs(squares / draws / variance - 1) < .3, alpha << ": " << squares / draws);
  }
}

BOOST_AUTO_TEST_CASE(sizes_follow_a_power_law) {
  const auto labels = ten_classes(10000);
  auto got = cut(tutti::power_law_partition{1}, labels, 20);
  std::vector<double> sizes;
  for (const auto& rows : got) sizes.push_back(double(rows.size()));
  BOOST_CHECK(!std::is_sorted(sizes.rbegin(), sizes.rend()));
  std::sort(sizes.rbegin(), sizes.rend());
  for (std::size_t k = 0; k < 20; ++k) BOOST_CHECK_SMALL(sizes[k] - sizes[0] / double(k + 1), 2.0);
  for (const auto& rows : cut(tutti::power_law_partition{0}, labels, 20)) BOOST_CHECK_EQUAL(rows.size(), 500u);
}

BOOST_AUTO_TEST_CASE(rows_of_a_key_stay_together) {
  const std::vector<std::string> speakers{"second", "first", "second", "third", "first"};
  const auto got = tutti::partition_by_key(std::span{speakers});
  BOOST_CHECK((got == tutti::client_rows{{1, 4}, {0, 2}, {3}}));
}

BOOST_AUTO_TEST_CASE(numbers_that_no_partition_has_are_refused) {
  const std::vector<int> labels(10);
  const auto refused = [&](const auto& by, int clients, const std::string& why) {
    std::string told = "nothing";
    try {
      (void)cut(by, labels, clients);
    } catch (const tutti::error& e) {
      told = e.what();
    }
    BOOST_CHECK_MESSAGE(told.find(why) != std::string::npos, told);
  };
  refused(tutti::iid_partition{}, 0, "there are no clients");
  refused(tutti::shard_partition{.each = 0}, 2, "a client has no shards");
  for (const double alpha : {0., -0., -1., double(NAN), double(INFINITY)})
    refused(tutti::dirichlet_partition{alpha}, 2, "alpha is not a positive number");
  for (const double exponent : {-1., double(NAN), double(INFINITY)})
    refused(tutti::power_law_partition{exponent}, 2, "the exponent of a power law");
}

BOOST_AUTO_TEST_SUITE_END()
