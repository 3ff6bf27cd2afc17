"""The kinds of jobs; subjects are a document, a website's source, the tenant, and a document."""

INGEST = "ingest"
SYNC = "sync"
REEMBED = "reembed"
COMPARE = "compare"
