// awaiting: how a rank waits for what others do beside collectives, and whose its errors are.
#pragma once

#include <tutti/carriers/leaving.hpp>
#include <tutti/collectives/failed_call.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/options.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace tutti::detail {

/// Of one carrier. `goes_on`: training goes on without a rank that is lost. Then errors are this rank's own, unless
/// shares_errors(); and it waits twice as long, as others need the time to give somebody up.
template <class Comm>
class awaiting {
public:
  awaiting(Comm& comm, const options& how, bool goes_on = false, last_call last = {})
      : comm_{comm}, timeout_{how.timeout}, last_{last}, goes_on_{goes_on}, own_{goes_on} {}

  void shares_errors() noexcept { own_ = false; }

  /// An error in work() is an error everywhere; one of this rank's own is thrown here alone.
  template <class Work>
  void guarded(const char* call, Work&& work) const {
    try {
      work();
    } catch (const error& e) {
      failure why = detail::met_with(comm_, e.details(), last_);
      if (own_ && why.call.empty()) why.call = call;
      if (own_ && why.rank < 0) why.rank = comm_.rank();
      if (own_) throw error{std::move(why)};
      detail::fail_call(comm_, call, std::move(why), [] {});
    } catch (...) {
      if (!own_) detail::give_up_call(comm_, call, "what it called threw", [] {});
      throw;
    }
  }
  /// Moves everything on until is_over(). With heard() the same for the whole timeout, throws that `peer()` is waited
  /// for. is_over() is asked at `wakes` at the latest.
  template <class Over, class Heard, class Peer>
  void until(const char* call, Over&& is_over, Heard&& heard, Peer&& peer, deadline wakes = (deadline::max)()) const {
    operations& all = comm_.in_flight();
    const operations::visit now{all, call, comm_.rank()};
    deadline latest = patience().until(tutti::now_of(comm_));
    for (auto before = heard();;) {
      const auto seen = comm_.progress();
      bool over = false, rests = false;
      guarded(call, [&] {
        const auto held = all.hold();
        rests = all.step(seen);
        over = is_over();
        if (std::exchange(before, heard()) != before) latest = patience().until(tutti::now_of(comm_));
        if (!over && tutti::now_of(comm_) >= latest) time_out(peer());
      });
      if (over) return;
      if (rests) comm_.idle(seen, (std::min)({latest, wakes, all.alarm()}));
    }
  }

private:
  options patience() const {
    const bool doubles = goes_on_ && timeout_ < std::chrono::hours{24 * 366};
    return {.timeout = doubles ? 2 * timeout_ : timeout_};
  }
  [[noreturn]] void time_out(int peer) const {
    throw error{{.code = error_code::timeout,
                 .peer = peer,
                 .detail = "nothing was heard within " + std::to_string(timeout_.count()) +
                           " ms - raise tutti::options::timeout if the peer is only slow"}};
  }

  Comm& comm_;
  std::chrono::milliseconds timeout_;
  last_call last_;
  bool goes_on_, own_;
};

} // namespace tutti::detail
