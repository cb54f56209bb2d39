from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Exit, Option


def evaluate(
    model: Annotated[
        str,
        Argument(
            help="timm:NAME, hf:NAME-or-folder, onnx:FILE, sklearn:FILE.skops, FILE.py:FUNCTION, or a file of weights "
            "(.ckpt, .pth, .safetensors) with --network"
        ),
    ],
    *,
    id_data: Annotated[
        Path,
        Option("--id", help="ID data with labels: a folder (split here where it holds no train and test), or a file."),
    ],
    ood: Annotated[list[str], Option("--ood", help="An OOD set, CATEGORY=PATH: near, far, extreme or synthetic.")],
    id_train: Annotated[Path | None, Option(help="Where the ID training data are; --id is then the test data.")] = None,
    shifts: Annotated[str, Option(help="'standard', or names of covariate shifts with commas between.")] = "",
    detectors: Annotated[
        str, Option(help="'usual' (those that cost little), 'all', or names with commas between.")
    ] = "usual",
    head: Annotated[str | None, Option(help="The head, instead of what is found.")] = None,
    features: Annotated[str | None, Option(help="The features, instead of what is found.")] = None,
    classes: Annotated[
        str | None,
        Option(
            help="Names of the model's outputs in their order, with commas between; or the data's names of classes to "
            "the model's names or numbers, DATA=MODEL,DATA=MODEL; or a file of either, one a line."
        ),
    ] = None,
    target: Annotated[
        str | None, Option(help="Of tables and a regressor: the column of the number to be predicted.")
    ] = None,
    side: Annotated[int | None, Option(help="Resize pictures to this side; torch models only.")] = None,
    channels: Annotated[int | None, Option(help="Channels of the pictures, 1 or 3; torch models only.")] = None,
    network: Annotated[
        str | None,
        Option(help="Of a file of weights: timm:resnet18?num_classes=10, small_cnn?classes=6, FILE.py:FUNCTION."),
    ] = None,
    trust: Annotated[
        list[str] | None, Option(metavar="TYPE", help="A type in a .skops file that may be loaded; several times.")
    ] = None,
    device: Annotated[str | None, Option(help="cpu, cuda, mps; by default where the model is.")] = None,
    fail_under: Annotated[
        list[str] | None, Option(help="METRIC=LIMIT, say auroc=.9: exit code 1 where the card does not keep it.")
    ] = None,
    json: Annotated[Path | None, Option(help="Write the card for machines.")] = None,
    save: Annotated[Path | None, Option(help="Write the card as one HTML file.")] = None,
    hf: Annotated[
        Path | None, Option(help="A Hugging Face model card, README.md: take in the card and its metadata.")
    ] = None,
) -> None:
    """One model's behaviour card: performance, calibration, shifts, detectors, blind spots."""
    from outfield.card.run import evaluate as run
    from outfield.cli._card import (
        checked,
        classes_of,
        id_paths,
        limits_of,
        ood_of,
        preprocess_of,
        print_card,
        saved,
        telling,
    )

    limits, paths = limits_of(fail_under or []), checked([json, save], hf)
    given: dict[str, Any] = {
        "head": head,
        "features": features,
        "device": device,
        "classes": classes_of(classes),
        "target": target,
        "network": network,
        "trusted": trust or None,
        "preprocess": preprocess_of(side, channels),
    }
    with telling() as tell:
        card = run(
            model,
            **id_paths(id_data, id_train),
            ood=ood_of(ood),
            shifts=shifts if shifts == "standard" else [name for name in shifts.split(",") if name],
            detectors=detectors if detectors in ("usual", "all") else detectors.split(","),
            id_name=id_data.stem,
            tell=tell,
            **{name: value for name, value in given.items() if value is not None},
        )
    print_card(card)
    saved(card, paths, hf)
    if failures := card.failures(limits):
        print("\n".join(f"FAIL {text}" for text in failures))
        raise Exit(1)
