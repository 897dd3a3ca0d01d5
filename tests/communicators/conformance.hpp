// What every communicator has to do, whatever moves its bytes: the text of communicator.hpp as
// tests. Each test is body(comm, report); it leaves the communicator as it found it.
#pragma once

#include "communicators/report.hpp"

#include <tutti/communicators/communicator.hpp>
#include <tutti/communicators/rendezvous.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace conformance {

using tutti::channel;
using tutti::error_code;
using bytes = std::vector<std::byte>;

inline const tutti::options patient{.timeout = std::chrono::seconds{60}};

/// `length` bytes that tell who sent them to whom, and the how-manieth message they are.
inline bytes letter(int from, int to, int number, std::size_t length) {
  bytes text(length);
  for (std::size_t i = 0; i < length; ++i)
    text[i] = std::byte(31 * from + 17 * to + 7 * number + int(i % 251));
  return text;
}

/// One round of a rank with memory for it.
struct mail {
  std::deque<bytes> kept;
  std::vector<tutti::outgoing> sends;
  std::vector<tutti::incoming> receives;

  void send(int peer, bytes text) {
    kept.push_back(std::move(text));
    sends.push_back({peer, kept.back()});
  }
  bytes& receive(int peer, std::size_t length) {
    kept.emplace_back(length, std::byte{0xee});
    receives.push_back({peer, kept.back()});
    return kept.back();
  }
};

template <class Comm> auto post(Comm& comm, channel on, const mail& m) {
  return comm.exchange(tutti::host_execution{}, on, {m.sends, m.receives});
}
template <class Comm, class Handle> void finish(Comm& comm, Handle& handle) {
  tutti::detail::complete(comm, handle, "test", patient.until(tutti::now_of(comm)));
}
/// Whoever has several exchanges in flight tests them in turn.
template <class Comm, class Handle> void finish_all(Comm& comm, std::vector<Handle>& handles) {
  for (const auto until = patient.until(tutti::now_of(comm)); tutti::now_of(comm) < until;) {
    const auto seen = comm.progress();
    bool done = true;
    for (Handle& handle : handles)
      if (!handle.test()) done = false;
    if (done) return;
    comm.idle(seen, until);
  }
  for (Handle& handle : handles) finish(comm, handle);
}
template <class Comm> void exchange(Comm& comm, channel on, const mail& m) {
  auto handle = post(comm, on, m);
  finish(comm, handle);
}
/// Everyone has come here.
template <class Comm> void meet(Comm& comm) {
  (void)tutti::detail::rendezvous(comm, "meet", {}, patient.until(tutti::now_of(comm)));
}
/// The failure of what `act` does; `held` is false when it does not fail.
struct outcome {
  bool failed = false;
  tutti::failure what;
};
template <class Act> outcome failure_of(Act&& act) {
  try {
    act();
  } catch (const tutti::error& e) {
    return {true, e.details()};
  }
  return {};
}
inline std::string told(const outcome& o) {
  return o.failed ? "got " + std::string{tutti::error{o.what}.what()} : "nothing was thrown";
}

// --- messages
// ---------------------------------------------------------------------------------------

/// The k-th receive from a peer on a channel meets the peer's k-th send on it, though all sends are
/// in flight before the first receive is posted.
template <class Comm> void first_in_first_out(Comm& comm, report& r) {
  constexpr int count = 25;
  const auto length = [](int k) { return std::size_t(1 + (k * 5) % 40); };
  std::deque<mail> sends(count);
  std::vector<decltype(post(comm, 0, sends[0]))> handles;
  for (int k = 0; k < count; ++k) {
    for (int peer = 0; peer < comm.size(); ++peer)
      if (peer != comm.rank())
        sends[std::size_t(k)].send(peer, letter(comm.rank(), peer, k, length(k)));
    handles.push_back(post(comm, 3, sends[std::size_t(k)]));
  }
  for (int k = 0; k < count; ++k) {
    mail m;
    for (int peer = 0; peer < comm.size(); ++peer)
      if (peer != comm.rank()) m.receive(peer, length(k));
    exchange(comm, 3, m);
    for (std::size_t j = 0; j < m.receives.size(); ++j) {
      const int peer = m.receives[j].peer;
      r.check(m.kept[j] == letter(peer, comm.rank(), k, length(k)), [&] {
        return "message " + std::to_string(k) + " from " + std::to_string(peer) + " is another one";
      });
    }
  }
  finish_all(comm, handles);
}

/// Two sends to one peer in one round keep their order, too.
template <class Comm> void order_within_a_round(Comm& comm, report& r) {
  const int next = (comm.rank() + 1) % comm.size();
  const int previous = (comm.rank() + comm.size() - 1) % comm.size();
  if (comm.size() == 1) return;
  mail m;
  std::vector<bytes*> got;
  for (int k = 0; k < 5; ++k) {
    m.send(next, letter(comm.rank(), next, k, 9));
    got.push_back(&m.receive(previous, 9));
  }
  exchange(comm, 0, m);
  for (int k = 0; k < 5; ++k)
    r.check(*got[std::size_t(k)] == letter(previous, comm.rank(), k, 9),
            "a round changed its order");
}

template <class Comm> void channels_apart(Comm& comm, report& r) {
  constexpr int count = 4;
  std::deque<mail> mails(count);
  std::vector<bytes*> got(count);
  const int next = (comm.rank() + 1) % comm.size();
  const int previous = (comm.rank() + comm.size() - 1) % comm.size();
  if (comm.size() == 1) return;
  std::vector<decltype(post(comm, 0, mails[0]))> handles;
  for (int k = 0; k < count; ++k) { // every other rank posts its channels the other way round
    const int on = comm.rank() % 2 == 0 ? k : count - 1 - k;
    mail& m = mails[std::size_t(on)];
    m.send(next, letter(comm.rank(), next, on, 100));
    got[std::size_t(on)] = &m.receive(previous, 100);
    handles.push_back(post(comm, channel(on * 4000), m));
  }
  finish_all(comm, handles);
  for (int on = 0; on < count; ++on)
    r.check(*got[std::size_t(on)] == letter(previous, comm.rank(), on, 100),
            "a message changed its channel");
}

/// Also lengths around the length at which a transport may cut.
template <class Comm> void every_length(Comm& comm, report& r) {
  const int next = (comm.rank() + 1) % comm.size();
  const int previous = (comm.rank() + comm.size() - 1) % comm.size();
  if (comm.size() == 1) return;
  for (const std::size_t length : {0, 1, 6, 7, 8, 13, 14, 15, 21, 700, 1000, 5000}) {
    mail m;
    m.send(next, letter(comm.rank(), next, 1, length));
    const bytes& got = m.receive(previous, length);
    exchange(comm, 1, m);
    r.check(got == letter(previous, comm.rank(), 1, length),
            [&] { return std::to_string(length) + " bytes did not arrive"; });
  }
}

/// Long enough that no transport sends it before it is asked for.
template <class Comm> void long_messages(Comm& comm, report& r) {
  const std::size_t length = std::size_t{3} << 20;
  mail m;
  std::vector<bytes*> got;
  for (int peer = 0; peer < comm.size(); ++peer) {
    if (peer == comm.rank()) continue;
    m.send(peer, letter(comm.rank(), peer, 2, length));
    got.push_back(&m.receive(peer, length));
  }
  exchange(comm, 1, m);
  for (std::size_t k = 0; k < got.size(); ++k)
    r.check(*got[k] == letter(m.receives[k].peer, comm.rank(), 2, length),
            "a long message did not arrive");
}

template <class Comm> void nothing_to_send(Comm& comm, report& r) {
  auto empty = post(comm, 5, mail{});
  r.check(empty.test(), "an empty round is complete");
  r.check(empty.test(), "and stays complete");
  mail zero;
  for (int peer = 0; peer < comm.size(); ++peer) {
    if (peer == comm.rank()) continue;
    zero.send(peer, {});
    zero.receive(peer, 0);
  }
  exchange(comm, 5, zero);
}

/// A handle may move while its messages are under way.
template <class Comm> void handles_move(Comm& comm, report& r) {
  if (comm.size() == 1) return;
  const int next = (comm.rank() + 1) % comm.size();
  const int previous = (comm.rank() + comm.size() - 1) % comm.size();
  mail m;
  m.send(next, letter(comm.rank(), next, 0, 1000));
  const bytes& got = m.receive(previous, 1000);
  auto first = post(comm, 2, m);
  auto second = std::move(first);
  first = post(comm, 2, mail{});
  std::vector<decltype(first)> kept;
  kept.push_back(std::move(second));
  finish(comm, first);
  finish_all(comm, kept);
  r.check(got == letter(previous, comm.rank(), 0, 1000), "a moved handle lost its message");
}

// --- waiting
// ----------------------------------------------------------------------------------------

/// idle() and progress() come back though nothing happens, and a timeout names who was waited for.
template <class Comm> void waiting_is_bounded(Comm& comm, report& r) {
  if (comm.size() == 1) return;
  auto group = comm.split(0, comm.rank());
  const int last = group.size() - 1;
  if (group.rank() != last) {
    mail m;
    m.receive(last, 8); // comes never; everything else does
    for (int peer = 0; peer < last; ++peer) {
      if (peer == group.rank()) continue;
      m.send(peer, letter(group.rank(), peer, 0, 8));
      m.receive(peer, 8);
    }
    std::reverse(m.receives.begin(), m.receives.end());
    const auto begin = tutti::now_of(comm);
    auto handle = post(group, 1, m);
    const auto got = failure_of([&] {
      tutti::detail::complete(group, handle, "waiting", begin + std::chrono::milliseconds{400});
    });
    r.check(got.failed && got.what.code == error_code::timeout && got.what.peer == last,
            [&] { return "a timeout naming rank " + std::to_string(last) + " - " + told(got); });
    r.check(tutti::now_of(comm) - begin < std::chrono::seconds{20}, "in bounded time");
    meet(comm); // before the handle is dropped, which may fail the group
  } else {
    meet(comm);
  }
  meet(comm);
}

/// Memory is the caller's again as soon as an incomplete handle is gone.
template <class Comm> void dropped_handles_let_go(Comm& comm, report& r) {
  if (comm.size() == 1) return;
  auto group = comm.split(0, comm.rank());
  mail m;
  const bytes& got = m.receive((group.rank() + 1) % group.size(), 100000);
  { auto dropped = post(group, 1, m); }
  meet(comm);
  mail late;
  late.send((group.rank() + group.size() - 1) % group.size(), bytes(100000));
  (void)failure_of([&] {
    auto unmet = post(group, 1, late);
    const auto until = tutti::now_of(comm) + std::chrono::milliseconds{50};
    while (tutti::now_of(comm) < until && !unmet.test()) group.idle(group.progress(), until);
  });
  meet(comm);
  r.check(std::all_of(got.begin(), got.end(), [](std::byte b) { return b == std::byte{0xee}; }),
          "a dropped handle wrote into its memory");
}

/// What was taken back was never posted: the next message on the channel meets the next receive.
template <class Comm> void receives_taken_back(Comm& comm, report& r) {
  if (comm.size() == 1) return;
  auto group = comm.split(0, comm.rank());
  const int next = (group.rank() + 1) % group.size();
  const int previous = (group.rank() + group.size() - 1) % group.size();
  for (const std::size_t length : {std::size_t{8}, std::size_t{100000}}) {
    mail never;
    const bytes& untouched = never.receive(previous, length);
    {
      auto handle = post(group, 1, never);
      r.check(!handle.test(), "nothing has been sent yet");
      r.check(tutti::detail::take_back(handle), "a receive that nothing has met is taken back");
      r.check(handle.test(), "and complete");
    }
    meet(group);
    mail m;
    m.send(next, letter(group.rank(), next, 4, length));
    const bytes& got = m.receive(previous, length);
    exchange(group, 1, m);
    r.check(got == letter(previous, group.rank(), 4, length), "a message was lost");
    r.check(untouched == bytes(length, std::byte{0xee}), "what was taken back was written to");
    meet(group);
  }
}
/// A message that is there is not lost in silence.
template <class Comm> void receives_met_are_not_taken_back(Comm& comm, report& r) {
  if (comm.size() == 1) return;
  auto group = comm.split(0, comm.rank());
  const int next = (group.rank() + 1) % group.size();
  const int previous = (group.rank() + group.size() - 1) % group.size();
  mail in, out;
  in.receive(previous, 8);
  out.send(next, letter(group.rank(), next, 0, 8));
  auto receiving = post(group, 1, in), sending = post(group, 1, out);
  meet(comm);
  if constexpr (requires { receiving.take_back(); })
    r.check(!receiving.take_back(), "a message is there, and its receive was taken back");
  meet(comm);
  group.revoke({.code = error_code::bad_data}); // what was sent has no receive
  meet(comm);
}

// --- errors
// -----------------------------------------------------------------------------------------

/// Rank 1 sends `sent` bytes, rank 0 expects `expected`.
template <class Comm>
void one_wrong_length(Comm& comm, report& r, std::size_t sent, std::size_t expected) {
  auto pair = comm.split(comm.rank() < 2 ? 0 : 1, comm.rank());
  mail m;
  if (comm.rank() == 1) {
    m.send(0, letter(1, 0, 0, sent));
    (void)failure_of([&] { exchange(pair, 1, m); }); // rank 0 may give up before all has left
  }
  if (comm.rank() == 0) {
    m.receive(1, expected);
    const auto got = failure_of([&] { exchange(pair, 1, m); });
    pair.revoke(got.what); // as collectives do: what was sent has no receive
    const std::string& text = got.what.detail;
    const bool names_sent = text.find("sent " + std::to_string(sent) + " bytes") != text.npos;
    const bool names_expected = text.find("expected " + std::to_string(expected)) != text.npos;
    r.check(got.failed && got.what.code == error_code::mismatch && got.what.peer == 1 &&
                names_sent && names_expected,
            [&] {
              return "sent " + std::to_string(sent) + ", expected " + std::to_string(expected) +
                     ": a mismatch that says so - " + told(got);
            });
  }
  meet(comm);
}
template <class Comm> void wrong_lengths(Comm& comm, report& r) {
  if (comm.size() == 1) return;
  const std::size_t lengths[] = {0, 6, 7, 8, 14, 20, 21};
  for (const std::size_t sent : lengths)
    for (const std::size_t expected : lengths)
      if (sent != expected) one_wrong_length(comm, r, sent, expected);
}
/// A long message for a short buffer must not be written over its end.
template <class Comm> void long_wrong_lengths(Comm& comm, report& r) {
  if (comm.size() == 1) return;
  one_wrong_length(comm, r, 1000000, 1000);
  one_wrong_length(comm, r, 1000, 1000000);
  one_wrong_length(comm, r, 2000000, 1000000);
}

/// A wrong length is reported though another peer never plays its part.
template <class Comm> void wrong_length_among_others(Comm& comm, report& r) {
  if (comm.size() < 3) return;
  auto group = comm.split(0, comm.rank());
  if (comm.rank() == 1) {
    mail m;
    m.send(0, letter(1, 0, 0, 5));
    (void)failure_of([&] { exchange(group, 1, m); });
  }
  if (comm.rank() == 0) {
    mail m;
    m.receive(2, 8); // comes never
    m.receive(1, 8);
    const auto got = failure_of([&] { exchange(group, 1, m); });
    r.check(got.failed && got.what.code == error_code::mismatch && got.what.peer == 1,
            [&] { return "a mismatch naming rank 1 - " + told(got); });
  }
  meet(comm);
}

/// Every pending and later call on any rank fails with why; below as well, above not.
template <class Comm> void revocation(Comm& comm, report& r) {
  auto group = comm.split(0, comm.rank());
  auto below = group.split(0, -group.rank());
  meet(comm); // or a rank that is still splitting would fail there
  const int last = group.size() - 1;
  const auto expect = [&](const outcome& got, const char* where) {
    r.check(got.failed && got.what.code == error_code::bad_data && got.what.peer == 7 &&
                got.what.call == "reading" && got.what.rank == group.rank() &&
                got.what.detail == "the disk is full",
            [&] { return std::string{where} + ": fails with what was said - " + told(got); });
  };
  mail never;
  if (group.rank() != last) never.receive(last, 8);
  if (group.rank() == last) {
    group.revoke({.code = error_code::bad_data,
                  .call = "reading",
                  .rank = last,
                  .peer = 7,
                  .detail = "the disk is full"});
    group.revoke({.code = error_code::timeout, .detail = "the first failure stands"});
  } else {
    expect(failure_of([&] { exchange(group, 1, never); }), "a pending call");
  }
  expect(failure_of([&] { exchange(group, 1, mail{}); }), "a later call");
  const auto got = failure_of([&] { exchange(below, 1, mail{}); });
  r.check(got.failed && got.what.code == error_code::bad_data, "a call below fails as well");
  expect(failure_of([&] {
           for (const auto until = patient.until(tutti::now_of(comm)); tutti::now_of(comm) < until;) {
             if constexpr (tutti::selective_communicator<decltype(group)>) (void)group.probe(1);
           }
         }),
         "a probe");
  meet(comm);
}

// --- refinements
// ------------------------------------------------------------------------------------

/// Colours, keys, negative numbers, ties, groups of one, and groups of groups.
template <class Comm> void splitting(Comm& comm, report& r) {
  const int p = comm.size();
  auto turned = comm.split(-3, -comm.rank());
  r.check(turned.size() == p && turned.rank() == p - 1 - comm.rank(), "keys order the ranks");
  auto tied = comm.split(1 << 30, 5);
  r.check(tied.size() == p && tied.rank() == comm.rank(), "ties keep the order");
  auto alone = comm.split(comm.rank(), 0);
  r.check(alone.size() == 1 && alone.rank() == 0, "a colour of one's own");
  auto third = comm.split(comm.rank() % 3, 0);
  r.check(third.size() == (p - comm.rank() % 3 + 2) / 3 && third.rank() == comm.rank() / 3,
          "every third");
  auto half = third.split(third.rank() < 1 ? 0 : 1, 0);
  r.check(half.size() == (third.rank() < 1 ? 1 : third.size() - 1), "a group of a group");

  // Messages of the groups do not meet each other's, nor those above.
  const auto pass_on = [&](auto& group, int number) {
    if (group.size() == 1) return;
    const int next = (group.rank() + 1) % group.size();
    const int previous = (group.rank() + group.size() - 1) % group.size();
    mail m;
    m.send(next, letter(group.rank(), next, number, 50));
    const bytes& got = m.receive(previous, 50);
    exchange(group, 9, m);
    r.check(got == letter(previous, group.rank(), number, 50), "a message changed its group");
  };
  pass_on(turned, 1);
  pass_on(comm, 2);
  pass_on(third, 3);
  pass_on(tied, 4);
  pass_on(half, 5);
}

template <class Comm> void selective_receive(Comm& comm, report& r) {
  const auto nothing = comm.probe(11);
  r.check(!nothing, "nothing is waiting at first");
  meet(comm);
  if (comm.rank() != 0) {
    mail m;
    m.send(0, letter(comm.rank(), 0, 0, std::size_t(comm.rank())));
    exchange(comm, 11, m);
  } else {
    std::vector<bool> heard(std::size_t(comm.size()), false);
    for (int count = 1; count < comm.size(); ++count) {
      std::optional<tutti::arrival> next;
      for (const auto until = patient.until(tutti::now_of(comm)); !next && tutti::now_of(comm) < until;) {
        const auto seen = comm.progress();
        next = comm.probe(11);
        if (!next) comm.idle(seen, tutti::now_of(comm) + std::chrono::milliseconds{100});
      }
      if (!r.check(next.has_value(), "a message is seen")) return;
      r.check(next->bytes == std::size_t(next->peer), "with its length");
      mail m;
      const bytes& got = m.receive(next->peer, next->bytes);
      exchange(comm, 11, m);
      r.check(got == letter(next->peer, 0, 0, next->bytes), "and is the one that is received");
      r.check(!heard[std::size_t(next->peer)], "once");
      heard[std::size_t(next->peer)] = true;
    }
  }
  meet(comm);
}

/// All of them. Calls run(name, body) for each.
template <class Run> void each(Run&& run) {
  run("first_in_first_out", [](auto& comm, report& r) { first_in_first_out(comm, r); });
  run("order_within_a_round", [](auto& comm, report& r) { order_within_a_round(comm, r); });
  run("channels_apart", [](auto& comm, report& r) { channels_apart(comm, r); });
  run("every_length", [](auto& comm, report& r) { every_length(comm, r); });
  run("nothing_to_send", [](auto& comm, report& r) { nothing_to_send(comm, r); });
  run("handles_move", [](auto& comm, report& r) { handles_move(comm, r); });
  run("waiting_is_bounded", [](auto& comm, report& r) { waiting_is_bounded(comm, r); });
  run("dropped_handles_let_go", [](auto& comm, report& r) { dropped_handles_let_go(comm, r); });
  run("receives_taken_back", [](auto& comm, report& r) { receives_taken_back(comm, r); });
  run("receives_met_are_not_taken_back",
      [](auto& comm, report& r) { receives_met_are_not_taken_back(comm, r); });
  run("wrong_lengths", [](auto& comm, report& r) { wrong_lengths(comm, r); });
  run("wrong_length_among_others",
      [](auto& comm, report& r) { wrong_length_among_others(comm, r); });
  run("revocation", [](auto& comm, report& r) { revocation(comm, r); });
  run("splitting", [](auto& comm, report& r) { splitting(comm, r); });
  run("selective_receive", [](auto& comm, report& r) { selective_receive(comm, r); });
}

} // namespace conformance
