# What a field of several entries holds: the smallest structs that can, in one block; the only entry of a set is in the
# field's own place. References to texts are owned by the entries.

from cpython.mem cimport PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t
from libc.string cimport memmove

cdef extern from "Python.h":
    # Cannot fail for two texts, so that nobody need ask whether it did.
    int compare_texts "PyUnicode_Compare" (object one, object other) noexcept
    PyObject* set_default "PyDict_SetDefault" (object where, object key, object value) except NULL

cdef enum How:
    KEY, LATEST, ADD, SMALLEST, LARGEST, SET, MAP, SUMS, BUCKETS

cdef enum Holds:    # what one value of a field is in JSON
    TEXT, WHOLE, NUMBER

cdef struct Spec:
    How how
    Holds holds
    bint dated       # kept in milliseconds, shown as a date
    bint any_number  # of SMALLEST and LARGEST: kept as Python's number, a double or a whole one
    int slot
    int64_t capacity
    int64_t keep

cdef struct Pair:   # of a SET: text and time; of a BUCKETS: key and sum
    int64_t what
    int64_t n

cdef struct Entry:  # of a MAP: `more` is the text, `n` the arrival; of SUMS: the key's hash, and the sum
    PyObject* key
    int64_t more
    int64_t ms
    int64_t n

cdef struct Field:
    int64_t a       # LATEST: time; ADD: count; SMALLEST, LARGEST: value; with b the only Pair of a SET or BUCKETS
    int64_t b       # LATEST: arrival
    void* items     # Pairs or Entries; or the one value, where that is an object
    int size        # entries that are there; 1 for a value
    int room        # entries that there is memory for; 0 for a value and for an only Pair


cdef inline int64_t bounded(int64_t one, int64_t other) noexcept:
    if other > 0 and one > INT64_MAX - other:
        return INT64_MAX
    if other < 0 and one < INT64_MIN - other:
        return INT64_MIN
    return one + other


cdef inline Pair* pairs(Field* field) noexcept:
    return <Pair*>field.items if field.room else <Pair*>&field.a


cdef inline int set_value(Field* field, object value) except -1:
    cdef PyObject* old = <PyObject*>field.items
    Py_INCREF(value)
    field.items, field.size = <void*>value, 1
    Py_XDECREF(old)
    return 0


cdef inline int grow(Field* field, size_t entry_size) except -1:
    cdef int room = field.room * 2 if field.room else 4
    cdef void* items = PyMem_Realloc(field.items, room * entry_size)
    if items == NULL:
        raise MemoryError
    field.items, field.room = items, room
    return 0


cdef inline int insert_pair(Field* field, int at, int64_t what, int64_t n) except -1:
    cdef Pair* entries
    if field.size and field.size >= field.room:
        grow(field, sizeof(Pair))
        if field.size == 1:
            (<Pair*>field.items)[0] = (<Pair*>&field.a)[0]
    entries = pairs(field)
    memmove(&entries[at + 1], &entries[at], (field.size - at) * sizeof(Pair))
    entries[at].what, entries[at].n = what, n
    field.size += 1
    return 0


cdef inline int insert_text(Field* field, int at, object text, int64_t ms) except -1:
    insert_pair(field, at, <int64_t><PyObject*>text, ms)
    Py_INCREF(text)
    return 0


cdef inline int insert_sum(Field* field, int at, object key, int64_t hashed, int64_t ms, int64_t n) except -1:
    cdef Entry* entry
    if field.size >= field.room:
        grow(field, sizeof(Entry))
    entry = &(<Entry*>field.items)[at]
    memmove(entry + 1, entry, (field.size - at) * sizeof(Entry))
    entry.key, entry.more, entry.ms, entry.n = <PyObject*>key, hashed, ms, n
    Py_INCREF(key)
    field.size += 1
    return 0


cdef inline int insert_mapped(Field* field, int at, object key, object text, int64_t ms, int64_t n) except -1:
    insert_sum(field, at, key, <int64_t><PyObject*>text, ms, n)
    Py_INCREF(text)
    return 0


cdef inline int release(Entry* entry, How how) except -1:
    Py_DECREF(<object>entry.key)
    if how == MAP:
        Py_DECREF(<object><PyObject*>entry.more)
    return 0


cdef inline int remove_entries(Field* field, int at, int count, How how) except -1:
    cdef Entry* entries = <Entry*>field.items
    cdef int index
    for index in range(at, at + count):
        release(&entries[index], how)
    memmove(&entries[at], &entries[at + count], (field.size - at - count) * sizeof(Entry))
    field.size -= count
    return 0


cdef inline bint is_before(int64_t ms, int64_t arrival, object key, Entry* entry, How how) noexcept:
    if ms != entry.ms:
        return ms < entry.ms
    if how == MAP and arrival != entry.n:
        return arrival < entry.n
    return compare_texts(key, <object>entry.key) < 0


cdef inline int trim_set(Field* field, Spec* spec) except -1:
    cdef Pair* entries = pairs(field)
    cdef int at, oldest, kept = 0
    cdef int64_t newest
    while field.size > spec.capacity:
        oldest = 0
        for at in range(1, field.size):  # in the texts' order, so that of equal times the smaller text is evicted
            if entries[at].n < entries[oldest].n:
                oldest = at
        Py_DECREF(<object><PyObject*>entries[oldest].what)
        memmove(&entries[oldest], &entries[oldest + 1], (field.size - oldest - 1) * sizeof(Pair))
        field.size -= 1
    if spec.keep:
        newest = entries[0].n
        for at in range(1, field.size):
            newest = max(newest, entries[at].n)
        for at in range(field.size):
            if entries[at].n >= newest - spec.keep:
                entries[kept] = entries[at]
                kept += 1
            else:
                Py_DECREF(<object><PyObject*>entries[at].what)
        field.size = kept
    return 0


cdef inline int trim_map(Field* field, Spec* spec) except -1:
    cdef Entry* entries = <Entry*>field.items
    cdef int evicted = 0
    cdef int64_t newest
    if field.size <= spec.capacity and not spec.keep:
        return 0
    newest = entries[field.size - 1].ms
    while field.size - evicted > spec.capacity or (spec.keep and entries[evicted].ms < newest - spec.keep):
        evicted += 1
    if evicted:
        remove_entries(field, 0, evicted, spec.how)
    return 0
