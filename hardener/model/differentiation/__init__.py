"""Runs an ONNX graph in torch, so that logits have gradients with respect to the images.

`building` reads a graph into a plan: `lowering` breaks fused and integer operators into plain
ones, what depends on no input is computed once, `fusing` folds batch normalisation into the
convolution before it. `network` runs the plan as a torch module.

`table` maps an operator's domain and name to a function that reads a node's attributes, refuses
what it cannot do, and returns the function of tensors that runs in every step. The operators
lie by family: `elementwise`, `convolution`, `pooling`, `normalisation`, `reductions`, `shapes`,
`indexing`, `resizing`, `products`, `attention`, `quantisation`.

Numbers of 16 and 64 bits are computed in float32. Quantised tensors that depend on the images
are whole numbers held in float32, so that a gradient passes.
"""
