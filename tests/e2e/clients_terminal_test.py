#!/usr/bin/env python3
"""Consoles of libkrun's calls at a terminal: which of the three standard
streams are the guest's terminal, its size, its keys, and that the host's is as
before."""
import fcntl
import os
import pty
import subprocess
import sys
import tempfile
import termios

import run_terminal_test as base

BUILD = os.environ["HUSK_BUILD"]
CLIENT = os.path.join(BUILD, "tests/e2e/clients/client_settings")


class Run(base.Run):
    """The client with a terminal of its own; streams that are given replace
    it."""

    def __init__(self, root, command, words=(), **streams):
        self.outer, self.inner = pty.openpty()
        self.resize(31, 97)
        self.before = termios.tcgetattr(self.inner)
        self.seen = b""
        use = {"stdin": self.inner, "stdout": self.inner,
               "stderr": self.inner}
        use.update(streams)
        environment = dict(os.environ, LD_LIBRARY_PATH=BUILD)
        self.process = subprocess.Popen(
            [CLIENT, root, "env=PS1=" + base.PROMPT.decode(),
             "env=PATH=/bin:/usr/bin", *words, "--", *command],
            env=environment, preexec_fn=self.own_terminal, **use)

    def own_terminal(self):
        os.setsid()
        fcntl.ioctl(self.inner, termios.TIOCSCTTY, 0)


def three_terminals_are_one_console(root):
    run = Run(root, ["/bin/sh"])
    run.until(base.PROMPT)
    assert run.is_raw()
    run.type(b"tty; stty size; ls /sys/class/virtio-ports | wc -l\r")
    run.until(b"/dev/hvc0\r\n31 97\r\n")
    run.until(base.PROMPT)
    run.resize(40, 100)
    run.until_size(40, 100)
    run.type(b"\rexit 9\r")
    assert run.finish() == 9


def a_stream_that_is_no_terminal_is_apart(root):
    with tempfile.TemporaryFile() as out:
        run = Run(root, ["/bin/sh", "-c", "echo to the file; echo asked >&2; "
                         "read line; echo got $line; [ -t 0 ] && [ ! -t 1 ] "
                         "&& [ -t 2 ] && exit 4"], stdout=out)
        run.until(b"asked")
        run.type(b"typed\r")
        assert run.finish() == 4
        out.seek(0)
        assert out.read() == b"to the file\ngot typed\n"


def no_input_is_no_harm_to_a_terminal(root):
    run = Run(root, ["/bin/sh", "-c", "cat; [ ! -t 0 ] && [ -t 1 ] && "
                     "echo end; exit 6"], stdin=subprocess.DEVNULL)
    run.until(b"end")
    assert run.finish() == 6


def every_key_is_the_guests(root):
    run = Run(root, ["/bin/sh", "-c", "stty raw -echo; echo begun; "
                     "head -c 3 | od -An -tx1; exit 3"])
    run.until(b"begun")
    run.type(b"\x1d\x03\x1a")
    run.until(b"1d 03 1a")
    assert run.finish() == 3


CASES = (three_terminals_are_one_console,
         a_stream_that_is_no_terminal_is_apart,
         no_input_is_no_harm_to_a_terminal,
         every_key_is_the_guests)


if __name__ == "__main__":
    base.CASES = CASES
    sys.exit(base.main())
