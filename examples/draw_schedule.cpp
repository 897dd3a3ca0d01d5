// Draws who talks to whom in which round: the schedule of a topology as an SVG.
// test: --topology ring --ranks 5
// test: --topology halving_doubling --ranks 6 --collective reduce_scatter
// test: --topology binomial_tree --ranks 5 --collective broadcast --root 2
// test: --topology star --ranks 4 --segments 2
#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/recursive_doubling.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/topologies/star.hpp>
#include <tutti/topologies/svg.hpp>

#include <CLI/CLI.hpp>

#include <fstream>
#include <iostream>
#include <map>
#include <string>

struct request {
  std::string topology = "ring";
  tutti::collective what = tutti::collective::all_reduce;
  int ranks = 5;
  int root = 0;
  int segments = 1;
};

template <tutti::schedule_topology T>
std::string draw(const T& topology, const request& asked) {
  if (!tutti::carries<T>(asked.what))
    throw CLI::ValidationError(asked.topology + " has no " + std::string{tutti::name(asked.what)});
  const auto schedule = tutti::collect(topology, asked.what, asked.root, asked.ranks);
  return tutti::svg(schedule, std::string{tutti::name(asked.what)} + " on " + asked.topology +
                                  ", " + std::to_string(asked.ranks) + " ranks");
}

template <tutti::schedule_topology T>
std::string draw_pipelined(const T& topology, request asked) {
  if (asked.segments == 1) return draw(topology, asked);
  asked.topology = "pipelined " + asked.topology;
  return draw(tutti::pipelined{topology, asked.segments}, asked);
}

std::string draw(const request& asked) {
  if (asked.topology == "ring") return draw_pipelined(tutti::ring{}, asked);
  if (asked.topology == "recursive_doubling")
    return draw_pipelined(tutti::recursive_doubling{}, asked);
  if (asked.topology == "halving_doubling") return draw_pipelined(tutti::halving_doubling{}, asked);
  if (asked.topology == "binomial_tree") return draw_pipelined(tutti::binomial_tree{}, asked);
  if (asked.topology == "direct") return draw_pipelined(tutti::direct{}, asked);
  return draw(tutti::star{.servers = asked.segments}, asked);
}

int main(int argc, char** argv) {
  request asked;
  std::string output = "schedule.svg";
  std::map<std::string, tutti::collective> names;
  for (const auto what : tutti::all_collectives) names[std::string{tutti::name(what)}] = what;

  CLI::App app{"Draws the schedule of a topology as an SVG."};
  app.add_option("--topology", asked.topology)
      ->check(CLI::IsMember(
          {"ring", "recursive_doubling", "halving_doubling", "binomial_tree", "direct", "star"}));
  app.add_option("--collective", asked.what)->transform(CLI::CheckedTransformer(names));
  app.add_option("--ranks", asked.ranks)->check(CLI::Range(1, 64));
  app.add_option("--root", asked.root, "of broadcast and reduce")->check(CLI::Range(0, 63));
  app.add_option("--segments", asked.segments, "of the pipeline; of a star, its servers")
      ->check(CLI::Range(1, 64));
  app.add_option("--output", output, "the file to write");
  try {
    app.parse(argc, argv);
    if (asked.root >= asked.ranks) throw CLI::ValidationError("--root: there is no such rank");
    if (!(std::ofstream{output} << draw(asked))) throw CLI::FileError("cannot write " + output);
  } catch (const CLI::ParseError& e) {
    return app.exit(e);
  }
  std::cout << "wrote " << output << '\n';
}
