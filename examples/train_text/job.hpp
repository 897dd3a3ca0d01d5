// One rank of train_text: picks the strategy, trains, reports. on_threads.cpp and on_mpi.cpp make it
// for a transport each.
#pragma once

#include "codecs.hpp"
#include "results.hpp"

#include <tutti/collectives/priced.hpp>
#include <tutti/collectives/priced_codec.hpp>
#include <tutti/training/checkpoint.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iomanip>

namespace train_text {

/// Each of these is a different strategy type; the name only says which one runs.
template <class Comm, class Use>
void with_topology(const std::string& name, Comm& comm, Use&& use) {
  if (name == "automatic") return use(tutti::automatic{comm});
  if (name == "default") return use(tutti::default_topology{});
  if (name == "ring") return use(tutti::ring{});
  if (name == "recursive_doubling") return use(tutti::recursive_doubling{});
  if (name == "halving_doubling") return use(tutti::halving_doubling{});
  if (name == "binomial_tree") return use(tutti::binomial_tree{});
  if (name == "star") return use(tutti::star{});
  return use(tutti::direct{});
}
template <class Use>
void with_codec(const std::string& name, Use&& use) {
  if (name == "bfloat16") return use(tutti::cast<tutti::bfloat16>{});
  return use(tutti::identity{});
}

template <class Comm>
class job {
public:
  job(Comm& world, const settings& s, const models::text_data& text, tutti::trace_file* trace)
      : world_{world}, s_{s}, text_{text}, timed_{world, trace}, comm_{timed_}, model_{s.recipe.shape},
        bar_{world.rank() == 0, s.recipe.steps} {
    model_.initialise(s.seed);
  }

  void run() {
    if (s_.codec == "list") return list();
    if (world_.rank() == 0)
      std::cout << "text           " << name_of_text(s_) << ", " << text_.bytes().size()
                << " bytes\n" << std::flush;
    if (!is_typed(s_.codec))
      by_name();
    else if (choice_of(s_.sync).codecs)
      with_codec(s_.codec, [&](auto codec) { coded(codec); });
    else
      uncoded();
    report();
  }

private:
  /// What a rank sends in a step of --sync synchronous, by each codec.
  void list() {
    const double plain = bytes_of_a_step(tutti::identity{});
    const auto row = [&](const std::string& name, double bytes, const std::string& what) {
      if (world_.rank() == 0)
        std::cout << std::left << std::setw(18) << name << std::right << std::setw(10) << std::llround(bytes)
                  << std::setw(9) << std::fixed << std::setprecision(1) << (bytes > 0 ? plain / bytes : 1) << "  " << what
                  << "\n";
    };
    if (world_.rank() == 0) std::cout << "codec             bytes/step   fewer  what\n";
    row("identity", plain, "identity");
    row("bfloat16", bytes_of_a_step(tutti::cast<tutti::bfloat16>{}), "cast<bfloat16>");
    for (const codec_choice& one : codec_choices())
      row(one.name,
          std::visit([&](const auto& codec) { return bytes_of_a_step(tutti::detail::codec_of_tensors(codec)); }, one.codec),
          one.what);
  }
  /// The second one: without what bind sends. Its gradient is zeros, and messages have one length.
  template <class Codec>
  double bytes_of_a_step(const Codec& codec) {
    tutti::strategy strategy{comm_, tutti::default_topology{}, codec, tutti::mean{}, tutti::synchronous{}};
    auto trainer =
        strategy.bind(model_.parameters(), plain_optimizer_of(s_.recipe), tutti::training_options{.clip = s_.clip});
    trainer.step(model_.gradients());
    const auto before = comm_.sent().bytes;
    trainer.step(model_.gradients());
    return double(comm_.sent().bytes - before);
  }

  void by_name() {
    for (const codec_choice& one : codec_choices(s_.recipe.steps))
      if (one.name == s_.codec) std::visit([&](const auto& codec) { named(codec); }, one.codec);
  }
  template <class Codec>
  void named(const Codec& codec) {
    const auto by = [&](const auto& used) {
      if constexpr (std::is_same_v<Codec, tutti::warmed_up<tutti::dgc<tutti::top_k>>>)
        synchronous(tutti::default_topology{}, used, plain_optimizer_of(s_.recipe));
      else if (s_.codec == "one_bit_adam")
        one_bit(used);
      else if (s_.sync == "synchronous")
        synchronous(tutti::default_topology{}, used, optimizer_of(s_.recipe));
      else
        by_default(used, tutti::diloco{.period = s_.period, .outer = models::text_outer()});
    };
    if constexpr (may_be_priced<Codec>)
      if (s_.priced) {
        const tutti::where_it_pays priced{comm_, codec};
        if (s_.explain && world_.rank() == 0)
          std::cout << priced.explain(comm_, tutti::default_topology{}, model_.parameter_count());
        return by(priced);
      }
    by(codec);
  }
  template <class Codec>
  void one_bit(const Codec& codec) {
    if constexpr (std::is_same_v<Codec, tutti::error_feedback<named_codec>>)
      synchronous(tutti::default_topology{}, codec, one_bit_optimizer_of(s_.recipe));
  }
  template <class Codec>
  void coded(Codec codec) {
    if (s_.sync == "synchronous")
      with_topology(s_.topology, comm_, [&](auto topology) { synchronous(topology, codec, optimizer_of(s_.recipe)); });
    else if (s_.sync == "federated")
      federated(codec);
    else if (s_.sync == "sharded")
      by_default(codec, tutti::sharded{});
    else if (s_.sync == "local_sgd")
      by_default(codec, tutti::local_sgd{.period = s_.period});
    else if (s_.sync == "diloco")
      by_default(codec, tutti::diloco{.period = s_.period, .outer = models::text_outer()});
    else // every push is an update of its own, so a round of all ranks makes as many as there are ranks
      at_servers(codec, tutti::asynchronous{.staleness = 4}, world_.size());
  }
  void uncoded() {
    constexpr tutti::identity codec{};
    if (s_.sync == "post_local_sgd")
      by_default(codec, tutti::post_local_sgd{.first = s_.period, .later = s_.period});
    else if (s_.sync == "streaming_diloco") // a quarter of the model every quarter of a period
      by_default(codec, tutti::streaming_diloco{.period = std::max(1, s_.period / 4),
                                                .fragments = 4,
                                                .delay = 2,
                                                .outer = models::text_outer()});
    else if (s_.sync == "sparse_loco") // whose codec is its own
      sparse_loco();
    else if (s_.sync == "no_loco")
      by_default(codec, tutti::no_loco{.period = s_.period, .outer = models::text_outer()});
    else if (s_.sync == "gossip")
      by_default(codec, tutti::gossip{});
    else if (s_.sync == "overlapped_gossip")
      by_default(codec, tutti::overlapped_gossip{});
    else if (s_.sync == "push_sum")
      by_default(codec, tutti::push_sum{});
    else if (s_.sync == "gradient_tracking")
      by_default(codec, tutti::gradient_tracking{});
    else if (s_.sync == "pairwise")
      by_default(codec, tutti::pairwise_averaging{.seed = s_.seed});
    else if (s_.sync == "backup_workers")
      at_servers(codec, tutti::backup_workers{.spare = world_.size() > 1 ? 1 : 0}, 1);
    else if (s_.sync == "quorum")
      at_servers(codec, tutti::quorum{.min = std::max(1, world_.size() - 1), .grace = std::chrono::milliseconds{2}}, 1);
  }

  void sparse_loco() {
    tutti::strategy strategy{comm_, tutti::mean{}, tutti::sparse_loco{.period = s_.period}};
    explain(strategy.topology());
    train(strategy, 1);
  }

  template <class Topology, class Codec, class Optimizer>
  void synchronous(Topology topology, Codec codec, Optimizer optimizer) {
    explain(topology);
    tutti::strategy strategy{comm_, topology, codec, tutti::mean{}, tutti::synchronous{}};
    train(strategy, 1, optimizer);
  }

  template <class Codec, class Sync>
  void by_default(Codec codec, Sync sync) {
    tutti::strategy strategy{comm_, codec, tutti::mean{}, sync};
    explain(strategy.topology());
    train(strategy, 1);
  }

  template <class Codec, class Sync>
  void at_servers(Codec codec, Sync sync, int updates_a_step) {
    tutti::strategy strategy{comm_, tutti::star{}, codec, tutti::mean{}, sync};
    explain(strategy.topology());
    train(strategy, updates_a_step);
  }

  template <class Strategy>
  void train(Strategy& strategy, int updates_a_step) {
    train(strategy, updates_a_step, optimizer_of(s_.recipe));
  }
  template <class Strategy, class Optimizer>
  void train(Strategy& strategy, int updates_a_step, Optimizer optimizer) {
    results_.determinism = name(Strategy::determinism);
    auto trainer = strategy.bind(model_.parameters(), optimizer, tutti::training_options{.clip = s_.clip});
    const auto steps = [&] { return int(trainer.steps()); };
    if (!s_.resume.empty()) resume(trainer, steps);
    sent_before_ = double(comm_.sent().bytes); // the parameters of the beginning are no step's
    train_bound(trainer, model_, text_, s_, world_.rank(), updates_a_step,
                [&](int step, double loss) {
                  seen_.add(step, loss);
                  count_sent();
                  show(step);
                  if (s_.save_every > 0 && step % s_.save_every == 0 && step < s_.recipe.steps)
                    save(trainer, step);
                });
    save(trainer, steps());
  }
  /// A trainer, or rounds.
  template <class Trained>
  void save(Trained& trained, int steps) {
    if (s_.save.empty()) return;
    const auto folder = std::filesystem::path{s_.save} / ("step-" + std::to_string(steps));
    trained.save(folder.string());
    if (world_.rank() == 0) std::cout << "\nsaved          " << folder.string() << "\n" << std::flush;
  }

  /// Says where the run goes on, and in what the file was made otherwise.
  template <class Trained, class Steps>
  void resume(Trained& trained, const Steps& steps) {
    const std::string last = tutti::latest_checkpoint(s_.resume);
    const std::string folder = last.empty() ? s_.resume : last;
    const auto differs = trained.load(folder);
    if (world_.rank() != 0) return;
    std::cout << "resumed        " << folder << ", goes on at step " << steps() + 1 << " of "
              << s_.recipe.steps << "\n";
    for (const std::string& one : differs) std::cout << "               " << one << "\n";
    std::cout << std::flush;
  }

  /// Eight clients a rank, of which one a rank trains in each round.
  template <class Codec>
  void federated(Codec codec) {
    tutti::strategy strategy{comm_, codec, tutti::weighted_mean{}, tutti::federated{.fraction = 1.0 / 8}};
    explain(strategy.topology());
    results_.determinism = name(decltype(strategy)::determinism);
    const std::size_t all = clients_a_rank * std::size_t(world_.size());
    text_.require(s_.recipe.shape.context, all); // mpiexec may have started more ranks
    writers clients{text_, s_, int(all), seen_};
    const int all_rounds = writers::rounds(s_.recipe.steps);
    auto rounds = strategy.rounds(model_.parameters(), optimizer_of(s_.recipe), clients,
                                  {.rounds = all_rounds, .seed = s_.seed});
    const auto steps = [&] { return int(rounds.made()) * writers::local_steps; };
    if (!s_.resume.empty()) resume(rounds, steps);
    rounds.run([&](const tutti::round_report&) {
      count_sent();
      show(steps());
      if (s_.save_every > 0 && steps() % s_.save_every == 0 && steps() < s_.recipe.steps) save(rounds, steps());
      return true;
    });
    save(rounds, steps());
  }

  /// Why the gradients travel as they do.
  template <class Topology>
  void explain(const Topology& topology) {
    if (!s_.explain || world_.rank() != 0) return;
    const std::size_t bytes = model_.flat_parameters().size_bytes();
    if constexpr (requires { topology.costs(); })
      std::cout << topology.explain(tutti::collective::all_reduce, comm_, bytes)
                << "by the numbers that were measured: " << text(topology.costs()) << "\n";
    else if constexpr (std::is_same_v<Topology, tutti::default_topology>)
      std::cout << "the default topology: direct up to "
                << tutti::default_topology::most_direct_ranks << " ranks, recursive_doubling up to "
                << tutti::default_topology::most_doubling_bytes
                << " bytes, else halving_doubling; on several nodes hierarchical in segments, and "
                   "recursive_doubling for short data; here are "
                << comm_.size() << " ranks\n";
    else if constexpr (std::is_same_v<Topology, tutti::one_shot>)
      std::cout << "the topology of --sync " << s_.sync << ": every rank sends what it has learnt to every other\n";
    else if constexpr (tutti::mixing_topology<Topology>)
      std::cout << "the graph of --sync " << s_.sync << ": replicas are averaged with neighbours, not with everybody\n";
    else if (s_.topology == "default")
      std::cout << "a star: rank 0 serves and works, all push to it\n";
    else
      std::cout << "--topology " << s_.topology << ", because the command line says so\n";
  }

  /// A step at a time: what a link has to stand at once.
  void count_sent() {
    const auto now = double(comm_.sent().bytes);
    results_.largest_burst = std::max(results_.largest_burst, now - sent_before_);
    sent_before_ = now;
  }
  double tokens(int steps) const {
    return double(steps) * world_.size() * s_.recipe.batch * s_.recipe.shape.context;
  }
  void show(int step) {
    bar_.update(step, status(seen_, tokens(step), bar_.seconds(), comm_, timed_));
  }

  void report() {
    results_.tokens_per_second = tokens(int(seen_.losses.size())) / bar_.seconds();
    results_.bytes_sent = double(comm_.sent().bytes);
    measure(world_, model_, text_, s_.score, results_);
    results_.seconds = bar_.seconds();
    if (world_.rank() != 0) return;
    print(results_, s_, model_);
    write(results_, s_, seen_);
    if (!s_.onnx.empty()) write_onnx(s_.onnx, model_);
  }

  Comm& world_;
  const settings& s_;
  const models::text_data& text_;
  tutti::traced<Comm&> timed_;
  tutti::counted<tutti::traced<Comm&>&> comm_;
  model_type model_;
  support::progress bar_;
  history seen_;
  results results_;
  double sent_before_ = 0; ///< this step
};

} // namespace train_text
