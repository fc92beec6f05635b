"""The command: reads sets, measures, prints tables or JSON, and draws a plot if asked."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import cast

import kiromi
from kiromi.embed.base import Embedder
from kiromi.embed.specs import make
from kiromi.errors import InvalidInput, KiromiError
from tools.retrieval import report, run
from tools.retrieval.plot import check_target, write_plot
from tools.retrieval.sets import RetrievalSet, load, sample
from tools.retrieval.systems import MODES, Mode
from tools.retrieval.vectors import RememberingEmbedder

NO_EMBEDDER = "none"
_ABOUT = """\
Measure how well kiromi finds what it should, beside two plain baselines, on sets with known answers; no judge is asked.

SET is a path or NAME=PATH; a path is one of
  a JSON file   {docs: {id: text or {title, text}}, queries: {id: text}, qrels: {query id: {document id: grade}}}
  a JSON file   of LoCoMo conversations [{sample_id, turns, questions}]: each turn is a memory "speaker: text"; a
                question is searched within its conversation and should find its evidence turns
  a folder      as BEIR publishes them: corpus.jsonl, queries.jsonl, qrels/test.tsv (or the only qrels.tsv, qrels/*.tsv)

Systems: bm25 (tantivy with its default tokenizer, no stemming), dense (brute force over one vector for each whole
document), and kiromi's modes. All see the same text; where kiromi is given a title, the baselines find it before the
text. Figures are those of trec_eval: linear gains, log2 discount; a grade above 0 is relevant. Queries without a
relevant document are left out and counted."""
_EXAMPLE = """\
example:
  python -m tools.retrieval cranfield=c.json locomo=l.json --compare hybrid:text hybrid:vector --plot figures.svg"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the arguments ask for; return the exit code: 0, or 2 with one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        with ExitStack() as stack:
            embedder = None
            if options.embedder != NO_EMBEDDER:
                embedder = stack.enter_context(closing(RememberingEmbedder(make(options.embedder), options.cache)))
            _run(options, embedder)
    except (KiromiError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace, embedder: Embedder | None) -> None:
    # All that may be wrong with the arguments is found before anything is measured.
    modes = _modes(options.modes, is_embedded=embedder is not None)
    systems = run.system_names(modes, is_embedded=embedder is not None)
    pairs = [_pair(each, systems) for each in options.compare]
    sets = _sets(options.sets, options.limit_queries, options.seed)
    languages = _languages(options.language, [each.name for each in sets])
    if options.plot is not None:
        check_target(options.plot)
    results = []
    for each in sets:
        print(f"{each.name} ...", file=sys.stderr, flush=True)
        language = languages[each.name]
        results.append(
            run.measure(each, modes=modes, embedder=embedder, ks=options.k, language=language, seed=options.seed)
        )
    comparisons = [found for pair in pairs for found in run.compare(results, *pair, seed=options.seed)]
    about = {
        "kiromi": kiromi.__version__,
        "embedder": NO_EMBEDDER if embedder is None else embedder.id,
        "seed": options.seed,
    }
    if options.json:
        print(json.dumps(report.as_json(about, results, comparisons), indent=2))
    else:
        print(report.as_text(about, results, comparisons))
    if options.plot is not None:
        write_plot(options.plot, results)


def _sets(arguments: Sequence[str], limit: int | None, seed: int) -> list[RetrievalSet]:
    sets = [load(argument) for argument in arguments]
    names = [each.name for each in sets]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InvalidInput(f"two sets are called {min(twice)!r}: name them, as in NAME=PATH")
    return sets if limit is None else [sample(each, limit, seed) for each in sets]


def _modes(argument: str | None, *, is_embedded: bool) -> list[Mode]:
    """Return the modes asked for, each once; by default all that the embedder allows."""
    possible = MODES if is_embedded else MODES[:1]
    if argument is None:
        return list(possible)
    modes = list(dict.fromkeys(argument.split(",")))
    for mode in modes:
        if mode not in MODES:
            raise InvalidInput(f"--modes {argument}: {mode!r} is none; accepted: {', '.join(MODES)}")
        if mode not in possible:
            raise InvalidInput(f"--modes {argument}: {mode} needs an embedder, and --embedder is {NO_EMBEDDER}")
    return cast(list[Mode], modes)


def _pair(argument: str, systems: Sequence[str]) -> tuple[str, str]:
    better, _, worse = argument.partition(":")
    if better not in systems or worse not in systems:
        raise InvalidInput(f"--compare {argument}: accepted is ONE:OTHER, each one of {', '.join(systems)}")
    return better, worse


def _languages(arguments: Sequence[str], names: Sequence[str]) -> dict[str, str | None]:
    """Return the language of each set; None leaves it to detection."""
    languages: dict[str, str | None] = dict.fromkeys(names)
    for argument in sorted(arguments, key=lambda each: "=" in each):  # what is said of one set goes over the rest
        name, equals, language = argument.rpartition("=")
        if equals and name not in languages:
            raise InvalidInput(f"--language {argument}: no set is called {name!r}; accepted: {', '.join(names)}")
        languages |= dict.fromkeys([name] if equals else names, language)
    return languages


def _cuts(text: str) -> list[int]:
    return [_count(each) for each in text.split(",")]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.retrieval",
        description=_ABOUT,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sets", nargs="+", metavar="SET", help="a path, or NAME=PATH; see above")
    parser.add_argument("--modes", metavar="LIST", help=f"kiromi's modes, by commas (default: {','.join(MODES)})")
    parser.add_argument(
        "--embedder",
        default="minilm",
        metavar="SPEC",
        help=f"minilm, hash, or another that kiromi.open takes; {NO_EMBEDDER}: only text search (default: %(default)s)",
    )
    parser.add_argument(
        "--k", type=_cuts, default=[1, 5, 10, 20], metavar="LIST", help="where recall is taken (default: 1,5,10,20)"
    )
    parser.add_argument(
        "--language",
        action="append",
        default=[],
        metavar="[NAME=]TAG",
        help="language of the texts of all sets, or of one; may be repeated (default: left to kiromi's detection)",
    )
    parser.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="ONE:OTHER",
        help="how much better one system is than another: paired bootstrap over the queries of all sets together",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw recall@k and nDCG@10 into an .svg or .png file")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--limit-queries", type=_count, metavar="N", help="only so many queries of each set, by --seed")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is random (default: %(default)s)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep vectors there for later runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
