#!/usr/bin/env python3
"""husk boot at a terminal: raw mode while it runs, Ctrl-] ends it, and the
terminal is as before after every way to end."""
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time

HUSK = os.environ["HUSK"]
BUILD = os.environ["HUSK_BUILD"]
SOURCE = os.environ["HUSK_SOURCE"]
CACHE = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
KERNEL = os.path.join(CACHE, "husk/kernels/cloud/vmlinuz")
LIMIT = int(os.environ.get("HUSK_E2E_LIMIT", "240"))
LOGS = os.path.join(BUILD, "e2e-logs")


class Boot:
    """A boot with a terminal of its own."""

    def __init__(self, name, initrd, end, options=()):
        self.outer, inner = pty.openpty()
        self.before = termios.tcgetattr(inner)
        self.inner = inner
        self.seen = b""
        self.log = open(os.path.join(LOGS, name + ".log"), "wb")
        self.process = subprocess.Popen(
            [HUSK, "boot", "--timeout", str(LIMIT), "--initrd", initrd,
             "--cmdline", "console=ttyS0 end=" + end, *options, KERNEL],
            stdin=inner, stdout=inner, stderr=inner, start_new_session=True)

    def read(self, wait):
        ready, _, _ = select.select([self.outer], [], [], wait)
        if ready:
            data = os.read(self.outer, 65536)
            self.seen += data
            self.log.write(data)

    def until(self, text):
        """Reads until the guest has said the text; fails after the limit."""
        end = time.monotonic() + LIMIT
        while text not in self.seen:
            assert time.monotonic() < end, "never said: %r" % text
            assert self.process.poll() is None, "ended before: %r" % text
            self.read(0.2)

    def type(self, data):
        os.write(self.outer, data)

    def is_raw(self):
        return not termios.tcgetattr(self.inner)[3] & termios.ICANON

    def finish(self):
        """The exit status; the terminal must be as it was."""
        end = time.monotonic() + LIMIT
        while self.process.poll() is None:
            assert time.monotonic() < end, "did not end"
            self.read(0.05)
        after = termios.tcgetattr(self.inner)
        self.close()
        assert after == self.before, "the terminal is not as before"
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        os.close(self.inner)
        os.close(self.outer)


def keys_reach_the_guest_and_power_off_restores(initrd):
    boot = Boot("terminal-keys", initrd, "echo")
    boot.until(b"e2e: ready")
    assert boot.is_raw()
    boot.type(b"typed\r")
    boot.until(b"e2e: read 'typed'")
    assert boot.finish() == 0


def ctrl_c_goes_to_the_guest(initrd):
    boot = Boot("terminal-ctrl-c", initrd, "wait")
    boot.until(b"e2e: ready")
    boot.type(b"\x03")
    boot.until(b"^C")  # the guest's terminal shows it
    assert boot.process.poll() is None
    boot.type(b"\x1d")
    assert boot.finish() == 130


def ctrl_bracket_ends_a_boot_at_any_time(initrd):
    boot = Boot("terminal-escape", initrd, "wait")
    boot.until(b"Linux version")
    boot.type(b"\x1d")
    assert boot.finish() == 130


def signals_restore_the_terminal(initrd):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        boot = Boot("terminal-signal", initrd, "wait")
        boot.until(b"Linux version")
        boot.process.send_signal(number)
        assert boot.finish() == 128 + number


def a_time_limit_restores_the_terminal(initrd):
    boot = Boot("terminal-limit", initrd, "wait", ("--timeout", "2"))
    assert boot.finish() == 124


def a_panic_restores_the_terminal(initrd):
    boot = Boot("terminal-panic", initrd, "panic")
    assert boot.finish() == 1


def bad_input_leaves_the_terminal_alone(_initrd):
    boot = Boot("terminal-bad", "/nothing", "off")
    assert boot.finish() == 125
    assert b"/nothing" in boot.seen


CASES = (keys_reach_the_guest_and_power_off_restores,
         ctrl_c_goes_to_the_guest,
         ctrl_bracket_ends_a_boot_at_any_time,
         signals_restore_the_terminal,
         a_time_limit_restores_the_terminal,
         a_panic_restores_the_terminal,
         bad_input_leaves_the_terminal_alone)


def run(number, case, initrd):
    name = case.__name__
    if not os.path.exists(KERNEL):
        print("ok %d - %s # SKIP no cloud kernel in the cache; "
              "scripts/fetch-kernel gets it" % (number, name))
        return True
    try:
        case(initrd)
    except (AssertionError, OSError) as error:
        print("not ok %d - %s\n# %r" % (number, name, error))
        return False
    print("ok %d - %s" % (number, name), flush=True)
    return True


def main():
    os.makedirs(LOGS, exist_ok=True)
    print("1..%d" % len(CASES))
    with tempfile.TemporaryDirectory() as folder:
        initrd = os.path.join(folder, "e2e.cpio")
        subprocess.run(
            [os.path.join(SOURCE, "scripts/make-initramfs"), "--build", BUILD,
             "--init", os.path.join(SOURCE, "tests/e2e/guest_init.sh"),
             "--output", initrd], check=True, stdout=sys.stderr)
        good = [run(i + 1, case, initrd) for i, case in enumerate(CASES)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
