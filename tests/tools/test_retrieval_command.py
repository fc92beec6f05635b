"""The command measures kiromi beside the baselines on small sets, end to end, and refuses bad input clearly."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kiromi.embed.base import Matrix, Metric, Role
from kiromi.errors import EmbedderError
from tools.retrieval.__main__ import main
from tools.retrieval.run import SetResult, measure
from tools.retrieval.sets import RetrievalSet, load

ANIMALS = ["ant", "bee", "cat", "dog", "eel", "fox"]


def plain_set(folder: Path, name: str = "animals.json") -> str:
    value = {
        "docs": {str(n): {"title": f"About {each}", "text": f"The {each} sleeps."} for n, each in enumerate(ANIMALS)},
        "queries": {f"q{n}": f"what does the {each} do" for n, each in enumerate(ANIMALS)} | {"q9": "ungraded"},
        "qrels": {f"q{n}": {str(n): 1} for n in range(len(ANIMALS))},
    }
    return written(folder / name, value)


def conversations(folder: Path) -> str:
    value = [
        {
            "sample_id": name,
            "turns": [
                {
                    "id": f"D{n}:1",
                    "session": n,
                    "at": "1:56 pm on 8 May, 2023",
                    "speaker": "Ana",
                    "text": f"{word} {each}",
                }
                for n, each in enumerate(ANIMALS)
            ],
            "questions": [
                {"question": f"Who saw the {each}?", "evidence": [f"D{n}:1"]} for n, each in enumerate(ANIMALS)
            ],
        }
        for name, word in (("c1", "saw"), ("c2", "met"))
    ]
    return written(folder / "talk.json", value)


def written(path: Path, value: Any) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def test_every_system_finds_planted_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([
        plain_set(tmp_path),
        f"talk={conversations(tmp_path)}",
        *("--embedder", "hash", "--json", "--k", "1,3", "--cache", str(tmp_path / "cache")),
        *("--compare", "hybrid:text", "text:bm25", "--plot", str(tmp_path / "figures.svg")),
    ])  # fmt: skip
    assert code == 0
    document = json.loads(capsys.readouterr().out)
    assert document["about"]["seed"] == 0
    animals, talk = document["sets"]
    assert (animals["documents"], animals["queries"], animals["skipped"]) == (6, 6, 1)
    assert (talk["name"], talk["documents"], talk["queries"]) == ("talk", 12, 12)
    for found in (animals, talk):
        assert list(found["systems"]) == ["bm25", "dense", "text", "vector", "hybrid"]
        for system, figures in found["systems"].items():
            assert figures["recall@3"]["mean"] == 1, system
            assert figures["recall@10"]["mean"] == 1, system
    assert set(talk["systems"]["text"]) - set(animals["systems"]["text"]) == {
        "session recall@1",
        "session recall@3",
        "session recall@10",
    }
    assert [(each["better"], each["worse"], each["queries"]) for each in document["comparisons"]] == [
        ("hybrid", "text", 18),
        ("hybrid", "text", 18),
        ("text", "bm25", 18),
        ("text", "bm25", 18),
    ]
    assert (tmp_path / "figures.svg").read_bytes().startswith(b"<?xml")
    assert list((tmp_path / "cache").iterdir())


def test_text_alone_needs_no_embedder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [plain_set(tmp_path), "--embedder", "none", "--limit-queries", "2", "--language", "en"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "animals: 6 documents, 2 queries" in out
    assert [line.split()[0] for line in out.splitlines()[-2:]] == ["bm25", "text"]


def test_modes_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([plain_set(tmp_path), "--embedder", "hash", "--modes", "vector,vector"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["bm25", "dense", "vector"]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "stores").mkdir()
    found = measure(load(plain_set(tmp_path)), modes=["text"], embedder=None, ks=[1], folder=tmp_path / "stores")
    assert found.columns == ("nDCG@10", "MRR@10", "recall@1", "recall@10")
    assert found.values["text"].shape == (6, 4)
    assert not list((tmp_path / "stores").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--embedder", "none", "--modes", "hybrid"], "hybrid needs an embedder"),
        (["--embedder", "hash", "--modes", "text,fuzzy"], "'fuzzy' is none; accepted: text, vector, hybrid"),
        (["--embedder", "hash", "--compare", "hybrid-text"], "accepted is ONE:OTHER, each one of bm25, dense, text"),
        (["--embedder", "none", "--compare", "text:dense"], "each one of bm25, text"),
        (["--embedder", "hash", "--language", "other=de"], "no set is called 'other'; accepted: animals"),
        (["--embedder", "hash", "--plot", "figures.gif"], "end in .svg or .png"),
        (["--embedder", "no-such-embedder"], "no-such-embedder"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_measured(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([plain_set(tmp_path), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--k", "1,0"], "argument --k: '0' is not a whole number from 1"),
        (["--k", "ten"], "argument --k: 'ten' is not"),
        (["--limit-queries", "-1"], "argument --limit-queries: '-1' is not"),
    ],
)
def test_bad_numbers_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["set.json", *arguments])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_two_sets_of_one_name_and_missing_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = plain_set(tmp_path)
    assert main([path, path, "--embedder", "none"]) == 2
    assert "two sets are called 'animals'" in capsys.readouterr().err
    assert main([str(tmp_path / "missing.json"), "--embedder", "none"]) == 2
    assert "there is no file or folder" in capsys.readouterr().err


def test_language_of_one_set_goes_over_that_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {}

    def noted(retrieval_set: RetrievalSet, **arguments: Any) -> SetResult:
        given[retrieval_set.name] = arguments["language"]
        return measure(retrieval_set, **arguments)

    monkeypatch.setattr("tools.retrieval.run.measure", noted)
    sets = [plain_set(tmp_path, "a.json"), plain_set(tmp_path, "b.json")]
    assert main([*sets, "--embedder", "none", "--language", "b=zh", "--language", "de"]) == 0
    assert given == {"a": "de", "b": "zh"}
    assert main([*sets, "--embedder", "none", "--language", "b=de"]) == 0
    assert given == {"a": None, "b": "de"}


class FailingEmbedder:
    """Embeds nothing."""

    id = "failing"
    dimension = 4
    metric: Metric = "cosine"
    batch_size = 8

    def embed(self, texts: Sequence[str], role: Role) -> Matrix:
        raise EmbedderError("the model is away")


@pytest.mark.filterwarnings("ignore::kiromi.errors.EmbedderWarning")
def test_no_figures_of_documents_that_are_not_embedded(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="6 documents could not be embedded"):
        measure(load(plain_set(tmp_path)), modes=["vector"], embedder=FailingEmbedder(), ks=[1])
