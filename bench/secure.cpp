// What a secure sum costs beside the keystreams that it cannot do without: 100 clients of 10^6 values, 30 of whom drop
// out after they have shared their secrets; clients and server in one thread. The keystream's rate is measured in the
// same run, between one client and the next.
#include "report.hpp"

#include <tutti/federated/secure/server.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace {

namespace ts = tutti::secure;

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// ChaCha20 alone, in blocks that stay in the cache.
class keystream {
public:
  void run(double at_least) {
    alignas(64) static std::array<unsigned char, ts::detail::mask_bytes> block;
    const std::array<unsigned char, crypto_stream_chacha20_NONCEBYTES> nonce{};
    const std::array<unsigned char, 32> key{1};
    const double begin = seconds();
    double now = begin;
    for (; now < begin + at_least; now = seconds())
      for (int k = 0; k < 64; ++k) {
        crypto_stream_chacha20(block.data(), block.size(), nonce.data(), key.data());
        bytes_ += double(block.size());
      }
    took_ += now - begin;
  }
  double rate() const { return bytes_ / took_; }

private:
  double bytes_ = 0, took_ = 0;
};

constexpr int clients = 100;
constexpr std::size_t values = 1'000'000;

bool drops(int client) { return client % 10 == 1 || client % 10 == 4 || client % 10 == 8; }

template <class Word>
void measure(bench::report& report, int neighbours) {
  const ts::session in{{.clients = clients,
                        .values = values,
                        .word_bits = 8 * int(sizeof(Word)),
                        .neighbours = neighbours,
                        .threshold = neighbours / 3 + 1}};
  std::vector<Word> mine(values);
  for (std::size_t i = 0; i < values; ++i) mine[i] = static_cast<Word>(i * 7);
  keystream alone;
  double took = 0, streams = 0, at_server = 0;
  const auto timed = [&](double& into, auto&& f) {
    const double begin = seconds();
    f();
    into += seconds() - begin;
  };

  std::vector<std::unique_ptr<ts::client<Word>>> all;
  ts::server<Word> server{in};
  timed(took, [&] {
    for (int c = 0; c < clients; ++c) all.push_back(std::make_unique<ts::client<Word>>(in, c));
    for (auto& c : all) server.take_advertised(c->advertise());
    std::vector<ts::message> shared;
    for (auto& c : all) shared.push_back(c->share(server.keys_for(c->id())));
    for (const auto& m : shared) server.take_shared(m);
  });
  const double keys = took;
  for (auto& c : all) {
    alone.run(.02);
    if (drops(c->id())) continue;
    timed(took, [&] { server.take_masked(c->mask(server.shares_for(c->id()), mine)); });
    streams += 1 + in.graph().degree();
  }
  const std::vector<int> left = server.survivors();
  timed(at_server, [&] {
    for (const int c : left) server.take_revealed(all[std::size_t(c)]->reveal(server.survivors_for(c)));
    (void)server.sum();
  });
  took += at_server;
  alone.run(.2);
  streams += double(left.size());
  for (int c = 0; c < clients; ++c)
    for (const int v : in.graph().of(c)) streams += drops(c) && !drops(v);

  double wrong = 0;
  const std::span<const Word> sum = server.sum();
  for (std::size_t i = 0; i < values; ++i) wrong += sum[i] != static_cast<Word>(mine[i] * left.size());
  const double rate = streams * double(values * sizeof(Word)) / took;
  const std::string name = std::to_string(in.word_bits()) + "-bit words, " + std::to_string(in.graph().degree()) +
                           " neighbours";
  report.row({{"sum", name},
              {"survivors", left.size()},
              {"seconds", took},
              {"of them keys and shares", keys},
              {"of them taking masks away", at_server},
              {"keystreams", streams},
              {"GB/s", rate / 1e9},
              {"keystream alone, GB/s", alone.rate() / 1e9}});
  report.at_least("rate / keystream, " + name, rate / alone.rate(), .7);
  report.equal("sums that are wrong, " + name, wrong, 0);
}

} // namespace

int main(int argc, char** argv) {
  bench::report report("secure", argc, argv);
  measure<std::uint32_t>(report, 32);
  measure<std::uint64_t>(report, 32);
  return report.finish();
}
