"""What one would write without a service: tantivy, and all vectors as one matrix in memory."""

from pathlib import Path

import numpy as np
import tantivy

from .index_loader import Knowledge

_CANDIDATES = 40


class PlainIndex:
    """The passages of one tenant in this process; texts and lists are tantivy's, on disk."""

    def __init__(self, made: Knowledge, folder: Path) -> None:
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("text", stored=True, tokenizer_name="en_stem")
        builder.add_unsigned_field("slot", stored=True, indexed=True)
        self._folder = folder
        self._index = tantivy.Index(builder.build(), path=str(folder))
        writer = self._index.writer(heap_size=100_000_000, num_threads=1)
        for slot, text in enumerate(made.texts):
            document = tantivy.Document()
            document.add_text("text", text)
            document.add_unsigned("slot", slot)
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()
        self._vectors = made.vectors

    def search(self, query: str, vector: np.ndarray, count: int) -> list[tuple[int, str]]:
        """Slots and texts of the best by the even blend of both rankings' z-scores."""
        searcher = self._index.searcher()
        parsed, _ = self._index.parse_query_lenient(query, ["text"])
        hits = searcher.search(parsed, _CANDIDATES).hits
        documents = [searcher.doc(address) for _, address in hits]
        words = {int(d["slot"][0]): s for d, (s, _) in zip(documents, hits, strict=True)}
        cosines = self._vectors @ vector
        near = np.argpartition(-cosines, min(_CANDIDATES, len(cosines) - 1))[:_CANDIDATES]
        slots = np.array(list({*words, *(int(slot) for slot in near)}))
        lexical = np.array([words.get(int(slot), 0.0) for slot in slots])
        blend = _standardised(lexical) + _standardised(cosines[slots])
        best = [int(slot) for slot in slots[np.argsort(-blend)[:count]]]
        texts = {int(d["slot"][0]): str(d["text"][0]) for d in documents}
        for slot in best:
            if slot not in texts:
                texts[slot] = self._text(slot)
        return [(slot, texts[slot]) for slot in best]

    def bytes_a_chunk(self) -> list[str]:
        """Of lists with texts, of codes (none), of vectors, and of all."""
        count = len(self._vectors)
        lists = sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file())
        vectors = self._vectors.nbytes
        return [f"{lists / count:,.0f}", "0", f"{vectors / count:,.0f}",
                f"{(lists + vectors) / count:,.0f}"]  # fmt: skip

    def _text(self, slot: int) -> str:
        searcher = self._index.searcher()
        query = tantivy.Query.term_query(self._index.schema, "slot", slot)
        (hit,) = searcher.search(query, 1).hits
        return str(searcher.doc(hit[1])["text"][0])


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / (values.std() or 1.0)
