# What all profiles share: the layout, and texts that many of them hold. Part of `compact`.

cdef dict _SHARED = {}
cdef Py_ssize_t MOST_SHARED = 50_000

_HOWS = {
    Fold.IDENTITY: KEY, Fold.DOMAIN: KEY, Fold.LATEST: LATEST, Fold.ADD: ADD, Fold.MIN: LEAST, Fold.MAX: GREATEST,
    Fold.SET: SET, Fold.MAP: MAP, Fold.SUMS: SUMS, Fold.TALLY: TALLY,
}


cdef inline str shared(str text):
    """An equal text that other profiles hold too: many people get the same campaigns."""
    if len(_SHARED) >= MOST_SHARED:
        _SHARED.clear()
    return <str>set_default(_SHARED, text, text)


cdef class Shape:
    """What all profiles of one layout have in common. Fields are named by their number in the layout."""

    cdef Spec* specs
    cdef int count
    cdef readonly int slots
    cdef tuple names
    cdef tuple labels

    def __cinit__(self, layout):
        fields = list(layout.fields.values())
        self.count, self.slots = len(fields), layout.slots
        self.names = tuple(field.name for field in fields)
        self.labels = tuple(orjson.dumps(field.name) + b":" for field in fields)
        self.specs = <Spec*>PyMem_Malloc(max(1, self.count) * sizeof(Spec))
        if self.specs == NULL:
            raise MemoryError
        for number, field in enumerate(fields):
            any_number = field.fold in (Fold.MIN, Fold.MAX) and field.kind not in (Kind.DATE, Kind.INT)
            self.specs[number] = Spec(
                _HOWS[field.fold], field.kind is Kind.DATE, any_number, field.slot, field.capacity, field.keep_ms
            )

    def __dealloc__(self):
        PyMem_Free(self.specs)
