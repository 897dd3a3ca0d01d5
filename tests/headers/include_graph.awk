# Reads public headers (paths relative to include/) and reports every include that may not be.
#
#   core <- reducers, communicators, topologies, codecs, optimizers <- kernels, sync, collectives <- carriers
#        <- training <- federated <- strategy <- adapters
#
# A folder includes itself and what lies to its left. mpi and cuda are leaves: they may include what
# lies left of strategy, and nobody includes them. tutti.hpp needs the standard library alone.

BEGIN {
  level["core"] = 0
  level["reducers"] = level["communicators"] = level["topologies"] = 1
  level["codecs"] = level["optimizers"] = 1
  level["sync"] = level["collectives"] = level["kernels"] = 2
  level["carriers"] = 3
  level["training"] = 4
  level["federated"] = 5
  level["strategy"] = level["mpi"] = level["cuda"] = 6
  level["adapters"] = 7
  level["tutti.hpp"] = 8

  # Each costs every user a third of a second or more to compile.
  slow["ranges"] = slow["regex"] = slow["functional"] = slow["iostream"] = 1
}

function wrong(why) {
  print FILENAME ":" FNR ": " why
  ++mistakes
}

/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
  split(FILENAME, here, "/")
  from = here[2]
  target = $0
  sub(/^[^<"]*[<"]/, "", target)
  sub(/[>"].*/, "", target)
  split(target, there, "/")
  to = there[2]

  if (target in slow) {
    wrong("<" target "> is too slow to compile for a public header")
  } else if (target == "mpi.h" && from != "mpi") {
    wrong("<mpi.h> is for the headers in mpi alone")
  } else if (there[1] != "tutti") {
    if ($0 ~ /include[ \t]*"/) wrong("write \"" target "\" as <tutti/...>")
  } else if (!(from in level)) {
    wrong("the folder " from " has no place in tests/headers/include_graph.awk")
  } else if (target == "tutti/topologies/proof.hpp") {
    wrong("the proof is for tests: no public header includes it")
  } else if (from == to) {
    next
  } else if (to == "mpi" || to == "cuda") {
    wrong(to " is a leaf: " from " may not include it")
  } else if (from == "tutti.hpp" && to == "adapters") {
    wrong("tutti.hpp needs the standard library alone")
  } else if (!(to in level) || level[to] >= level[from]) {
    wrong(from " may not include " to)
  } else {
    ++arrows
  }
}

END {
  if (mistakes) {
    print mistakes " wrong includes"
    exit 1
  }
  print arrows " arrows between folders, all pointing the right way"
}
