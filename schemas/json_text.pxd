# JSON as orjson writes it, into a buffer that grows. Texts of a profile are short and nearly always without anything to
# escape: eight bytes are looked at in one go.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef struct Buffer:
    char* data
    Py_ssize_t size
    Py_ssize_t room

cdef extern from *:
    """
    #define ONES 0x0101010101010101ULL
    #define HIGHS 0x8080808080808080ULL
    /* The memory of the last buffer, for the next one; NULL while somebody writes. */
    static char* spare = NULL;
    static Py_ssize_t spare_room = 0;
    """
    const uint64_t ONES, HIGHS
    char* spare
    Py_ssize_t spare_room


cdef inline Buffer taken() noexcept:
    global spare
    cdef Buffer buffer = Buffer(spare, 0, spare_room if spare != NULL else 0)
    spare = NULL
    return buffer


cdef inline int give_back(Buffer* buffer) except -1:
    global spare, spare_room
    if spare != NULL or buffer.room > (1 << 20):
        PyMem_Free(buffer.data)
    else:
        spare, spare_room = buffer.data, buffer.room
    return 0


cdef inline int reserve(Buffer* to, Py_ssize_t more) except -1:
    cdef Py_ssize_t room = to.room
    cdef char* data
    if to.size + more <= room:
        return 0
    while room < to.size + more:
        room = room * 2 if room else 4096
    data = <char*>PyMem_Realloc(to.data, room)
    if data == NULL:
        raise MemoryError
    to.data, to.room = data, room
    return 0


cdef inline int put_raw(Buffer* to, const char* data, Py_ssize_t size) except -1:
    reserve(to, size)
    memcpy(to.data + to.size, data, size)
    to.size += size
    return 0


cdef inline int put_char(Buffer* to, char what) except -1:
    reserve(to, 1)
    to.data[to.size] = what
    to.size += 1
    return 0


cdef inline int put_int(Buffer* to, int64_t value) except -1:
    cdef char digits[20]
    cdef int at = 20
    cdef uint64_t rest = <uint64_t>value if value >= 0 else ~<uint64_t>value + 1
    while True:
        at -= 1
        digits[at] = <char>(48 + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if value < 0:
        put_char(to, 45)
    return put_raw(to, digits + at, 20 - at)


cdef inline int put_digits(Buffer* to, int64_t value, int count) except -1:
    cdef int at
    reserve(to, count)
    for at in range(count - 1, -1, -1):
        to.data[to.size + at] = <char>(48 + value % 10)
        value //= 10
    to.size += count
    return 0


cdef inline int put_escaped(Buffer* to, const char* data, Py_ssize_t size) except -1:
    cdef Py_ssize_t at
    cdef uint8_t byte
    for at in range(size):
        byte = <uint8_t>data[at]
        if byte >= 32 and byte != 34 and byte != 92:
            put_char(to, data[at])
            continue
        put_char(to, 92)
        if byte == 34 or byte == 92:
            put_char(to, data[at])
        elif byte == 8:
            put_char(to, 98)  # \b
        elif byte == 9:
            put_char(to, 116)  # \t
        elif byte == 10:
            put_char(to, 110)  # \n
        elif byte == 12:
            put_char(to, 102)  # \f
        elif byte == 13:
            put_char(to, 114)  # \r
        else:
            put_raw(to, b"u00", 3)
            put_char(to, 48 + (byte >> 4))
            put_char(to, (48 if (byte & 15) < 10 else 87) + (byte & 15))
    return 0


cdef inline bint is_plain(const char* data, Py_ssize_t size) noexcept:
    cdef uint64_t word, quotes, slashes, odd = 0
    cdef Py_ssize_t at = 0
    while at + 8 <= size:
        memcpy(&word, data + at, 8)
        quotes = word ^ (ONES * 34)
        slashes = word ^ (ONES * 92)
        odd |= ((word - ONES * 32) & ~word) | ((quotes - ONES) & ~quotes) | ((slashes - ONES) & ~slashes)
        at += 8
    if odd & HIGHS:
        return False
    while at < size:
        if <uint8_t>data[at] < 32 or data[at] == 34 or data[at] == 92:
            return False
        at += 1
    return True


cdef inline int put_text(Buffer* to, object text) except -1:
    cdef const char* data
    cdef Py_ssize_t size
    if PyUnicode_IS_COMPACT_ASCII(text):
        data, size = <const char*>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text)
    else:
        data = PyUnicode_AsUTF8AndSize(text, &size)
    reserve(to, size + 2)
    put_char(to, 34)
    if is_plain(data, size):
        put_raw(to, data, size)
    else:
        put_escaped(to, data, size)
    return put_char(to, 34)


cdef inline int put_utf8(Buffer* to, str text) except -1:
    cdef const char* data
    cdef Py_ssize_t size
    if PyUnicode_IS_COMPACT_ASCII(text):
        data, size = <const char*>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text)
    else:
        data = PyUnicode_AsUTF8AndSize(text, &size)
    return put_raw(to, data, size)


cdef inline int put_bytes(Buffer* to, bytes what) except -1:
    return put_raw(to, PyBytes_AS_STRING(what), PyBytes_GET_SIZE(what))


cdef inline bytes taken_bytes(Buffer* buffer):
    return PyBytes_FromStringAndSize(buffer.data, buffer.size)
