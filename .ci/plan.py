"""The steps of .ci/fast, .ci/run and .ci/long, and their doses.

Everything that cargo does here is `--locked`. The sims, the demo and the real servers share one release
build of the whole workspace; its features are those of `cargo build` by hand, so that nothing is built
twice. Each mutant needs a build of its own, which is why .ci/long alone kills them.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

from steps import ROOT, Fault, Runner

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
WINDROW, SIM = TARGET / "release" / "windrow", TARGET / "release" / "sim"

DEBIAN = {
    "minisign": "minisign", "age": "age", "zstd": "zstd", "sqlite3": "sqlite3", "openssl": "openssl",
    "psql": "postgresql-client",
}
"""Programs that the steps with real counterparts need, and their packages."""

PYTHON = [
    "datasette==0.65.5",
    "fastapi==0.163.2", "uvicorn==0.54.0", "asgi-idempotency-header==0.2.0", "fastapi-idempotency-key==0.1.1",
    # The first of the two needs redis to be there, and says so only as an extra.
    "redis==8.1.0",
    "pandas==3.1.1", "duckdb==2.0.0", "polars==2.1.0", "pyarrow==26.0.1",
]

SHORT = {
    "seeds": 2_000, "outboxes": 400, "laptops": 30, "rounds": 60, "power cuts": 4_000, "lives of failing disks": 1,
    "kills": 60, "writers": 20, "entries": 300, "rows": 30_000,
}
"""The doses of .ci/run."""

DEEP = {
    "seeds": 10_000, "outboxes": 2_000, "laptops": 100, "rounds": 200, "power cuts": 20_000,
    "lives of failing disks": 2, "kills": 300, "writers": 100, "entries": 2_000, "rows": 30_000,
}
"""The doses of .ci/long."""


COMMITS_LOOKED_AT = 20
"""How far .ci/long looks back for changed rooms on the main branch: about what an issue takes."""


def begin(name, usage, *options):
    """A runner, and the arguments of the command line; every script takes `--only`."""
    arguments = argparse.ArgumentParser(prog=name, description=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, settings in options:
        arguments.add_argument(option, **settings)
    arguments.add_argument("--only", action="append", metavar="STEP", help="only steps with this in their name, and what they need")
    given = arguments.parse_args()
    if os.environ.get("CI"):
        # What is built once gains nothing from being built in pieces.
        os.environ.setdefault("CARGO_INCREMENTAL", "0")
    os.environ.setdefault("CARGO_TERM_COLOR", "always" if sys.stdout.isatty() else "never")
    return Runner(name), given


def finish(runner, given):
    """Runs the steps and ends the program."""
    if given.only:
        runner.only(given.only)
    sys.exit(runner.main())


def fast(runner):
    """Format, dependencies, lints, tests, documentation: what a contributor runs."""
    runner.step("format", lambda at: at.run("cargo", "fmt", "--all", "--check"))
    runner.step("dependencies", lambda at: at.run(".ci/dependencies"))
    runner.step("mutants apply", lambda at: at.run(".ci/mutants", "check"))
    # With `rust-version` in Cargo.toml clippy also tells of what is newer than that.
    clippy = ["cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]
    # The fuzz targets are looked at and not linked, so libFuzzer itself, which is C++, is not built.
    no_fuzzer = {"CUSTOM_LIBFUZZER_PATH": str(TARGET / "ci" / "libfuzzer.a")}
    runner.step("lints", lambda at: at.run(*clippy, env=no_fuzzer))
    runner.step("documentation", documentation)
    runner.step("tests are built", build_tests)
    runner.step("tests", run_tests)


def documentation(at):
    command = ["cargo", "doc", "--locked", "--no-deps", "--document-private-items"]
    at.run(*command, env={"RUSTDOCFLAGS": "-D warnings"})


def build_tests(at):
    at.run("cargo", "test", "--locked", "--no-run")


def test_binaries(at, *arguments):
    """The test binaries of a build: names, programs, folders to run them in."""
    command = ["cargo", "test", "--locked", "--no-run", "--message-format=json-render-diagnostics", *arguments]
    found = []
    for line in at.read(*command).splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            folder = pathlib.Path(message["manifest_path"]).parent
            target = message["target"]
            name = f"{folder.name if folder != ROOT else 'windrow'}: {target['kind'][0]} {target['name']}"
            found.append({"name": name, "command": [message["executable"]], "cwd": folder})
    return found


def run_tests(at):
    """Runs every test binary as cargo would, but side by side: many tests wait for processes."""
    binaries = test_binaries(at)
    if not binaries:
        raise Fault("there is no test binary")
    at.together(binaries, at_once=len(binaries))


def prepare(at):
    """Programs from Debian and a virtual environment, kept in the target folder until the list changes."""
    missing = [package for program, package in DEBIAN.items() if not shutil.which(program)]
    servers = pathlib.Path("/usr/lib/postgresql")
    if not shutil.which("initdb") and not (servers.exists() and list(servers.glob("*/bin/initdb"))):
        missing.append("postgresql")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        missing.append("python3-venv")
    if missing:
        root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        at.run(*root, "apt-get", "update", "-qq", env=quiet)
        at.run(*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=quiet)
    folder = venv_folder()
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        at.run("python3", "-m", "venv", folder)
        at.run(folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *PYTHON)
        (folder / "complete").touch()


def venv_folder():
    name = hashlib.sha256(" ".join([sys.version, *PYTHON]).encode()).hexdigest()[:12]
    return TARGET / "ci" / f"venv-{name}"


def release(runner, needs=()):
    """The build that the demo, the sims and the real counterparts share."""
    build = ["cargo", "build", "--locked", "--release"]
    runner.step("release build", lambda at: (at.run(*build), size(at)), needs)


def size(at):
    at.say(f"windrow has {WINDROW.stat().st_size / 1e6:.1f} MB\n".encode())


def simulator(runner, dose):
    """Simulated lives, power cuts, failing disks, kills, several writers."""

    def sim(name, *arguments):
        runner.step(name, lambda at: at.run(SIM, *map(str, arguments)), ["release build"])

    sim("simulated lives", "--seeds", dose["seeds"])
    sim("outboxes", "--outboxes", dose["outboxes"])
    sim("three laptops", "--laptops", dose["laptops"])
    sim("three laptops for long", "--laptop-seed", 5, "--rounds", dose["rounds"])
    sim("power cuts", "--power-cuts", dose["power cuts"])
    sim("failing disks", "--fail-io", dose["lives of failing disks"])
    sim("kills", "--kills", dose["kills"])
    runner.step("several writers", lambda at: writers(at, dose["writers"]))


def writers(at, rounds):
    binaries = [each for each in test_binaries(at) if each["name"].endswith(" all")]
    if len(binaries) != 1:
        raise Fault(f"one test binary `all` was looked for, {len(binaries)} were found")
    each = binaries[0]
    at.run(*each["command"], "of_several_writers", cwd=each["cwd"], env={"WINDROW_TEST_ROUNDS": str(rounds)})


def mutants(runner, given):
    """Bugs on purpose, each of which must be found by the invariant that it names."""
    which = ["--all"] if given.all else ["--since", given.since or base()]
    # One file differs between two mutants, so that building in pieces pays here, unlike elsewhere.
    pieces = {"CARGO_INCREMENTAL": "1"}
    runner.step("mutants", lambda at: at.run(".ci/mutants", "kill", *which, env=pieces))


def base():
    """Where the present work began: the common ancestor with the main branch, or a few commits ago."""

    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    head = git("rev-parse", "HEAD")
    for branch in ("origin/main", "main"):
        ancestor = git("merge-base", "HEAD", branch)
        if ancestor and ancestor != head:
            return ancestor
    # The oldest of the last commits; the first of all where there are fewer.
    return git("rev-list", f"--max-count={COMMITS_LOOKED_AT}", "HEAD").splitlines()[-1]


def counterparts(runner, dose):
    """Real programs and servers on the other side; they mostly wait, so they run beside the rest."""
    demo, bin = TARGET / "ci" / "demo", venv_folder() / "bin"
    python, datasette = bin / "python", bin / "datasette"

    def show(at):
        shutil.rmtree(demo, ignore_errors=True)
        at.run(WINDROW, "demo", "--keep", demo)

    def beside(name, script, *arguments):
        needs = ["release build", "programs", "the demo"]
        work = lambda at: at.run(python, ROOT / ".ci" / script, WINDROW, *map(str, arguments))
        runner.step(name, work, needs, lane="side")

    runner.step("the demo", show, ["release build"], lane="side")
    beside("Datasette", "datasette", datasette)
    beside("idempotency middlewares", "idempotency", python, "--entries", dose["entries"])
    beside("hand-off by other programs", "handoff", demo / "fleet.db", python, datasette)
    beside("Parquet by other programs", "parquet", demo)
    beside("PostgreSQL", "postgres", "--rows", dose["rows"])
