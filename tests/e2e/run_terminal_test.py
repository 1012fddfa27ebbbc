#!/usr/bin/env python3
"""husk run -t at a terminal: the guest's terminal has its size and follows it,
keys reach the command, and the host's terminal is as before after every way
to end."""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

HUSK = os.environ["HUSK"]
SOURCE = os.environ["HUSK_SOURCE"]
CACHE = os.path.join(
    os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "husk")
DEB = os.path.join(CACHE, "kernels/cloud/package.deb")
BUSYBOX = os.path.join(CACHE, "packages/busybox-static")
LIMIT = int(os.environ.get("HUSK_E2E_LIMIT", "240"))
PROMPT = b"ready> "


def own_terminal():
    """In the child: its standard input becomes its controlling terminal."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Run:
    """A run with a terminal of its own."""

    def __init__(self, root, command, rows=31, columns=97):
        self.outer, self.inner = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.inner)
        self.seen = b""
        self.process = subprocess.Popen(
            [HUSK, "run", "-t", "--timeout", str(LIMIT), "-e", "PS1=" +
             PROMPT.decode(), root, "--", *command],
            stdin=self.inner, stdout=self.inner, stderr=self.inner,
            preexec_fn=own_terminal)

    def resize(self, rows, columns):
        fcntl.ioctl(self.inner, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, wait):
        ready, _, _ = select.select([self.outer], [], [], wait)
        if ready:
            self.seen += os.read(self.outer, 65536)

    def until(self, text):
        """Reads until the text was said; what was read before is dropped."""
        end = time.monotonic() + LIMIT
        while text not in self.seen:
            assert time.monotonic() < end, \
                "never said: %r but %r" % (text, self.seen)
            assert self.process.poll() is None, \
                "ended before: %r, said %r" % (text, self.seen)
            self.read(0.2)
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def until_size(self, rows, columns):
        """The guest hears of a new size a little later."""
        end = time.monotonic() + LIMIT
        while True:
            self.type(b"stty size; echo done\r")
            self.until(b"done\r\n")  # the echo of the command
            self.read(0.2)
            seen = self.seen
            self.until(b"done\r\n")
            if b"%d %d" % (rows, columns) in seen:
                return
            assert time.monotonic() < end, "no such size: %r" % seen
            self.until(PROMPT)

    def type(self, data):
        os.write(self.outer, data)

    def is_raw(self):
        return not termios.tcgetattr(self.inner)[3] & termios.ICANON

    def finish(self):
        """The exit status; the terminal must be as it was."""
        end = time.monotonic() + LIMIT
        while self.process.poll() is None:
            assert time.monotonic() < end, "did not end: %r" % self.seen
            self.read(0.05)
        after = termios.tcgetattr(self.inner)
        self.close()
        assert after == self.before, "the terminal is not as before"
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.inner)
        os.close(self.outer)


def row041_the_size_is_right_and_follows(root):
    run = Run(root, ["sh"])
    run.until(PROMPT)
    assert run.is_raw()
    run.type(b"stty size\r")
    run.until(b"\r\n31 97\r\n")
    run.until(PROMPT)
    run.resize(40, 100)
    run.until_size(40, 100)
    run.resize(24, 80)
    run.until_size(24, 80)
    run.type(b"\rexit 9\r")
    assert run.finish() == 9


def all_streams_are_the_terminal(root):
    run = Run(root, ["sh", "-c", "tty; test -t 0 && test -t 1 && test -t 2 "
                     "&& echo all; echo $TERM"])
    run.until(b"/dev/hvc0\r\nall\r\n")
    assert run.finish() == 0


def ctrl_c_interrupts_the_guests_command(root):
    run = Run(root, ["sh"])
    run.until(PROMPT)
    run.type(b"echo begun; sleep 1000\r")
    run.until(b"\r\nbegun\r\n")
    # A shell that is between two commands may swallow the signal.
    while PROMPT not in run.seen:
        assert run.process.poll() is None, "ended: %r" % run.seen
        run.type(b"\x03")
        run.read(5)  # the echo
        run.read(5)
    run.until(PROMPT)
    assert run.process.poll() is None
    run.type(b"echo status $?\r")
    run.until(b"status 130\r\n")
    run.type(b"exit 0\r")
    assert run.finish() == 0


def ctrl_d_is_the_end_of_input(root):
    run = Run(root, ["cat"])
    run.type(b"line\r")
    run.until(b"line\r\nline\r\n")
    run.type(b"\x04")
    assert run.finish() == 0


def row038_every_key_is_the_guests(root):
    run = Run(root, ["sh", "-c", "stty raw -echo; echo begun; "
                     "head -c 6 | od -An -tx1; exit 3"])
    run.until(b"begun")
    run.type(b"\x1d\x03\x1a\x00\xff\r")
    run.until(b"1d 03 1a 00 ff 0d")
    assert run.finish() == 3


def row039_killing_the_guests_command_restores(root):
    run = Run(root, ["sh", "-c", "stty raw -echo; kill -9 $$"])
    assert run.finish() == 137


def row039_signals_from_outside_restore(root):
    run = Run(root, ["sh", "-c", "trap 'exit 5' TERM; echo begun; "
                     "while :; do sleep 1; done"])
    run.until(b"begun")
    assert run.is_raw()
    run.process.send_signal(signal.SIGTERM)
    assert run.finish() == 5


def a_second_signal_ends_it_at_once(root):
    run = Run(root, ["sh", "-c", "trap '' TERM; echo begun; "
                     "while :; do sleep 1; done"])
    run.until(b"begun")
    run.process.send_signal(signal.SIGTERM)
    run.process.send_signal(signal.SIGINT)
    assert run.finish() in (128 + signal.SIGTERM, 128 + signal.SIGINT)


def a_bad_root_leaves_the_terminal_alone(root):
    run = Run(root + "/nothing", ["true"])
    assert run.finish() == 125
    assert b"nothing" in run.seen


CASES = (row041_the_size_is_right_and_follows,
         all_streams_are_the_terminal,
         ctrl_c_interrupts_the_guests_command,
         ctrl_d_is_the_end_of_input,
         row038_every_key_is_the_guests,
         row039_killing_the_guests_command_restores,
         row039_signals_from_outside_restore,
         a_second_signal_ends_it_at_once,
         a_bad_root_leaves_the_terminal_alone)


def missing():
    if not os.path.isdir(BUSYBOX):
        return "no busybox in the cache; scripts/fetch-package gets it"
    if "HUSK_KERNEL" not in os.environ and not os.path.exists(DEB):
        return "no cloud kernel in the cache; scripts/fetch-kernel gets it"
    return None


def try_case(number, case, root):
    name = case.__name__
    try:
        case(root)
    except (AssertionError, OSError) as error:
        print("not ok %d - %s\n# %r" % (number, name, error), flush=True)
        return False
    print("ok %d - %s" % (number, name), flush=True)
    return True


def main():
    print("1..%d" % len(CASES))
    why = missing()
    if why:
        for i, case in enumerate(CASES):
            print("ok %d - %s # SKIP %s" % (i + 1, case.__name__, why))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.join(folder, "root")
        subprocess.run([os.path.join(SOURCE, "scripts/make-root"), root],
                       check=True, stdout=sys.stderr)
        if "HUSK_KERNEL" not in os.environ:
            # of its own: the cache may be another user's
            kernel = os.path.join(folder, "kernel")
            subprocess.run([HUSK, "kernel", "import", DEB, kernel],
                           check=True, stdout=sys.stderr)
            os.environ["HUSK_KERNEL"] = kernel
        good = [try_case(i + 1, case, root) for i, case in enumerate(CASES)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
