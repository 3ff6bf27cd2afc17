"""Tables as files."""

from collections.abc import Iterable, Sequence

from litestar import Response

from gateway.views.tables import to_csv


def csv_file(name: str, head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> Response[str]:
    """A CSV file that the browser saves."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(to_csv(head, rows), media_type="text/csv", headers=headers)
