# Part of `native`: what all profiles share (the layout, and texts that many of them hold), and a field's two parts as
# JSON: the same bytes as `reference` has from orjson.

cdef int64_t FIRST = -62135596800000
cdef int64_t LAST = 253402300799999  # as in `dates`: the instants that RFC 3339 can spell
cdef dict _SHARED = {}
cdef Py_ssize_t MAX_SHARED = 50_000

_HOWS = {
    FoldMode.IDENTITY: KEY, FoldMode.DOMAIN: KEY, FoldMode.LATEST: LATEST, FoldMode.ADD: ADD, FoldMode.MIN: SMALLEST,
    FoldMode.MAX: LARGEST, FoldMode.SET: SET, FoldMode.MAP: MAP, FoldMode.SUMS: SUMS, FoldMode.BUCKETS: BUCKETS,
}


cdef inline str shared(str text):
    """An equal text that other profiles hold too: many people get the same campaigns."""
    if len(_SHARED) >= MAX_SHARED:
        _SHARED.clear()
    return <str>set_default(_SHARED, text, text)


cdef class Shape:
    """What all profiles of one layout have in common. Fields are named by their number in the layout."""

    cdef Spec* specs
    cdef int count
    cdef readonly int slots
    cdef tuple names
    cdef tuple labels
    cdef readonly list layout

    def __cinit__(self, layout):
        self.layout = fields = list(layout.fields.values())
        self.count, self.slots = len(fields), layout.slots
        self.names = tuple(field.name for field in fields)
        self.labels = tuple(orjson.dumps(field.name) + b":" for field in fields)
        self.specs = <Spec*>PyMem_Malloc(max(1, self.count) * sizeof(Spec))
        if self.specs == NULL:
            raise MemoryError
        for number, field in enumerate(fields):
            any_number = field.fold in (FoldMode.MIN, FoldMode.MAX) and field.kind not in (FieldKind.DATE, FieldKind.INT)
            if field.slot >= self.slots:
                raise ValueError(f"field {field.name} has slot {field.slot} of {self.slots}")
            holds = WHOLE if field.kind is FieldKind.INT else NUMBER if field.kind is FieldKind.NUMBER else TEXT
            self.specs[number] = Spec(
                _HOWS[field.fold], holds, field.kind is FieldKind.DATE, any_number, field.slot, field.capacity,
                field.keep_ms,
            )

    def __dealloc__(self):
        PyMem_Free(self.specs)


cdef inline int put_stamp(Buffer* to, int64_t ms, int64_t arrival) except -1:
    put_char(to, 91)
    put_int(to, ms)
    put_char(to, 44)
    put_int(to, arrival)
    return put_char(to, 93)


cdef inline int put_value(Buffer* to, object value) except -1:
    if type(value) is str:
        return put_text(to, value)
    written = <bytes>orjson.dumps(value)
    return put_raw(to, PyBytes_AS_STRING(written), PyBytes_GET_SIZE(written))


cdef inline int put_date(Buffer* to, int64_t instant) except -1:
    # As `dates.rfc3339`, with the days counted in years that begin in March.
    cdef int64_t rest, days, era, day, year, month
    if not FIRST <= instant <= LAST:
        return put_text(to, rfc3339(instant))  # raises
    rest = instant + 62135596800000 + 306 * 86400000  # since 0000-03-01
    days, rest = rest // 86400000, rest % 86400000
    era, day = days // 146097, days % 146097
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    put_char(to, 34)
    put_digits(to, era * 400 + year + (month >= 10), 4)
    put_char(to, 45)
    put_digits(to, month + 3 if month < 10 else month - 9, 2)
    put_char(to, 45)
    put_digits(to, day - (153 * month + 2) // 5 + 1, 2)
    put_char(to, 84)
    put_digits(to, rest // 3600000, 2)
    put_char(to, 58)
    put_digits(to, rest // 60000 % 60, 2)
    put_char(to, 58)
    put_digits(to, rest // 1000 % 60, 2)
    put_char(to, 46)
    put_digits(to, rest % 1000, 3)
    return put_raw(to, b'Z"', 2)


cdef inline int put_public(Buffer* to, Field* field, Spec* spec) except -1:
    cdef int at
    if spec.how == KEY or spec.how == LATEST or spec.any_number:
        return put_value(to, <object>field.items)
    if spec.how == ADD or spec.how == SMALLEST or spec.how == LARGEST:
        return put_date(to, field.a) if spec.dated else put_int(to, field.a)
    put_char(to, 91 if spec.how == SET else 123)
    for at in range(field.size):
        if at:
            put_char(to, 44)
        if spec.how == SET:
            put_text(to, <object><PyObject*>pairs(field)[at].what)
        elif spec.how == BUCKETS:
            put_char(to, 34)
            put_int(to, pairs(field)[at].what)
            put_raw(to, b'":', 2)
            put_int(to, pairs(field)[at].n)
        else:
            put_text(to, <object>(<Entry*>field.items)[at].key)
            put_char(to, 58)
            if spec.how == MAP:
                put_text(to, <object><PyObject*>(<Entry*>field.items)[at].more)
            else:
                put_int(to, (<Entry*>field.items)[at].n)
    return put_char(to, 93 if spec.how == SET else 125)


cdef inline int put_hidden(Buffer* to, Field* field, Spec* spec) except -1:
    cdef int at
    if not field.size:
        return put_raw(to, b"null", 4)
    if spec.any_number:
        return put_value(to, <object>field.items)
    if spec.how == SMALLEST or spec.how == LARGEST:
        return put_int(to, field.a)
    if spec.how == LATEST:
        return put_stamp(to, field.a, field.b)
    put_char(to, 91 if spec.how == SET else 123)
    for at in range(field.size):
        if at:
            put_char(to, 44)
        if spec.how == SET:
            put_int(to, pairs(field)[at].n)
        else:
            put_text(to, <object>(<Entry*>field.items)[at].key)
            put_char(to, 58)
            if spec.how == MAP:
                put_stamp(to, (<Entry*>field.items)[at].ms, (<Entry*>field.items)[at].n)
            else:
                put_int(to, (<Entry*>field.items)[at].ms)
    return put_char(to, 93 if spec.how == SET else 125)
