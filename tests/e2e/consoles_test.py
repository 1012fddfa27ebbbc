#!/usr/bin/env python3
"""Console ports between Debian's kernels and the host: bulk both ways, the
window size and its changes, keys."""
import fcntl
import glob
import hashlib
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty

BUILD = os.environ["HUSK_BUILD"]
SOURCE = os.environ["HUSK_SOURCE"]
CACHE = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
KERNELS = os.path.join(CACHE, "husk/kernels")
LIMIT = int(os.environ.get("HUSK_E2E_LIMIT", "240"))
LOGS = os.path.join(BUILD, "e2e-logs")
MODULES = {
    "cloud": ("virtio_ring", "virtio", "virtio_mmio", "virtio_console"),
    "cloud-6.12": ("virtio_mmio",),  # the console is built in
}
BULK = 50 << 20


class Skip(Exception):
    pass


def need_kernel(flavour):
    path = os.path.join(KERNELS, flavour, "vmlinuz")
    if not os.path.exists(path):
        raise Skip("no %s kernel in the cache; scripts/fetch-kernel %s gets it"
                   % (flavour, flavour))
    return path


def find_module(folder, name):
    found = glob.glob(os.path.join(folder, "lib/modules/*/kernel/**",
                                   name + ".ko*"), recursive=True)
    assert found, "no module " + name
    if found[0].endswith(".xz"):
        subprocess.run(["xz", "-df", found[0]], check=True)
        return found[0][:-3]
    return found[0]


def make_initrd(folder, flavour):
    path = os.path.join(folder, flavour + ".cpio")
    if os.path.exists(path):
        return path
    unpacked = os.path.join(folder, flavour)
    os.mkdir(unpacked)
    with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile",
             os.path.join(KERNELS, flavour, "package.deb")],
            stdout=subprocess.PIPE) as package:
        subprocess.run(["tar", "-C", unpacked, "-xf", "-", "--wildcards",
                        "./lib/modules/*/kernel/drivers/*"],
                       stdin=package.stdout, check=True)
    files = []
    for number, name in enumerate(MODULES[flavour]):
        files += ["--file", "%s:/modules/%d" % (find_module(unpacked, name),
                                                number)]
    subprocess.run(
        [os.path.join(SOURCE, "scripts/make-initramfs"), "--build", BUILD,
         "--init", os.path.join(SOURCE, "tests/e2e/guest_consoles.sh"),
         "--output", path] + files, check=True, stdout=sys.stderr)
    return path


class Vm:
    """A boot with ports; its serial console goes to a log file."""

    def __init__(self, name, folder, flavour, todo, ports, fds):
        self.path = os.path.join(LOGS, "consoles-%s.log" % name)
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(
                [os.path.join(BUILD, "tests/e2e/console_vm"),
                 need_kernel(flavour), make_initrd(folder, flavour),
                 "console=ttyS0 panic=-1 do=" + todo, str(log.fileno()),
                 *ports], pass_fds=(*fds, log.fileno()),
                stdin=subprocess.DEVNULL)
        for fd in fds:
            os.close(fd)

    def says(self):
        with open(self.path, "rb") as log:
            return log.read().replace(b"\r\n", b"\n")

    def until(self, text):
        end = time.monotonic() + LIMIT
        while text not in self.says():
            assert self.process.poll() is None, "ended before: %r" % text
            assert time.monotonic() < end, "never said: %r" % text
            time.sleep(0.05)

    def finish(self):
        try:
            status = self.process.wait(LIMIT)
        finally:
            self.kill()
        assert status == 0, "status %d" % status
        assert b"\ne2e: done\n" in self.says()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def pattern(count):
    block = b"".join(struct.pack("<I", i * 2654435761 & 0xffffffff)
                     for i in range(16381))
    return (block * (count // len(block) + 1))[:count]


def feed(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view[:1 << 16]):]
    os.close(fd)


def read_all(fd):
    parts = []
    while True:
        data = os.read(fd, 1 << 16)
        if not data:
            os.close(fd)
            return b"".join(parts)
        parts.append(data)


def row043_50_mb_are_echoed_through_a_named_port(folder):
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    vm = Vm("echo", folder, "cloud", "echo_all",
            ["echo=io:%d:%d" % (in_read, out_write)], (in_read, out_write))
    data = pattern(BULK)
    feeder = threading.Thread(target=feed, args=(in_write, data))
    feeder.start()
    try:
        back = read_all(out_read)
    finally:
        feeder.join()
        vm.finish()
    assert len(back) == BULK, "%d bytes came back" % len(back)
    assert hashlib.md5(back).digest() == hashlib.md5(data).digest()


def row045_each_direction_has_an_end_of_its_own(folder):
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    vm = Vm("sum", folder, "cloud", "sum_all",
            ["in=io:%d:-1" % in_read, "out=io:-1:%d" % out_write],
            (in_read, out_write))
    data = pattern(8 << 20)
    feeder = threading.Thread(target=feed, args=(in_write, data))
    feeder.start()
    try:
        got = read_all(out_read)
    finally:
        feeder.join()
        vm.finish()
    want = "e2e: sum " + hashlib.md5(data).hexdigest()
    assert want.encode() in vm.says(), want
    assert got == b"".join(b"%d\n" % i for i in range(1, 2000001))


def open_terminal(rows, columns):
    outer, inner = pty.openpty()
    tty.setraw(inner)
    resize(inner, rows, columns)
    return outer, inner


def read_until(fd, text):
    seen = b""
    end = time.monotonic() + LIMIT
    while text not in seen:
        assert time.monotonic() < end, "never came: %r but %r" % (text, seen)
        if select.select([fd], [], [], 0.2)[0]:
            seen += os.read(fd, 4096)
    return seen


def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ,
                struct.pack("HHHH", rows, columns, 0, 0))


def check_size(folder, name, flavour, *more):
    """A terminal that is not of our session: no signal tells its changes."""
    outer, inner = open_terminal(24, 80)
    spec = ["=tty:%d" % inner]
    for port in more:
        spec.append(port + "=io:-1:-1")
    vm = Vm(name, folder, flavour, "show_size", spec, (inner,))
    try:
        vm.until(b"\ne2e: size 24 80\n")
        resize(outer, 50, 132)
        vm.until(b"\ne2e: size 50 132\n")
        vm.finish()
    finally:
        vm.kill()
        os.close(outer)


def row041_a_lone_console_follows_the_window_on_6_1(folder):
    check_size(folder, "size-lone", "cloud")


def row041_a_lone_console_follows_the_window_on_6_12(folder):
    check_size(folder, "size-lone-6.12", "cloud-6.12")


def row041_a_console_among_ports_follows_the_window_on_6_1(folder):
    check_size(folder, "size-ports", "cloud", "extra")


def row041_a_console_among_ports_follows_the_window_on_6_12(folder):
    check_size(folder, "size-ports-6.12", "cloud-6.12", "extra")


def row038_keys_and_output_pass_unchanged(folder):
    outer, inner = open_terminal(24, 80)
    vm = Vm("keys", folder, "cloud", "type_line", ["=tty:%d" % inner],
            (inner,))
    try:
        read_until(outer, b"ready\n")
        os.write(outer, "k\u00e4\u20ac\x1d\x03\n".encode())
        read_until(outer, "typed <k\u00e4\u20ac\x1d\x03>\n".encode())
        vm.finish()
    finally:
        vm.kill()
        os.close(outer)


CASES = (row043_50_mb_are_echoed_through_a_named_port,
         row045_each_direction_has_an_end_of_its_own,
         row041_a_lone_console_follows_the_window_on_6_1,
         row041_a_lone_console_follows_the_window_on_6_12,
         row041_a_console_among_ports_follows_the_window_on_6_1,
         row041_a_console_among_ports_follows_the_window_on_6_12,
         row038_keys_and_output_pass_unchanged)


def run(number, case, folder):
    try:
        case(folder)
    except Skip as reason:
        print("ok %d - %s # SKIP %s" % (number, case.__name__, reason))
        return True
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        print("not ok %d - %s\n# %r" % (number, case.__name__, error),
              flush=True)
        return False
    print("ok %d - %s" % (number, case.__name__), flush=True)
    return True


def main():
    os.makedirs(LOGS, exist_ok=True)
    wanted = sys.argv[1:]
    cases = [c for c in CASES if not wanted or c.__name__ in wanted]
    print("1..%d" % len(cases))
    with tempfile.TemporaryDirectory() as folder:
        good = [run(i + 1, case, folder) for i, case in enumerate(cases)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
