# cython: language_level=3, boundscheck=False, wraparound=False
"""Receipts of people of the common kind in C: `receipts_of` of `flat_calls.py`, byte by byte; a test compares both."""

from cpython.mem cimport PyMem_Free
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t

from schemas.json_text cimport *

from orjson import dumps

from streams.batches import Output
from streams.export.rules.flat_import import outcome_of_change

cdef object _new = tuple.__new__


cdef class _Writer:
    """Buffers that are freed also when something raises."""

    cdef Buffer head, value

    def __cinit__(self):
        self.head = self.value = Buffer(NULL, 0, 0)

    def __dealloc__(self):
        PyMem_Free(self.head.data)
        PyMem_Free(self.value.data)


def receipts(object context, str job, str list_id, list people, object added_known, object added_unknown, int64_t source,
             str at, int64_t accepted, Py_ssize_t longest):
    """Return (id, record) of each receipt. `added_known`: whether people who were known to be on the list were added."""
    cdef _Writer writer = _Writer()
    cdef Buffer* head = &writer.head
    cdef Buffer* value = &writer.value
    cdef str topic = context.topic, event_id, message, source_topic = context.source_topic
    cdef object partition = context.partition, outcome, options, last_options = None, known = None, had = None
    cdef object item, enters, last_enters = None
    cdef tuple person, answer
    cdef int64_t position, latency
    cdef list found = []
    cdef bytes before = f"{source_topic}@{source:x}/{partition}/".encode(), after = b"/" + job.encode()
    cdef bytes texts = b"", result = b"", more = b"", end
    cdef bint is_short = before.isascii() and after.isascii() and len(before) + len(after) + 20 <= longest
    cdef bytes middle = b',"at":%b,"job_id":%b,"list_id":%b,"email":' % (dumps(at), dumps(job), dumps(list_id))
    end = b',"source":{"topic":%b,"partition":%d,"offset":' % (dumps(source_topic), partition)
    for item in people:
        person = <tuple>item
        options = person[6]
        if options is not last_options:
            texts, last_options = dumps(options), options
        for answer in <list>person[5]:
            position, latency, enters = answer[0], accepted - <int64_t>answer[1], answer[2]
            if is_short:
                head.size = 0
                put_bytes(head, before)
                put_int(head, position)
                put_bytes(head, after)
                event_id = PyUnicode_DecodeUTF8(head.data, head.size, NULL)
            else:
                event_id = context.event_id(job, position, source)
            if enters is not last_enters or person[3] is not known or person[4] is not had:
                last_enters, known, had = enters, person[3], person[4]
                added = added_known if known else added_unknown
                outcome, message = outcome_of_change(person, enters=enters, added=added)
                result = dumps(outcome.value)
                more = b"" if message is None else b',"message":' + dumps(message)
            value.size = 0
            put_raw(value, b'{"schema_version":1,"event_id":', 31)
            put_text(value, event_id)
            put_bytes(value, middle)
            put_text(value, (<bytes>person[0]).decode())
            put_raw(value, b',"audiences":', 13)
            put_bytes(value, texts)
            put_raw(value, b',"outcome":', 11)
            put_bytes(value, result)
            put_raw(value, b',"attempts":1,"latency_ms":', 27)
            put_int(value, max(latency, 0))
            put_bytes(value, end)
            put_int(value, position)
            put_raw(value, b"}", 1)
            put_bytes(value, more)
            put_raw(value, b"}", 1)
            found.append((event_id, _new(Output, (topic, person[0], taken_bytes(value), (), partition))))
    return found
