"""timm models: their own preprocessing, their weights by name, from a folder or from a file."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from outfield.data.base import Items
from outfield.errors import UserError
from outfield.models.libraries import library
from outfield.models.preprocess import Pictures, Preprocess, noise
from outfield.models.torch import TorchModel, load_into, load_weights


class TimmModel(TorchModel):
    """A timm model, its preprocessing taken from its ``pretrained_cfg``.

    Parameters
    ----------
    module : nn.Module
        As ``timm.create_model`` returns it.
    example : Items, optional
        By default two noise pictures of the size that it reads.
    preprocess : callable, optional
        By default ``pictures(module)``.
    head, features, layers, name, classes, device
        As for ``TorchModel``.
    """

    def __init__(
        self,
        module: nn.Module,
        example: Items | None = None,
        *,
        preprocess: Preprocess | None = None,
        name: str | None = None,
        classes: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        config: dict[str, Any] = getattr(module, "pretrained_cfg", {})
        super().__init__(
            module,
            noise(*_size(module)) if example is None else example,
            preprocess=preprocess or pictures(module),
            name=name or config.get("architecture") or type(module).__name__,
            classes=classes or _names(module, config),
            **options,
        )


def _names(module: nn.Module, config: dict[str, Any]) -> Sequence[str] | None:
    """The names in the configuration, unless the head was made anew for another number of classes."""
    names = config.get("label_names")
    return names if names and len(names) == getattr(module, "num_classes", len(names)) else None


def open_timm(reference: str, *, weights: str | Path | None = None, network: Any = None, **options: Any) -> TimmModel:
    """A timm model by name (``resnet50.a1_in1k``, ``hf-hub:owner/name``) or from a folder that ``save_for_hf`` wrote.

    Parameters
    ----------
    reference : str
    weights : path, optional
        A file of its weights; by default timm gets the published ones.
    network : mapping, optional
        Further arguments of ``timm.create_model``, such as ``num_classes``.
    options
        As for ``TimmModel``.

    Raises
    ------
    MissingExtra
        timm or torchvision is not installed.
    UserError
        There is no such model; its weights cannot be had, or belong to another.
    """
    timm = library("timm", extra="vision")
    folder = Path(reference)
    local = (folder / "config.json").is_file()
    if not local and ":" not in reference and not timm.is_model(reference):
        near = difflib.get_close_matches(reference, timm.list_models(), n=3)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "timm.list_models() shows all."
        raise UserError(f"Expected the name of a timm model or a folder of one, but there is no {reference!r}. {hint}")
    try:
        module = timm.create_model(
            f"local-dir:{folder}" if local else reference, pretrained=weights is None, **(network or {})
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"Expected the timm model {reference!r} with its weights, but loading them failed: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}. "
            "Check the name and the connection, or give a file: weights='model.safetensors'."
        ) from error
    if weights is not None:
        load_into(module, load_weights(Path(weights)), reference)
    return TimmModel(module.eval(), name=options.pop("name", None) or folder.name, **options)


def pictures(module: nn.Module) -> Pictures:
    """The evaluation transform of a timm model, from its ``pretrained_cfg``.

    Raises
    ------
    UserError
        It reads pictures that are not square, or crops in a way of its own.
    """
    config = library("timm.data", extra="vision").resolve_model_data_config(module)
    channels, height, width = _size(module)
    if height != width or config["crop_mode"] not in ("center", "squash"):
        raise UserError(
            f"Expected square pictures cut from the centre, but this model reads {height} x {width} pictures with "
            f"crop mode {config['crop_mode']!r}. Pass `preprocess`."
        )
    return Pictures(
        side=height,
        channels=channels,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        crop=config["crop_pct"],
        interpolation=config["interpolation"],
        squash=config["crop_mode"] == "squash",
    )


def _size(module: nn.Module) -> tuple[int, int, int]:
    """Channels, height, width: of the patch embedding where it has a size, else of the configuration."""
    channels, height, width = library("timm.data", extra="vision").resolve_model_data_config(module)["input_size"]
    height, width = getattr(getattr(module, "patch_embed", None), "img_size", None) or (height, width)
    return channels, height, width
