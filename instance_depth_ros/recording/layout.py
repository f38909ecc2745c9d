"""How records lie in an MCAP file (https://mcap.dev/spec): the package mcap knows, and is asked for here alone."""

from __future__ import annotations

try:
    import zstandard
    from mcap import records
    from mcap.data_stream import ReadDataStream, RecordBuilder
    from mcap.opcode import Opcode
    from mcap.stream_reader import get_chunk_data_stream
    from mcap.writer import MCAP0_MAGIC as MAGIC
except ImportError as error:
    raise ImportError(f'bags need the package {error.name}: pip install "instance_depth_ros[replay]"') from None

__all__ = ["MAGIC", "Opcode", "ReadDataStream", "get_chunk_data_stream", "laid_out", "records", "zstandard"]


def laid_out(record: records.McapRecord) -> bytes:
    """The record as it stands in a file, with opcode and length."""
    builder = RecordBuilder()
    record.write(builder)
    return builder.end()
