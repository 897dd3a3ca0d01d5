// sparse_table: rows by 64-bit keys, on servers; what embeddings are pulled from and pushed to.
#pragma once

#include <tutti/carriers/awaiting.hpp>
#include <tutti/carriers/control.hpp>
#include <tutti/carriers/sparse_server.hpp>
#include <tutti/communicators/forwarding.hpp>
#include <tutti/communicators/reserved_channel.hpp>
#include <tutti/core/element.hpp>
#include <tutti/core/members.hpp>
#include <tutti/topologies/placement.hpp>
#include <tutti/topologies/star.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

/// Saves and loads; training/table_checkpoint.hpp has it.
template <class Path>
struct table_files;
template <class Path>
concept has_table_files = requires { sizeof(table_files<Path>); };

} // namespace detail

/// Every key has one owner, the server of its range (the s-th of equal ranges of keys), which updates its row by
/// `optimizer` with state and steps of its own, in the order in which pushes arrive. Workers pull and push what they
/// need, each at its own pace; a server answers from within whatever its rank waits for on the communicator. The
/// communicator outlives the table; construction and finish() are collective.
/// Cost: of a pull a message of the keys to each server that owns any, and one of the rows back; of a push one of keys
/// and gradients; each behind three words. Memory: the rows that were pushed to, on their owners.
/// Determinism: none; of one worker's pushes, run to run.
/// Errors: `invalid_argument` on every rank, before anything is sent, for keys that are out of range, not sorted, or
/// given twice, and for lengths that do not fit; `non_finite` for gradients with a NaN or an infinity, and for those
/// by which a row would overflow, which stays as it is: `peer` is who has asked. `invalid_argument` on one rank alone
/// for a dedicated server that asks, and for the owner of a key that is out of range. For options that cannot be it is
/// every rank's, as `mismatch` is where they differ. What fails on its way, a server or worker that is lost included,
/// fails everybody.
template <class T, class Comm, class Optimizer, placement_topology Topology = star>
class sparse_table {
  using comm_type = std::remove_reference_t<decltype(detail::stationary(std::declval<Comm&>()))>;

public:
  sparse_table(Comm& comm, Topology servers, Optimizer optimizer, const sparse_options& what, const options& how = {})
      : comm_{detail::stationary(comm)}, topology_{std::move(servers)}, what_{what}, how_{how},
        awaiting_{comm_, how, false, detail::last_of_requests}, servers_{topology_.server_count(comm.size())},
        requests_{comm_.in_flight()}, rows_{comm_.in_flight()} {
    verify(optimizer);
    ranges_.emplace(last_key(), servers_);
    lanes_.resize(std::size_t(servers_));
    if (comm_.rank() >= servers_) return;
    const auto works = [&](int r) { return is_worker(topology_, r, comm_.size()); };
    operations& all = comm_.in_flight();
    const auto held = all.hold();
    server_ = std::make_unique<server_type>(comm_, typename server_type::channels{requests_, rows_},
                                            detail::roster{comm_.size(), works}, std::move(optimizer), what_);
    all.start(*server_);
    all.enter(*server_);
  }
  sparse_table(const sparse_table&) = delete;
  sparse_table& operator=(const sparse_table&) = delete;

  tutti::role role() const {
    if (!server_) return role::worker;
    return is_worker(topology_, comm_.rank(), comm_.size()) ? role::both : role::server;
  }
  /// The server that owns a key.
  int owner(std::uint64_t key) const {
    if (key > last_key()) refuse("owner", -1, error_code::invalid_argument, out_of_range(key));
    return ranges_->owner(key);
  }
  /// How many rows were pushed to, of those that this rank owns.
  std::size_t size() const noexcept {
    const auto held = comm_.in_flight().hold();
    return server_ ? server_->size() : 0;
  }

  /// The rows of `keys`, one behind the other in their order. Waits for them.
  void pull(std::span<const std::uint64_t> keys, std::span<T> rows) {
    check("pull", keys, rows.size());
    sending([&] { request("pull", detail::sparse_head::pull, keys, rows, rows); });
  }
  /// A gradient for each of the keys' rows. Returns when these are the caller's again.
  void push(std::span<const std::uint64_t> keys, std::span<const T> gradients) {
    check("push", keys, gradients.size());
    require_numbers(keys, gradients);
    sending([&] { request("push", detail::sparse_head::push, keys, {}, gradients); });
  }
  /// Collective, between finish() and the next request of anybody: the rows that were pushed to, with their slots and
  /// steps, in one file, which is there when all of it is. Include <tutti/training/table_checkpoint.hpp>.
  template <class Path>
  void save(const Path& path) {
    require_files<Path>();
    if constexpr (detail::has_table_files<Path>)
      with_files([&](auto& ranks, const auto& what) { detail::table_files<Path>::save(ranks, what, path); });
  }
  /// The same: goes on from there with the same bits, on any number of servers. What cannot be loaded changes nothing.
  template <class Path>
  void load(const Path& path) {
    require_files<Path>();
    if constexpr (detail::has_table_files<Path>)
      with_files([&](auto& ranks, const auto& what) { detail::table_files<Path>::load(ranks, what, path); });
  }
  /// Of a dedicated server: answers until every worker has finished.
  void serve() {
    if (role() == role::server) wait("serve", [&] { return server_->is_over(); });
  }
  /// After this rank's last request: every push of every worker has been applied when the servers return. Then it
  /// may go on.
  void finish() {
    if (role() != role::server) {
      guarded("finish", [&] {
        const auto held = comm_.in_flight().hold();
        if (server_) server_->ends(comm_.rank());
        for (int s = 0; s < servers_; ++s)
          if (s != comm_.rank()) send(s, detail::sparse_head::done, {}, {});
      });
      wait("finish", [&] { return all_sent(); });
    }
    if (server_) wait("finish", [&] { return server_->is_over(); });
    guarded("finish", [&] {
      const auto held = comm_.in_flight().hold();
      asked_ = false;
      for (lane& l : lanes_) l.head.clock = 0;
      if (server_) server_->reopen();
    });
  }

private:
  using server_type = detail::sparse_server<T, comm_type, Optimizer>;
  using handle = detail::exchange_handle_of<comm_type>;
  struct lane {
    detail::sparse_head head;
    std::optional<handle> sending, receiving;
  };

  /// What files are told of a table: its rows here, none where no server is.
  struct kept {
    const sparse_options& options;
    detail::sparse_rows<T, Optimizer>* rows;
    const detail::key_ranges& ranges;
    bool asked;
    std::uint64_t last_key;
  };
  template <class Path>
  static void require_files() {
    static_assert(detail::has_table_files<Path>, "tutti::sparse_table: save and load have a header of their own - "
                                                 "include <tutti/training/table_checkpoint.hpp>");
  }
  template <class Use>
  void with_files(Use&& use) {
    control_on<comm_type> ranks{comm_, how_};
    use(ranks, kept{what_, server_ ? &server_->rows() : nullptr, *ranges_, asked_, last_key()});
  }
  std::uint64_t last_key() const noexcept { return what_.keys - 1; } // of 0, the last one there is
  void verify(const Optimizer& optimizer) {
    control_on<comm_type> ranks{comm_, how_};
    const bool columns = what_.columns > 0;
    const bool scale = what_.scale >= 0 && tutti::is_finite(T(what_.scale));
    const bool servers = servers_ > 0 && !(topology_.dedicates() && servers_ == comm_.size());
    std::uint64_t hash = detail::hashed_numbers(hash_of(optimizer), what_);
    hash = detail::hashed(hash, std::uint64_t(servers_) << 1 | std::uint64_t(topology_.dedicates()));
    const std::uint64_t mine[] = {columns, scale, servers, hash};
    const auto all = ranks.gather(mine);
    for (int r = 0; r < comm_.size(); ++r) {
      const auto at = [&](std::size_t k) { return all[4 * std::size_t(r) + k]; };
      if (!at(0)) refuse("sparse_table", r, error_code::invalid_argument, "a row has no columns - give at least 1");
      if (!at(1))
        refuse("sparse_table", r, error_code::invalid_argument,
               "the scale of the rows is negative, or no number of their type - give at least 0");
      if (!at(2))
        refuse("sparse_table", r, error_code::invalid_argument,
               "there is nobody to serve, or to work - give at least one server, and more ranks than dedicated ones");
      if (at(3) != all[3])
        refuse("sparse_table", r, error_code::mismatch,
               "ranks 0 and " + std::to_string(r) + " make tables with other servers, columns, keys, seeds or "
               "optimizers - give the same on every rank");
    }
    if (std::string wrong = detail::wrong_optimizer(optimizer); !wrong.empty())
      refuse("sparse_table", -1, error_code::invalid_argument, std::move(wrong));
  }
  [[noreturn]] void refuse(const char* call, int peer, error_code code, std::string detail) const {
    throw error{{.code = code, .call = call, .rank = comm_.rank(), .peer = peer, .detail = std::move(detail)}};
  }
  /// The others may wait for what this rank does not send: they hear of it, too.
  void check(const char* call, std::span<const std::uint64_t> keys, std::size_t values) const {
    if (role() == role::server)
      refuse(call, -1, error_code::invalid_argument, "this rank is a dedicated server - call serve()");
    if (const std::string wrong = wrong_keys(keys, values); !wrong.empty())
      guarded(call, [&] { refuse(call, comm_.rank(), error_code::invalid_argument, wrong); });
  }
  std::string out_of_range(std::uint64_t key) const {
    return "key " + std::to_string(key) + " is out of range - give keys less than " + std::to_string(what_.keys);
  }
  /// A row that has become one would stay so.
  void require_numbers(std::span<const std::uint64_t> keys, std::span<const T> gradients) const {
    const auto bad = std::find_if_not(gradients.begin(), gradients.end(), [](T g) { return tutti::is_finite(g); });
    if (bad == gradients.end()) return;
    const std::uint64_t key = keys[std::size_t(bad - gradients.begin()) / what_.columns];
    guarded("push", [&] {
      refuse("push", comm_.rank(), error_code::non_finite,
             "the gradient of key " + std::to_string(key) + " holds a NaN or an infinity - leave such a key out, "
             "or lower the learning rate");
    });
  }
  /// Empty when nothing is wrong.
  std::string wrong_keys(std::span<const std::uint64_t> keys, std::size_t values) const {
    if (values % what_.columns != 0 || values / what_.columns != keys.size())
      return "there are " + std::to_string(values) + " values for " + std::to_string(keys.size()) + " rows of " +
             std::to_string(what_.columns);
    for (std::size_t k = 0; k < keys.size(); ++k) {
      if (keys[k] <= last_key() && (k == 0 || keys[k - 1] < keys[k])) continue;
      const std::string key = std::to_string(keys[k]);
      if (keys[k] > last_key()) return out_of_range(keys[k]);
      return keys[k - 1] == keys[k] ? "key " + key + " is given twice - give each once, with the sum of its gradients"
                                    : "key " + key + " follows " + std::to_string(keys[k - 1]) + " - sort the keys";
    }
    return {};
  }
  /// Each server's keys are neighbours, as all are sorted.
  void request(const char* call, std::uint64_t kind, std::span<const std::uint64_t> keys, std::span<T> rows,
               std::span<const T> gradients) {
    const operations::visit now{comm_.in_flight(), call, comm_.rank()};
    asked_ = true;
    guarded(call, [&] {
      const auto held = comm_.in_flight().hold();
      for (std::size_t from = 0, to = 0; from < keys.size(); from = to) {
        const int s = owner(keys[from]);
        while (to < keys.size() && owner(keys[to]) == s) ++to;
        const auto own = keys.subspan(from, to - from);
        const std::size_t first = from * what_.columns, n = own.size() * what_.columns;
        if (s != comm_.rank())
          send(s, kind, own, kind == detail::sparse_head::push ? gradients.subspan(first, n) : std::span<const T>{});
        if (s != comm_.rank() && kind == detail::sparse_head::pull) {
          const incoming answer{s, std::as_writable_bytes(rows.subspan(first, n))};
          lanes_[std::size_t(s)].receiving.emplace(comm_.exchange(host_execution{}, rows_, {{}, {&answer, 1}}));
        }
        if (s == comm_.rank() && kind == detail::sparse_head::pull) server_->pull(own, rows.subspan(first, n));
        if (s == comm_.rank() && kind == detail::sparse_head::push) server_->push(s, own, gradients.subspan(first, n));
      }
    });
    wait(call, [&] { return all_sent(); });
  }
  void send(int server, std::uint64_t kind, std::span<const std::uint64_t> keys, std::span<const T> gradients) {
    lane& l = lanes_[std::size_t(server)];
    l.head = {kind, l.head.clock + 1, keys.size()};
    std::vector<outgoing> sends{{server, std::as_bytes(std::span{&l.head, 1})}};
    if (kind != detail::sparse_head::done) sends.push_back({server, std::as_bytes(keys)});
    if (kind == detail::sparse_head::push) sends.push_back({server, std::as_bytes(gradients)});
    l.sending.emplace(comm_.exchange(host_execution{}, requests_, {sends, {}}));
  }
  bool all_sent() {
    bool all = true;
    for (lane& l : lanes_)
      for (auto* exchange : {&l.sending, &l.receiving}) {
        if (*exchange && (*exchange)->test()) exchange->reset();
        all = all && !*exchange;
      }
    return all;
  }
  int awaited() const {
    for (const lane& l : lanes_)
      for (const auto* exchange : {&l.receiving, &l.sending})
        if (*exchange) return (*exchange)->waiting_for();
    return server_ ? server_->slowest_worker() : -1;
  }
  template <class Finished>
  void wait(const char* call, Finished&& finished) {
    const auto over = [&] {
      if (server_) server_->require_sound();
      const bool ends = finished();
      if (server_ && !ends) server_->require_all_there();
      return ends;
    };
    awaiting_.until(
        call, over, [&] { return server_ ? server_->heard() : 0; }, [&] { return awaited(); });
  }
  template <class Work>
  void guarded(const char* call, Work&& work) const {
    awaiting_.guarded(call, work);
  }
  /// work() sends, and waits for that: when it has failed nobody touches the caller's memory.
  template <class Work>
  void sending(Work&& work) {
    try {
      work();
    } catch (...) {
      const auto held = comm_.in_flight().hold();
      for (lane& l : lanes_) l.sending.reset(), l.receiving.reset();
      throw;
    }
  }

  comm_type& comm_;
  const Topology topology_;
  const sparse_options what_;
  const options how_;
  const detail::awaiting<comm_type> awaiting_;
  const int servers_;
  reserved_channel requests_, rows_;
  std::optional<detail::key_ranges> ranges_;
  std::vector<lane> lanes_; ///< of each server
  std::unique_ptr<server_type> server_;
  bool asked_ = false; ///< since the last finish()
};

/// Of rows of float.
template <class Comm, class Topology, class Optimizer, class... More>
sparse_table(Comm&, Topology, Optimizer, const sparse_options&, More...)
    -> sparse_table<float, Comm, Optimizer, Topology>;

} // namespace tutti
