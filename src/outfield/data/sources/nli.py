from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ListDataset
from outfield.data.nli_sets import neutral, read
from outfield.places import home


@dataclass(frozen=True)
class Nli(Source):
    """Premises and hypotheses of a published NLI file, labelled 1 for entailment and 0 for no entailment.

    Three-way sets lose their neutral pairs; a study trains without them, so that they are out of distribution.

    Parameters
    ----------
    format : str
        How the set is published: ``snli``, ``mnli``, ``hans`` or another of ``outfield.data.nli_sets.FORMATS``.
    path : str
        Its file, or ``hub:DATASET[:CONFIG]:SPLIT``.
    neutral : bool
        The neutral pairs alone, without labels.

    Raises
    ------
    UserError
        A file that is not what the format says, or has no pair to give.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "some.tsv")
    >>> rows = "It rains.\\tIt is wet.\\t0\\nIt rains.\\tIt snows.\\t2\\nIt rains.\\tIt is Monday.\\t1\\n"
    >>> _ = file.write_text("premise\\thypothesis\\tlabel\\n" + rows)
    >>> Nli("snli", str(file)).load().labels, Nli("snli", str(file), neutral=True).load().read(slice(None))
    (array([1, 0]), [('It rains.', 'It is Monday.')])
    """

    format: str
    path: str
    neutral: bool = False

    modality: ClassVar[frozenset[str]] = frozenset({"tokens"})

    def files(self) -> Sequence[Path] | None:
        return None if self.path.startswith("hub:") else (home(self.path),)

    def load(self) -> Dataset:
        path = self.path if self.path.startswith("hub:") else str(home(self.path))
        if self.neutral:
            return ListDataset(neutral(self.format, path))
        found = read(self.format, path)
        left_out = [f"{count:,} rows: {why}" for why, count in found.left_out.items()]
        return ListDataset(found.read(slice(None)), found.labels, found.classes, left_out=left_out)
