# cython: language_level=3, boundscheck=False, wraparound=False
"""Changelog records into a write to the store, in C: `put_records` of `changelog.py`, and a test compares both."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy


cdef bytes _public_blob(object value, object headers, str state_header):
    """Return the row as the store keeps it (`encode_blob` of `rows.py`); None where there is none."""
    cdef bytes hidden = b"", content, blob
    cdef object found
    cdef tuple header
    cdef Py_ssize_t hidden_size, value_size = 0
    cdef char* at
    if headers is not None:
        for header in <list>headers:
            if <str>header[0] == state_header:
                found = header[1]
                hidden = b"" if found is None else found
    hidden_size = PyBytes_GET_SIZE(hidden)
    if value is None:
        if hidden_size == 0:
            return None
    else:
        content = value
        value_size = PyBytes_GET_SIZE(content)
    blob = PyBytes_FromStringAndSize(NULL, 5 + hidden_size + value_size)
    at = PyBytes_AS_STRING(blob)
    at[0] = value is not None
    at[1] = <char>(hidden_size >> 24 & 0xFF)
    at[2] = <char>(hidden_size >> 16 & 0xFF)
    at[3] = <char>(hidden_size >> 8 & 0xFF)
    at[4] = <char>(hidden_size & 0xFF)
    memcpy(at + 5, PyBytes_AS_STRING(hidden), hidden_size)
    if value is not None:
        memcpy(at + 5 + hidden_size, PyBytes_AS_STRING(content), value_size)
    return blob


def put_records(object put, object delete, list records, Py_ssize_t start, Py_ssize_t stop, str state_header):
    """Put the rows of `records[start:stop]`; `state_header` None: of a private changelog."""
    cdef Py_ssize_t number
    cdef object record, blob
    for number in range(start, stop):
        record = records[number]
        blob = record.value()
        if state_header is not None:
            blob = _public_blob(blob, record.headers(), state_header)
        if blob is None:
            delete(record.key())
        else:
            put(record.key(), blob)
