"""Keras classifiers as ONNX files in NHWC, for `benchmarks.matrix --folder`.

    pip install tensorflow-cpu tf2onnx        # in an environment of its own
    python benchmarks/keras_models.py FOLDER

Random weights, ten classes, as tf2onnx writes them: channels last at the border.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIZES = {
    "DenseNet121": 64,
    "EfficientNetB0": 64,
    "EfficientNetV2B0": 64,
    "InceptionV3": 96,
    "MobileNet": 64,
    "MobileNetV2": 64,
    "MobileNetV3Small": 64,
    "NASNetMobile": 64,
    "ResNet50": 64,
    "ResNet50V2": 64,
    "VGG16": 64,
    "Xception": 96,
}


def main(arguments: Sequence[str]) -> int:
    """Writes one file an architecture, and a hand-written convolutional one."""
    import tensorflow as tf  # noqa: PLC0415  no dependency of the project
    import tf2onnx  # noqa: PLC0415

    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    tf.keras.utils.set_random_seed(0)
    for name, size in SIZES.items():
        shape = (size, size, 3)
        build = getattr(tf.keras.applications, name)
        model = build(weights=None, classes=10, input_shape=shape)
        _write(tf, tf2onnx, model, shape, folder / f"{name}.onnx")
    small = tf.keras.Sequential(
        [
            tf.keras.layers.Input((32, 32, 3)),
            tf.keras.layers.Conv2D(16, 3, activation="relu"),
            tf.keras.layers.MaxPooling2D(),
            tf.keras.layers.Conv2D(24, 3, activation="relu"),
            tf.keras.layers.MaxPooling2D(),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(64, activation="relu"),
            tf.keras.layers.Dense(10, activation="softmax"),
        ]
    )
    _write(tf, tf2onnx, small, (32, 32, 3), folder / "Sequential.onnx")
    return 0


def _write(
    tf: Any,  # noqa: ANN401  TensorFlow's types are not installed
    tf2onnx: Any,  # noqa: ANN401
    model: Any,  # noqa: ANN401
    shape: tuple[int, int, int],
    path: Path,
) -> None:
    images = tf.random.stateless_normal((8, *shape), seed=(0, 0))
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)  # statistics from noise, so that activations do not vanish
    signature = [tf.TensorSpec((None, *shape), tf.float32, name="image")]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    tf2onnx.convert.from_function(
        function, input_signature=signature, opset=17, output_path=str(path)
    )
    print(path, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
