// Draws who talks to whom in which round: the schedule of a topology as an SVG.
// test: --topology ring --ranks 5
// test: --topology halving_doubling --ranks 6 --collective reduce_scatter
// test: --topology binomial_tree --ranks 5 --collective broadcast --root 2
// test: --topology double_tree --ranks 6 --segments 2
#include <tutti/topologies/svg.hpp>
#include <tutti/tutti.hpp>

#include <CLI/CLI.hpp>

#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <variant>

struct request {
  std::string topology = "ring";
  tutti::collective what = tutti::collective::all_reduce;
  int ranks = 5, root = 0, segments = 1;
};

template <tutti::schedule_topology T>
std::string draw(const T& topology, const request& asked) {
  if (!tutti::carries<T>(asked.what))
    throw CLI::ValidationError(asked.topology + " has no " + std::string{tutti::name(asked.what)});
  const auto schedule = tutti::collect(topology, asked.what, asked.root, asked.ranks);
  return tutti::svg(schedule, std::string{tutti::name(asked.what)} + " on " + asked.topology +
                                  ", " + std::to_string(asked.ranks) + " ranks");
}

using any_topology =
    std::variant<tutti::ring, tutti::recursive_doubling, tutti::halving_doubling,
                 tutti::binomial_tree, tutti::k_nomial_tree, tutti::double_tree, tutti::direct,
                 tutti::one_shot, tutti::star, tutti::bruck, tutti::pat, tutti::torus,
                 tutti::hierarchical<>>;
const std::map<std::string, any_topology> topologies{
    {"ring", tutti::ring{}}, {"recursive_doubling", tutti::recursive_doubling{}},
    {"halving_doubling", tutti::halving_doubling{}}, {"binomial_tree", tutti::binomial_tree{}},
    {"k_nomial_tree", tutti::k_nomial_tree{}}, {"double_tree", tutti::double_tree{}},
    {"direct", tutti::direct{}}, {"one_shot", tutti::one_shot{}}, {"star", tutti::star{}},
    {"bruck", tutti::bruck{}}, {"pat", tutti::pat{}}, {"torus", tutti::torus{}},
    {"hierarchical", tutti::hierarchical<>{.group = 2}}};

std::string draw(request asked) {
  const auto one = [&]<class T>(T topology) {
    if constexpr (std::is_same_v<T, tutti::star>) {
      topology.servers = asked.segments;
    } else if (asked.segments > 1) {
      asked.topology = "pipelined " + asked.topology;
      return draw(tutti::pipelined{topology, asked.segments}, asked);
    }
    return draw(topology, asked);
  };
  return std::visit(one, topologies.at(asked.topology));
}

int main(int argc, char** argv) {
  request asked;
  std::string output = "schedule.svg";
  std::map<std::string, tutti::collective> names;
  for (const auto what : tutti::all_collectives) names[std::string{tutti::name(what)}] = what;
  CLI::App app{"Draws the schedule of a topology as an SVG."};
  app.add_option("--topology", asked.topology)->check(CLI::IsMember(topologies));
  app.add_option("--collective", asked.what)->transform(CLI::CheckedTransformer(names));
  app.add_option("--ranks", asked.ranks)->check(CLI::Range(1, 64));
  app.add_option("--root", asked.root, "of broadcast and reduce")->check(CLI::Range(0, 63));
  app.add_option("--segments", asked.segments, "of the pipeline; of a star, its servers")
      ->check(CLI::Range(1, 64));
  app.add_option("--output", output, "the file to write");
  try {
    app.parse(argc, argv);
    if (asked.root >= asked.ranks) throw CLI::ValidationError("--root: there is no such rank");
    if (const auto drawing = draw(asked); !(std::ofstream{output} << drawing << std::flush))
      throw CLI::FileError("cannot write " + output);
  } catch (const CLI::ParseError& e) {
    return app.exit(e);
  }
  std::cout << "wrote " << output << '\n';
}
