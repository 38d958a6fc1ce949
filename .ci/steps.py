"""Runs the steps of .ci/fast, .ci/run and .ci/long, and tells how many seconds each took.

There are two lanes. The main lane holds what keeps the processors busy; its output appears at once. The
side lane holds what mostly waits (downloads, servers); the output of each of its steps is kept and
appears when the step ends. A step may need a step of the other lane, and waits for it then.

The first fault ends everything: the processes of both lanes and all that they started are killed, the
step is named, the table of seconds is printed, and the exit code is 1.
"""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
GRACE_SECONDS = 5
"""What a process is given after SIGTERM before SIGKILL."""
STEP_MINUTES_MAX = 60
"""A step that takes longer hangs: the deepest one takes a third of this on two cores."""


class Fault(Exception):
    """A step failed; the text says how."""


class Stopped(Exception):
    """Another step failed, or a signal came, while this one was running."""


class Output:
    """Standard output, to which one lane writes at a time."""

    def __init__(self):
        self.lock = threading.Lock()

    def write(self, data):
        with self.lock:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def line(self, text):
        self.write(f"{text}\n".encode())


def parents():
    """The parent of every process of this machine, by process id."""
    if pathlib.Path("/proc/self/stat").exists():
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    # The name of the program stands in parentheses and may hold spaces.
                    stat = (entry / "stat").read_text().rpartition(")")[2].split()
                    found[int(entry.name)] = int(stat[1])
                except (OSError, IndexError):
                    pass
        return found
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    return {int(pid): int(parent) for pid, parent in map(str.split, listed.splitlines())}


def descendants(root):
    """A process and all that it started, also those with a session of their own."""
    above, found = parents(), {root}
    while True:
        more = {pid for pid, parent in above.items() if parent in found} - found
        if not more:
            return found
        found |= more


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass


class Step:
    """One line of the table."""

    def __init__(self, name):
        self.name, self.state, self.seconds, self.cpu = name, "not run", 0.0, 0.0
        self.done = threading.Event()


class Context:
    """What the work of a step runs commands with."""

    def __init__(self, runner, step, shown):
        self.runner, self.step, self.shown, self.kept = runner, step, shown, []
        self.lock = threading.Lock()

    def say(self, data):
        if self.shown:
            self.runner.output.write(data)
        else:
            with self.lock:
                self.kept.append(data)

    def spawn(self, command, env, cwd, **pipes):
        """Starts a process without standard input, in a group of its own."""
        with self.runner.lock:
            if self.runner.stopping.is_set():
                raise Stopped
            process = subprocess.Popen(
                [str(part) for part in command], cwd=cwd, stdin=subprocess.DEVNULL,
                env=dict(os.environ, **(env or {})), start_new_session=True, **pipes)
            self.runner.processes.add(process)
        return process

    def end(self, process, command):
        """Waits for a process whose output has ended, and counts its processor time."""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        with self.runner.lock:
            self.runner.processes.discard(process)
            self.step.cpu += usage.ru_utime + usage.ru_stime
        if self.runner.stopping.is_set():
            raise Stopped
        if process.returncode:
            raise Fault(f"exit {process.returncode} of {' '.join(map(str, command))}")

    def run(self, *command, env=None, cwd=ROOT):
        """Runs a command and shows, or keeps, what it prints."""
        process = self.spawn(command, env, cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while data := process.stdout.read1(65536):
            self.say(data)
        self.end(process, command)

    def read(self, *command, env=None, cwd=ROOT):
        """The standard output of a command; its standard error is shown or kept."""
        process = self.spawn(command, env, cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        errors = threading.Thread(target=self.copy, args=[process.stderr])
        errors.start()
        text = process.stdout.read()
        errors.join()
        self.end(process, command)
        return text

    def copy(self, stream):
        while data := stream.read1(65536):
            self.say(data)

    def together(self, commands, at_once):
        """Runs commands side by side, so many at once; the output of each appears when it ends.

        A command is a dict of `name`, `command` and perhaps `cwd` and `env`."""
        waiting, faults, lock = list(commands), [], threading.Lock()

        def worker():
            while True:
                with lock:
                    if not waiting or faults:
                        return
                    each = waiting.pop(0)
                part = Context(self.runner, self.step, shown=False)
                began = time.monotonic()
                try:
                    part.run(*each["command"], cwd=each.get("cwd", ROOT), env=each.get("env"))
                except Stopped:
                    return
                except (Fault, OSError) as error:
                    faults.append(error)
                head = f"-- {each['name']}, {time.monotonic() - began:.0f} s\n".encode()
                self.say(b"".join([head, *part.kept]))
                if faults:
                    self.runner.stop()

        workers = [threading.Thread(target=worker) for _ in range(at_once)]
        for each in workers:
            each.start()
        for each in workers:
            each.join()
        if faults:
            raise faults[0]
        if self.runner.stopping.is_set():
            raise Stopped


class Runner:
    """The lanes, their processes and the table."""

    def __init__(self, name):
        self.name, self.output, self.lock = name, Output(), threading.Lock()
        self.lanes = {"main": [], "side": []}
        self.steps, self.processes, self.faults = {}, set(), []
        self.stopping, self.began = threading.Event(), time.monotonic()

    def step(self, name, work, needs=(), lane="main"):
        """Adds a step: `work` is called with a Context, after the steps that it needs."""
        assert name not in self.steps and all(other in self.steps for other in needs), name
        self.steps[name] = Step(name)
        self.lanes[lane].append((self.steps[name], work, [self.steps[other] for other in needs]))

    def only(self, names):
        """Leaves the steps of these names, or whose name holds the text, and those that they need."""
        wanted, entries = set(), [entry for lane in self.lanes.values() for entry in lane]
        waiting = []
        for wanted_name in names:
            found = [wanted_name] if wanted_name in self.steps else [name for name in self.steps if wanted_name in name]
            if not found:
                sys.exit(f"{self.name}: no step is called {wanted_name!r}. The steps: {', '.join(self.steps)}")
            waiting += found
        while waiting:
            name = waiting.pop()
            wanted.add(name)
            waiting += [other.name for step, _, needs in entries if step.name == name for other in needs]
        for lane, steps in self.lanes.items():
            self.lanes[lane] = [entry for entry in steps if entry[0].name in wanted]
        self.steps = {name: step for name, step in self.steps.items() if name in wanted}

    def stop(self):
        """Kills everything that was started."""
        with self.lock:
            self.stopping.set()
            roots = [process.pid for process in self.processes]
        for step in self.steps.values():
            step.done.set()
        pids = set().union(*map(descendants, roots)) if roots else set()
        send(pids, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while pids & set(parents()) and time.monotonic() < deadline:
            time.sleep(0.1)
            pids |= set().union(*(descendants(pid) for pid in pids))
        send(pids, signal.SIGKILL)

    def work(self, step, work, needs, shown):
        for other in needs:
            other.done.wait()
        if self.stopping.is_set():
            return
        context = Context(self, step, shown)
        if shown:
            self.output.line(f"\n== {step.name}")
        began = time.monotonic()
        step.state, fault = "stopped", None
        expired = threading.Event()
        limit = threading.Timer(60 * STEP_MINUTES_MAX, lambda: (expired.set(), self.stop()))
        limit.daemon = True
        limit.start()
        try:
            work(context)
            step.state = "ok"
        except Stopped:
            if expired.is_set():
                step.state, fault = "FAILED", Fault(f"not done after {STEP_MINUTES_MAX} minutes")
        except Fault as error:
            step.state, fault = "FAILED", error
        except Exception as error:
            step.state, fault = "FAILED", Fault(f"{type(error).__name__}: {error}")
        limit.cancel()
        step.seconds = time.monotonic() - began
        if not shown and step.state != "stopped":
            head = f"\n== {step.name} (beside the others), {step.seconds:.0f} s\n".encode()
            self.output.write(b"".join([head, *context.kept]))
        step.done.set()
        if fault:
            self.faults.append(f"{self.name}: the step \"{step.name}\" failed: {fault}")
            self.stop()

    def lane(self, name):
        for step, work, needs in self.lanes[name]:
            self.work(step, work, needs, name == "main")

    def table(self):
        width = max(map(len, self.steps))
        self.output.line(f"\n{'step':{width}}  seconds  processor seconds")
        for step in self.steps.values():
            state = "" if step.state == "ok" else f"  {step.state}"
            self.output.line(f"{step.name:{width}}  {step.seconds:7.0f}  {step.cpu:17.0f}{state}")
        cpu = sum(step.cpu for step in self.steps.values())
        total = time.monotonic() - self.began
        self.output.line(f"{'in all':{width}}  {total:7.0f}  {cpu:17.0f}")

    def main(self):
        """Runs the lanes to their end; the exit code."""

        def interrupted(number, _frame):
            # The main thread waits below and does the rest.
            raise KeyboardInterrupt(number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, interrupted)
        threads = [threading.Thread(target=self.lane, args=[name], daemon=True) for name in self.lanes]
        code = 0
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except KeyboardInterrupt as error:
            number = error.args[0] if error.args else signal.SIGINT
            for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(other, signal.SIG_IGN)
            self.faults.append(f"{self.name}: stopped by signal {int(number)}")
            self.stop()
            code = 128 + int(number)
            for thread in threads:
                thread.join(GRACE_SECONDS)
        self.table()
        for fault in self.faults[:1]:
            self.output.line(fault)
        if not self.faults:
            self.output.line(f"{self.name}: everything holds")
        return code or int(bool(self.faults))
