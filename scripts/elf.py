"""Which shared libraries an ELF file needs, and where they are in a folder
that holds an unpacked system."""
import os
import re
import subprocess

LIBRARY_FOLDERS = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib",
                   "usr/lib", "lib64", "usr/lib64")


def is_elf(path):
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def objects(root):
    """Every ELF file below a folder."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if is_elf(path):
                yield path


def _dynamic(path, options):
    return subprocess.run(["readelf", "-W"] + options + [path],
                          capture_output=True, text=True, check=False).stdout


def needed(path):
    """Names of the libraries that the file asks for."""
    return re.findall(r"\(NEEDED\).*\[(.*)\]", _dynamic(path, ["-d"]))


def interpreter(path):
    """The dynamic loader that the file asks for, or None."""
    found = re.search(r"program interpreter: (.*)\]", _dynamic(path, ["-l"]))
    return found.group(1) if found else None


def library_index(root):
    """Name of each library to its path, in the loader's order of folders."""
    index = {}
    for folder in LIBRARY_FOLDERS:
        full = os.path.join(root, folder)
        if not os.path.isdir(full):
            continue
        for name in os.listdir(full):
            if ".so" in name:
                index.setdefault(name, os.path.join(full, name))
    return index


def closure(programs, roots):
    """The libraries that the programs need, directly or through others, found
    below the first root that has them. Returns ({name: path}, missing)."""
    index = {}
    for root in roots:
        for name, path in library_index(root).items():
            index.setdefault(name, path)
    found, missing = {}, set()
    waiting = list(programs)
    while waiting:
        for name in needed(waiting.pop()):
            if name in found or name in missing:
                continue
            if name not in index:
                missing.add(name)
                continue
            found[name] = index[name]
            waiting.append(index[name])
    return found, missing
