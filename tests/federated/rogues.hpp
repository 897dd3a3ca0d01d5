// Clients of one value for tests of round_server, and ranks that answer what and when a test likes.
#pragma once

#include <tutti/federated/rank_mail.hpp>
#include <tutti/federated/round_messages.hpp>
#include <tutti/tutti.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace trial {

/// Moves the one value there is down by client / 10, in a step.
struct movers {
  int clients() const { return 9; }
  double examples(int) const { return 3; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    local.step(std::vector<double>{client / 10.});
  }
};
inline constexpr tutti::sgd whole{.learning_rate = 1};

/// A rank that answers what it likes: sends bytes, takes the work that it is sent.
template <class Comm>
struct rogue {
  tutti::detail::rank_mail<Comm> mail;
  explicit rogue(Comm& comm) : mail{comm, {}, std::size_t{1} << 22} { mail.listen(0); }

  void enter(std::vector<tutti::detail::entered_client> all) {
    std::vector<std::byte> message;
    tutti::detail::encode_enter(message, all);
    mail.send(0, message);
  }
  void depart() {
    std::vector<std::byte> message;
    tutti::detail::message_writer{message, tutti::detail::round_message::depart};
    mail.send(0, message);
  }
  /// Waits for the server's next word; empty when it is over.
  tutti::detail::round_work work() {
    tutti::detail::round_work out;
    bool came = false;
    std::vector<double> model(1), common;
    mail.wait(
        "test",
        [&](int, std::span<const std::byte> bytes) {
          if (tutti::detail::decode_model<double>(bytes, model, common)) return;
          came = true;
          if (auto one = tutti::detail::decode_work(bytes)) out = *one;
        },
        [&] { return came; }, [] { return 0; });
    return out;
  }
  void answer(const tutti::detail::round_work& work, double difference, std::size_t cut = 0, int client = -1) {
    std::vector<std::byte> message;
    const double values[] = {difference};
    tutti::detail::encode_update<double>(message, {work.round, client < 0 ? work.clients[0] : client, {}}, values);
    message.resize(message.size() - cut);
    mail.send(0, message);
  }
  void leave() {
    depart();
    while (!work().clients.empty()) continue;
    mail.wait("test", [](int, std::span<const std::byte>) {}, [&] { return mail.has_told(0); }, [] { return 0; });
  }
};

} // namespace trial
