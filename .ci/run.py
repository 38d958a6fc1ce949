"""Everything that must hold before a change lands: from nothing in less than 35 minutes on two cores.

  .ci/run [--only STEP]...

First what .ci/fast does, then simulated lives, power cuts and kills in short doses, and beside them the real
counterparts: Datasette, two idempotency middlewares, minisign, age, zstd and sqlite3, DuckDB, Polars and
pyarrow, PostgreSQL. Needs Rust, a C compiler, Python 3.9, and Debian's apt for programs that are missing.
Ends at the first fault, and prints how many seconds each step took.
"""

import sys

sys.dont_write_bytecode = True

from plan import SHORT, begin, counterparts, fast, finish, prepare, release, simulator

runner, given = begin(".ci/run", __doc__)
runner.step("programs", prepare, lane="side")
fast(runner)
release(runner)
counterparts(runner, SHORT)
simulator(runner, SHORT)
finish(runner, given)
