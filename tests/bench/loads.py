"""A load of `make bench`: objects, dictionaries, lists, calls and strings."""


class Tree:
    def __init__(self, depth):
        self.left = Tree(depth - 1) if depth else None
        self.right = Tree(depth - 1) if depth else None

    def count(self):
        return 1 + (self.left.count() + self.right.count() if self.left else 0)


def collatz(n):
    steps = 0
    while n != 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps


seen = {}
for i in range(1, 500):
    seen.setdefault(collatz(i), []).append(i)
words = sorted(("%d:%s" % (k, ",".join(map(str, v))) for k, v in seen.items()),
               key=len)
print(Tree(8).count(), len(words), words[-1][:60], sum(x * x for x in range(9999)))
