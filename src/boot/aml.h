/*
 * A writer for the few AML terms that the DSDT needs (ACPI specification 6.4,
 * chapter 20). Scopes nest: begin leaves room for a length of three bytes, end
 * fills it in. The buffer belongs to the caller; when it is full, writing
 * stops and `failed` is set, to be looked at once at the end.
 */
#ifndef HK_BOOT_AML_H
#define HK_BOOT_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hk_aml {
    uint8_t *bytes;
    size_t len;
    size_t size; /* of the buffer */
    bool failed;
};

/* Position of an open scope, for its end. */
typedef size_t hk_aml_mark;

/* `name`: "\\_SB_" or four characters. */
hk_aml_mark hk_aml_scope_begin(struct hk_aml *aml, const char *name);
hk_aml_mark hk_aml_device_begin(struct hk_aml *aml, const char *name);
void hk_aml_end(struct hk_aml *aml, hk_aml_mark mark);

void hk_aml_name_int(struct hk_aml *aml, const char *name, uint32_t value);
void hk_aml_name_string(struct hk_aml *aml, const char *name, const char *text);
/* `id`: three capital letters and four hexadecimal digits. */
void hk_aml_name_eisa(struct hk_aml *aml, const char *name, const char *id);
/* A package of small integers; `count` up to 8. */
void hk_aml_name_package(struct hk_aml *aml, const char *name,
                         const uint8_t *values, uint8_t count);

/* _CRS with resources between begin and end. */
struct hk_aml_crs {
    hk_aml_mark buffer;
    size_t start;
};
struct hk_aml_crs hk_aml_crs_begin(struct hk_aml *aml);
void hk_aml_crs_io(struct hk_aml *aml, uint16_t port, uint8_t count);
void hk_aml_crs_memory(struct hk_aml *aml, uint32_t gpa, uint32_t size);
void hk_aml_crs_irq(struct hk_aml *aml, uint32_t gsi, bool level);
void hk_aml_crs_end(struct hk_aml *aml, struct hk_aml_crs crs);

#endif
