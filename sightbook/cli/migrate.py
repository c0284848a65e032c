"""`sightbook migrate`: another model for a library."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightbook.cli import completion
from sightbook.cli.options import Jobs, Json, LibraryFolder, Wait

if TYPE_CHECKING:
    from sightbook.learn.first import First
    from sightbook.progress import Listener


NewModel = Annotated[
    Path | None,
    typer.Option(metavar="NEW", autocompletion=completion.model, help="The model that makes the new codes."),
]
Learn = Annotated[
    bool,
    typer.Option(
        "--learn",
        help="Learn a new model from what the library holds now, over the built-in network, and take that.",
    ),
]


def migrate(
    library: LibraryFolder,
    *,
    model: NewModel = None,
    learn: Learn = False,
    jobs: Jobs = None,
    wait: Wait = 0,
    as_json: Json = False,
) -> None:
    """Give a library another model.

    Every picture or vector is read again from its source. Searches go on with the old codes meanwhile and find the new
    ones from the moment all are there; ids stay. A migration that was stopped goes on with the same command; with the
    library's own model it is called off.

    \b
    Examples:
      sightbook migrate library/ --learn
      sightbook migrate library/ --model better-model/
    """
    from sightbook.catalogue.lock import waiting
    from sightbook.cli.output import answer
    from sightbook.cli.show import showing, tell
    from sightbook.errors import ConfigError
    from sightbook.images.entry import noun
    from sightbook.ingest.migrate import migrate as change
    from sightbook.model.model import Model
    from sightbook.words import counted, verb

    if (model is None) is not learn:
        raise ConfigError("give either --model NEW or --learn")
    with showing() as listener, waiting(wait, tell(listener)), ExitStack() as stack:
        seen = None
        if model is None:
            found = stack.enter_context(_relearning(library, jobs, listener))
            assert found is not None  # there is a library
            model, seen = found.folder, found.seen
        new = Model.open(model)
        report = change(library, new, jobs=jobs, seen=seen, listener=listener)
    counts = ((report.missing, "missing"), (report.failed, "could not be read"))
    rest = "".join(f", {count:,} {word}" for count, word in counts if count)
    what, of = noun(new.takes_vectors), "a model learned from them" if learn else model
    encoded = f"{counted(report.encoded, what[:-1])} {verb(report.encoded, 'have')}"
    answer(report, f"{encoded} codes of {of} now{rest}; took {report.seconds:,.1f} s", as_json=as_json)


def _relearning(library: Path, jobs: int | None, listener: Listener) -> AbstractContextManager[First | None]:
    """A model of what the library holds, with codes as long as its own. LibraryError where it holds nothing."""
    from sightbook.catalogue.lock import writer_lock
    from sightbook.cli.first import learning
    from sightbook.errors import LibraryError
    from sightbook.library.library import Library

    held: dict[str, set[str]] = {}
    with Library.open(library) as opened:
        sources, bits = opened.status().sources, opened.facts.bits
        for rows in opened.rows(65_536):
            for _, source, path, *_ in rows:
                held.setdefault(source, set()).add(path)
    if not sources:
        raise LibraryError(f"{library} holds nothing to learn from: add some first")
    with writer_lock(library):
        pass  # who writes now is named before minutes are spent
    return learning(
        library,
        [source.root for source in sources],
        bits=bits if bits % 8 == 0 else 64,
        exclude={Path(source.root).resolve(): source.exclude for source in sources},
        # A source may be a folder of which a single picture was added.
        held={Path(source.root).resolve(): held.get(source.id, set()) for source in sources},
        jobs=jobs,
        listener=listener,
    )
