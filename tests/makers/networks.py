"""A small network as an ONNX file, written in the wire format of protocol buffers."""

from pathlib import Path

import numpy as np


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(name: str, values: np.ndarray) -> bytes:
    """TensorProto: dims 1, data_type 2 (1 is float32), name 8, raw_data 9."""
    dims = b"".join(field(1, size) for size in values.shape)
    return dims + field(2, 1) + field(8, name) + field(9, values.astype("<f4").tobytes())


def value(name: str, shape: list[int | str]) -> bytes:
    """ValueInfoProto: a tensor of float32; sizes that are not fixed have names."""
    dims = b"".join(field(1, field(1, size) if isinstance(size, int) else field(2, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def node(kind: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    return b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind) + attributes


def blur_network(path: Path, metadata: dict[str, str], *, softmax: bool = True) -> Path:
    """Write a network of two classes: the mean of 3 x 3 pixels m gives the logits (0, 8 m - 4)."""
    weights = np.stack([np.zeros((1, 3, 3)), np.full((1, 3, 3), 8 / 9)])
    pads = field(1, "pads") + b"".join(field(8, 1) for _ in range(4)) + field(20, 7)  # AttributeProto: ints
    axis = field(1, "axis") + field(3, 1) + field(20, 2)
    nodes = [node("Conv", ["image", "w", "b"], "logits" if softmax else "shares", field(5, pads))]
    nodes += [node("Softmax", ["logits"], "shares", field(5, axis))] if softmax else []
    graph = b"".join(field(1, each) for each in nodes) + field(2, "blur")
    graph += field(5, tensor("w", weights)) + field(5, tensor("b", np.array([0.0, -4.0])))
    graph += field(11, value("image", [1, 1, "y", "x"])) + field(12, value("shares", [1, 2, "y", "x"]))
    opset = field(8, field(1, "") + field(2, 13))
    said = b"".join(field(14, field(1, key) + field(2, text)) for key, text in metadata.items())
    path.write_bytes(field(1, 8) + opset + field(7, graph) + said)
    return path
