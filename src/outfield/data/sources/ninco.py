from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from outfield.data import views
from outfield.data.base import Dataset, Source
from outfield.data.sources._files import Broken, existing
from outfield.data.sources.folder import Folder
from outfield.errors import NotThere, UserError

_FOLDERS = {
    "classes": "NINCO_OOD_classes",
    "unit_tests": "NINCO_OOD_unit_tests",
    "subsamples": "NINCO_popular_datasets_subsamples",
}


@dataclass(frozen=True)
class Ninco(Source):
    """NINCO's folder as it is published: pictures that were checked to hold no class of ImageNet-1k [1].

    ``parts`` of the data set holds the OOD class, unit test or data set of each picture, so that every one of them is
    measured too; there are no labels.

    Parameters
    ----------
    path : str
        The folder that holds ``NINCO_OOD_classes`` and others; or one of them.
    part : {"classes", "unit_tests", "subsamples"}
        The OOD classes; the synthetic unit tests; or samples of popular OOD sets, cleaned of ID objects.
    channels, side, upright, broken
        As in ``folder``.

    Raises
    ------
    UserError
        No such folder, or one without the pictures that it should hold.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as path:
    ...     for name in ("amphiuma_means", "s_sky"):
    ...         Path(path, "NINCO_OOD_classes", name).mkdir(parents=True)
    ...         Image.new("RGB", (5, 5)).save(f"{path}/NINCO_OOD_classes/{name}/0.png")
    ...     Ninco(path).load().parts.tolist()
    ['amphiuma_means', 's_sky']

    References
    ----------
    [1] Bitterwolf, Mueller, Hein. In or Out? Fixing ImageNet Out-of-Distribution Detection Evaluation. ICML 2023.
    """

    path: str
    part: str = "classes"
    channels: int | None = None
    side: int | None = None
    upright: bool = False
    broken: Broken = "refuse"

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def __post_init__(self) -> None:
        if self.part not in _FOLDERS:
            raise UserError(f"Expected a part among {', '.join(_FOLDERS)}, but got {self.part!r}. Choose one of them.")

    def files(self) -> tuple[Path, ...]:
        return self._folder("").files()

    def load(self) -> Dataset:
        root = existing(self.path, "folder")
        inner = _FOLDERS[self.part]
        if root.name != inner and not (root / inner).is_dir():
            raise NotThere(
                f"Expected the folder {inner} of NINCO in {root}, but there is none. "
                "Unpack NINCO_all.tar.gz there, or mend the path."
            )
        pictures = self._folder("" if root.name == inner else inner).load()
        if pictures.labels is None or pictures.classes is None:
            raise UserError(f"Expected a folder for each class in {inner}, but its pictures lie in none. Unpack again.")
        return views.in_parts(pictures, [pictures.classes[label] for label in pictures.labels])

    def _folder(self, inner: str) -> Folder:
        path = str(Path(self.path) / inner)
        return Folder(path, channels=self.channels, side=self.side, upright=self.upright, broken=self.broken)
