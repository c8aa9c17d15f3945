#pragma once
/* The formats behind data/convert.h. Only convert*.c include this. */
#include "data/convert.h"

enum rc csv_read(struct str text, const struct convert_options *o, struct arena *a, struct val *ret,
                 struct err *err) MUST_CHECK;
enum rc csv_write(const struct val *v, const struct convert_options *o, struct buf *out, struct err *err) MUST_CHECK;
enum rc xml_read(struct str text, struct arena *a, struct val *ret, struct err *err) MUST_CHECK;
enum rc xml_write(const struct val *v, const struct convert_options *o, struct buf *out, struct err *err) MUST_CHECK;
/* A scalar as plain text: null is empty. Not for lists and objects. */
void convert_scalar(struct buf *out, const struct val *v);
/* Adds the character `cp` as UTF-8. */
void convert_utf8(struct buf *out, uint32_t cp);
/* The first character of `s` (valid UTF-8, not empty); its bytes are left in *n. */
uint32_t convert_char(struct str s, size_t *n);
