# BLAKE2b of eight bytes (RFC 7693), as `hashlib.blake2b(content, digest_size=8)`, without an object for each.

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    static const uint64_t digest_start[8] = {
        0x6a09e667f3bcc908ULL, 0xbb67ae8584caa73bULL, 0x3c6ef372fe94f82bULL, 0xa54ff53a5f1d36f1ULL,
        0x510e527fade682d1ULL, 0x9b05688c2b3e6c1fULL, 0x1f83d9abfb41bd6bULL, 0x5be0cd19137e2179ULL};
    static const uint8_t digest_order[12][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3}};
    #define TURNED(x, n) (((x) >> (n)) | ((x) << (64 - (n))))
    #define MIX(a, b, c, d, x, y) do { \\
        a += b + (x); d = TURNED(d ^ a, 32); c += d; b = TURNED(b ^ c, 24); \\
        a += b + (y); d = TURNED(d ^ a, 16); c += d; b = TURNED(b ^ c, 63); } while (0)
    /* Written out, so that the compiler knows the order. */
    #define ROUND(i) \
        MIX(v[0], v[4], v[8], v[12], m[digest_order[i][0]], m[digest_order[i][1]]); \
        MIX(v[1], v[5], v[9], v[13], m[digest_order[i][2]], m[digest_order[i][3]]); \
        MIX(v[2], v[6], v[10], v[14], m[digest_order[i][4]], m[digest_order[i][5]]); \
        MIX(v[3], v[7], v[11], v[15], m[digest_order[i][6]], m[digest_order[i][7]]); \
        MIX(v[0], v[5], v[10], v[15], m[digest_order[i][8]], m[digest_order[i][9]]); \
        MIX(v[1], v[6], v[11], v[12], m[digest_order[i][10]], m[digest_order[i][11]]); \
        MIX(v[2], v[7], v[8], v[13], m[digest_order[i][12]], m[digest_order[i][13]]); \
        MIX(v[3], v[4], v[9], v[14], m[digest_order[i][14]], m[digest_order[i][15]]);
    static void digest_block(uint64_t* h, const uint64_t* m, uint64_t count, int last) {
        uint64_t v[16];
        int i;
        for (i = 0; i < 8; i++) { v[i] = h[i]; v[i + 8] = digest_start[i]; }
        v[12] ^= count;
        if (last) v[14] = ~v[14];
        ROUND(0) ROUND(1) ROUND(2) ROUND(3) ROUND(4) ROUND(5) ROUND(6) ROUND(7) ROUND(8) ROUND(9) ROUND(10) ROUND(11)
        for (i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
    }
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define DIGEST_LITTLE(x) __builtin_bswap64(x)
    #else
    #define DIGEST_LITTLE(x) (x)
    #endif
    """
    const uint64_t* digest_start
    void digest_block(uint64_t* h, const uint64_t* m, uint64_t count, int last) noexcept
    uint64_t DIGEST_LITTLE(uint64_t word) noexcept


cdef inline void put_digest(const char* data, Py_ssize_t size, char* hex_digits) noexcept:
    """Write the sixteen digits of the digest, in lower case."""
    cdef uint64_t h[8]
    cdef uint64_t m[16]
    cdef Py_ssize_t at = 0, left
    cdef uint64_t first
    cdef int word
    memcpy(h, digest_start, 64)
    h[0] ^= 0x01010000 ^ 8  # no key, eight bytes
    while True:
        left = min(size - at, 128)
        memset(m, 0, 128)
        if left:
            memcpy(m, data + at, left)
        for word in range(16):
            m[word] = DIGEST_LITTLE(m[word])
        at += left
        digest_block(h, m, at, at == size)
        if at == size:
            break
    first = h[0]
    for word in range(8):
        hex_digits[2 * word] = b"0123456789abcdef"[(first >> 4) & 15]
        hex_digits[2 * word + 1] = b"0123456789abcdef"[first & 15]
        first >>= 8
