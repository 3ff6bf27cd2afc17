"""Finding passages: terms, BM25, fusion, relevance."""
