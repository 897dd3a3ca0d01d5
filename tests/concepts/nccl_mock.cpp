// A mock of NCCL: no tags, so one collective at a time; sends and receives posted as a group; work
// enqueued on a stream, which goes on by itself, so that rounds need not be waited for.
#include <tutti/communicators/communicator.hpp>
#include <tutti/topologies/ring.hpp>

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

/// Work in order; each piece says whether it is done, and is asked again until it is.
struct stream {
  std::deque<std::function<bool()>> work;

  bool step() {
    if (work.empty() || !work.front()()) return false;
    work.pop_front();
    return true;
  }
};

struct stream_execution {
  static constexpr bool in_order = true;
  stream* on;
};

/// What the devices share: messages between two ranks, in the order sent, without any mark.
struct fabric {
  std::map<std::pair<int, int>, std::deque<std::vector<std::byte>>> links;
  std::vector<stream*> streams;
  std::optional<tutti::failure> revoked;
  std::uint64_t events = 0;

  void step() {
    for (stream* s : streams) events += s->step();
  }
};

class nccl_mock {
public:
  using part = tutti::communicator_part;
  static constexpr std::uint32_t channels = 1;

  nccl_mock(fabric& devices, int rank, int size) : devices_{devices}, rank_{rank}, size_{size} {}

  class group {
  public:
    bool test() {
      if (devices_->revoked) throw tutti::error{*devices_->revoked};
      devices_->step();
      return *done_;
    }
    int waiting_for() const { return peer_; }

    group(group&&) = default;
    group& operator=(group&&) = default;

  private:
    friend nccl_mock;
    group(fabric& devices, std::shared_ptr<bool> done, int peer)
        : devices_{&devices}, done_{std::move(done)}, peer_{peer} {}
    fabric* devices_;
    std::shared_ptr<bool> done_;
    int peer_;
  };

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// group start; send, recv, ...; group end, on a stream.
  group exchange(stream_execution execution, tutti::channel, const tutti::exchange_round& round) {
    if (devices_.revoked) throw tutti::error{*devices_.revoked};
    auto done = std::make_shared<bool>(false);
    execution.on->work.push_back(
        [this, done, posted = false, sends = std::vector(round.sends.begin(), round.sends.end()),
         receives = std::vector(round.receives.begin(), round.receives.end())]() mutable {
          if (!posted) post(sends);
          posted = true;
          return *done = arrived(receives);
        });
    return {devices_, done, round.receives.empty() ? -1 : round.receives[0].peer};
  }

  std::uint64_t progress() {
    devices_.step();
    return devices_.events;
  }
  void idle(std::uint64_t, tutti::deadline) {}
  void revoke(tutti::failure why) { devices_.revoked = std::move(why); }
  tutti::operations& in_flight() { return operations_; }

private:
  void post(const std::vector<tutti::outgoing>& sends) {
    for (const auto& s : sends)
      devices_.links[{rank_, s.peer}].emplace_back(s.bytes.begin(), s.bytes.end());
  }
  bool arrived(const std::vector<tutti::incoming>& receives) {
    for (const auto& r : receives)
      if (devices_.links[{r.peer, rank_}].empty())
        return false; // one message per peer will do here
    for (const auto& r : receives) {
      auto& link = devices_.links[{r.peer, rank_}];
      std::memcpy(r.bytes.data(), link.front().data(), r.bytes.size());
      link.pop_front();
    }
    return true;
  }

  fabric& devices_;
  int rank_, size_;
  tutti::operations operations_;
};

static_assert(tutti::communicator<nccl_mock, stream_execution>);
static_assert(!tutti::communicator<nccl_mock>, "it moves nothing on the host's behalf");
static_assert(!tutti::selective_communicator<nccl_mock>);
static_assert(tutti::exchange_handle<nccl_mock::group>);
static_assert(tutti::in_order_execution<stream_execution>);
static_assert(!tutti::in_order_execution<tutti::host_execution>);
static_assert(tutti::channels_of<nccl_mock> == 1, "collectives of one communicator take turns");

/// Enqueues a whole all_reduce of one number a chunk: transfers and folds, nothing waited for.
struct enqueued_ring {
  nccl_mock& comm;
  stream& on;
  std::vector<std::int64_t> data, received = std::vector<std::int64_t>(64);
  std::vector<nccl_mock::group> groups = {};

  void start() {
    const tutti::layout where{comm.rank(), comm.size()};
    std::map<int, std::vector<tutti::transfer>> rounds;
    tutti::visit(tutti::ring{}, tutti::collective::all_reduce, 0, where,
                 [&](const tutti::transfer& t) { rounds[t.round].push_back(t); });
    for (const auto& [round, transfers] : rounds) enqueue(transfers);
  }

  void enqueue(const std::vector<tutti::transfer>& transfers) {
    std::vector<tutti::outgoing> sends;
    std::vector<tutti::incoming> receives;
    for (const auto& t : transfers) {
      const auto c = std::size_t(t.chunks.first);
      if (tutti::is_outgoing(t.act))
        sends.push_back({t.peer, std::as_bytes(std::span{&data[c], 1})});
      else receives.push_back({t.peer, std::as_writable_bytes(std::span{&received[c], 1})});
    }
    groups.push_back(
        comm.exchange(stream_execution{&on}, comm.in_flight().next_channel(), {sends, receives}));
    on.work.push_back([this, transfers] { // the kernel
      for (const auto& t : transfers) {
        const auto c = std::size_t(t.chunks.first);
        if (t.act == tutti::action::combine) data[c] += received[c];
        if (t.act == tutti::action::store) data[c] = received[c];
      }
      return true;
    });
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(nccl_mock_runs_a_schedule_without_waiting_between_rounds) {
  fabric devices;
  std::deque<stream> streams(3);
  std::deque<nccl_mock> comms;
  std::deque<enqueued_ring> ranks;
  for (int r = 0; r < 3; ++r) {
    devices.streams.push_back(&streams[std::size_t(r)]);
    comms.emplace_back(devices, r, 3);
    ranks.push_back({comms.back(), streams[std::size_t(r)], {r + 1, 10 * (r + 1), 100 * (r + 1)}});
  }

  for (auto& r : ranks) r.start();
  while (!ranks[0].groups.back().test() || !streams[0].work.empty() || !streams[1].work.empty() ||
         !streams[2].work.empty()) {
  }

  for (const auto& r : ranks) BOOST_CHECK((r.data == std::vector<std::int64_t>{6, 60, 600}));
  BOOST_CHECK(devices.events >= 3 * 4 * 2);
}

BOOST_AUTO_TEST_CASE(nccl_mock_fails_everywhere_once_revoked) {
  fabric devices;
  stream on;
  nccl_mock zero{devices, 0, 2}, one{devices, 1, 2};
  auto pending = zero.exchange(stream_execution{&on}, 0, {});

  one.revoke({.code = tutti::error_code::peer_lost, .call = "all_reduce", .rank = 1});

  BOOST_CHECK_THROW(pending.test(), tutti::error);
  BOOST_CHECK_THROW(zero.exchange(stream_execution{&on}, 0, {}), tutti::error);
}

BOOST_AUTO_TEST_SUITE_END()
