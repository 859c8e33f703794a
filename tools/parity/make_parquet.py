#!/usr/bin/env python3
"""Makes the Parquet files of tests/train/test_documents.c. Needs pyarrow.

    python3 tools/parity/make_parquet.py tests/train/parquet
"""

import sys

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 100


def text(i):  # as in the test; every seventh is missing in files with nulls
    return f"row {i}: é" + "." * (i % 50)


def write(folder, name, columns, **options):
    pq.write_table(pa.table(columns), f"{folder}/{name}.parquet", row_group_size=40, data_page_size=300, **options)


def main(folder):
    ids = pa.array(range(ROWS))
    texts = [text(i) for i in range(ROWS)]
    some = [None if i % 7 == 3 else t for i, t in enumerate(texts)]
    required = pa.table(
        {"id": ids, "text": texts},
        schema=pa.schema([pa.field("id", pa.int64()), pa.field("text", pa.string(), nullable=False)]),
    )
    pq.write_table(required, f"{folder}/plain.parquet", row_group_size=40, data_page_size=300, compression="none", use_dictionary=False)
    write(folder, "snappy", {"id": ids, "text": texts}, compression="snappy")
    write(folder, "zstd", {"text": some, "id": ids}, compression="zstd", use_dictionary=False, data_page_version="2.0")
    write(folder, "gzip", {"text": pa.array(some).cast(pa.large_string())}, compression="gzip")
    write(folder, "other", {"id": ids, "body": texts, "list": [[t] for t in texts]}, compression="snappy")


if __name__ == "__main__":
    main(sys.argv[1])
