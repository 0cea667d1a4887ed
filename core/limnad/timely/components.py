"""Which stages lie on cycles with each other."""

from collections.abc import Sequence


def strongly_connected(size: int, edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The strongly connected components of a graph with nodes ``0..size-1``, in topological order (Tarjan, 1972).

    Iterative, because a flow may be deeper than Python's recursion limit.

    >>> strongly_connected(4, [(0, 1), (1, 2), (2, 1), (2, 3)])
    [[0], [1, 2], [3]]
    """
    following: list[list[int]] = [[] for _ in range(size)]
    for source, target in edges:
        following[source].append(target)
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    components: list[list[int]] = []
    for root in range(size):
        if root in number:
            continue
        work = [(root, iter(following[root]))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in number:
                    number[target] = low[target] = len(number)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(following[target])))
                    break
                if target in on_stack:
                    low[node] = min(low[node], number[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    cut = stack.index(node)
                    component = sorted(stack[cut:])
                    del stack[cut:]
                    on_stack.difference_update(component)
                    components.append(component)
    components.reverse()
    return components
