"""The kinds of jobs; their subjects are a document, a website's source and the tenant itself."""

INGEST = "ingest"
SYNC = "sync"
REEMBED = "reembed"
