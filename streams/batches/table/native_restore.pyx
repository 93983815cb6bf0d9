# cython: language_level=3, boundscheck=False, wraparound=False
"""Changelog records into a write to the store, in C: `put_records` of `changelog.py`, and a test compares both."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from connectors.kafka.native_runs cimport RawMessage, Run


cdef bytes _blob(const char* value, Py_ssize_t value_size, const char* hidden, Py_ssize_t hidden_size):
    """Return the row as the store keeps it (`encode_blob` of `rows.py`); None where there is none."""
    cdef bytes blob
    cdef char* at
    if value is NULL and hidden_size == 0:
        return None
    blob = PyBytes_FromStringAndSize(NULL, 5 + hidden_size + value_size)
    at = PyBytes_AS_STRING(blob)
    at[0] = value is not NULL
    at[1] = <char>(hidden_size >> 24 & 0xFF)
    at[2] = <char>(hidden_size >> 16 & 0xFF)
    at[3] = <char>(hidden_size >> 8 & 0xFF)
    at[4] = <char>(hidden_size & 0xFF)
    memcpy(at + 5, hidden, hidden_size)
    if value_size:
        memcpy(at + 5 + hidden_size, value, value_size)
    return blob


cdef bytes _public_blob(object value, object headers, str state_header):
    cdef bytes hidden = b"", content
    cdef object found
    cdef tuple header
    if headers is not None:
        for header in <list>headers:
            if <str>header[0] == state_header:
                found = header[1]
                hidden = b"" if found is None else found
    if value is None:
        return _blob(NULL, 0, PyBytes_AS_STRING(hidden), PyBytes_GET_SIZE(hidden))
    content = value
    return _blob(
        PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content), PyBytes_AS_STRING(hidden), PyBytes_GET_SIZE(hidden)
    )


cdef _put_run(object put, object delete, Run run, Py_ssize_t start, Py_ssize_t stop, str state_header):
    """The same from librdkafka's own records, without an object for each."""
    cdef Py_ssize_t number
    cdef RawMessage* message
    cdef object key, blob
    cdef bytes name = None if state_header is None else state_header.encode()
    cdef const char* wanted = NULL if state_header is None else PyBytes_AS_STRING(name)
    cdef const char* hidden
    cdef size_t hidden_size
    if not 0 <= start <= stop <= run.count:
        raise IndexError("the records are no longer there")
    for number in range(start, stop):
        message = run.messages[number]
        if wanted is not NULL:
            hidden, hidden_size = b"", 0
            if run.last_header(message, wanted, &hidden, &hidden_size) == 0 or hidden is NULL:
                hidden, hidden_size = b"", 0
            blob = _blob(<const char*>message.payload, message.size, hidden, hidden_size)
        elif message.payload is NULL:
            blob = None
        else:
            blob = PyBytes_FromStringAndSize(<const char*>message.payload, message.size)
        key = None if message.key is NULL else PyBytes_FromStringAndSize(<const char*>message.key, message.key_size)
        if blob is None:
            delete(key)
        else:
            put(key, blob)


def put_records(object put, object delete, object records, Py_ssize_t start, Py_ssize_t stop, str state_header):
    """Put the rows of `records[start:stop]`; `state_header` None: of a private changelog."""
    cdef Py_ssize_t number
    cdef object record, blob
    cdef list messages
    if isinstance(records, Run):
        _put_run(put, delete, records, start, stop, state_header)
        return
    messages = records
    for number in range(start, stop):
        record = messages[number]
        blob = record.value()
        if state_header is not None:
            blob = _public_blob(blob, record.headers(), state_header)
        if blob is None:
            delete(record.key())
        else:
            put(record.key(), blob)
