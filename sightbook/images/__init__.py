"""Pictures in: sources become one stream of entries, entries become framed RGB pictures.

Data flow: `open_sources` → a `Source` of a kind of `kinds/` → `Entry` (key, size, time, label) → `load` (read, hash,
decode, frame, in several processes) → `Loaded` or `Failed`, in order. Nothing here knows of models or codes, and
nothing here prints.
"""
