"""Builds the ONNX graph of a BERT encoder (MiniLM) from its weights, without torch.

Inputs: `ids` int64 [batch, length] and `lengths` int32 [batch], the count of real tokens in each
row. Output: `tokens` float32 [batch, length, hidden], the last layer's vectors, not pooled.

The architecture is BERT's (Devlin et al. 2018, post-norm), with the token type always 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from llm_gateway.minilm.artifact import WORD_EMBEDDINGS, Precision

Weights = Mapping[str, NDArray[np.float32]]

# 7 bits: x86 without VNNI adds pairs of products in 16 bits, and 8-bit weights overflow there.
_INT8_LIMIT = 63
_LAYER_NORM_EPSILON = 1e-12
_FUSED = "com.microsoft"


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of the encoder; the defaults are those of MiniLM-L6-H384."""

    layers: int = 6
    heads: int = 12
    hidden: int = 384


def build(weights: Weights, precision: Precision, sizes: Architecture | None = None) -> bytes:
    """The serialised model, less the word embeddings, which it takes from a file beside it.

    That file, `word_embeddings.bin`, holds the matrix as little-endian float32 in C order; the
    runtime maps it, so worker processes share its pages.

    "int8" quantises the matrices per output column and the activations per call (half the time
    of "float32"; the vectors differ by a cosine of about 0.993, rankings do not get worse).
    """
    sizes = sizes or Architecture()
    graph = _Graph(weights, precision)
    hidden = graph.embeddings()
    for index in range(sizes.layers):
        hidden = graph.layer(f"encoder.layer.{index}", hidden, sizes)
    graph.node("Identity", [hidden], "tokens")
    return graph.model(sizes.hidden).SerializeToString()


class _Graph:
    """Nodes and constants in the making; a node is named after its output."""

    def __init__(self, weights: Weights, precision: Precision) -> None:
        self._weights = weights
        self._precision = precision
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def node(
        self,
        kind: str,
        inputs: list[str],
        output: str,
        *,
        domain: str = "",
        **attributes: float | list[int],
    ) -> str:
        node = helper.make_node(kind, inputs, [output], output, domain=domain)
        for key, value in attributes.items():
            node.attribute.append(helper.make_attribute(key, value))
        self._nodes.append(node)
        return output

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self._weights[name])

    def layer_norm(self, name: str, x: str) -> str:
        inputs = [x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]
        return self.node(
            "LayerNormalization", inputs, f"{name}.out", axis=-1, epsilon=_LAYER_NORM_EPSILON
        )

    def embeddings(self) -> str:
        """Word + position + token type 0, normalised."""
        positions = self._weights["embeddings.position_embeddings.weight"]
        token_type = self._weights["embeddings.token_type_embeddings.weight"][0]
        self.constant("positions", positions + token_type)
        self.constant("start", np.array([0], np.int64))
        self._constants.append(self._mapped_word_embeddings())
        words = self.node("Gather", [WORD_EMBEDDINGS, "ids"], "words")
        length = self.node("Shape", ["ids"], "length", start=1, end=2)
        places = self.node("Slice", ["positions", "start", length], "places")
        return self.layer_norm(
            "embeddings.LayerNorm", self.node("Add", [words, places], "embeddings.sum")
        )

    def _mapped_word_embeddings(self) -> onnx.TensorProto:
        matrix = self._weights["embeddings.word_embeddings.weight"]
        tensor = TensorProto(
            name=WORD_EMBEDDINGS,
            dims=matrix.shape,
            data_type=TensorProto.FLOAT,
            data_location=TensorProto.EXTERNAL,
        )
        facts = {"location": f"{WORD_EMBEDDINGS}.bin", "offset": "0", "length": str(matrix.nbytes)}
        for key, value in facts.items():
            tensor.external_data.add(key=key, value=value)
        return tensor

    def layer(self, name: str, x: str, sizes: Architecture) -> str:
        """Attention and feed-forward, each with its residual and norm."""
        attended = self._attention(f"{name}.attention.self", x, sizes)
        attended = self.dense(f"{name}.attention.output.dense", attended)
        attended = self.node("Add", [attended, x], f"{name}.attention.residual")
        attended = self.layer_norm(f"{name}.attention.output.LayerNorm", attended)
        inner = self.dense(f"{name}.intermediate.dense", attended)
        inner = self.node("Gelu", [inner], f"{name}.gelu", domain=_FUSED)
        outer = self.dense(f"{name}.output.dense", inner)
        outer = self.node("Add", [outer, attended], f"{name}.residual")
        return self.layer_norm(f"{name}.output.LayerNorm", outer)

    def _attention(self, name: str, x: str, sizes: Architecture) -> str:
        parts = ("query", "key", "value")
        matrix = np.concatenate([self._weights[f"{name}.{part}.weight"].T for part in parts], 1)
        bias = np.concatenate([self._weights[f"{name}.{part}.bias"] for part in parts])
        joined = self._multiply(name, x, matrix, bias)
        outputs = [f"{name}.{part}" for part in parts]
        self._nodes.append(
            helper.make_node("Split", [joined], outputs, f"{name}.split", axis=2, num_outputs=3)
        )
        return self.node(
            "MultiHeadAttention",
            [*outputs, "", "lengths"],
            f"{name}.attended",
            domain=_FUSED,
            num_heads=sizes.heads,
        )

    def dense(self, name: str, x: str) -> str:
        matrix = self._weights[f"{name}.weight"].T
        return self._multiply(name, x, matrix, self._weights[f"{name}.bias"])

    def _multiply(
        self, name: str, x: str, matrix: NDArray[np.float32], bias: NDArray[np.float32]
    ) -> str:
        """The product plus the bias; `matrix` is [inputs, outputs]."""
        bias_name = self.constant(f"{name}.bias", bias)
        if self._precision == "float32":
            product = self.node("MatMul", [x, self.constant(f"{name}.matrix", matrix)], name)
            return self.node("Add", [product, bias_name], f"{name}.biased")
        scale = np.abs(matrix).max(axis=0) / _INT8_LIMIT
        quantised = np.round(matrix / scale).astype(np.int8)
        inputs = [
            x,
            self.constant(f"{name}.matrix", quantised),
            self.constant(f"{name}.scale", scale.astype(np.float32)),
            self.constant(f"{name}.zero", np.zeros(matrix.shape[1], np.int8)),
            bias_name,
        ]
        return self.node("DynamicQuantizeMatMul", inputs, name, domain=_FUSED)

    def model(self, hidden: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes,
            "minilm",
            [
                helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"]),
                helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
            ],
            [
                helper.make_tensor_value_info(
                    "tokens", TensorProto.FLOAT, ["batch", "length", hidden]
                )
            ],
            self._constants,
        )
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(_FUSED, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)
