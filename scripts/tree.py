"""For the checks: the files of the tree, and results in TAP form."""
import os
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def files(*suffixes):
    """Paths of the tree's own files, relative to its top, sorted."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        paths = done.stdout.split("\0")
    else:  # an unpacked archive
        paths = [os.path.relpath(os.path.join(folder, name), TOP)
                 for folder, _, names in os.walk(TOP) for name in names
                 if not os.path.relpath(folder, TOP).startswith(
                     ("build", ".git" + os.sep, "scripts/__pycache__"))
                 and os.path.basename(folder) != ".git"]
    return sorted(p for p in set(paths)
                  if p.endswith(suffixes) and os.path.isfile(full(p)))


def full(path):
    return os.path.join(TOP, path)


def read(path):
    with open(full(path), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def without_comments(text):
    """C text with comments and the insides of strings blanked; line numbers
    stay as they are."""
    out, i, n = [], 0, len(text)
    while i < n:
        c = text[i]
        if text.startswith("/*", i):
            end = text.find("*/", i + 2)
            end = n if end < 0 else end + 2
            out.append("\n" * text.count("\n", i, end) or " ")
            i = end
        elif text.startswith("//", i):
            end = text.find("\n", i)
            i = n if end < 0 else end
        elif c in "\"'":
            end = i + 1
            while end < n and text[end] != c and text[end] != "\n":
                end += 2 if text[end] == "\\" else 1
            out.append(c + c)
            i = end + 1
        else:
            out.append(c)
            i += 1
    return "".join(out)


class Tap:
    """Collects faults for each named case, then prints TAP."""

    def __init__(self, *names):
        self.faults = {name: [] for name in names}
        self.skipped = {}

    def fault(self, name, text):
        self.faults.setdefault(name, []).append(text)

    def skip(self, name, reason):
        self.skipped[name] = reason

    def finish(self):
        """Prints and returns the exit status."""
        print("1..%d" % len(self.faults))
        for number, (name, faults) in enumerate(self.faults.items(), 1):
            if faults:
                print("not ok %d - %s" % (number, name))
                for text in faults:
                    print("# " + text)
            elif name in self.skipped:
                print("ok %d - %s # SKIP %s"
                      % (number, name, self.skipped[name]))
            else:
                print("ok %d - %s" % (number, name))
        return 1 if any(self.faults.values()) else 0
