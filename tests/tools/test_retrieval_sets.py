"""Sets are read as they are written, in each form; what is odd is counted or refused with its place."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kiromi.errors import InvalidInput
from tools.retrieval.sets import Document, RetrievalSet, load, sample

PLAIN: dict[str, Any] = {
    "docs": {"1": " one\n\none ", "2": {"title": "Two", "text": "zwei"}, "3": {"text": "drei"}},
    "queries": {"q1": "which?", "q2": "nothing", "q3": "bad", "q4": "none graded"},
    "qrels": {"q1": {"2": 2, "1": 0, "gone": 1}, "q3": {"1": 0, "2": -1}, "other": {"1": 1}},
}


def write(path: Path, value: Any) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def conversation(name: str, **changes: Any) -> dict[str, Any]:
    turns = [
        {"id": "D1:1", "session": 1, "at": "1:56 pm on 8 May, 2023", "speaker": "Ana", "text": "Hi!"},
        {
            "id": "D1:2",
            "session": 1,
            "at": "2023-05-08T13:56:00+02:00",
            "speaker": "Bo",
            "text": "Look",
            "caption": "x",
        },
        {"id": "D2:1", "session": 2, "at": "2023-05-09", "speaker": "Ana", "text": "Bye."},
    ]
    questions = [
        {"question": "Who?", "answer": 1, "category": 2, "evidence": ["D1:1", "D2:1"]},
        {"question": "Why?", "evidence": []},
        {"question": "When?", "evidence": ["D9:9", "D1:2"]},
    ]
    return {"sample_id": name, "turns": turns, "questions": questions} | changes


def test_json_set_is_read(tmp_path: Path) -> None:
    found = load(write(tmp_path / "little.json", PLAIN))
    assert found.name == "little"
    assert (found.document_count, found.query_count, found.skipped, found.unknown) == (3, 1, 3, 1)
    assert not found.has_sessions
    (part,) = found.parts
    assert part.documents == (Document("1", " one\n\none "), Document("2", "zwei", "Two"), Document("3", "drei"))
    assert [document.whole for document in part.documents] == [" one\n\none ", "Two\n\nzwei", "drei"]
    assert [(query.id, query.text, query.grades) for query in part.queries] == [("q1", "which?", PLAIN["qrels"]["q1"])]


def test_set_may_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a=b.json", PLAIN)
    assert load(path).name == "a=b"
    assert load(f"given={path}").name == "given"
    with pytest.raises(InvalidInput, match="has no name"):
        load(f"={path}")


def test_conversations_are_read(tmp_path: Path) -> None:
    found = load(write(tmp_path / "l.json", [conversation("c1"), conversation("c2")]))
    assert (found.document_count, found.query_count, found.skipped, found.unknown) == (6, 4, 2, 2)
    assert found.has_sessions
    assert [part.name for part in found.parts] == ["c1", "c2"]
    first, second, third = found.parts[0].documents
    assert first == Document("D1:1", "Ana: Hi!", session="1", event_at=datetime(2023, 5, 8, 13, 56, tzinfo=UTC))
    assert second.text == "Bo: Look [shares an image: x]"
    assert second.event_at == datetime(2023, 5, 8, 11, 56, tzinfo=UTC)
    assert third.event_at == datetime(2023, 5, 9, tzinfo=UTC)
    assert [(query.id, query.text, query.grades) for query in found.parts[1].queries] == [
        ("1", "Who?", {"D1:1": 1, "D2:1": 1}),
        ("3", "When?", {"D9:9": 1, "D1:2": 1}),
    ]


def beir(folder: Path, qrels: dict[str, str]) -> str:
    folder.mkdir()
    entries = [{"_id": "d1", "title": "T", "text": "line\u2028end", "metadata": {}}, {"_id": "d2", "text": "two"}]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "?"}\n\n{"_id": "q2", "text": "!"}')
    for name, text in qrels.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return str(folder)


def test_beir_folder_is_read_with_its_test_split(tmp_path: Path) -> None:
    header = "query-id\tcorpus-id\tscore\n"
    path = beir(
        tmp_path / "nf", {"qrels/test.tsv": header + "q1\td2\t2\r\nq1\td1\t0\n", "qrels/dev.tsv": "q2\td1\t1\n"}
    )
    found = load(path)
    assert (found.name, found.document_count, found.query_count, found.skipped) == ("nf", 2, 1, 1)
    assert found.parts[0].documents == (Document("d1", "line\u2028end", "T"), Document("d2", "two"))
    assert found.parts[0].queries[0].grades == {"d2": 2, "d1": 0}


@pytest.mark.parametrize("name", ["qrels.tsv", "qrels/dev.tsv"])
def test_beir_folder_with_one_file_of_grades(name: str, tmp_path: Path) -> None:
    found = load(beir(tmp_path / "nf", {name: "q2\td1\t1"}))
    assert [query.id for query in found.parts[0].queries] == ["q2"]


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ({}, "0 files of grades"),
        ({"qrels/dev.tsv": "", "qrels/train.tsv": ""}, "2 files of grades"),
        ({"qrels.tsv": "q1\td1\t1\nq1 d1 1\n"}, r"qrels\.tsv:2: .* by tabs"),
        ({"qrels.tsv": "q1\td1\t1\nq1\td1\thigh\n"}, r"qrels\.tsv:2: .* by tabs"),
        ({"qrels.tsv": "q1\td1\t1\nq1\td1\tnan\n"}, r"qrels\.tsv:2: .* by tabs"),
        ({"qrels.tsv": "q1\td1\t0\n"}, "no query has a relevant document"),
    ],
)
def test_bad_grades_are_refused(qrels: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        load(beir(tmp_path / "nf", qrels))


def test_bad_lines_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = beir(tmp_path / "nf", {"qrels.tsv": "q1\td1\t1"})
    (tmp_path / "nf/queries.jsonl").write_text('{"_id": "q1", "text": "?"}\n{"id": "q2"}')
    with pytest.raises(InvalidInput, match=r"queries\.jsonl:2: _id: Field required; accepted: a JSON object"):
        load(path)
    (tmp_path / "nf/queries.jsonl").unlink()
    with pytest.raises(InvalidInput, match=r"there is no .*queries\.jsonl"):
        load(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"docs": {}, "queries": {}}, "qrels: Field required; accepted: an object"),
        ({**PLAIN, "docs": {"1": {"title": "no text"}}}, "docs.1"),
        ({**PLAIN, "qrels": {"q1": {"1": "high"}}}, "qrels.q1.1"),
        ({**PLAIN, "qrels": {}}, "no query has a relevant document"),
        ([], "no query has a relevant document"),
        ([{"sample_id": "c"}], "0.turns: Field required; accepted: a list of LoCoMo conversations"),
        ([conversation("c"), conversation("c")], "two conversations have the same sample_id"),
        ([conversation("c", turns=[*conversation("c")["turns"]] * 2)], "two documents of part 'c' have the same id"),
        ([conversation("c", turns=[conversation("c")["turns"][0] | {"at": "noon"}])], "'noon'; accepted"),
        ("text", "accepted: an object"),
    ],
)
def test_bad_json_is_refused(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        load(write(tmp_path / "bad.json", value))


def test_broken_and_missing_files_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_bytes(b'{"docs": \xff')
    with pytest.raises(InvalidInput, match="Invalid JSON"):
        load(str(broken))
    with pytest.raises(InvalidInput, match="there is no file or folder"):
        load(str(tmp_path / "missing.json"))


def test_sample_keeps_documents_and_draws_queries_by_seed(tmp_path: Path) -> None:
    plain = {
        "docs": {"d": "x"},
        "queries": {str(n): "?" for n in range(50)},
        "qrels": {str(n): {"d": 1} for n in range(50)},
    }
    everything = load(write(tmp_path / "many.json", plain))

    def drawn(limit: int, seed: int) -> list[str]:
        found: RetrievalSet = sample(everything, limit, seed)
        assert found.parts[0].documents == everything.parts[0].documents
        return [query.id for query in found.parts[0].queries]

    assert len(drawn(10, 1)) == 10
    assert drawn(10, 1) == drawn(10, 1) != drawn(10, 2)
    assert drawn(50, 1) == [str(n) for n in range(50)]


@pytest.mark.parametrize(
    ("name", "documents", "queries"),
    [("cranfield", 1400, 225), ("xquad.zh", 240, 1190), ("locomo-dev", 1451, 383)],
)
def test_shared_sets_are_read_whole(name: str, documents: int, queries: int) -> None:
    path = Path(__file__).resolve().parents[3] / "shared" / "corpora" / f"{name}.json"
    if not path.exists():
        pytest.skip("the shared corpora are not here")
    found = load(str(path))
    assert (found.document_count, found.query_count, found.unknown) == (documents, queries, 0)
