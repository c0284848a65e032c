"""The fast exact search: the oracle's answer, to the bit, thousands of times faster. This is its door.

`Engine` searches all of a code, `Staged` its first bits and then all of the best; both are built from packed codes and
never change. They, and `codes.fine.Fine` over either, look alike to whoever asks: each is an `Index`. Behind the door:
copies of the codes as faiss wants them (stored), what is left out of a search and why that is safe (sieve, prefixes,
groups), a choice of rows (filtered). The plain way, which says what is right, is `sightbook.codes.oracle`.
"""

from sightbook.codes.engine.engine import QUERIES as QUERIES
from sightbook.codes.engine.engine import Engine as Engine
from sightbook.codes.engine.index import Among as Among
from sightbook.codes.engine.index import Index as Index
from sightbook.codes.engine.index import Ranking as Ranking
from sightbook.codes.engine.staged import Staged as Staged
