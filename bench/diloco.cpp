// DiLoCo beside synchronous training, and streaming DiLoCo beside DiLoCo: examples/train_text on two ranks, an agreement
// every 20 steps; how much worse it writes, how much less it sends, and how much less at once.
#include "training/train_text.hpp"

int main(int argc, char** argv) try {
  bench::report report("diloco", argc, argv);
  const bench::train_text train{"diloco"};
  double loss[3], sent[3], burst[3];
  int k = 0;
  for (const std::string sync : {"synchronous", "diloco", "streaming_diloco"}) {
    const bench::json got = train("--ranks 2 --period 20 --sync " + sync);
    loss[k] = got["held_out_loss"];
    burst[k] = got["largest_burst"];
    sent[k++] = got["bytes_sent"];
    report.row({{"sync", sync},
                {"held_out_loss", got["held_out_loss"]},
                {"bytes_sent", got["bytes_sent"]},
                {"largest_burst", got["largest_burst"]},
                {"tokens_per_second", got["tokens_per_second"]}});
  }
  report.at_most("held-out loss / that of synchronous", loss[1] / loss[0], 1.03);
  report.at_most("bytes sent / those of synchronous", sent[1] / sent[0], 1.0 / 15);
  report.at_most("streaming: held-out loss / that of diloco", loss[2] / loss[1], 1.03);
  report.at_most("streaming: most bytes in a step / those of diloco", burst[2] / burst[1], 1.0 / 3);
  return report.finish();
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
