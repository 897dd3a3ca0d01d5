// What a codec costs beside the memory that it goes through: encoding, and decoding two ranks' messages into their mean, of
// 8 million floats on one thread, as a fraction of a pass over the same bytes in the same round; and the same in stages.
//
// And how far off a sum of eight ranks is by cast<bfloat16>, beside one in the same bytes that is rounded at every hop.
//
// And beside what PyTorch takes for the same where Python can import it (TUTTI_PYTHON, else python3), in turn, on one thread.
//
// The floor of encoding is a read of the values and a write of the message; that of decoding a read of both messages and a
// write of the values. Rounds take turns, and every fraction is the median of those of the rounds.
#include "python_peer.hpp"
#include "report.hpp"

#include <tutti/tutti.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <string_view>
#include <utility>

namespace {

constexpr std::size_t n = std::size_t{1} << 23;
constexpr int rounds = 9;

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Keeps what was computed.
template <class X>
void used(const X& x) {
  asm volatile("" : : "g"(&x) : "memory");
}

void read(const void* from, std::size_t bytes) {
  const auto* const words = static_cast<const std::uint64_t*>(from);
  std::uint64_t sums[32] = {};
  tutti::detail::in_blocks<32>(bytes / sizeof *words, [&](std::size_t begin, auto count) {
    for (std::size_t i = 0; i < count; ++i) sums[i] += words[begin + i];
  });
  used(sums);
}
void write(void* to, std::size_t bytes) {
  std::memset(to, 1, bytes);
  used(to);
}

/// Of each side what each round took.
class measured {
public:
  void add(const std::string& side, const std::function<void()>& work) { add(side, seconds(work)); }
  void add(const std::string& side, double seconds) { all_[side].push_back(seconds); }
  double median(const std::string& side) const { return bench::median(all_.at(side)); }
  /// How many times as long `side` takes as `other`.
  double ratio(const std::string& side, const std::string& other) const {
    std::vector<double> each;
    for (std::size_t k = 0; k < all_.at(side).size(); ++k) each.push_back(all_.at(side)[k] / all_.at(other)[k]);
    return bench::median(each);
  }

private:
  std::map<std::string, std::vector<double>> all_;
};

struct side {
  std::string name;
  std::size_t bytes; ///< of a message
  std::function<void(std::byte*)> encode;
  std::function<void(const std::byte*, float*)> reduce; ///< two of that message
};
template <class C>
side of(std::string name, const C& codec, const std::vector<float>& values) {
  return {std::move(name), codec.template bytes<float>(n),
          [=, &values](std::byte* wire) {
            tutti::detail::encode<float>(codec, std::span<const float>{values}, wire, {});
            used(wire);
          },
          [=](const std::byte* wire, float* out) {
            constexpr tutti::mean mean;
            const auto math = tutti::detail::arithmetic_of<float>(mean, codec);
            const std::array<const std::byte*, 2> two{wire, wire};
            math.unite(math, two, {}, reinterpret_cast<std::byte*>(out), n, 0, 2);
            used(out);
          }};
}

/// The root of the mean square by which a ring that rounds every partial sum is off, over that by which `cast` is. Of P
/// values of one size, 1 + ... + P against 2 P roundings of the size of one: (P + 1) / 4 in squares.
double hops_over_cast(int ranks) {
  constexpr std::size_t few = 1 << 15;
  const auto value = [](int rank, std::size_t i) {
    tutti::random_stream draw{i, std::uint32_t(rank)};
    float x = -6; // about normal
    for (int k = 0; k < 12; ++k) x += draw.uniform();
    return x;
  };
  std::vector<float> ours(few);
  tutti::threads::run(ranks, [&](auto& world) {
    std::vector<float> data(few);
    for (std::size_t i = 0; i < few; ++i) data[i] = value(world.rank(), i);
    tutti::all_reduce(world, data, tutti::ring{}, tutti::cast<tutti::bfloat16>{});
    if (world.rank() == 0) ours = data;
  });
  double own = 0, hops = 0;
  for (std::size_t i = 0; i < few; ++i) {
    double exact = 0;
    float hop = 0;
    for (int r = 0; r < ranks; ++r) {
      exact += double(value(r, i));
      hop = float(tutti::bfloat16(hop + value(r, i)));
    }
    own += (double(ours[i]) - exact) * (double(ours[i]) - exact);
    hops += (double(hop) - exact) * (double(hop) - exact);
  }
  return std::sqrt(hops / own);
}

} // namespace

int main(int argc, char** argv) {
  bench::report report("codecs", argc, argv);
  std::vector<float> values(n), out(n);
  tutti::random_stream draw{1};
  for (float& x : values) x = (draw.uniform() - .5f) * draw.uniform();
  std::vector<std::byte> wire(n * sizeof(float));

  const std::vector<side> sides{of("cast<bfloat16>", tutti::cast<tutti::bfloat16>{}, values),
                                of("cast<half>", tutti::cast<tutti::half>{}, values),
                                of("int8_block", tutti::int8_block{}, values),
                                of("int4_block", tutti::int4_block{}, values),
                                of("fp8_block<e4m3>", tutti::fp8_block<tutti::fp8::e4m3>{}, values),
                                of("sign_block", tutti::sign_block{}, values),
                                of("qsgd", tutti::qsgd{}, values),
                                of("terngrad", tutti::terngrad{}, values),
                                of("top_k 1 %", tutti::top_k{}, values),
                                of("random_k 1 %", tutti::random_k{}, values)};
  const std::int64_t shape[] = {2048, std::int64_t(n / 2048)};
  const tutti::coded_tensor matrix[] = {{{0, n}, shape}};
  const tutti::staged_part whole{.where = {0, n}, .tensors = matrix};
  auto staged = tutti::power_sgd{.rank = 2}.stages<float>(whole);
  std::vector<float> left(staged.length(0)), right(staged.length(1)), room = values;

  const tutti::error_feedback<tutti::top_k> with_memory{};
  std::vector<float> unsent(n), still_unsent(n);

  const bench::python_peer torch{"codecs/torch_codecs.py", std::to_string(n)};
  measured took;
  for (int k = 0; k < rounds; ++k) {
    took.add("read", [&] { read(values.data(), n * sizeof(float)); });
    took.add("write", [&] { write(out.data(), n * sizeof(float)); });
    for (const side& one : sides) {
      took.add(one.name + " encode", [&] { one.encode(wire.data()); });
      took.add(one.name + " encode floor", [&] {
        read(values.data(), n * sizeof(float));
        write(wire.data(), one.bytes);
      });
      one.encode(wire.data());
      took.add(one.name + " reduce", [&] { one.reduce(wire.data(), out.data()); });
      took.add(one.name + " reduce floor", [&] {
        for (int message = 0; message < 2; ++message) read(wire.data(), one.bytes);
        write(out.data(), n * sizeof(float));
      });
    }
    took.add("power_sgd 2", [&] {
      staged.begin(0);
      staged.encode<0>(std::span{room}, std::span<const float>{}, std::span{left});
      staged.encode<1>(std::span{room}, std::span<const float>{left}, std::span{right});
      staged.decode(std::span{room}, std::span<const float>{right});
      staged.commit();
      used(room);
    });
    room = values;
    took.add("top_k with memory", [&] {
      with_memory.encode(tutti::remembered<float>{unsent, still_unsent}, std::span<float>{room}, wire.data(), {});
      std::swap(unsent, still_unsent);
      used(unsent);
    });
    for (const auto& [name, seconds] : torch.once()) took.add("torch " + name, seconds);
  }

  constexpr double gigabytes = n * sizeof(float) / 1e9;
  for (const side& one : sides)
    report.row({{"codec", one.name},
                {"bytes", one.bytes},
                {"encode_GB_s", gigabytes / took.median(one.name + " encode")},
                {"encode_of_floor", took.ratio(one.name + " encode floor", one.name + " encode")},
                {"reduce_GB_s", gigabytes / took.median(one.name + " reduce")},
                {"reduce_of_floor", took.ratio(one.name + " reduce floor", one.name + " reduce")}});
  report.row({{"codec", "power_sgd 2, both ways"},
              {"bytes", (left.size() + right.size()) * sizeof(float)},
              {"encode_GB_s", gigabytes / took.median("power_sgd 2")}});
  if (torch.found()) {
    const std::pair<const char*, const char*> same[]{{"cast<bfloat16>", "cast<bfloat16> encode"},
                                                     {"int8_block", "int8_block encode"},
                                                     {"sign_block", "sign_block encode"},
                                                     {"top_k 1 %", "top_k 1 % encode"},
                                                     {"top_k 1 % by sampling", "top_k 1 % encode"},
                                                     {"top_k 1 % with error feedback", "top_k with memory"},
                                                     {"power_sgd 2", "power_sgd 2"}};
    for (const auto& [name, own] : same) {
      const double times = took.ratio(std::string{"torch "} + name, own);
      report.row({{"PyTorch", name}, {"GB_s", gigabytes / took.median(std::string{"torch "} + name)}, {"times as long", times}});
      if (std::string_view{name} != "cast<bfloat16>") // both wait for memory
        report.at_least(std::string{"PyTorch / tutti, "} + name, times, 3);
    }
  }
  for (const char* name : {"cast<bfloat16>", "cast<half>", "int8_block", "sign_block"})
    for (const std::string what : {" encode", " reduce"})
      report.at_least(name + what + ": of the memory floor", took.ratio(name + what + " floor", name + what), .7);
  report.at_most("top_k 1 % encode / a read of the values", took.ratio("top_k 1 % encode", "read"), 4);
  report.at_most("cast<half> reduce / cast<bfloat16> reduce", took.ratio("cast<half> reduce", "cast<bfloat16> reduce"), 1.1);
  for (const int ranks : {8, 32})
    report.at_least("a sum of " + std::to_string(ranks) + " ranks rounded at every hop: error over that of cast<bfloat16>",
                    hops_over_cast(ranks), .95 * std::sqrt((ranks + 1) / 4.));
  return report.finish();
}
