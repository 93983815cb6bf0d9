# What the native translations of report rows, subscribers and webhook events share: a row's texts, and parts of a
# record's JSON. The names of a row's members are Campaign Monitor's.

cdef str FIELDS = "CustomFields", KEY = "Key", VALUE = "Value"


class _UnusualRow(Exception):
    """Not for here."""


cdef inline object value_of(dict row, str name):
    """Return a value of a row, None when it is absent."""
    cdef PyObject* found = PyDict_GetItem(row, name)
    return <object>found if found != NULL else None


cdef inline str text_of(dict row, str name):
    """Return a text, empty when it is absent or null."""
    cdef object found = value_of(row, name)
    if found is None:
        return ""
    if type(found) is not str:
        raise _UnusualRow
    return <str>found


cdef inline int put_value(Buffer* to, object value) except -1:
    """Write any JSON value."""
    if type(value) is str:
        return put_text(to, value)
    if value is None:
        return put_raw(to, b"null", 4)
    return put_bytes(to, dumps(value))


cdef inline int put_hex(Buffer* to, bytes digest) except -1:
    cdef const uint8_t* data = <const uint8_t*><const char*>digest
    cdef Py_ssize_t at
    reserve(to, 32)
    for at in range(16):
        put_char(to, b"0123456789abcdef"[data[at] >> 4])
        put_char(to, b"0123456789abcdef"[data[at] & 15])
    return 0


cdef class _Writer:
    """A buffer that is given back also when a row is refused."""

    cdef Buffer base
    cdef Buffer value

    def __cinit__(self):
        self.base = Buffer(NULL, 0, 0)
        self.value = Buffer(NULL, 0, 0)

    def __dealloc__(self):
        PyMem_Free(self.base.data)
        PyMem_Free(self.value.data)


cdef int put_fields(Buffer* to, dict row) except -1:
    """Write `custom_fields` of a row."""
    cdef object entries = value_of(row, FIELDS), entry, key, value
    cdef const char* data
    cdef Py_ssize_t size
    cdef bint more = False
    if entries is None:
        return put_raw(to, b"[]", 2)
    if type(entries) is not list:
        raise _UnusualRow
    put_char(to, 91)
    for entry in <list>entries:
        if type(entry) is not dict:
            raise _UnusualRow
        key, value = value_of(<dict>entry, KEY), value_of(<dict>entry, VALUE)
        if type(key) is not str or type(value) is not str or not PyUnicode_IS_COMPACT_ASCII(key):
            raise _UnusualRow
        data, size = <const char*>PyUnicode_DATA(key), PyUnicode_GET_LENGTH(key)
        while size and (data[0] == 91 or data[0] == 93):
            data, size = data + 1, size - 1
        while size and (data[size - 1] == 91 or data[size - 1] == 93):
            size -= 1
        if not is_plain(data, size):
            raise _UnusualRow
        if more:
            put_char(to, 44)
        put_raw(to, b'{"key":"', 8)
        put_raw(to, data, size)
        put_raw(to, b'","value":', 10)
        put_text(to, value)
        put_char(to, 125)
        more = True
    return put_char(to, 93)
