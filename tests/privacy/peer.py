"""Compares epsilons with those of dp-accounting, whose distributions are upper bounds as well.

peer.py FILE: lines of rate, multiplier, times, delta, epsilon.
"""

import sys

from dp_accounting import dp_event, NeighboringRelation
from dp_accounting.pld import pld_privacy_accountant

worst_below = worst_above = 0.0
lines = 0
for line in open(sys.argv[1]):
    rate, multiplier, times, delta, epsilon = map(float, line.split())
    interval = 1e-5 if rate < 0.01 else 1e-4  # theirs is the same for all, and coarse where losses are small
    peer = pld_privacy_accountant.PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE, interval)
    release = dp_event.PoissonSampledDpEvent(rate, dp_event.GaussianDpEvent(multiplier))
    peer.compose(dp_event.SelfComposedDpEvent(release, int(times)))
    theirs = peer.get_epsilon(delta)
    lines += 1
    if theirs < 1e-3:
        continue
    worst_below = max(worst_below, 1 - epsilon / theirs)
    worst_above = max(worst_above, epsilon / theirs - 1)
good = lines == 36 and worst_below < 1e-3 and worst_above < 1e-2
print("ok" if good else "not ok",
      f"privacy: {lines} epsilons at most {worst_below:.1e} below and {worst_above:.1e} above those of dp-accounting")
sys.exit(not good)
