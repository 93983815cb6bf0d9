# An address that is its own key, as nearly all are: `schemas.identity._PLAIN`.

from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH
from libc.stdint cimport uint8_t

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)


cdef inline bint is_word(uint8_t byte, bint local) noexcept:
    return (97 <= byte <= 122 or 48 <= byte <= 57 or byte == 45) or (local and (byte == 95 or byte == 43))


cdef inline bint is_plain_text(const uint8_t* data, Py_ssize_t size) noexcept:
    """Return whether the bytes of an address are its own key."""
    cdef Py_ssize_t at
    cdef bint local = True, begun = False
    for at in range(size):
        if is_word(data[at], local):
            begun = True
        elif not begun:
            return False
        elif data[at] == 46:
            begun = False
        elif data[at] == 64 and local:
            local, begun = False, False
        else:
            return False
    return begun and not local


cdef inline bint is_plain_address(str text) noexcept:
    """Return whether an address is its own key."""
    if not PyUnicode_IS_COMPACT_ASCII(text):
        return False
    return is_plain_text(<const uint8_t*>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
