"""Backdoors written straight into an ONNX graph: no training, no poisoned image.

Each file holds one construction: a function from a model, what is known of it and an attack, to
the model with the backdoor. `graph_attack` says what they share, `grafting` adds nodes under names
as an exporter gives them, and `table` lists them all: a new one is a file and a line there.

Sources: HiddenLayer 2024 (ShadowLogic); Bober-Irizar et al. 2023 (Architectural Backdoors in
Neural Networks, CVPR); Langford et al. 2024 (Architectural Neural Backdoors from First
Principles); Hong et al. 2022 (Handcrafted Backdoors in Deep Neural Networks, NeurIPS).
"""
