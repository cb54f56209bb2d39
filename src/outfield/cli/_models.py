"""The models that can be brought, for ``outfield list models``."""

from __future__ import annotations

ADDRESSES = (
    ("timm:NAME", "vision", "A picture classifier of timm, by name or from a folder: timm:resnet18.a1_in1k."),
    ("hf:NAME", "text", "A picture or text classifier of transformers, by its name on the hub or from a folder."),
    ("onnx:FILE", "onnx", "A classifier in ONNX: onnx:net.onnx, or net.onnx alone."),
    ("sklearn:FILE", "sklearn", "A fitted classifier of scikit-learn, stored by skops: sklearn:forest.skops."),
    ("weights:FILE", "", "Weights alone: weights:net.pth, or net.pth, .ckpt, .safetensors alone, with --network."),
    ("FILE.py:FUNCTION", "", "Any model: a function without arguments that returns a module or a classifier."),
)
"""Address, the extra that it needs, and what it is."""
