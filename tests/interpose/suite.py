"""suite.py TESTS RESULTS: runs mpi4py's suite, which lies in the folder TESTS, on the ranks of this job.
Each rank writes RESULTS.RANK: for each module a line with how many tests ran, failed, and were in error.
What spawns other jobs is left out: those are MPI's alone (examples/interpose/interpose.cpp)."""

import glob
import os
import sys
import unittest

tests, results = sys.argv[1:]
sys.path.insert(0, tests)
from mpi4py import MPI

left_out = {"test_spawn", "test_dynproc", "test_doc"}
modules = {os.path.basename(path)[:-3] for path in glob.glob(os.path.join(tests, "test_*.py"))}
with open(f"{results}.{MPI.COMM_WORLD.Get_rank()}", "w") as out:
    for module in sorted(modules - left_out):
        MPI.COMM_WORLD.Barrier()
        try:
            suite = unittest.defaultTestLoader.loadTestsFromName(module)
        except (ImportError, unittest.SkipTest) as why:
            print(module, "does not load:", why, file=out)
            continue
        done = unittest.TextTestRunner(verbosity=0).run(suite)
        print(module, done.testsRun, len(done.failures), len(done.errors), file=out, flush=True)
