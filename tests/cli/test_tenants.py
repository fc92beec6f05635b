"""tenant list, rename and drop."""

from tests.cli.running import SCHEME, Program


def test_tenants_are_listed_renamed_and_dropped(filled: Program) -> None:
    filled("--tenant", "acme", "init", "--scheme", SCHEME)
    assert filled("tenant", "list").text == "acme\ndefault\n"
    assert filled("tenant", "list", "--json").document == {"items": ["acme", "default"], "next_cursor": None}
    assert filled("tenant", "rename", "default", "archive").text == "renamed default to archive\n"
    assert filled("tenant", "rename", "acme", "other", "--json").document == {"tenant": "other", "former": "acme"}
    assert len(filled("--tenant", "archive", "ls", "-q").text.split()) == 4
    assert filled("tenant", "rename", "other", "archive", "--json", code=7).error["kind"] == "already_exists"
    filled("tenant", "rename", "none", "some", code=3)


def test_drop_shows_its_plan_first(filled: Program) -> None:
    plan = filled("tenant", "drop", "default")
    assert plan.text.startswith("would drop tenant default: 4 memories, ")
    assert plan.notes == "nothing was changed; add --yes to drop it, which cannot be undone\n"
    assert len(filled("ls", "-q").text.split()) == 4
    assert filled("tenant", "drop", "default", "--yes", "--json").document["applied"] is True
    filled("ls", code=3)
