# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""The mapped fields of a profile in C: by the rules of `reference`, in a third of the memory and a fifth of the time.

A profile in Python is some hundred small objects, and folding an event waits for memory more than it computes. Here it
is one block with a place for each field, and further blocks for what has several entries. A set of one text, as most
are, is kept in the field's own place. Texts are Python's, shared between profiles.

Whoever changes a rule here changes it in `reference`: tests compare the bytes of both, and what both refuse.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyObject_Hash
from libc.string cimport memcmp, memset

from streams.mapping.fields.entries cimport *
from schemas.json_text cimport *

import orjson

from streams.mapping.dates import rfc3339
from streams.mapping.fields.layout import FoldMode
from streams.mapping.fields.layout import FieldsError, check_stored
from streams.mapping.kinds import FieldKind

include "native_parts.pxi"
include "native_load.pxi"


@cython.final
@cython.no_gc
cdef class Fields:
    """The mapped fields of one profile."""

    cdef Shape shape
    cdef Field* fields
    cdef public bint changed

    def __cinit__(self, Shape shape not None, public=None, hidden=None):
        """`public` and `hidden`: as `public()` and `hidden()` returned them once. Raises FieldsError for others."""
        self.shape = shape
        self.fields = <Field*>PyMem_Malloc(max(1, shape.count) * sizeof(Field))
        if self.fields == NULL:
            raise MemoryError
        memset(self.fields, 0, shape.count * sizeof(Field))
        if (public is not None or hidden is not None) and not self._load(public, hidden):
            check_stored(shape.layout, shape.slots, public, hidden)  # raises, with the reason
            raise FieldsError("the stored parts are not what these fields write")

    def __dealloc__(self):
        cdef int number, at
        cdef Field* field
        cdef How how
        if self.fields == NULL:
            return
        for number in range(self.shape.count):
            field = &self.fields[number]
            how = self.shape.specs[number].how
            if how == SET:
                for at in range(field.size):
                    Py_DECREF(<object><PyObject*>pairs(field)[at].what)
            elif how == MAP or how == SUMS:
                remove_entries(field, 0, field.size, how)
            if field.room:
                PyMem_Free(field.items)
            elif field.items != NULL:
                Py_DECREF(<object>field.items)
        PyMem_Free(self.fields)

    def __bool__(self):
        cdef int number
        for number in range(self.shape.count):
            if self.fields[number].size:
                return True
        return False

    def __eq__(self, other):
        if not isinstance(other, Fields):
            return NotImplemented
        return (self.public_json(), self.hidden_json()) == (other.public_json(), other.hidden_json())

    cdef int _load(self, object public, object hidden) except -1:
        """Read stored parts into empty fields; 0 where `check_stored` would refuse them."""
        cdef int number = -1
        cdef Spec* spec
        if public is None or (type(public) is dict and not public):
            return hidden is None or (type(hidden) is list and hidden == [None] * self.shape.slots)
        if type(public) is not dict or type(hidden) is not list or len(<list>hidden) != self.shape.slots:
            return 0
        for name, shown in (<dict>public).items():
            if type(name) is not str:
                return 0
            while True:
                number += 1
                if number >= self.shape.count:
                    return 0
                if compare_texts(name, self.shape.names[number]) == 0:
                    break
                spec = &self.shape.specs[number]
                if spec.slot >= 0 and (<list>hidden)[spec.slot] is not None:
                    return 0
            spec = &self.shape.specs[number]
            if not load_field(&self.fields[number], spec, shown, (<list>hidden)[spec.slot] if spec.slot >= 0 else None):
                return 0
        for number in range(number + 1, self.shape.count):
            spec = &self.shape.specs[number]
            if spec.slot >= 0 and (<list>hidden)[spec.slot] is not None:
                return 0
        return 1

    cdef inline Field* _field(self, int number, How how) except NULL:
        if not 0 <= number < self.shape.count or self.shape.specs[number].how != how:
            raise IndexError(f"field {number} is not folded like that")
        return &self.fields[number]

    def public(self):
        """Return what readers see, fields in the layout's order. A copy."""
        return orjson.loads(self.public_json() or b"{}")

    def hidden(self):
        """Return what folding needs besides. A copy."""
        return orjson.loads(self.hidden_json())

    def has(self, int number):
        """Whether the field has a value."""
        if not 0 <= number < self.shape.count:
            raise IndexError(f"there is no field {number}")
        return self.fields[number].size != 0

    def identify(self, int number, str text not None):
        """Set a field that follows from the profile's key."""
        cdef Field* field = self._field(number, KEY)
        if not field.size or <object>field.items != text:
            set_value(field, text)
            self.changed = True

    def latest(self, int number, value, int64_t ms, int64_t arrival):
        """Keep the value of the latest message."""
        cdef Field* field = self._field(number, LATEST)
        if not field.size or ms > field.a or (ms == field.a and arrival > field.b):
            set_value(field, value)
            field.a, field.b = ms, arrival
            self.changed = True

    def latest_text(self, int number, value, int64_t ms, int64_t arrival):
        """As `latest`, for a text that is not empty; False when it is no text at all."""
        if type(value) is not str:
            return False
        cdef Field* field = self._field(number, LATEST)
        if value and (not field.size or ms > field.a or (ms == field.a and arrival > field.b)):
            set_value(field, shared(value))
            field.a, field.b = ms, arrival
            self.changed = True
        return True

    def add(self, int number, int64_t by=1):
        """Add to a count."""
        cdef Field* field = self._field(number, ADD)
        field.a, field.size = bounded(field.a, by), 1
        self.changed = True

    def extreme(self, int number, value):
        """Keep the smallest or the largest value; a date's is in milliseconds."""
        cdef bint smallest = 0 <= number < self.shape.count and self.shape.specs[number].how == SMALLEST
        cdef Field* field = self._field(number, SMALLEST if smallest else LARGEST)
        cdef Spec* spec = &self.shape.specs[number]
        cdef int64_t whole
        if spec.any_number:
            if field.size and not (value < <object>field.items if smallest else value > <object>field.items):
                return
            set_value(field, value)
        else:
            whole = value
            if field.size and not (whole < field.a if smallest else whole > field.a):
                return
            field.a, field.size = whole, 1
        self.changed = True

    def insert(self, int number, text, int64_t ms):
        """Add a text that is not empty to a set; False when it is no text at all."""
        if type(text) is not str:
            return False
        cdef Field* field = self._field(number, SET)
        cdef Spec* spec = &self.shape.specs[number]
        cdef Pair* entries = pairs(field)
        cdef int low = 0, high = field.size, middle, order
        if not text:
            return True
        while low < high:
            middle = (low + high) // 2
            order = compare_texts(<object><PyObject*>entries[middle].what, text)
            if order < 0:
                low = middle + 1
            elif order > 0:
                high = middle
            elif ms <= entries[middle].n:
                return True
            else:
                entries[middle].n = ms
                break
        else:
            insert_text(field, low, shared(text), ms)
        self.changed = True
        if field.size > spec.capacity or spec.keep:
            trim_set(field, spec)
        return True

    def put(self, int number, str key not None, str text not None, int64_t ms, int64_t arrival):
        """Set a key of a map, unless a later message has set it."""
        cdef Field* field = self._field(number, MAP)
        cdef Entry* entries = <Entry*>field.items
        cdef int at = field.size - 1
        while at >= 0 and compare_texts(<object>entries[at].key, key):
            at -= 1
        if at >= 0:
            if ms < entries[at].ms or (ms == entries[at].ms and arrival <= entries[at].n):
                return
            remove_entries(field, at, 1, MAP)
        at = field.size
        while at and is_before(ms, arrival, key, &entries[at - 1], MAP):
            at -= 1
        insert_mapped(field, at, shared(key), shared(text), ms, arrival)
        self.changed = True
        trim_map(field, &self.shape.specs[number])

    def bump(self, int number, key, int64_t ms, int64_t by=1):
        """Add to a key, not empty, of a map of sums; False when it is no text at all."""
        if type(key) is not str:
            return False
        cdef Field* field = self._field(number, SUMS)
        cdef Entry* entries = <Entry*>field.items
        cdef int64_t hashed = PyObject_Hash(key), total = by
        cdef int at = field.size - 1
        if not key:
            return True
        self.changed = True
        while at >= 0 and (entries[at].more != hashed or compare_texts(<object>entries[at].key, key)):
            at -= 1
        if at >= 0:
            total = bounded(entries[at].n, by)
            if ms <= entries[at].ms:
                entries[at].n = total
                return True
            remove_entries(field, at, 1, SUMS)
        at = field.size
        while at and is_before(ms, 0, key, &entries[at - 1], SUMS):
            at -= 1
        insert_sum(field, at, shared(key), hashed, ms, total)
        trim_map(field, &self.shape.specs[number])
        return True

    def add_to_bucket(self, int number, int64_t key, int64_t by=1):
        """Add to a key of a map that has few possible keys: it needs no times, and is kept in the order of its keys."""
        cdef Field* field = self._field(number, BUCKETS)
        cdef Pair* entries = pairs(field)
        cdef int at = field.size
        while at and entries[at - 1].what > key:
            at -= 1
        if at and entries[at - 1].what == key:
            entries[at - 1].n = bounded(entries[at - 1].n, by)
        else:
            insert_pair(field, at, key, by)
        self.changed = True

    def public_json(self):
        """Return what readers see as JSON; None where there is nothing."""
        cdef Buffer to = taken()
        cdef int number, shown = 0
        try:
            put_char(&to, 123)
            for number in range(self.shape.count):
                if self.fields[number].size:
                    if shown:
                        put_char(&to, 44)
                    shown += 1
                    label = <bytes>self.shape.labels[number]
                    put_raw(&to, PyBytes_AS_STRING(label), PyBytes_GET_SIZE(label))
                    put_public(&to, &self.fields[number], &self.shape.specs[number])
            put_char(&to, 125)
            return PyBytes_FromStringAndSize(to.data, to.size) if shown else None
        finally:
            give_back(&to)

    def hidden_json(self):
        """Return what folding needs besides as JSON."""
        cdef Buffer to = taken()
        cdef int number, slot = 0
        try:
            put_char(&to, 91)
            for number in range(self.shape.count):
                if self.shape.specs[number].slot >= 0:
                    if slot:
                        put_char(&to, 44)
                    slot += 1
                    put_hidden(&to, &self.fields[number], &self.shape.specs[number])
            put_char(&to, 93)
            return PyBytes_FromStringAndSize(to.data, to.size)
        finally:
            give_back(&to)
