"""The deep runs, before an issue is closed: from nothing in less than 90 minutes on two cores.

  .ci/long [--all | --since COMMIT] [--only STEP]...

10,000 simulated lives, 2,000 outboxes, 100 times three laptops, 20,000 power cuts, 300 kills, and the
mutants of the rooms that have changed since a commit; with --all every mutant. The commit is that where the
branch left main, or the twentieth from the end on main itself. The figures go into the note of an issue.
Ends at the first fault, and prints how many seconds each step took.
"""

import sys

sys.dont_write_bytecode = True

from plan import DEEP, begin, finish, mutants, release, simulator

runner, given = begin(
    ".ci/long", __doc__,
    ("--all", {"action": "store_true", "help": "every mutant"}),
    ("--since", {"metavar": "COMMIT", "help": "the mutants of what has changed since then"}),
)
release(runner)
simulator(runner, DEEP)
mutants(runner, given)
finish(runner, given)
