#include "safetensors.h"

#include <string.h>

enum { LENGTH_SIZE = 8, LARGEST_HEADER = 1 << 24 };

static uint64_t read_length(const unsigned char *bytes)
{
    uint64_t length = 0;
    for (int i = LENGTH_SIZE - 1; i >= 0; i--) length = length << 8 | bytes[i];
    return length;
}

size_t cylstm_safetensors_header_end(const unsigned char *first, size_t there, size_t size)
{
    if (there < LENGTH_SIZE || size < LENGTH_SIZE) return there;
    const uint64_t length = read_length(first);
    return length > size - LENGTH_SIZE || length > LARGEST_HEADER ? LENGTH_SIZE : LENGTH_SIZE + (size_t)length;
}

int64_t cylstm_safetensors_data_begin(const safetensors *file)
{
    return LENGTH_SIZE + file->header_size;
}

cylstm_status cylstm_safetensors_open(safetensors *file, const void *data, size_t size, message m)
{
    if (size < LENGTH_SIZE) return cylstm_fail(m, CYLSTM_BAD_FILE, "expected a safetensors file, got %zu bytes", size);
    const uint64_t length = read_length(data);
    if (length > size - LENGTH_SIZE || length > LARGEST_HEADER || size > INT64_MAX) {
        return cylstm_fail(m, CYLSTM_BAD_FILE, "expected a safetensors file, got a header of %llu bytes in %zu",
                           (unsigned long long)length, size);
    }
    *file = (safetensors){.header = (const char *)data + LENGTH_SIZE, .header_size = (int64_t)length};
    file->data = file->header + length;
    file->data_size = (int64_t)(size - LENGTH_SIZE - length);
    return CYLSTM_OK;
}

/* ---- JSON, as far as a header needs it. Each function returns 0 where the text is not what it expects. ---- */

typedef struct reader {
    const char *at, *end;
} reader;

static void skip_space(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

/* Whether the next token is this character, which then is passed. */
static int accept(reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c) return 0;
    r->at++;
    return 1;
}

/* One of several things in a list that ends with `close`: 1 before each, 0 after the last, -1: neither. `count` tells the
 * first from the others. */
static int next_item(reader *r, char close, int64_t *count)
{
    if (accept(r, close)) return 0;
    if ((*count)++ == 0) return 1;
    return accept(r, ',') ? 1 : -1;
}

static void append(word *w, size_t *length, unsigned byte)
{
    if (*length + 1 < sizeof w->text) {
        w->text[(*length)++] = (char)byte;
    } else {
        w->whole = 0;
    }
}

/* \uXXXX as UTF-8, but no zero, which ends strings; halves of surrogate pairs each by itself: no name has any. */
static int read_code_point(reader *r, word *w, size_t *length)
{
    unsigned code = 0;
    if (r->end - r->at < 4) return 0;
    for (int i = 0; i < 4; i++) {
        const char c = *r->at++;
        const char *digits = "0123456789abcdef", *digit = strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
        if (c == '\0' || digit == NULL) return 0;
        code = code << 4 | (unsigned)(digit - digits);
    }
    if (code == 0) return 0;
    if (code < 0x80) {
        append(w, length, code);
    } else if (code < 0x800) {
        append(w, length, 0xC0 | code >> 6);
        append(w, length, 0x80 | (code & 0x3F));
    } else {
        append(w, length, 0xE0 | code >> 12);
        append(w, length, 0x80 | (code >> 6 & 0x3F));
        append(w, length, 0x80 | (code & 0x3F));
    }
    return 1;
}

static int read_escape(reader *r, word *w, size_t *length)
{
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end) return 0;
    const char c = *r->at++;
    if (c == 'u') return read_code_point(r, w, length);
    const char *escape = c == '\0' ? NULL : strchr(escapes, c);
    if (escape == NULL) return 0;
    append(w, length, (unsigned char)meanings[escape - escapes]);
    return 1;
}

/* A character of several bytes in UTF-8, of which the first is passed. */
static int read_character(reader *r, unsigned first, word *w, size_t *length)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    uint32_t code = first & (0x3FU >> more);
    if (first < 0xC0 || first > 0xF7 || r->end - r->at < more) return 0;
    append(w, length, first);
    for (int i = 0; i < more; i++) {
        const unsigned byte = (unsigned char)*r->at++;
        if ((byte & 0xC0) != 0x80) return 0;
        code = code << 6 | (byte & 0x3F);
        append(w, length, byte);
    }
    const int is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code >= least[more] && code <= 0x10FFFF && !is_surrogate;
}

static int read_word(reader *r, word *w)
{
    size_t length = 0;
    w->whole = 1;
    if (!accept(r, '"')) return 0;
    while (r->at < r->end && *r->at != '"') {
        const unsigned char c = (unsigned char)*r->at++;
        if (c < 0x20) return 0;
        if (c == '\\') {
            if (!read_escape(r, w, &length)) return 0;
        } else if (c >= 0x80) {
            if (!read_character(r, c, w, &length)) return 0;
        } else {
            append(w, &length, c);
        }
    }
    w->text[length] = '\0';
    return accept(r, '"');
}

/* A whole number from 0 on, of at most 18 digits; JSON has none that begins with another zero. */
static int read_integer(reader *r, int64_t *value)
{
    int digits = 0;
    skip_space(r);
    for (*value = 0; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        if (++digits > 18 || (digits > 1 && *value == 0)) return 0;
        *value = 10 * *value + (*r->at - '0');
    }
    return digits > 0;
}

/* [a, b, ...]: how many, or -1; the first `most` are kept. */
static int64_t read_integers(reader *r, int64_t *values, int64_t most)
{
    int64_t count = 0, value;
    int more = accept(r, '[') ? 1 : -1;
    while (more > 0 && (more = next_item(r, ']', &count)) > 0) {
        if (!read_integer(r, &value)) return -1;
        if (count <= most) values[count - 1] = value;
    }
    return more < 0 ? -1 : count;
}

/* ---- the header ---- */

static int read_name(reader *r, word *name)
{
    return read_word(r, name) && accept(r, ':');
}

/* {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, in any order: three keys, and what is not said is said to be
 * -1, or nothing, so that none can be there twice unnoticed. */
static int read_entry(reader *r, entry *e)
{
    int64_t count = 0, rank = -1, offsets[2] = {-1, -1};
    word key;
    int more = accept(r, '{') ? 1 : -1;
    e->dtype.text[0] = '\0';
    while (more > 0 && (more = next_item(r, '}', &count)) > 0) {
        if (!read_name(r, &key)) return 0;
        if (strcmp(key.text, "dtype") == 0) {
            if (!read_word(r, &e->dtype)) return 0;
        } else if (strcmp(key.text, "shape") == 0) {
            if ((rank = read_integers(r, e->shape, CYLSTM_MAX_RANK)) < 0) return 0;
        } else if (strcmp(key.text, "data_offsets") == 0) {
            if (read_integers(r, offsets, 2) != 2) return 0;
        } else {
            return 0;
        }
    }
    e->rank = rank > CYLSTM_MAX_RANK ? CYLSTM_MAX_RANK + 1 : (int)rank;
    e->begin = offsets[0];
    e->end = offsets[1];
    return more == 0 && count == 3;
}

/* {"format": "cylstm", ...}; *told: what the visitor said */
static int read_metadata(reader *r, const visitor *v, cylstm_status *told)
{
    int64_t count = 0;
    word key, value;
    int more = accept(r, '{') ? 1 : -1;
    while (more > 0 && (more = next_item(r, '}', &count)) > 0) {
        if (!read_name(r, &key) || !read_word(r, &value)) return 0;
        if (v->word != NULL && (*told = v->word(v->context, &key, &value)) != CYLSTM_OK) return 1;
    }
    return more == 0;
}

cylstm_status cylstm_safetensors_visit(const safetensors *file, const visitor *v, message m)
{
    reader r = {file->header, file->header + file->header_size};
    cylstm_status told = CYLSTM_OK;
    int64_t count = 0;
    int described = 0; /* the metadata have come */
    entry e;
    int more = accept(&r, '{') ? 1 : -1;
    while (more > 0 && (more = next_item(&r, '}', &count)) > 0) {
        int read = read_name(&r, &e.name);
        if (read && strcmp(e.name.text, "__metadata__") == 0) {
            read = !described && read_metadata(&r, v, &told);
            described = 1;
        } else if (read && (read = read_entry(&r, &e)) != 0 && v->tensor != NULL) {
            told = v->tensor(v->context, &e);
        }
        if (told != CYLSTM_OK) return told;
        if (!read) more = -1;
    }
    skip_space(&r);
    if (more == 0 && r.at == r.end) return CYLSTM_OK;
    return cylstm_fail(m, CYLSTM_BAD_FILE, "expected a safetensors header, got something else at its byte %lld",
                       (long long)(r.at - file->header));
}
