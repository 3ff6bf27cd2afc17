"""The kinds of jobs; their subjects are a document and a website's source."""

INGEST = "ingest"
SYNC = "sync"
