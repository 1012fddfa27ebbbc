"""For bench: a machine that runs, its console and marks, and what is measured
of it."""
import ctypes
import os
import re
import select
import statistics
import subprocess
import sys
import time

MEMORY_MIB = 512
SILENCE_LIMIT = 600  # seconds without a word from the guest: it hangs

libc = ctypes.CDLL(None, use_errno=True)


def say(text):
    print("husk: " + text, file=sys.stderr)


def command_output(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode != 0:
        sys.exit("husk: %s failed" % command[0])
    return done.stdout.strip()


def cpu_seconds(pid):
    """Processor time of all threads of a process, to the nanosecond."""
    clock = ctypes.c_int()
    if libc.clock_getcpuclockid(pid, ctypes.byref(clock)) != 0:
        sys.exit("husk: there is no processor clock of process %d" % pid)
    return time.clock_gettime(clock.value)


def own_memory_mib(pid):
    """What of the process is resident beside the RAM of its guest. Guest RAM
    is the one mapping of just that size, or, where processes share it, those
    of QEMU's memory file; the rest is the machine's own."""
    rss, size, shared = 0, 0, False
    with open("/proc/%d/smaps" % pid, encoding="ascii",
              errors="replace") as file:
        for line in file:
            words = line.split()
            if not words[0].endswith(":"):
                shared = "/memfd:memory-backend-memfd" in words
            elif words[0] == "Size:":
                size = int(words[1])
            elif words[0] == "Rss:" and not shared and (
                    size != MEMORY_MIB * 1024):
                rss += int(words[1])
    return rss / 1024


class Machine:
    """How one is started: its command, and, where it does not serve a folder
    itself, the one that does, which is ready when `socket` is there."""

    def __init__(self, command, helper=None, socket=None):
        self.command = command
        self.helper = helper
        self.socket = socket


class Guest:
    """A running machine: its console, line by line, and its marks. `seen` and
    `answered`: when, by the host's clock, the last line came and the last
    answer went."""

    def __init__(self, machine):
        self.lines = []
        self.rest = b""
        self.seen = self.answered = 0.0
        self.helper = None
        if machine.helper:
            self.start_helper(machine)
        self.process = subprocess.Popen(
            machine.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, bufsize=0)

    def start_helper(self, machine):
        if os.path.exists(machine.socket):
            os.unlink(machine.socket)
        with open(machine.socket + ".log", "wb") as log:
            self.helper = subprocess.Popen(machine.helper, stdout=log,
                                           stderr=log)
        while not os.path.exists(machine.socket):
            if self.helper.poll() is not None:
                sys.exit("husk: %s ended at once; see %s.log"
                         % (machine.helper[0], machine.socket))
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.process, self.helper):
            if process:
                process.kill()
                process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def pids(self):
        return [p.pid for p in (self.process, self.helper) if p]

    def cpu_seconds(self):
        return sum(map(cpu_seconds, self.pids()))

    def own_memory_mib(self):
        return sum(map(own_memory_mib, self.pids()))

    def fail(self, why):
        print("\n".join("    " + line for line in self.lines[-20:]),
              file=sys.stderr)
        raise SystemExit("husk: %s: %s" % (self.process.args[0], why))

    def read_line(self):
        """The next line, or None at the end."""
        while b"\n" not in self.rest:
            if not select.select([self.process.stdout], [], [],
                                 SILENCE_LIMIT)[0]:
                self.fail("the guest has said nothing for %d seconds"
                          % SILENCE_LIMIT)
            data = os.read(self.process.stdout.fileno(), 65536)
            self.seen = time.monotonic()
            if not data:
                return None
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        self.lines.append(line.decode("utf-8", "replace").strip())
        return self.lines[-1]

    def marks(self):
        """Each mark as its words."""
        while True:
            line = self.read_line()
            if line is None:
                return
            found = re.search(r"@(ready|begin|end|check|failed|done)\b(.*)",
                              line)
            if found:
                yield [found[1]] + found[2].split()

    def settle(self):
        """Processor time once the guest sleeps in its wait for an answer:
        until two looks in a row see (almost) no progress."""
        last = self.cpu_seconds()
        for _ in range(50):
            time.sleep(0.002)
            used = self.cpu_seconds()
            if used - last < 0.0002:
                return used
            last = used
        return last

    def go_on(self):
        self.answered = time.monotonic()
        self.process.stdin.write(b"\n")

    def note_failure(self, load, results):
        say("%s: load %s failed" % (self.process.args[0], load))
        results.failed.add(load.rpartition(":")[2])

    def end(self):
        self.process.stdin.close()
        status = self.process.wait(60)
        if status != 0:
            self.fail("ended with status %d" % status)


class Results:
    """Samples of every measured thing on one machine."""

    def __init__(self):
        self.samples = {}
        self.checks = {}
        self.failed = set()

    def add(self, name, value):
        self.samples.setdefault(name, []).append(value)

    def median(self, name):
        return statistics.median(self.samples[name]) if (
            name in self.samples and name not in self.failed) else None


def measure_cpu(machine, results, boot):
    """Runs one machine to its end and takes processor times. `boot` is the name
    for the boot sample."""
    begun = 0.0
    with Guest(machine) as guest:
        done = False
        for mark, *words in guest.marks():
            if mark in ("ready", "begin", "end", "done"):
                used = guest.settle()
            if mark == "ready" and boot:
                results.add(boot, used)
                results.add("memory, " + boot, guest.own_memory_mib())
            elif mark == "begin":
                begun = used
            elif mark == "end":
                results.add(words[0], used - begun)
            elif mark == "check":
                results.checks.setdefault(words[0], set()).add(words[1])
            elif mark == "failed":
                guest.note_failure(words[0], results)
            elif mark == "done":
                done = True
                if not boot:
                    results.add("memory, loads", guest.own_memory_mib())
            if mark in ("ready", "begin", "end", "done"):
                guest.go_on()
        guest.end()
        if not done:
            guest.fail("the guest ended early")


def measure_rates(machine, results, amounts):
    """Runs one machine to its end and takes how much of each load it did in a
    second of the host's clock, from our answer to its end mark; and, as the
    clock of a busy host says little, the processor time."""
    begun = used = 0.0
    with Guest(machine) as guest:
        done = False
        for mark, *words in guest.marks():
            if mark in ("ready", "begin", "end", "done"):
                before, used = used, guest.settle()
            if mark == "end":
                results.add(words[0],
                            amounts[words[0]] / (guest.seen - begun))
                results.add("cpu, " + words[0], used - before)
            elif mark == "check":
                results.checks.setdefault(words[0], set()).add(words[1])
            elif mark == "failed":
                guest.note_failure(words[0], results)
            elif mark == "done":
                done = True
            if mark in ("ready", "begin", "end", "done"):
                guest.go_on()
                begun = guest.answered
        guest.end()
        if not done:
            guest.fail("the guest ended early")
