# Records of the common shape, each the only one of a person, found as bytes: what `decode` gives without an object for
# each of its parts. Included by `native_flat.pyx`.

cdef Py_ssize_t LONGEST_KEY = MAX_KEY_BYTES // 4
cdef Py_ssize_t LONGEST_NAME = 250, LONGEST_ID = 128, LONGEST_VALUE = 64
DEF MOST_FIELDS = 32


cdef struct Slice:
    const char* data
    Py_ssize_t size


cdef struct Fields:
    Slice names[MOST_FIELDS]
    Slice values[MOST_FIELDS]
    int count


cdef class PlainRecord:
    """A record of one person who enters one audience, whose name is known."""

    cdef readonly object record
    cdef readonly bytes key
    cdef readonly str audience
    cdef readonly int64_t position
    cdef bytes value
    cdef int64_t appended, at
    cdef const char* user
    """Where the person's fields begin in the value; NULL: there are none."""


cdef inline bint equals(Slice part, const char* text, Py_ssize_t size) noexcept:
    return part.size == size and memcmp(part.data, text, size) == 0


cdef inline const char* behind_space(const char* at, const char* end) noexcept:
    while at < end and (at[0] == 32 or at[0] == 10 or at[0] == 13 or at[0] == 9):
        at += 1
    return at


cdef inline const char* text_end(const char* at, const char* end, bint* has_high) noexcept:
    """Return what is behind the closing quote; NULL: there is none, or something is escaped."""
    while at < end:
        if at[0] == 34:
            return at + 1
        if at[0] == 92 or 0 <= <signed char>at[0] < 32:
            return NULL
        if <signed char>at[0] < 0:
            has_high[0] = True
        at += 1
    return NULL


cdef inline const char* word_end(const char* at, const char* end, const char* word, Py_ssize_t size) noexcept:
    return at + size if end - at >= size and memcmp(at, word, size) == 0 else NULL


cdef const char* scalar_end(const char* at, const char* end, bint* has_high) noexcept:
    """Return what is behind a text, an integer as JSON is written, true, false or null; NULL: it is none."""
    cdef const char* digits
    cdef bint negative
    if at >= end:
        return NULL
    if at[0] == 34:
        return text_end(at + 1, end, has_high)
    if at[0] == 116:
        return word_end(at, end, b"true", 4)
    if at[0] == 102:
        return word_end(at, end, b"false", 5)
    if at[0] == 110:
        return word_end(at, end, b"null", 4)
    negative = at[0] == 45
    digits = at + negative
    at = digits
    while at < end and 48 <= at[0] <= 57:
        at += 1
    if at == digits or at - digits > 15 or (digits[0] == 48 and (negative or at - digits > 1)):
        return NULL
    return at if at < end and (at[0] == 44 or at[0] == 125 or at[0] == 32 or at[0] == 10) else NULL


cdef const char* next_member(const char* at, const char* end, bint first, Slice* name, bint* has_high) noexcept:
    """Return where the value of an object's next member begins; NULL: a fault. Without a name, the object is over."""
    at = behind_space(at, end)
    if at < end and at[0] == 125:
        name.data = NULL
        return at + 1
    if not first:
        if at >= end or at[0] != 44:
            return NULL
        at = behind_space(at + 1, end)
    if at >= end or at[0] != 34:
        return NULL
    name.data = at + 1
    at = text_end(at + 1, end, has_high)
    if at == NULL:
        return NULL
    name.size = at - name.data - 1
    at = behind_space(at, end)
    return behind_space(at + 1, end) if at < end and at[0] == 58 else NULL


cdef const char* read_fields(const char* at, const char* end, Fields* fields, bint* has_high) noexcept:
    """Read the members of an object of scalars, behind its brace; NULL: it is none, or a name comes twice."""
    cdef Slice name, value
    cdef int known
    fields.count = 0
    while True:
        at = next_member(at, end, fields.count == 0, &name, has_high)
        if at == NULL or name.data == NULL:
            return at
        value.data = at
        at = scalar_end(at, end, has_high)
        if at == NULL or fields.count == MOST_FIELDS:
            return NULL
        value.size = at - value.data
        if value.size > LONGEST_VALUE:
            return NULL
        for known in range(fields.count):
            if equals(fields.names[known], name.data, name.size):
                return NULL
        fields.names[fields.count], fields.values[fields.count] = name, value
        fields.count += 1


cdef inline Slice text_in(const char* at, const char* end) noexcept:
    """Return a text without its quotes; without data: it is none."""
    return Slice(at + 1, end - at - 2) if at[0] == 34 else Slice(NULL, 0)


cdef bint read_plain(PlainRecord plain, int64_t tolerance, Slice* audience, Slice* name) except -1:
    """Read a record's value; False: it is not of the common shape."""
    cdef const char* at = PyBytes_AS_STRING(plain.value)
    cdef const char* end = at + PyBytes_GET_SIZE(plain.value)
    cdef const char* begin
    cdef Slice member, email = Slice(NULL, 0), when = Slice(NULL, 0), change = Slice(NULL, 0), version, text
    cdef Fields fields
    cdef bint first = True, has_high = False, has_user = False, has_version = False, has_id = False
    cdef int number
    audience.data = name.data = plain.user = NULL
    at = behind_space(at, end)
    if at >= end or at[0] != 123:
        return False
    at += 1
    while True:
        at = next_member(at, end, first, &member, &has_high)
        if at == NULL:
            return False
        if member.data == NULL:
            break
        first = False
        begin = at
        if at < end and at[0] == 123:
            at = read_fields(at + 1, end, &fields, &has_high)
            if at == NULL:
                return False
            if equals(member, b"user", 4) and not has_user:
                has_user, plain.user = True, begin + 1
            elif equals(member, b"audience", 8) and audience.data == NULL and fields.count == 2:
                for number in range(2):
                    text = text_in(fields.values[number].data, fields.values[number].data + fields.values[number].size)
                    if equals(fields.names[number], b"id", 2):
                        audience[0] = text
                    elif equals(fields.names[number], b"name", 4):
                        name[0] = text
                if audience.data == NULL or name.data == NULL:
                    return False
            else:
                return False
            continue
        at = scalar_end(at, end, &has_high)
        if at == NULL:
            return False
        text = text_in(begin, at)
        if equals(member, b"schema_version", 14):
            if has_version or at - begin != 1 or begin[0] != 49:
                return False
            has_version = True
        elif text.data == NULL:
            return False
        elif equals(member, b"email", 5) and email.data == NULL:
            email = text
        elif equals(member, b"change", 6) and change.data == NULL:
            change = text
        elif equals(member, b"at", 2) and when.data == NULL:
            when = text
        elif equals(member, b"event_id", 8) and not has_id and text.size <= LONGEST_ID:
            has_id = True
        else:
            return False
    if behind_space(at, end) != end or email.data == NULL or change.data == NULL or when.data == NULL:
        return False
    if audience.data == NULL or not equals(change, b"enter", 5):
        return False
    if not equals(email, PyBytes_AS_STRING(plain.key), PyBytes_GET_SIZE(plain.key)) or email.size > LONGEST_KEY:
        return False
    if not is_plain_text(<const uint8_t*>email.data, email.size):
        return False
    plain.at = millis_in(<const uint8_t*>when.data, when.size)
    if plain.at < 0:
        return False
    plain.at = min(plain.at, plain.appended + tolerance)
    if has_high:
        try:
            plain.value.decode()
        except UnicodeDecodeError:
            return False
    return True


def plain_records(object records, object names, int64_t tolerance):
    """(records, known names of audiences, tolerance of the future) -> (those of the common shape by key, all others in their order)."""
    cdef dict found = {}, audiences = {}
    cdef list others = []
    cdef object record, entry, known, key, value
    cdef str text
    cdef PlainRecord plain
    cdef Slice audience, name
    cdef bytes word
    for record in records:
        plain = PlainRecord.__new__(PlainRecord)
        key, value = record.key, record.value
        if type(key) is not bytes or type(value) is not bytes or record.headers or key in found:
            others.append(record)
            continue
        plain.record, plain.key, plain.value = record, key, value
        plain.position, plain.appended = record.offset, record.timestamp
        if not read_plain(plain, tolerance, &audience, &name) or max(audience.size, name.size) > LONGEST_NAME:
            others.append(record)
            continue
        word = PyBytes_FromStringAndSize(audience.data, audience.size)
        known = value_of(audiences, word)
        if known is None:
            text = word.decode()
            entry = names.get(text)
            known = audiences[word] = (text, b"" if entry is None else entry.name.encode())
        if not equals(name, PyBytes_AS_STRING(<bytes>known[1]), PyBytes_GET_SIZE(<bytes>known[1])) or not (name.size and audience.size):
            others.append(record)
            continue
        plain.audience = known[0]
        found[key] = plain
    return found, others
