"""For bench: `husk run` and a QEMU that does the same, with the same kernel,
the same first file system and virtiofsd for the root; and machines that end
with their first instruction.

QEMU's guest is started by Husk's own init. Its streams are a virtio console,
where those of `husk run` are three of its ports.
"""
import glob
import hashlib
import os
import random
import shutil
import struct
import subprocess
import sys
import time

from bench_guest import MEMORY_MIB, Machine, command_output

BUILD = "build"
HUSK = BUILD + "/husk"
LOADS = BUILD + "/tests/bench/loads"
WORK = BUILD + "/bench"
ROOT = WORK + "/root"
SHARED = ROOT + "/bench"
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
CACHE = os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "husk")
DATA_MIB = 64  # of the shared file and of each half of the disk

BOOTS = ("run-stock", "run-tuned")
START = "first-instruction"
STARTS = 10  # of them in a run: each takes some milliseconds only


def device_loads():
    """Group of each load, its amount and the unit of that."""
    loads = {}
    for line in command_output([LOADS, "devices"]).splitlines():
        name, amount, unit = line.split()
        loads[name] = (name.partition("-")[0], int(amount), unit)
    return loads


def tuned_kernel():
    folders = [os.path.dirname(path) for path in
               glob.glob(CACHE + "/kernels/tuned-*/manifest")]
    return max(folders, key=os.path.getmtime, default=None)


def missing(names):
    """Which of these cannot be measured here: a sentence for each."""
    found = {}
    if not tuned_kernel():
        found["run-tuned"] = "the tuned kernel is not built; make kernel does"
    why = None
    if not os.access(VIRTIOFSD, os.X_OK):
        why = "there is no %s to serve QEMU's root" % VIRTIOFSD
    elif os.geteuid() != 0:
        why = "QEMU's virtiofsd works for root only"
    if why:
        found.update((name, why) for name in (*BOOTS, *device_loads()))
    return {name: why for name, why in found.items() if name in names}


# ---- What the guest gets ----

def make_data(seed):
    return random.Random(seed).randbytes(DATA_MIB << 20)


def make_root():
    shutil.rmtree(ROOT, ignore_errors=True)
    command_output(["scripts/make-root", ROOT])
    os.makedirs(SHARED)
    shutil.copy("guest/bench-run.sh", SHARED + "/run.sh")
    shutil.copy(LOADS, SHARED + "/loads")
    with open(SHARED + "/in", "wb") as file:
        file.write(make_data(1))


def make_disk(path):
    """The half to be read, and room for the one to be written."""
    with open(path, "wb") as file:
        file.write(make_data(2))
        file.write(bytes(DATA_MIB << 20))


def make_initrd(path, kernel, words, has_disk):
    """As `husk run` makes it for itself: init, its orders, modules. The flags
    are: a terminal; the status by the exit port, which QEMU has not, so that
    init restarts the guest at the end."""
    functions = "mmio,console,fs,rng" + (",blk" if has_disk else "")
    command = [BUILD + "/tests/e2e/make_guest", path, "exec=/bin/sh",
               "flags=33", "console=hvc0", "root=virtiofs,root",
               "kernel=%s,%s" % (kernel, functions)]
    command_output(command + ["arg=" + word for word in words])


def make_first(path, status):
    """A kernel whose first instructions write `status` to the exit port: an
    ELF file with the entry for Husk, and a note with the same for QEMU (PVH).
    The bytes mean the same in 32-bit and in 64-bit code."""
    base, entry = 0x1000000, 0x1000100
    code = bytes((0x66, 0xba, 0x01, 0x05,  # mov dx, 0x501
                  0xb0, status,            # mov al, status
                  0xee,                    # out dx, al
                  0xf4, 0xeb, 0xfd))       # hlt; again
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", entry)
    place = 64 + 2 * 56
    data = b"\x7fELF\x02\x01\x01" + bytes(9)
    data += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56,
                        2, 0, 0, 0)
    data += struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, 512, 512, 4096)
    data += struct.pack("<IIQQQQQQ", 4, 4, place, base + place, base + place,
                        len(note), len(note), 4)
    data = (data + note).ljust(0x100, b"\0") + code
    with open(path, "wb") as file:
        file.write(data.ljust(512, b"\0"))


# ---- The two machines ----

def husk_machine(kernel, words, disk):
    command = [HUSK, "run", "-i", "--backend", "soft", "--kernel", kernel,
               "--memory", "%dM" % MEMORY_MIB, "--cpus", "1"]
    if disk:
        command += ["--disk", disk]
    return Machine(command + [ROOT, "--", "/bin/sh", *words])


def qemu_machine(kernel, words, disk, cmdline):
    """The stock kernel finds its devices by ACPI, the tuned one has none and
    is told on its command line, which QEMU does when it has no ACPI either.
    A console device of one port has it from the start: init does not wait."""
    initrd, socket = WORK + "/run.cpio", WORK + "/virtiofsd"
    make_initrd(initrd, kernel, words, disk)
    with open(kernel + "/manifest", encoding="utf-8") as file:
        acpi = "on" if "devices acpi\n" in file else "off"
    memory = "%dM" % MEMORY_MIB
    command = [
        "qemu-system-x86_64", "-M", "microvm,memory-backend=ram,acpi=" + acpi,
        "-object", "memory-backend-memfd,id=ram,share=on,size=" + memory,
        "-accel", "tcg", "-m", memory, "-smp", "1", "-nodefaults",
        "-no-user-config", "-display", "none", "-no-reboot",
        "-global", "virtio-mmio.force-legacy=false",
        "-kernel", kernel + "/vmlinux", "-initrd", initrd,
        "-append", cmdline, "-serial", "null",
        "-chardev", "stdio,id=console",
        "-device", "virtio-serial-device,max_ports=1",
        "-device", "virtconsole,chardev=console",
        "-device", "virtio-rng-device",
        "-chardev", "socket,id=root,path=" + socket,
        "-device", "vhost-user-fs-device,chardev=root,tag=root"]
    if disk:
        command += ["-drive", "if=none,id=disk,format=raw,cache=writeback,"
                    "file=" + disk, "-device", "virtio-blk-device,drive=disk"]
    # In the sandbox of its own choice it would fork, and hide what it uses.
    # The guest may keep names and attributes for as long as Husk's may.
    helper = [VIRTIOFSD, "--socket-path=" + socket, "-o",
              "sandbox=chroot,cache=auto,timeout=5,source="
              + os.path.abspath(ROOT)]
    return Machine(command, helper, socket)


def machines(kernel, loads, disk, cmdline):
    """Makes each of the two when its turn comes."""
    words = ["/bench/run.sh", *loads]
    return {"husk": lambda: husk_machine(kernel, words, disk),
            "qemu": lambda: qemu_machine(kernel, words, disk, cmdline)}


# ---- What they leave behind, and their start ----

def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def check_written(loads, disk, results):
    """What arrived at the host is a check value too."""
    for name, path in (("file-write", SHARED + "/out"), ("disk-write", disk)):
        writers = [load for load in loads if load.startswith(name)]
        if writers and not results.failed.intersection(writers):
            results.checks.setdefault(name + " (host)",
                                      set()).add(digest(path))


def measure_starts(results):
    """From the start of the process to its end, in milliseconds. QEMU's debug
    exit device makes of status n twice n plus one."""
    path = WORK + "/first.elf"
    make_first(path, 42)
    memory = "%dM" % MEMORY_MIB
    commands = {
        "husk": ([HUSK, "boot", "--backend", "soft", "--memory", memory,
                  "--cpus", "1", path], 42),
        "qemu": (["qemu-system-x86_64", "-M", "microvm", "-accel", "tcg",
                  "-m", memory, "-smp", "1", "-nodefaults",
                  "-no-user-config", "-display", "none", "-no-reboot",
                  "-device", "isa-debug-exit,iobase=0x501,iosize=4",
                  "-kernel", path], 85)}
    for _ in range(STARTS):
        for machine, (command, status) in commands.items():
            begun = time.monotonic()
            done = subprocess.run(command, stdin=subprocess.DEVNULL,
                                  timeout=60, check=False)
            took = time.monotonic() - begun
            if done.returncode != status:
                sys.exit("husk: %s: status %d at the first instruction, not "
                         "%d" % (command[0], done.returncode, status))
            results[machine].add(START, took * 1000)
