"""Reordering of chunks: added in any order, handed out in the order of their offsets."""


class Reorder:
    """Keeps chunks until all earlier ones were handed out. Each byte must be added exactly once.

    Args:
        start: The offset of the first byte that is handed out.

    Attributes:
        offset: All bytes before it were handed out.
        kept: Bytes that were added and not handed out.
    """

    def __init__(self, start: int) -> None:
        self.offset = start
        self.kept = 0
        self._chunks: dict[int, bytes] = {}  # by their offsets

    def add(self, offset: int, chunk: bytes) -> None:
        """Add a chunk, which is not empty. Neither it nor a part of it was added before."""
        assert offset >= self.offset
        assert offset not in self._chunks
        self._chunks[offset] = chunk
        self.kept += len(chunk)

    @property
    def has_next(self) -> bool:
        return self.offset in self._chunks

    def next_stop(self) -> int:
        """Where the next chunk ends. There must be one."""
        return self.offset + len(self._chunks[self.offset])

    def take(self) -> bytes:
        """Hand out the next chunk. There must be one."""
        chunk = self._chunks.pop(self.offset)
        self.offset += len(chunk)
        self.kept -= len(chunk)
        return chunk

    def clear(self) -> None:
        """Drop what was not handed out."""
        self._chunks.clear()
        self.kept = 0
