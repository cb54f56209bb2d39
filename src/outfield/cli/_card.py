"""What ``outfield evaluate`` reads from its options and shows on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from outfield import registry
from outfield.card.card import Card, check_ending
from outfield.cli._console import Words, console
from outfield.cli._plain import say
from outfield.data.user_data import name_of_path
from outfield.errors import UserError, reading
from outfield.models.preprocess import Pictures
from outfield.places import file_name, home


def write_card(folder: Path, model: str, out: Path | None, hf: Path | None) -> None:
    """Write a study's model's card: as a file, and into a README.md where one is named."""
    paths = checked([out], hf)
    card = Card.of_study(folder, model)
    saved(card, paths if paths or hf else [folder / f"card-{file_name(model)}.html"], hf)


def checked(paths: Sequence[Path | None], hf: Path | None) -> list[Path]:
    """The files that were asked for; what cannot be written there is an error before anything runs."""
    if hf is not None:
        from outfield.card.hub import read

        read(hf)
    return [check_ending(path) for path in paths if path is not None]


def saved(card: Card, paths: Sequence[Path], hf: Path | None) -> None:
    """Write a card to files and into a README.md, and say where it is."""
    for path in paths:
        say(f"Card: {card.save(path)}")
    if hf is not None:
        from outfield.card.hub import write

        say(f"Model card: {write(card, hf)}")


def id_paths(data: Path, train: Path | None) -> dict[str, Any]:
    """Where training, validation and test data are: folders of these names, or one place."""
    data = home(data)
    if train is not None:
        return {"id_train": train, "id_test": data}
    if (data / "train").is_dir() and (data / "test").is_dir():
        val = {"id_val": data / "val"} if (data / "val").is_dir() else {}
        return {"id_train": data / "train", "id_test": data / "test", **val}
    return {"id_test": data}


def ood_of(given: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Categories to named paths, from ``CATEGORY=PATH``.

    Examples
    --------
    >>> ood_of(["near=data/kmnist", "near=data/letters.zip"])["near"]
    {'kmnist': PosixPath('data/kmnist'), 'letters': PosixPath('data/letters.zip')}
    """
    found: dict[str, dict[str, Path]] = {}
    for one in given:
        category, equals, path = one.partition("=")
        if not equals or not path:
            raise UserError(f"Expected --ood CATEGORY=PATH, but got {one!r}. Write, say, --ood near=data/letters.")
        own, name = found.setdefault(category, {}), name_of_path(home(path))
        own[name if name not in own else _told_apart(name, home(path), own)] = home(path)
    return found


def _told_apart(name: str, path: Path, taken: Mapping[str, Path]) -> str:
    """A name for a path whose own is taken by another one: the folder's before it."""
    longer = f"{path.resolve().parent.name} {name}"
    if longer in taken:
        raise UserError(f"Expected OOD sets of different names, but got {longer!r} twice, the second time {path}.")
    return longer


def classes_of(given: str | None) -> list[str] | dict[str, str] | None:
    """Names of a model's outputs, or the data's names to the model's, from ``a,b`` or ``a=b,c=d`` or a file of lines.

    Examples
    --------
    >>> classes_of("cat,dog"), classes_of("cat=CAT,dog=1")
    (['cat', 'dog'], {'cat': 'CAT', 'dog': '1'})
    """
    if given is None:
        return None
    with reading(given, "names of classes", "Save it as UTF-8."):
        lines = Path(given).read_text(encoding="utf-8-sig").splitlines() if Path(given).is_file() else given.split(",")
    names = [line.strip() for line in lines if line.strip()]
    pairs = [name.partition("=") for name in names]
    if not any(equals for _, equals, _ in pairs):
        return names
    if odd := [name for name, (one, _, other) in zip(names, pairs, strict=True) if not one or not other]:
        raise UserError(
            f"Expected --classes DATA=MODEL for every class, but got {odd[0]!r}. Write, say, cat=CAT,dog=1."
        )
    return {one.strip(): other.strip() for one, _, other in pairs}


def limits_of(given: Sequence[str]) -> dict[str, float]:
    """Metrics to limits, from ``METRIC=LIMIT``; a metric that there is not is an error before anything runs.

    Examples
    --------
    >>> limits_of(["auroc=.9"])
    {'auroc': 0.9}
    """
    limits = {}
    for one in given:
        name, _, limit = one.partition("=")
        registry.find("metrics", name)
        try:
            limits[name] = float(limit)
        except ValueError:
            raise UserError(f"Expected --fail-under METRIC=LIMIT, but got {one!r}. Write, say, auroc=.9.") from None
    return limits


def preprocess_of(side: int | None, channels: int | None) -> Pictures | None:
    return None if side is None and channels is None else Pictures(side=side, channels=channels)


@contextmanager
def telling() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each stage."""
    columns = (Words("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        stages: dict[str, Any] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = progress.add_task(stage, total=total)
            progress.update(stages[stage], completed=done, total=total)

        yield tell


def print_card(card: Card, most: int = 10) -> None:
    """The card on a terminal."""
    shown = console()
    shown.print(card.model)
    for found in card.findings:
        shown.print(str(found), style="bold red")
    for sentence in (*card.sentences, *card.notes):
        shown.print(f"- {sentence}")
    table = Table("detector", "mean AUROC", "95%", "P(best)", "weakest set", "AUROC there")
    for row in card.choice.table.head(most).iter_rows(named=True):
        ends = f"{row['low']:.3f} to {row['high']:.3f}"
        table.add_row(
            row["detector"],
            f"{row['mean']:.3f}",
            ends,
            f"{row['probability']:.2f}",
            row["weakest"],
            f"{row['weakest_auroc']:.3f}",
        )
    shown.print(table)
    reasons: dict[str, list[str]] = {}
    for name, why in card.left_out.items():
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        shown.print(f"Left out: {', '.join(names)}: {why}.")
