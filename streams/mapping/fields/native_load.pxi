# Part of `native`: a field's two stored parts, checked while they are read. The rules are those of `stored`, which has
# the sentences for what is refused here.

from cpython.dict cimport PyDict_Next
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from libc.math cimport isfinite

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) noexcept


cdef inline bint take_int(object value, int64_t* into) noexcept:
    cdef int overflow = 0
    if not PyLong_CheckExact(value):
        return False
    into[0] = PyLong_AsLongLongAndOverflow(value, &overflow)
    return overflow == 0


cdef inline bint take_instant(object value, int64_t* into) noexcept:
    return take_int(value, into) and FIRST <= into[0] <= LAST


cdef inline bint take_stamp(object value, int64_t* ms, int64_t* arrival) noexcept:
    if type(value) is not list or len(<list>value) != 2:
        return False
    return take_instant((<list>value)[0], ms) and take_int((<list>value)[1], arrival)


cdef inline bint take_bucket(object text, int64_t* into) noexcept:
    """A whole number of 64 bits as Python spells it: no plus, no zeros before it."""
    cdef const char* data
    cdef Py_ssize_t size, at
    cdef uint64_t number = 0
    cdef bint minus
    if type(text) is not str or not PyUnicode_IS_COMPACT_ASCII(text):
        return False
    data, size = <const char*>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text)
    minus = size > 0 and data[0] == 45
    if not 0 < size - minus <= 19 or (data[<int>minus] == 48 and size > 1):
        return False
    for at in range(minus, size):
        if not 48 <= data[at] <= 57:
            return False
        number = number * 10 + <uint64_t>(data[at] - 48)
    if number > <uint64_t>INT64_MAX + minus:
        return False
    into[0] = <int64_t>(~number + 1 if minus else number)
    return True


cdef inline int is_number(object value) except -1:
    cdef int64_t whole
    if PyFloat_CheckExact(value):
        return isfinite(PyFloat_AS_DOUBLE(value))
    if not PyLong_CheckExact(value):
        return 0
    return take_int(value, &whole) or 0 <= value < 18446744073709551616


cdef inline int is_same_number(object one, object other) except -1:
    cdef double first, second
    if PyFloat_CheckExact(one) and PyFloat_CheckExact(other):
        first, second = PyFloat_AS_DOUBLE(one), PyFloat_AS_DOUBLE(other)
        return memcmp(&first, &second, sizeof(double)) == 0
    return PyLong_CheckExact(one) and PyLong_CheckExact(other) and one == other


cdef inline int is_date_of(object text, int64_t instant) except -1:
    cdef char data[32]
    cdef Buffer to
    to.data, to.size, to.room = &data[0], 0, 32  # never grows: a date has 26 characters with its quotes
    if type(text) is not str or not PyUnicode_IS_COMPACT_ASCII(text) or PyUnicode_GET_LENGTH(text) != 24:
        return 0
    put_date(&to, instant)
    return memcmp(data + 1, PyUnicode_DATA(text), 24) == 0


cdef int load_field(Field* field, Spec* spec, object shown, object known) except -1:
    """Read one field's stored parts; 0 for what fields have not written: see `stored`, whose rules these are.

    What was read before the fault stays in the field, which is freed with the others.
    """
    cdef int64_t number = 0
    if spec.how == KEY:
        return type(shown) is str and set_value(field, shown) == 0
    if spec.how == ADD:
        field.size = take_int(shown, &field.a)
        return field.size
    if spec.how == LATEST:
        if not take_stamp(known, &field.a, &field.b):
            return 0
        if spec.holds == TEXT:
            return type(shown) is str and set_value(field, shared(shown)) == 0
        if not (take_int(shown, &number) if spec.holds == WHOLE else is_number(shown)):
            return 0
        return set_value(field, shown) == 0
    if spec.how == SMALLEST or spec.how == LARGEST:
        if spec.any_number:
            return is_number(known) and is_same_number(shown, known) and set_value(field, known) == 0
        if spec.dated:
            field.size = take_instant(known, &field.a) and is_date_of(shown, field.a)
        else:
            field.size = take_int(shown, &number) and take_int(known, &field.a) and number == field.a
        return field.size
    if spec.how == SET:
        return load_set(field, spec, shown, known)
    if type(shown) is not dict or not shown:
        return 0
    return load_buckets(field, shown) if spec.how == BUCKETS else load_map(field, spec, shown, known)


cdef int load_set(Field* field, Spec* spec, object shown, object known) except -1:
    cdef int64_t ms = 0
    cdef int at
    if type(shown) is not list or type(known) is not list or len(<list>shown) != len(<list>known):
        return 0
    if not 0 < len(<list>shown) <= spec.capacity:
        return 0
    for at in range(<int>len(<list>shown)):
        text = (<list>shown)[at]
        if type(text) is not str or not take_instant((<list>known)[at], &ms):
            return 0
        if at and compare_texts(<object><PyObject*>pairs(field)[at - 1].what, text) >= 0 or not at and not text:
            return 0
        insert_text(field, at, shared(text), ms)
    return 1


cdef int load_buckets(Field* field, dict shown) except -1:
    cdef int64_t number = 0, total = 0
    for key, value in shown.items():
        if not take_bucket(key, &number) or not take_int(value, &total):
            return 0
        if field.size and pairs(field)[field.size - 1].what >= number:
            return 0
        insert_pair(field, field.size, number, total)
    return 1


cdef int load_map(Field* field, Spec* spec, dict shown, object known) except -1:
    cdef int64_t ms = 0, arrival = 0, total = 0
    cdef Py_ssize_t at = 0
    cdef PyObject* name
    cdef PyObject* time
    if type(known) is not dict or len(<dict>known) != len(shown) or len(shown) > spec.capacity:
        return 0
    for key, value in shown.items():
        if not PyDict_Next(<dict>known, &at, &name, &time) or type(key) is not str or type(<object>name) is not str:
            return 0
        if <PyObject*>key != name and compare_texts(key, <object>name):
            return 0
        if spec.how == MAP:
            if type(value) is not str or not take_stamp(<object>time, &ms, &arrival):
                return 0
        elif not key or not take_int(value, &total) or not take_instant(<object>time, &ms):
            return 0
        if field.size and is_before(ms, arrival, key, &(<Entry*>field.items)[field.size - 1], spec.how):
            return 0
        if spec.how == MAP:
            insert_mapped(field, field.size, shared(key), shared(value), ms, arrival)
        else:
            insert_sum(field, field.size, shared(key), PyObject_Hash(key), ms, total)
    return 1
