"""What other tools read from the paths: pyarrow's and DuckDB's hive partitioning give the same values back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest

from kiromi.partition import Scheme

HIVE_DEFAULT = "__HIVE_DEFAULT_PARTITION__"
TEXTS: tuple[str | None, ...] = (
    *(
        "ana",
        "Ana",
        "a/b",
        "a\\b",
        "a=b=c",
        "100%",
        "%2F",
        "a:b",
        "*",
        "?",
        '"quoted"',
        "<tag>",
        "a|b",
        "..",
        ".",
        " a ",
    ),
    *(
        "a b",
        "a+b",
        "a&b;c#d",
        "[x]",
        "{x}",
        "$HOME",
        "~",
        "`",
        "it's",
        "a,b",
        "a@b",
        "_x",
        "007",
        "NULL",
        "true",
        "1e5",
    ),
    *(
        "line\nbreak",
        "\x00",
        "\x7f",
        "\x85",
        "é",
        "e\u0301",
        "\u0338",
        "<\u0301",
        "日本語",
        "\U0001f600",
        "\u2028",
        "\ufeffx",
    ),
    None,
)
SCHEME = Scheme.parse("user={user}/topic={topic:lower}/month={event_at:month}/n={n}")


@pytest.fixture(params=[False, True], ids=["", "fold_case"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[dict[str, object]]]:
    """Return a folder of Parquet files, each holding its row's number, and the partition values expected for it."""
    expected: list[dict[str, object]] = []
    for i, text in enumerate(TEXTS):
        event_at = datetime(2017, 11, 16, tzinfo=UTC) + timedelta(days=31 * i)
        values = {"user": text, "topic": TEXTS[-1 - i], "event_at": event_at, "n": Decimal(i).scaleb(-1)}
        partition = SCHEME.render(values, fold_case=request.param)
        expected.append({"i": i, **partition.values})
        folder = tmp_path / partition.path
        folder.mkdir(parents=True)
        pa.parquet.write_table(pa.table({"i": [i]}), folder / "x.parquet")
    return tmp_path, expected


def test_pyarrow_reads_the_values(tree: tuple[Path, list[dict[str, object]]]) -> None:
    root, expected = tree
    schema = pa.schema([(segment.name, pa.string()) for segment in SCHEME.segments])
    hive = pa.dataset.partitioning(schema, flavor="hive")
    rows = pa.dataset.dataset(str(root), format="parquet", partitioning=hive).to_table().to_pylist()
    assert sorted(rows, key=lambda row: row["i"]) == expected


def test_duckdb_reads_the_values(tree: tuple[Path, list[dict[str, object]]]) -> None:
    root, expected = tree
    with duckdb.connect() as connection:
        result = connection.execute(
            """SELECT i, user, topic, month, n
               FROM read_parquet(?, hive_partitioning = true, hive_types_autocast = false) ORDER BY i""",
            [f"{root}/**/*.parquet"],
        )
        columns = [column[0] for column in result.description or ()]
        rows = [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
    assert rows == expected


def test_duckdb_tells_the_default_from_its_text(tmp_path: Path) -> None:
    scheme = Scheme.parse("user={user}")
    for i, text in enumerate((None, HIVE_DEFAULT)):
        folder = tmp_path / scheme.render({"user": text}).path
        folder.mkdir()
        pa.parquet.write_table(pa.table({"i": [i]}), folder / "x.parquet")
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT user FROM read_parquet(?, hive_partitioning = true) ORDER BY i", [f"{tmp_path}/**/*.parquet"]
        ).fetchall()
    assert rows == [(None,), (HIVE_DEFAULT,)]
