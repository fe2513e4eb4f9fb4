"""The ways that values take from the images to an output.

What only tells sizes (`Shape`) is no such way, and neither is what follows from weights alone.
"""

from collections import Counter
from dataclasses import dataclass

import onnx_graphsurgeon as gs

from hardener.model.operators import SIZES, operator


@dataclass(frozen=True, eq=False)
class DataPaths:
    """Everything that lies between the images and one output.

    Attributes:
        image: name of the image input.
        output: name of the output.
        nodes: in running order.
        tensors: what those nodes give and the images, by name.
    """

    image: str
    output: str
    nodes: tuple[gs.Node, ...]
    tensors: frozenset[str]

    def inputs(self, node: gs.Node) -> list[gs.Variable]:
        """Those inputs of a node that depend on the images' values."""
        if operator(node) in SIZES:
            return []
        return [value for value in node.inputs if value.name in self.tensors]

    def cuts(self) -> dict[str, int]:
        """Tensors that every way leads through, from the images' end to the output.

        Returns:
            Name to position in `nodes` of the node behind which all values are in that tensor.
        """
        readers = Counter(value.name for node in self.nodes for value in self.inputs(node))
        readers[self.output] += 1
        alive: set[str] = set()
        found: dict[str, int] = {}
        for position, node in enumerate(self.nodes):
            for value in self.inputs(node):
                readers[value.name] -= 1
                if readers[value.name] == 0:
                    alive.discard(value.name)
            alive |= {value.name for value in node.outputs} & self.tensors
            if len(alive) == 1 and readers[self.image] <= 0:
                found[next(iter(alive))] = position
        return found

    def before(self, tensor: gs.Variable) -> list[gs.Node]:
        """Nodes that a tensor is made by, in running order."""
        wanted = {tensor.name}
        found: list[gs.Node] = []
        for node in reversed(self.nodes):
            if any(value.name in wanted for value in node.outputs):
                found.append(node)
                wanted |= {value.name for value in self.inputs(node)}
        return found[::-1]


def data_paths(graph: gs.Graph, image: str, output: str) -> DataPaths:
    """Finds all ways from the images to an output of a graph whose nodes are in running order."""
    reached = {image}
    forwards: list[gs.Node] = []
    for node in graph.nodes:
        if operator(node) not in SIZES and any(value.name in reached for value in node.inputs):
            forwards.append(node)
            reached |= {value.name for value in node.outputs if value.name}
    wanted = {output}
    nodes: list[gs.Node] = []
    for node in reversed(forwards):
        if any(value.name in wanted for value in node.outputs):
            nodes.append(node)
            wanted |= {value.name for value in node.inputs if value.name in reached}
    return DataPaths(image, output, tuple(reversed(nodes)), frozenset(wanted & reached))
