"""What erasing a visitor or a tenant does to retrieval's tables; see `fleetkit.erasure`."""

from fleetdesk.retrieval.v1 import events_pb2
from fleetkit.erasure import Erasure, Table

ERASURE = Erasure(
    completed=events_pb2.ErasureCompleted,
    tables=(
        # Knowledge is the company's: nothing in it is about one visitor.
        Table("posting"),
        Table("chunk_vector"),
        Table("posting_block"),
        Table("length_block"),
        Table("code_block"),
        Table("chunk_embedding"),
        Table("chunk_tokens"),
        Table("conflict"),
        Table("conflict_dismissal"),
        Table("chunk"),
        Table("document"),
        Table("page"),
        Table("site"),
        Table("source"),
        Table("request"),
        Table("experiment"),
        Table("evaluation_question"),
        Table("evaluation"),
        Table("embedding_setting"),
        Table("index_stat"),
    ),
    has_blobs=True,
)
