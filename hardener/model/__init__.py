"""An ONNX classifier, and what can be done with one."""
