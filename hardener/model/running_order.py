"""Nodes put into an order in which each comes after those it reads, as ONNX asks.

onnxruntime runs graphs whose nodes stand in any order, and some converters write them so.
"""

from collections import deque

import onnx


def in_running_order(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with its nodes sorted, or itself where they are or cannot be.

    Nodes that may stand in either order keep the one they have. A graph with a cycle is returned
    as it is, for the checker to refuse.
    """
    nodes = list(proto.graph.node)
    made_by = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    needs = [{made_by[name] for name in node.input if name in made_by} for node in nodes]
    if all(place > max(needed, default=-1) for place, needed in enumerate(needs)):
        return proto
    readers: list[list[int]] = [[] for _ in nodes]
    for place, needed in enumerate(needs):
        for earlier in needed:
            readers[earlier].append(place)
    left = [len(needed) for needed in needs]
    ready = deque(place for place, count in enumerate(left) if count == 0)
    order: list[int] = []
    while ready:
        place = ready.popleft()
        order.append(place)
        for reader in readers[place]:
            left[reader] -= 1
            if left[reader] == 0:
                ready.append(reader)
    if len(order) < len(nodes):
        return proto
    del proto.graph.node[:]
    proto.graph.node.extend(nodes[place] for place in order)
    return proto
