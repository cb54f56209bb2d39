"""Who signed a bundle, and that it holds nothing that could run."""

from __future__ import annotations

import hashlib
import importlib.util
import pickletools
import sys
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from outfield.errors import MissingExtra, UserError
from outfield.guard.export import export
from outfield.guard.signature import sign, verify
from tests.integration.test_cli import typed
from tests.unit.test_guard_bundle import PICKLE, bundle_of, network, rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle with every file that one may hold."""
    net = network()
    made = bundle_of(net, tmp_path, card="<!DOCTYPE html><title>A card</title>")
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        made = made.with_onnx(export(made, net, rows(4)[0]).content)
    return made.save(tmp_path / "a.guard")


# --- nothing that runs ---


def runs(path: Path) -> bool:
    """Whether a file is a pickle, or an archive that may hold one."""
    if zipfile.is_zipfile(path):
        return True
    try:
        return bool(list(pickletools.genops(path.read_bytes())))
    except ValueError:
        return False


def test_no_file_of_a_bundle_is_a_pickle_or_an_archive(folder: Path, tmp_path: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"manifest.json", "state.safetensors", "card.html"} <= {path.name for path in files}
    assert not [path.name for path in files if runs(path)]
    (tmp_path / "x").write_bytes(PICKLE)
    assert runs(tmp_path / "x")
    with zipfile.ZipFile(tmp_path / "y", "w") as archive:
        archive.writestr("data.pkl", b"x")
    assert runs(tmp_path / "y")


@pytest.mark.filterwarnings("ignore")  # of the library's own imports
def test_fickling_finds_nothing_in_a_bundle(folder: Path, tmp_path: Path) -> None:
    """A scanner of pickles, which others wrote: it can read none of a bundle's files as one."""
    loader = pytest.importorskip("fickling.fickle")
    analysis = pytest.importorskip("fickling.analysis")
    for path in (one for one in folder.rglob("*") if one.is_file()):
        with path.open("rb") as content, pytest.raises(loader.EmptyPickleError):
            loader.Pickled.load(content)
    (tmp_path / "x").write_bytes(PICKLE)
    with (tmp_path / "x").open("rb") as content:
        found = analysis.check_safety(loader.Pickled.load(content))
    assert found.severity > analysis.Severity.LIKELY_SAFE


# --- signatures ---


@pytest.mark.parametrize(("missing", "package"), [("model_signing", "model-signing"), ("OpenSSL", "pyopenssl")])
def test_without_the_library_the_extra_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, package: str
) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] in ("model_signing", "OpenSSL")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "OpenSSL" and importlib.util.find_spec("model_signing") is None:
        pytest.skip("model-signing is not installed")
    for act in (sign, verify):
        with pytest.raises(MissingExtra, match=rf"{package}.*outfield\[sign\]"):
            act(folder, tmp_path / "key")


def test_the_library_itself_signs_and_verifies(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("model_signing") is None:
        pytest.skip("model-signing is not installed")
    if importlib.util.find_spec("OpenSSL") is None:  # model-signing imports it for certificates, which nothing here has
        monkeypatch.setitem(sys.modules, "OpenSSL", stand_in_for_certificates())
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    for name in ("key", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        kind = pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()
        (tmp_path / name).write_bytes(key.private_bytes(*kind))
        public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}.pub").write_bytes(public)
    sign(folder, tmp_path / "key")
    verify(folder, tmp_path / "key.pub")
    with pytest.raises(UserError, match="signature does not hold"):
        verify(folder, tmp_path / "other.pub")
    card = (folder / "card.html").read_bytes()
    for damage in (lambda: (folder / "card.html").write_text("another"), lambda: (folder / "more").write_text("x")):
        damage()
        with pytest.raises(UserError, match="signature does not hold"):
            verify(folder, tmp_path / "key.pub")
        (folder / "card.html").write_bytes(card)
    (folder / "more").unlink()
    verify(folder, tmp_path / "key.pub")


def stand_in_for_certificates() -> ModuleType:
    """What can be imported in the place of pyOpenSSL, and used for nothing."""
    module = ModuleType("OpenSSL")
    module.crypto = SimpleNamespace(X509=object, X509Store=object)
    return module


def stand_in() -> ModuleType:
    """A library of the same interface, which signs with a digest of the key and of every file."""

    def digest(key: Path, folder: Path) -> str:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return hashlib.sha256(b"".join([key.read_bytes(), *(one.read_bytes() for one in files)])).hexdigest()

    class Signing:
        def use_elliptic_key_signer(self, *, private_key: Path) -> Signing:
            self.key = private_key
            return self

        def sign(self, model_path: Path, signature_path: Path) -> None:
            signature_path.write_text(digest(self.key, model_path))

    class Verifying:
        def use_elliptic_key_verifier(self, *, public_key: Path) -> Verifying:
            self.key = public_key
            return self

        def verify(self, model_path: Path, signature_path: Path) -> None:
            if signature_path.read_text() != digest(self.key, model_path):
                raise ValueError("Signature mismatch")

    module = ModuleType("model_signing")
    module.signing, module.verifying = SimpleNamespace(Config=Signing), SimpleNamespace(Config=Verifying)
    return module


def test_command_line_signs_and_checks(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", stand_in())
    monkeypatch.chdir(tmp_path)
    Path("key").write_text("secret")
    assert typed("guard", "check", "a.guard", "--public-key", "key") == 2
    assert "its signature at" in capsys.readouterr().err
    assert typed("guard", "sign", "a.guard", "--private-key", "key") == 0
    assert Path("a.guard.sig").is_file()
    assert typed("guard", "check", "a.guard", "--public-key", "key") == 0
    assert "Signed by the owner of key." in capsys.readouterr().out
    Path("other").write_text("another")
    assert typed("guard", "check", "a.guard", "--public-key", "other") == 2
    (folder / "card.html").write_text("another")
    assert typed("guard", "check", "a.guard", "--public-key", "key") == 2
    assert "Do not use it" in capsys.readouterr().err
    assert typed("guard", "sign", "a.guard", "--private-key", "nowhere") == 2
