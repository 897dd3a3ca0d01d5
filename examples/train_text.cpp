// The main job: a small transformer learns to write, one byte after the other. The strategy that
// trains it is picked from those that train_text/job.hpp assembles at compile time.
// test: --steps 30 --ranks 2 --batch 4 --transport threads --score 4096
// test: --steps 30 --ranks 3 --batch 2 --transport threads --sync asynchronous --score 4096
// test: --steps 30 --ranks 2 --batch 4 --transport threads --sync federated --score 4096
// test: --steps 30 --ranks 2 --batch 4 --transport threads --sync sharded --accumulate 2 --clip 1 --score 4096
// test: --steps 30 --ranks 2 --batch 4 --transport threads --sync local_sgd --period 5 --score 4096
// test: --steps 30 --ranks 3 --batch 2 --transport threads --sync diloco --period 10 --score 4096
// test: --steps 20 --ranks 3 --batch 2 --transport threads --sync streaming_diloco --period 8 --score 4096
// test: --steps 20 --ranks 3 --batch 2 --transport threads --sync post_local_sgd --period 4 --score 4096
// test: --steps 20 --ranks 3 --batch 2 --transport threads --sync no_loco --period 4 --score 4096
// test: --steps 20 --ranks 3 --batch 2 --transport threads --sync gossip --explain --score 4096
// test: --steps 20 --ranks 3 --batch 2 --transport threads --sync push_sum --score 4096
// test: --steps 20 --ranks 3 --batch 2 --transport threads --sync gradient_tracking --score 4096
// test: --steps 20 --ranks 3 --batch 2 --transport threads --sync pairwise --score 4096
// test: --steps 20 --ranks 3 --batch 2 --transport threads --sync backup_workers --explain --score 4096
// test: --steps 20 --ranks 3 --batch 2 --transport threads --sync quorum --score 4096
// test: --steps 20 --ranks 2 --batch 2 --sync overlapped_gossip --score 4096
// test: --steps 30 --ranks 2 --batch 4 --codec bfloat16 --topology ring --score 4096
// test: --steps 10 --ranks 2 --batch 2 --transport threads --codec chunked_two_bit --score 4096
// test: --steps 10 --ranks 2 --batch 2 --transport threads --codec power_sgd --score 4096
// test: --steps 10 --ranks 2 --batch 2 --transport threads --codec ef21 --score 4096
// test: --steps 20 --ranks 2 --batch 2 --transport threads --codec dgc --score 4096
// test: --steps 10 --ranks 2 --batch 2 --transport threads --codec one_bit_adam --score 4096
// test: --steps 10 --ranks 2 --batch 2 --transport threads --sync diloco --period 4 --codec top_k_int8 --score 4096
// test: --steps 10 --ranks 2 --batch 2 --transport threads --sync sparse_loco --period 4 --explain --score 4096
// test: --steps 10 --ranks 2 --batch 2 --transport threads --codec int8 --priced --explain --score 4096
// test: --transport threads --ranks 3 --codec list
// refuses: --ranks 0 => --ranks 0: give 1 to [0-9]+ on this machine
// refuses: --ranks 1000000 => --ranks 1000000: give 1 to
// refuses: --data /no/such/file => cannot read /no/such/file: No such file .* - give an existing
// refuses: --data /dev/null => cannot read /dev/null: it is empty - give a text file
// refuses: --sync asynchronous --topology ring => --topology ring has none - use --topology star
// refuses: --transport threads --resume /no/such/checkpoint => /no/such/checkpoint
// refuses: --sync gossip --topology ring => --sync gossip is here for the default topology only
// refuses: --sync no_loco --codec bfloat16 => --sync no_loco is here without a codec - leave --codec out
// refuses: --sync diloco --codec dgc => --codec dgc is about the momentum of gradients, .* - take --sync synchronous
// refuses: --sync sharded --codec top_k => --codec top_k is here for --sync synchronous and diloco on the default
// refuses: --codec power_sgd --priced => --priced is here for codecs of one stage that remember at most what they left
// refuses: --sync sparse_loco --codec bfloat16 => --sync sparse_loco is here without a codec - leave --codec out
// refuses: --sync diloco --topology ring => --sync diloco is here for the default topology only
// refuses: --sync federated --save-every 50 => has rounds of 100 steps - give a --save-every of whole rounds
// refuses: --sync federated --clip 1 => --sync federated runs rounds - leave them out
// refuses: --json /no/such/folder/out => --json /no/such/folder/out: No such file .* - give a file
// refuses: --trace /no/such/folder/out => --trace /no/such/folder/out: No such file .* - give a file
// test: --steps 2 --ranks 2 --batch 1 --transport threads --score 4096 --onnx text.onnx
// refuses: --onnx /no/such/folder/out => --onnx /no/such/folder/out: (No such file .* - give a file|.* without libonnx)
// refuses: --plot /no/such/folder/out => --plot /no/such/folder/out: No such file .* - give a file
// refuses: --transport threads --json / => --json /: Is a directory - give a file
// refuses: --device cuda --sync gossip => --device cuda is here without --sync gossip - leave --sync out
// refuses: --device cuda --json out => --device cuda is here without reports in files
#include "support/launch.hpp"
#include "train_text/on_cuda.hpp"
#include "train_text/options.hpp"
#include "train_text/run.hpp"

#include <tutti/mpi/mpi.hpp>

int main(int argc, char** argv) try {
  const train_text::settings s = train_text::parse(argc, argv);
  if (s.device == "cuda") train_text::become_cuda(s);
  const bool threads = s.transport == "threads";
  const bool launched = !threads && support::under_mpiexec(); // the ranks are there already
  if (!launched) {
    support::check_ranks(s.ranks);
    train_text::check(s);
  }
  const models::text_data text = train_text::read(s);

  if (threads) {
    tutti::threads::run(s.ranks, [&](auto& world) { train_text::run(world, s, text); });
    return 0;
  }
  if (!launched && s.ranks > 1) support::become_ranks(s.ranks, argc, argv);
  return tutti::mpi::run(argc, argv, [&](auto& world) {
    if (const int status = launched ? train_text::check_launched(world, s) : 0) return status;
    train_text::run(world, s, text);
    return 0;
  });
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
