"""Signatures of bundles, by OpenSSF model-signing: who built it, and that no file changed since.

A digest finds damage; whoever can write a bundle can write its digest too. A signature needs the private key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from outfield.errors import MissingExtra, UserError

PACKAGES = {"model_signing": "model-signing", "OpenSSL": "pyopenssl"}
"""What is installed under another name; model-signing does not say that it imports the second."""


def place_of(folder: Path) -> Path:
    """Where the signature of a bundle stands: beside its folder, since it covers every file within.

    Examples
    --------
    >>> place_of(Path("pets.guard")).name
    'pets.guard.sig'
    """
    return folder.with_name(f"{folder.name}.sig")


def sign(folder: Path, private_key: Path) -> Path:
    """Sign every file of a bundle with a private elliptic-curve key in PEM; the path of the signature.

    Raises
    ------
    MissingExtra
        model-signing is not installed.
    UserError
        No such folder or key, or one that cannot be used.
    """
    signing = _library("signing")
    _there(folder, "the folder of a bundle")
    _there(private_key, "a private key")
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=private_key)
        signer.sign(folder, place_of(folder))
    except Exception as error:  # the library's errors have no base class of their own
        raise UserError(
            f"Expected to sign {folder} with {private_key.name}, but it failed ({_first(error)}). Give a private "
            "elliptic-curve key in PEM: openssl ecparam -name prime256v1 -genkey -noout."
        ) from error
    return place_of(folder)


def verify(folder: Path, public_key: Path) -> None:
    """Check the signature of a bundle with a public key; nothing of the bundle is read before.

    Raises
    ------
    MissingExtra
        model-signing is not installed.
    UserError
        No signature beside the folder, or one of another key or of other files.
    """
    verifying = _library("verifying")
    for path, what in (
        (folder, "the folder of a bundle"), (public_key, "a public key"), (place_of(folder), "its signature"),
    ):  # fmt: skip
        _there(path, what)
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
        verifier.verify(folder, place_of(folder))
    except Exception as error:  # the library's errors have no base class of their own
        raise UserError(
            f"Expected {folder} as it was signed by the owner of {public_key.name}, but the signature does not hold "
            f"({_first(error)}). Do not use it: ask its builder for it again."
        ) from error


def _library(part: str) -> Any:
    try:
        import model_signing
    except ModuleNotFoundError as error:
        raise MissingExtra(PACKAGES.get(error.name or "", str(error.name)), extra="sign") from None
    return getattr(model_signing, part)


def _there(path: Path, what: str) -> None:
    if not path.exists():
        raise UserError(f"Expected {what} at {path}, but there is nothing. Check the path.")


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip(": ").splitlines()[0][:200]
