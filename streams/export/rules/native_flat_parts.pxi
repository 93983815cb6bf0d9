# Parts of `native_flat.pyx`: the hashed content, the row and the request's entry as JSON.

cdef object _new = tuple.__new__


cdef inline object value_of(dict found, object name):
    cdef PyObject* known = PyDict_GetItem(found, name)
    return <object>known if known != NULL else None


cdef inline int put_value(Buffer* to, object value) except -1:
    """Write any JSON value."""
    if type(value) is str:
        return put_text(to, value)
    if value is None:
        return put_raw(to, b"null", 4)
    return put_bytes(to, dumps(value))


cdef inline int put_all(Buffer* to, Buffer* parts) except -1:
    return put_raw(to, parts.data, parts.size)


cdef int put_texts(Buffer* to, object texts) except -1:
    cdef object text
    cdef bint more = False
    put_char(to, b"[")
    for text in texts:
        if more:
            put_char(to, b",")
        put_text(to, text)
        more = True
    return put_char(to, b"]")


cdef inline str digest_of(Buffer* content):
    cdef char digits[16]
    put_digest(content.data, content.size, digits)
    return PyUnicode_DecodeUTF8(digits, 16, NULL)


def short_digest(bytes content):
    """As `hashlib.blake2b(content, digest_size=8).hexdigest()`; a test compares both."""
    cdef char digits[16]
    put_digest(PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content), digits)
    return PyUnicode_DecodeUTF8(digits, 16, NULL)


cdef object text_of(dict fields, str name):
    cdef list known = value_of(fields, name)
    cdef object value
    if known is None:
        return None
    value = known[0]
    if value is None:
        return ""
    return value if type(value) is str else dumps(value).decode()


cdef int put_value_of_field(Buffer* to, str custom, str data_type, object texts) except -1:
    """Write a value as it is hashed; behind others with a comma."""
    if to.size:
        put_char(to, b",")
    put_char(to, b"[")
    put_text(to, custom)
    put_char(to, b",")
    if data_type is not None:
        put_text(to, data_type)
        put_char(to, b",")
    put_texts(to, texts)
    return put_char(to, b"]")


cdef int put_entries(Buffer* to, bytes key, object texts) except -1:
    """Write a value's entries of the request, each behind a comma."""
    cdef object text
    for text in texts or ("",):
        put_raw(to, b',{"Key":', 8)
        put_bytes(to, key)
        put_raw(to, b',"Value":', 9)
        put_text(to, text)
        if not texts:
            put_raw(to, b',"Clear":true', 13)
        put_char(to, b"}")
    return 0


cdef int put_row(Buffer* to, dict audiences, dict fields) except -1:
    """Write the beginning of the row: audiences and fields."""
    cdef list entry
    cdef object name, number
    cdef bint more = False, after
    put_raw(to, b'{"a":{', 6)
    for name, entry in audiences.items():
        if more:
            put_char(to, b",")
        put_text(to, name)
        after = False
        for number in entry:
            put_raw(to, b"," if after else b":[", 1 if after else 2)
            put_int(to, number)
            after = True
        put_char(to, b"]")
        more = True
    put_raw(to, b"},", 2)
    if not fields:
        return 0
    more = False
    put_raw(to, b'"f":{', 5)
    for name, entry in fields.items():
        if more:
            put_char(to, b",")
        put_text(to, name)
        put_raw(to, b":[", 2)
        put_value(to, entry[0])
        put_char(to, b",")
        put_int(to, entry[1])
        put_char(to, b"]")
        more = True
    return put_raw(to, b"},", 2)
