"""The dashboard: numbers are the store's, nothing but reading, nothing from outside the folder, reasons add up."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from outfield import registry
from outfield.dashboard import attributions, progress, server
from outfield.dashboard.app import create_app
from outfield.dashboard.revision_cache import Memo
from outfield.dashboard.security import COOKIE
from outfield.dashboard.selection import Selection
from outfield.dashboard.studies import Study
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.models.torch import load_weights
from outfield.store import query, write
from outfield.store.index import Index
from outfield.studies.recipes import _save
from outfield.types import Head, Outputs
from tests.support import run_small

BASE = "http://127.0.0.1"
NEIGHBOURS = "/api/studies/small/neighbours"
TOKEN = "a token of some length"
ROW = {"study": "s", "model": "m", "metric": "auroc", "value": 0.9, "role": "test", "set_kind": "ood", "ood": "far"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder of studies: one that has run, one without rows, and a folder that is none."""
    folder = tmp_path_factory.mktemp("dashboard")
    run_small(folder, detectors=["msp", "energy", "mds", "knn", "vim", "odin"])
    studies = folder / "studies"
    studies.mkdir()
    (folder / "results").rename(studies / "small")
    (studies / "empty" / "rows").mkdir(parents=True)
    (studies / "no study").mkdir()
    return studies


@pytest.fixture(scope="module")
def cache(world):
    return world.parent / "cache"


def client(folder, tmp_path, **options):
    return TestClient(create_app(folder, place=tmp_path / "index", **options), base_url=BASE)


@pytest.fixture
def page(world, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("OUTFIELD_CACHE", str(cache))
    return client(world, tmp_path)


def got(dashboard, path, status=200, **query):
    answer = dashboard.get(path, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


def files_of(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*"))}


# what is served


def test_studies_are_listed_with_their_progress(page):
    found = {one["name"]: one for one in got(page, "/api/studies")["studies"]}
    assert set(found) == {"small", "empty"}
    small = found["small"]
    assert (small["done"], small["total"], small["running"], small["kind"]) == (14, 14, False, "study")
    assert (small["models"], small["detectors"]) == (2, 6)
    assert (found["empty"]["done"], found["empty"]["models"]) == (0, 0)


def test_a_study_says_what_it_is_and_what_can_be_selected(page):
    study = got(page, "/api/studies/small")
    assert [one["model"] for one in study["models"]] == sorted(["baseline-0", "label_noise-0"])
    assert {one["name"] for one in study["detectors"]} == {"msp", "energy", "mds", "knn", "vim", "odin"}
    assert study["sets"][0] | {"title": ""} == {"name": "test", "title": "", "kind": "id", "category": None}
    assert {"name": "digit 8", "title": "digit 8", "kind": "ood", "category": "near"} in study["sets"]
    assert study["has_samples"] and study["sections"] and study["pending"] == ["findings"]
    assert set(got(page, "/api/studies/small/findings")) == {"findings", "unchecked"}
    assert got(page, "/api/studies/small")["pending"] == []


def test_every_display_answers_or_says_what_is_missing(page):
    for section in got(page, "/api/studies/small")["sections"]:
        for one in section["displays"]:
            shown = got(page, f"/api/studies/small/displays/{one['id']}")
            assert shown["empty"] or shown["rows"], one
            assert len(shown["charts"]) == len(shown["specs"])
            assert all(len(row) == len(shown["columns"]) for row in shown["rows"])


def test_the_selection_changes_the_numbers_and_says_so(page, world):
    path = "/api/studies/small/displays/heat-map"
    whole, part = got(page, path), got(page, path, detector="mds", set="digit 8")
    assert whole["follows"] == [] and set(part["follows"]) == {"detector", "set"}
    rows = query.rows(world / "small", "metric = 'auroc' AND role = 'test' AND part IS NULL AND set_kind = 'ood'")
    expected = rows.filter(pl.col("detector") == "mds", pl.col("ood") == "digit 8").sort("strategy")["value"]
    text = page.get(f"{path}.csv", params={"detector": "mds", "set": "digit 8"}).text
    assert pl.read_csv(io.StringIO(text)).sort("strategy")["value"].to_list() == expected.to_list()


def test_a_rank_among_detectors_does_not_follow_one_detector(page):
    shown = got(page, "/api/studies/small/displays/mean-ranks", detector="mds")
    assert shown["n"] == 6 and shown["follows"] == [] and "detector" in shown["note"]


def test_rows_are_the_stores_page_by_page(page, world):
    stored = query.rows(world / "small", "model = 'baseline-0' AND metric = 'auroc'").sort("value", descending=True)
    asked = {"model": "baseline-0", "metric": "auroc", "sort": "value", "descending": True, "size": 7}
    seen, number = [], 1
    while rows := (answer := got(page, "/api/studies/small/rows", page=number, **asked))["rows"]:
        seen += rows
        number += 1
    assert answer["total"] == len(seen) == stored.height
    names = [column["name"] for column in answer["columns"]]
    assert [row[names.index("value")] for row in seen] == stored["value"].to_list()
    assert "fpr_at_95_ood" in answer["metrics"]


def test_rows_as_csv_equal_the_store_to_the_last_digit(page, world):
    answer = page.get("/api/studies/small/rows.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="small-rows.csv"'
    stored = query.rows(world / "small")
    read = pl.read_csv(io.StringIO(answer.text), schema=stored.schema)
    order = ["model", "detector", "ood", "part", "shift", "severity", "metric", "role"]
    assert read.sort(order).equals(stored.sort(order))


def test_an_empty_selection_saves_the_header_alone(page):
    header = page.get("/api/studies/small/rows.csv").text.partition("\n")[0]
    assert page.get("/api/studies/small/rows.csv", params={"metric": "none"}).text == f"{header}\n"


def test_the_id_set_selects_the_rows_of_no_ood_set(page):
    answer = got(page, "/api/studies/small/rows", set="test", size=500)
    kind = [column["name"] for column in answer["columns"]].index("set_kind")
    assert answer["total"] and {row[kind] for row in answer["rows"]} == {"id"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"page": 0}, 422), ({"page": -1}, 422), ({"page": 10**7}, 422), ({"size": 0}, 422), ({"size": 5000}, 422),
        ({"page": "x"}, 422), ({"sort": "value; DROP TABLE rows"}, 404), ({"sort": "job"}, 404),
        ({"model": "nobody"}, 404), ({"detector": "nothing"}, 404), ({"set": "nowhere"}, 404),
        ({"model": "m" * 600}, 422), ({"model": "' OR 1=1 --"}, 404), ({"page": 900_000}, 200),
    ],
)  # fmt: skip
def test_parameters_are_checked(page, query, status):
    answer = page.get("/api/studies/small/rows", params=query)
    assert answer.status_code == status
    assert ("error" in answer.json()) == (status != 200)


@pytest.mark.parametrize("path", ["/api/studies/none", "/api/studies/none/rows", "/api/studies/small/displays/none"])
def test_what_is_not_there_is_said(page, path):
    assert "Expected" in got(page, path, 404)["error"]


# studies that are empty, damaged, changing


def test_an_empty_folder_and_a_study_without_rows(page, tmp_path):
    (tmp_path / "none").mkdir()
    assert got(client(tmp_path / "none", tmp_path), "/api/studies") == {"studies": []}
    study = got(page, "/api/studies/empty")
    assert "none yet" in study["cautions"][0] and study["models"] == [] and not study["has_samples"]
    assert got(page, "/api/studies/empty/rows")["total"] == 0
    assert got(page, "/api/studies/empty/displays/heat-map")["empty"]
    assert "error" in got(page, "/api/studies/empty/samples", 422)
    assert got(page, "/api/studies/empty/progress") == {
        "done": 0, "total": 0, "running": False, "rate_per_minute": 0.0, "recent": [],
    }  # fmt: skip


def test_a_folder_that_is_not_there_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        create_app(tmp_path / "absent", place=tmp_path / "index")


def test_one_study_can_be_served_alone(world, tmp_path):
    assert [one["name"] for one in got(client(world / "small", tmp_path), "/api/studies")["studies"]] == ["small"]


def test_a_damaged_file_is_left_out_and_named(world, tmp_path):
    studies = copied(world, tmp_path)
    rows = sorted((studies / "small" / "rows").glob("*.parquet"))
    rows[0].write_bytes(rows[0].read_bytes()[:100])
    rows[1].write_bytes(b"")
    pl.DataFrame({"other": [1]}).write_parquet(rows[2])
    page = client(studies, tmp_path)
    study = got(page, "/api/studies/small")
    assert all(path.name in study["cautions"][0] for path in rows[:3]), study["cautions"]
    assert got(page, "/api/studies/small/rows")["total"] > 0


def test_a_manifest_that_is_no_json_breaks_its_own_study_alone(world, tmp_path):
    studies = copied(world, tmp_path)
    (studies / "empty" / "study.json").write_text("{half")
    page = client(studies, tmp_path)
    found = {one["name"]: one for one in got(page, "/api/studies")["studies"]}
    assert "JSON" in found["empty"]["error"] and found["small"]["done"] == 14
    assert "JSON" in got(page, "/api/studies/empty", 422)["error"]


FOREIGN = ['{"direction": "minimize"}', "[]", '{"study": "x", "jobs": null}', '{"study": {}, "jobs": 5}']


@pytest.mark.parametrize("content", FOREIGN)
def test_a_manifest_of_another_program_breaks_its_own_study_alone(world, tmp_path, content):
    studies = copied(world, tmp_path)
    (studies / "optuna").mkdir()
    (studies / "optuna" / "study.json").write_text(content)
    page = client(studies, tmp_path)
    found = {one["name"]: one for one in got(page, "/api/studies")["studies"]}
    assert "study.json" in found["optuna"]["error"] and found["small"]["done"] == 14
    assert "another program" in got(page, "/api/studies/optuna", 422)["error"]


def test_a_study_that_fails_in_an_unknown_way_is_listed_with_the_others(page, monkeypatch):
    outline = Study.outline
    monkeypatch.setattr(Study, "outline", lambda study: outline(study) if study.name == "small" else 1 / 0)
    found = {one["name"]: one for one in got(page, "/api/studies")["studies"]}
    assert "ZeroDivisionError" in found["empty"]["error"] and found["small"]["done"] == 14


def test_a_study_that_cannot_be_worked_out_does_not_keep_the_others_from_it(page, monkeypatch, capfd):
    shelf, warmed = page.app.state.shelf, []
    (trouble,) = (study for study in shelf.studies() if study.name == "empty")
    monkeypatch.setattr(trouble, "gathered", lambda: 1 / 0)
    monkeypatch.setattr("outfield.dashboard.server._age", lambda study: study.name)
    monkeypatch.setattr("outfield.dashboard.overview.warm", lambda study: warmed.append(study.name) or iter(()))
    thread = threading.Thread(target=server._warm, args=(shelf, threading.Event()))
    thread.start()
    thread.join()
    assert warmed == ["small"] and capfd.readouterr() == ("", "")


def test_rows_that_cannot_be_read_from_the_index_say_what_to_do(page, monkeypatch):
    def broken(*_):
        raise duckdb.IOException("Could not read enough bytes")

    monkeypatch.setattr(Index, "ask", broken)
    said = got(page, "/api/studies/small/rows", 500)["error"]
    assert "Could not read enough bytes" in said and "remove that folder" in said


def copied(world, tmp_path):
    shutil.copytree(world, tmp_path / "studies")
    return tmp_path / "studies"


def test_a_study_that_is_written_while_it_is_served(tmp_path, monkeypatch):
    monkeypatch.setattr("outfield.dashboard.studies.PAUSE", 0.0)
    monkeypatch.setattr("outfield.dashboard.studies.SHARE", 0.0)
    folder = tmp_path / "studies" / "live"
    write.begin(folder, [f"{job:04}" for job in range(20)], '{"name": "live"}')
    page = client(tmp_path / "studies", tmp_path)
    for job in range(5):
        write.rows(folder, f"{job:04}", [ROW | {"model": f"m{job}"}])
        (folder / "rows" / f".{job}.parquet.x.part").write_bytes(b"half")
        page.app.state.shelf.study("live")._pause = 0.0
        assert got(page, "/api/studies/live/rows")["total"] == job + 1
    told = got(page, "/api/studies/live/progress")
    assert (told["done"], told["total"], told["running"]) == (5, 20, True)
    assert told["recent"][0] == "m4: the model itself"


def test_events_tell_a_change_once():
    states = iter([{"done": 1}, {"done": 1}, {"done": 2}])

    async def ask():
        return next(states)

    async def first_two():
        told = progress.events(ask, every=0.001)
        return [await anext(told), await anext(told)]

    with ThreadPoolExecutor() as pool:  # the browser's tests leave a running loop in this thread
        found = pool.submit(asyncio.run, first_two()).result()
    assert found == ['data: {"done": 1}\n\n', 'data: {"done": 2}\n\n']


def test_a_large_study_is_gathered_beside_the_requests(world, tmp_path, monkeypatch):
    monkeypatch.setattr("outfield.dashboard.studies.AT_ONCE", 3)
    page = client(world, tmp_path)
    answer = page.get("/api/studies/small")
    assert answer.status_code == 503 and answer.json()["indexing"]["total"] == 14
    study = page.app.state.shelf.study("small")
    study._gathering.join()
    assert got(page, "/api/studies/small/rows")["total"] == query.rows(world / "small").height


def test_a_study_of_tracked_runs_is_served_with_its_own_displays(tmp_path):
    folder, rng = tmp_path / "studies" / "tracked", np.random.default_rng(0)
    kinds = {("accuracy", "id"): None, ("accuracy", "shift"): "blur 3", ("accuracy", "ood"): "sketch"}
    for run in range(3):
        rows = [
            ROW | {
                "model": f"net-{run}", "run": f"net-{run}", "strategy": "net", "seed": run, "step": step, "ood": ood,
                "metric": metric, "set_kind": kind, "value": 0.5 + 0.04 * step + 0.02 * rng.standard_normal(),
            }
            for step in range(10) for (metric, kind), ood in kinds.items()
        ]  # fmt: skip
        write.rows(folder, f"{run:04}", rows)
    write.begin(folder, [f"{run:04}" for run in range(3)], json.dumps({"name": "tracked", "kind": "vision"}))
    page = client(tmp_path / "studies", tmp_path)
    study = got(page, "/api/studies/tracked")
    assert (study["kind"], study["has_samples"], study["done"], study["pending"]) == ("trajectory", False, 3, [])
    assert dict(study["facts"])["runs"] == "3" and len(study["models"]) == 3
    shown = [
        got(page, f"/api/studies/tracked/displays/{one['id']}")
        for part in study["sections"]
        for one in part["displays"]
    ]
    assert any(display["specs"] for display in shown)
    assert all(display["rows"] or display["empty"] for display in shown)
    assert got(page, "/api/studies/tracked/findings")["findings"] == []


# the index


def test_the_index_follows_new_changed_and_removed_files(tmp_path):
    folder = tmp_path / "study"
    index = Index(folder, tmp_path / "index")
    assert not index.renew() and index.ask("SELECT count(*) FROM rows").item() == 0
    for key in ("a", "b"):
        write.rows(folder, key, [ROW])
    assert index.renew() and index.revision == 1
    write.rows(folder, "a", [ROW | {"value": 0.5}, ROW])
    (folder / "rows" / "b.parquet").unlink()
    assert index.renew() and index.revision == 2
    assert index.ask("SELECT job, value FROM rows ORDER BY value").rows() == [("a", 0.5), ("a", 0.9)]


def test_the_index_is_kept_and_takes_the_jobs_of_the_manifest_alone(tmp_path):
    folder = tmp_path / "study"
    for key in ("a", "b"):
        write.rows(folder, key, [ROW])
    first = Index(folder, tmp_path / "index")
    first.renew()
    first.close()
    write.begin(folder, ["b"], '{"name": "s"}')
    second = Index(folder, tmp_path / "index")
    assert second.ahead().new == () and second.ahead().gone == ("a",)
    assert second.renew() and second.ask("SELECT job FROM rows").rows() == [("b",)]


def test_an_index_that_is_no_database_is_made_again(tmp_path):
    folder = tmp_path / "study"
    write.rows(folder, "a", [ROW])
    Index(folder, tmp_path / "index").close()
    (kept,) = (tmp_path / "index").glob("*.duckdb")
    kept.write_bytes(b"this is no database, but a text of some length" * 100)
    index = Index(folder, tmp_path / "index")
    assert index.renew() and index.ask("SELECT count(*) FROM rows").item() == 1


@pytest.mark.parametrize("part", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("damage", ["truncated", "garbled", "one place"])
def test_an_index_that_is_damaged_anywhere_is_made_again(tmp_path, damage, part):
    folder, rng = tmp_path / "study", np.random.default_rng(0)
    values = rng.random(50_000).tolist()
    write.rows(folder, "a", [ROW | {"value": value} for value in values])
    index = Index(folder, tmp_path / "index")
    index.renew()
    index.close()
    (kept,) = (tmp_path / "index").glob("*.duckdb")
    content = kept.read_bytes()
    start = int(part * len(content))
    wrong = {"truncated": b"", "garbled": rng.bytes(len(content) - start),
             "one place": rng.bytes(100) + content[start + 100 :]}  # fmt: skip
    kept.write_bytes(content[:start] + wrong[damage])
    index = Index(folder, tmp_path / "index")
    assert not index.own
    index.renew()
    assert index.ask("SELECT value FROM rows ORDER BY number")["value"].to_list() == values


def test_an_index_that_another_process_has_open_is_left_to_it(tmp_path):
    folder = tmp_path / "study"
    write.rows(folder, "a", [ROW])
    Index(folder, tmp_path / "index").close()
    (kept,) = (tmp_path / "index").glob("*.duckdb")
    code = "import duckdb, sys; base = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code, str(kept)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"open\n"
    index = Index(folder, tmp_path / "index")
    assert index.own and index.renew() and kept.exists()
    index.close()
    other.communicate(b"\n", timeout=30)


def test_the_index_equals_what_the_store_reads(world, tmp_path):
    index = Index(world / "small", tmp_path)
    index.renew()
    names = ", ".join(map(query.quoted, query.rows(world / "small").columns))
    assert index.ask(f"SELECT {names} FROM rows ORDER BY job, number").equals(query.rows(world / "small"))


def test_a_memo_makes_a_value_once_for_all_who_ask():
    memo, made, gate = Memo(4), [], threading.Event()

    def make():
        gate.wait(5)
        made.append(1)
        return len(made)

    found = []
    askers = [threading.Thread(target=lambda: found.append(memo.get(1, "key", make))) for _ in range(4)]
    for asker in askers:
        asker.start()
    gate.set()
    for asker in askers:
        asker.join()
    assert found == [1, 1, 1, 1]


# samples


def test_samples_have_percentiles_and_disagreement(page):
    answer = got(page, "/api/studies/small/samples", model="baseline-0", size=1000)
    items = answer["items"]
    assert answer["media"] == "picture" and answer["total"] == len(items)
    assert [one["disagreement"] for one in items] == sorted((one["disagreement"] for one in items), reverse=True)
    known = np.array([one["scores"]["mds"]["score"] for one in items if one["set"] == "test"])
    for one in items:
        shares = [found["percentile"] for found in one["scores"].values()]
        assert one["disagreement"] == pytest.approx(np.std(shares), abs=1e-3)
        score = one["scores"]["mds"]["score"]
        assert one["scores"]["mds"]["percentile"] == pytest.approx(100 * (known < score).mean(), abs=1e-3)


def test_samples_are_filtered_sorted_and_cut(page):
    asked = {"model": "baseline-0", "set": "digit 8", "sort": "score", "detector": "mds", "size": 10}
    first = got(page, "/api/studies/small/samples", **asked)
    second = got(page, "/api/studies/small/samples", page=2, **asked)
    scores = [one["scores"]["mds"]["score"] for one in (*first["items"], *second["items"])]
    assert scores == sorted(scores, reverse=True) and len(scores) == 20 and first["total"] == 174
    assert {one["set"] for one in first["items"]} == {"digit 8"}
    rows = got(page, "/api/studies/small/samples", model="baseline-0", set="test", sort="row", descending=False)
    assert [one["row"] for one in rows["items"]] == list(range(50))
    assert "Select one" in got(page, "/api/studies/small/samples", 422, sort="score")["error"]
    got(page, "/api/studies/small/samples", 422, sort="label")


@pytest.mark.parametrize("asked", [
    {}, {"descending": False}, {"sort": "row", "descending": False}, {"sort": "row"},
    {"sort": "score", "detector": "mds"}, {"set": "digit 8"}, {"set": "test", "sort": "score", "detector": "msp"},
])  # fmt: skip
def test_the_neighbours_of_a_sample_are_those_of_the_list(page, asked):
    items = got(page, "/api/studies/small/samples", size=1000, **asked)["items"]
    places = [{"set": item["set"], "row": item["row"]} for item in items]
    for at in (0, 1, 30, len(places) - 2, len(places) - 1):
        found = got(page, NEIGHBOURS, home=places[at]["set"], row=places[at]["row"], size=24, **asked)
        assert found["before"] == (places[at - 1] if at else None)
        assert found["after"] == (places[at + 1] if at + 1 < len(places) else None)
        assert found["page"] == at // 24 + 1


@pytest.mark.parametrize("descending", [True, False])
def test_a_sample_of_another_set_stands_where_its_value_would(page, descending):
    asked = {"sort": "score", "detector": "mds", "descending": descending, "size": 24}
    rows = {set: got(page, "/api/studies/small/samples", set=set, **asked | {"size": 1000})["items"]
            for set in ("digit 8", "test")}  # fmt: skip
    value = rows["test"][40]["scores"]["mds"]["score"]
    eights = [(item["scores"]["mds"]["score"], item["row"]) for item in rows["digit 8"]]
    first = [row for score, row in eights if (score > value if descending else score < value)]
    found = got(page, NEIGHBOURS, home="test", row=rows["test"][40]["row"], set="digit 8", **asked)
    others = [row for _, row in eights]
    around = [None, *others, None][len(first) : len(first) + 2]
    assert [one and one["row"] for one in (found["before"], found["after"])] == around
    assert found["page"] == max(len(first) - 1, 0) // 24 + 1


def test_a_sample_without_scores_has_no_neighbours(page):
    assert got(page, NEIGHBOURS, home="test", row=10**6) == {"before": None, "after": None, "page": 1}


def test_a_sample_is_seen_from_every_side(page):
    one = got(page, "/api/studies/small/sample", model="baseline-0", set="test", row=3)
    assert one["notes"] == [] and one["label"] is not None
    assert one["prediction"] == one["probabilities"][0][0]
    assert sum(p for _, p in one["probabilities"]) == pytest.approx(1, abs=1e-6)
    assert {found["detector"] for found in one["scores"]} == {"msp", "energy", "mds", "knn", "vim", "odin"}
    distances = [near["distance"] for near in one["nearest"]]
    assert len(distances) == 5 and distances == sorted(distances)
    assert {why["detector"] for why in one["why"]} == {"msp", "energy", "mds", "knn", "vim"}
    for why in one["why"]:
        parts = sum(part for _, part in why["parts"])
        assert parts == pytest.approx(why["score"], rel=1e-5, abs=1e-5)
        assert len(why["parts"]) <= 9


def test_a_picture_is_the_input_enlarged(page):
    answer = page.get("/api/studies/small/picture", params={"set": "digit 8", "row": 0})
    picture = Image.open(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == "image/png" and min(picture.size) >= 64
    small = np.asarray(picture)[4::8, 4::8]
    assert (np.kron(small, np.ones((8, 8), np.uint8)) == np.asarray(picture)).all()


@pytest.mark.parametrize(
    "asked", [{"set": "test", "row": 10**6}, {"set": "nowhere", "row": 0}, {"set": "../x", "row": 0}]
)
def test_samples_that_are_not_there(page, asked):
    assert "Expected" in got(page, "/api/studies/small/sample", 404, **asked)["error"]
    got(page, "/api/studies/small/picture", 404, **asked)


def test_results_of_another_machine_show_scores_and_say_what_is_missing(world, tmp_path):
    studies = copied(world, tmp_path)
    shutil.rmtree(studies / "small" / "models")
    one = got(client(studies, tmp_path), "/api/studies/small/sample", model="baseline-0", set="test", row=3)
    assert len(one["scores"]) == 6 and one["picture"] and one["why"] == one["nearest"] == []
    assert "weights of baseline-0" in one["notes"][0]
    (studies / "small" / "study.json").unlink()
    one = got(client(studies, tmp_path), "/api/studies/small/sample", model="baseline-0", set="test", row=3)
    assert len(one["scores"]) == 6 and one["picture"] is None and "study.json" in one["notes"][0]


def test_other_weights_give_a_note_and_no_reasons(world, tmp_path):
    studies = copied(world, tmp_path)
    first, second = sorted((studies / "small" / "models").glob("*.safetensors"))
    _save(load_weights(second), first, first.name.split(".")[-2])
    one = got(client(studies, tmp_path), "/api/studies/small/sample", model="baseline-0", set="test", row=3)
    assert one["why"] == [] and any("others than those that were measured" in note for note in one["notes"])
    first.write_bytes(second.read_bytes())
    one = got(client(studies, tmp_path / "again"), "/api/studies/small/sample", model="baseline-0", set="test", row=3)
    assert one["why"] == [] and any("is a copy of another file" in note for note in one["notes"])


def test_a_lost_score_file_leaves_the_others(world, tmp_path):
    studies = copied(world, tmp_path)
    files = (studies / "small" / "scores" / "baseline-0").glob("*.parquet")
    lost = sorted(path for path in files if "digit 8" in pl.read_parquet(path)["set"])
    lost[0].unlink()
    lost[1].write_bytes(b"no Parquet")
    one = got(client(studies, tmp_path), "/api/studies/small/sample", model="baseline-0", set="test", row=3)
    assert len(one["scores"]) == 4 and "damaged or gone" in one["notes"][0]


def test_looking_writes_nothing_into_the_served_folder(page, world):
    before = files_of(world)
    for path in ("", "/rows", "/samples", "/progress", "/findings", "/displays/heat-map"):
        got(page, f"/api/studies/small{path}")
    got(page, "/api/studies/small/sample", set="digit 8", row=1)
    assert files_of(world) == before


# reasons


@pytest.fixture(scope="module")
def values():
    torch.manual_seed(0)
    head = Head(torch.randn(5, 12), torch.randn(5))

    def drawn(n):
        labels = torch.arange(n) % 5
        features = (torch.randn(n, 12) + head.weight[labels]).relu()
        return Outputs(head(features), features, labels, head)

    return FitData.of(drawn(300), drawn(100)), drawn(20)


@pytest.mark.parametrize("name", sorted(attributions.PARTS))
def test_parts_add_up_to_the_score(name, values):
    fit, out = values
    detector = registry.create("detectors", name).clipped(fit)
    state = detector.fit(fit)
    for row in range(len(out)):
        one = out[row : row + 1]
        score = float(detector.score(one, state)[0])
        found = attributions.explain(detector, one, state, fit)
        assert found, f"{name} has no parts that add up"
        for parts in found:
            assert abs(parts.total - score) <= 1e-5 * max(1, abs(score))
            named = parts.largest(str, most=3)
            assert len(named) <= 4 and sum(value for _, value in named) == pytest.approx(
                parts.total, rel=1e-9, abs=1e-9
            )


def test_parts_that_miss_the_score_are_not_shown(values, monkeypatch):
    fit, out = values
    detector = registry.create("detectors", "msp")
    wrong = attributions.Parts("classes", torch.full((5,), 0.5, dtype=torch.float64))
    monkeypatch.setitem(attributions.PARTS, "msp", lambda case: iter([wrong]))
    assert attributions.explain(detector, out[:1], {}, fit) == []


def test_parts_of_one_name_are_all_shown():
    """ImageNet has two classes crane; a class may be called bias, or rest."""
    names = ["crane", "bias", "crane", "rest", "dog"]
    parts = attributions.Parts("classes", torch.tensor([0.1, 0.2, 0.3, 0.4, 0.1]), {"bias": 0.5})
    found = parts.largest(names.__getitem__, most=5)
    assert [name for name, _ in found] == ["bias (2)", "rest (1)", "crane (2)", "bias (1)", "crane (1)", "rest (2)"]
    assert sum(value for _, value in found) == pytest.approx(parts.total)


def test_msp_names_the_classes_that_take_probability(values):
    fit, out = values
    (parts,) = attributions.explain(registry.create("detectors", "msp"), out[:1], {}, fit)
    p = torch.softmax(out.logits[0].double(), 0)
    assert parts.values[int(p.argmax())] == 0
    assert parts.values.max() == pytest.approx(float(p.sort().values[-2]))


# who may ask


def test_nothing_but_reading(page):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = page.request(method, "/api/studies")
        assert answer.status_code == 405 and answer.headers["allow"] == "GET, HEAD"
    answer = page.head("/api/studies")
    assert answer.status_code == 200 and answer.content == b"" and int(answer.headers["content-length"]) > 0


def test_a_fault_of_the_dashboard_is_an_answer_too(world, tmp_path, monkeypatch):
    app = create_app(world, place=tmp_path / "index")
    monkeypatch.setattr("outfield.dashboard.overview.outline", lambda study: 1 / 0)
    answer = TestClient(app, base_url=BASE, raise_server_exceptions=False).get("/api/studies")
    assert answer.status_code == 500 and "ZeroDivisionError" in answer.json()["error"]
    assert "script-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/api/studies", "/api/none", "/static/none.js", "/static/vega.js"])
def test_every_answer_carries_the_security_headers(page, path):
    headers = page.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe-eval" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(("host", "status"), [
    ("127.0.0.1:8642", 200), ("localhost", 200), ("[::1]:8642", 200), ("evil.example", 400),
    ("127.0.0.1.evil.example", 400), ("localhost.evil.example:8642", 400), ("", 400),
])  # fmt: skip
def test_another_host_is_refused(page, host, status):
    assert page.get("/api/studies", headers={"host": host}).status_code == status


def test_a_token_is_asked_for_everywhere(world, tmp_path):
    page = client(world, tmp_path, token=TOKEN)
    for path in ("/", "/api/studies", "/static/vega.js", "/api/studies?token=" + TOKEN, "/nothing"):
        assert page.get(path).status_code == 401
    for wrong in ("", "x", TOKEN + "x", TOKEN[:-1], "ключ"):
        assert page.get("/", params={"token": wrong}).status_code == 401
        header = b"Bearer " + wrong.encode()
        assert page.get("/api/studies", headers={b"authorization": header}).status_code == 401
        assert page.get("/api/studies", headers={b"cookie": COOKIE.encode() + b"=" + wrong.encode()}).status_code == 401
    assert page.get("/api/studies", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_token_is_exchanged_for_a_cookie_that_does_not_tell_it(world, tmp_path):
    page = client(world, tmp_path, token=TOKEN)
    answer = page.get("/", params={"token": TOKEN, "study": "small"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?study=small")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and TOKEN not in cookie
    assert page.get("/api/studies").status_code == 200


def test_a_token_is_made_where_one_is_needed():
    assert server.settled("127.0.0.1", None) is None
    one, other = server.settled("0.0.0.0", None), server.settled("192.168.0.7", None)
    assert one and other and one != other and len(one) >= 32
    assert one in server.address("0.0.0.0", 80, one)
    with pytest.raises(UserError, match="at least 16"):
        server.settled("0.0.0.0", "short")


# no path outside the served folder

OUTSIDE = [
    "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/%2e%2e%2fapp.py",
    "/static/..%5capp.py", "/static/....//app.py", "/static//etc/passwd", "/static/%2fetc%2fpasswd",
    "/static/%00", "/static/app.js%00.css", "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
    "/api/studies/..", "/api/studies/../secret", "/api/studies/..%2fsecret", "/api/studies/%2e%2e%2fsecret",
    "/api/studies/%2e%2e", "/api/studies/%2fetc", "/api/studies/..%5csecret/rows",
    "/api/studies/small%00", "/api/studies/small%2f..%2f..%2fsecret", "/api/studies/secret", "/api/studies/link",
    "/api/studies/link/rows", "/api/studies/..%2fsecret/rows", "/api/studies/%2e%2e%2fsecret/rows.csv",
    "/api/studies/small/displays/..%2f..%2fsecret", "/api/studies/small/displays/%2e%2e", "/api/studies/%252e%252e",
    "/api/studies/~root", "/api/studies/C:%5csecret", "/api/studies/%c0%ae%c0%ae%2fsecret",
]  # fmt: skip


@pytest.fixture
def beside(world, tmp_path):
    """The studies, a study beside their folder, and links that lead to it."""
    studies, secret = copied(world, tmp_path), tmp_path / "secret"
    write.rows(secret, "aaaa", [ROW | {"model": "a secret"}])
    write.scores(secret, "a secret", "aaaa", pl.DataFrame({"set": ["test"], "row": [0], "score": [0.5]}))
    (studies / "link").symlink_to(secret)
    return studies


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_outside_the_folder_is_reached(beside, tmp_path, path):
    page = client(beside, tmp_path)
    sent = page.build_request("GET", BASE)
    sent.url = sent.url.copy_with(raw_path=path.encode())
    answer = page.send(sent)
    assert answer.status_code in (307, 400, 404), (path, answer.text)
    assert 'secret"' not in answer.text and "root:" not in answer.text and "create_app" not in answer.text


def test_links_inside_a_study_that_lead_out_are_passed_over(beside, tmp_path):
    rows, scores = beside / "small" / "rows", beside / "small" / "scores"
    (beside / "small" / "study.json").unlink()
    (rows / "link.parquet").symlink_to(tmp_path / "secret" / "rows" / "aaaa.parquet")
    (scores / "linked").symlink_to(tmp_path / "secret" / "scores")
    page = client(beside, tmp_path)
    assert "a secret" not in page.get("/api/studies/small/rows.csv").text
    got(page, "/api/studies/small/rows", 404, model="a secret")


@pytest.mark.parametrize("name", ["..", "../../secret", "/etc", "a/../../secret"])
def test_names_in_the_rows_open_no_other_folder(beside, tmp_path, name):
    write.rows(beside / "named", "aaaa", [ROW | {"model": name, "detector": "msp"}])
    page = client(beside, tmp_path)
    answer = got(page, "/api/studies/named/samples", 422, model=name)
    assert "none are kept" in answer["error"]
    one = page.get("/api/studies/named/sample", params={"model": name, "set": "test", "row": 0})
    assert one.status_code == 404 and "0.5" not in one.text


def test_a_folder_of_rows_that_is_a_link_out_is_no_study(beside, tmp_path):
    place = beside / "half"
    place.mkdir()
    (place / "rows").symlink_to(tmp_path / "secret" / "rows")
    page = client(beside, tmp_path)
    assert "half" not in {one["name"] for one in got(page, "/api/studies")["studies"]}
    got(page, "/api/studies/half/rows", 404)


def test_the_command_needs_no_torch_to_say_what_it_does():
    code = "import sys; import outfield.cli.serve; print('torch' in sys.modules or 'fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def serving(folder, port=0):
    """The command at work on a port, where it listens by now, and its first line."""
    running = subprocess.Popen(
        [sys.executable, "-m", "outfield", "serve", str(folder), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    return running, running.stdout.readline()


@pytest.mark.parametrize("wait", [0, 1.5])
def test_ctrl_c_ends_it_in_silence_while_studies_are_worked_out(world, wait):
    """A thread that is left in the database would print a page of leaks."""
    running, said = serving(world)
    assert said.startswith("Dashboard: http://127.0.0.1:")
    time.sleep(wait)
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=60) == ("", "")
    assert running.returncode == 0


def test_a_port_that_is_free_is_told_and_one_that_is_taken_is_an_error(world):
    running, said = serving(world)
    port = int(said.split(":")[3].split("/")[0])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=30) as answer:
        assert answer.status == 200
    other, line = serving(world, port)
    _, said = other.communicate(timeout=60)
    assert line == "" and other.returncode != 0
    assert f"port {port} of 127.0.0.1" in said and "Traceback" not in said
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)


def test_a_selection_gives_way_one_field_after_the_other():
    order = list(Selection("m", "d", "s").narrower())
    assert order[0] == Selection("m", "d", "s") and order[-1] == Selection()
    assert order[1] == Selection(None, "d", "s") and len(order) == 8
