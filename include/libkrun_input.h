/*
 * libkrun_input.h: what a program gives to krun_add_input_device: one table
 * that describes a keyboard, mouse or tablet, and one that gives its events.
 *
 * Both structs start zeroed. Results: 0 or more for success, else a
 * KRUN_INPUT_ERR_*. Types, codes and bits are those of Linux input devices.
 *
 * The layouts are libkrun's. Husk has no input device yet and calls none of
 * this.
 */
#ifndef LIBKRUN_INPUT_H
#define LIBKRUN_INPUT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KRUN_INPUT_ERR_INTERNAL (-1)
#define KRUN_INPUT_ERR_EAGAIN (-2)
#define KRUN_INPUT_ERR_METHOD_UNSUPPORTED (-3)
#define KRUN_INPUT_ERR_INVALID_PARAM (-4)

#define KRUN_INPUT_CONFIG_FEATURE_QUERY 1
#define KRUN_INPUT_EVENT_PROVIDER_FEATURE_QUEUE 1

struct krun_input_event {
    uint16_t type;
    uint16_t code;
    uint32_t value;
};

struct krun_input_device_ids {
    uint16_t bustype;
    uint16_t vendor;
    uint16_t product;
    uint16_t version;
};

/* Range of an absolute axis. */
struct krun_input_absinfo {
    uint32_t min;
    uint32_t max;
    uint32_t fuzz;
    uint32_t flat;
    uint32_t res;
};

/* Makes what the other functions get as `instance`; `reserved` is NULL. */
typedef int32_t (*krun_input_create_fn)(void **instance, const void *userdata,
                                        const void *reserved);

typedef int32_t (*krun_input_destroy_fn)(void *instance);

/* A descriptor that is readable while events wait. */
typedef int (*krun_input_get_ready_efd_fn)(void *instance);

/* 1: here is one; 0: none waits. Does not block. */
typedef int32_t (*krun_input_next_event_fn)(void *instance,
                                            struct krun_input_event *out_event);

/* Texts and bit sets: the count of bytes written, at most the length given. */
typedef int32_t (*krun_input_query_device_name_fn)(void *instance,
                                                   uint8_t *name_buf,
                                                   size_t name_buf_len);
typedef int32_t (*krun_input_query_serial_name_fn)(void *instance,
                                                   uint8_t *name_buf,
                                                   size_t name_buf_len);
typedef int32_t (*krun_input_query_device_ids_fn)(
    void *instance, struct krun_input_device_ids *ids);
typedef int32_t (*krun_input_query_event_capabilities_fn)(
    void *instance, uint8_t event_type, uint8_t *bitmap_buf,
    size_t bitmap_buf_len);
typedef int32_t (*krun_input_query_abs_info_fn)(
    void *instance, uint8_t abs_axis, struct krun_input_absinfo *abs_info);
typedef int32_t (*krun_input_query_properties_fn)(void *instance,
                                                  uint8_t *bitmap_buf,
                                                  size_t bitmap_buf_len);

struct krun_input_event_provider_vtable {
    krun_input_destroy_fn destroy; /* may be NULL */
    krun_input_get_ready_efd_fn get_ready_efd;
    krun_input_next_event_fn next_event;
};

struct krun_input_config_vtable {
    krun_input_destroy_fn destroy; /* may be NULL */
    krun_input_query_device_name_fn query_device_name;
    krun_input_query_serial_name_fn query_serial_name;
    krun_input_query_device_ids_fn query_device_ids;
    krun_input_query_event_capabilities_fn query_event_capabilities;
    krun_input_query_abs_info_fn query_abs_info;
    krun_input_query_properties_fn query_properties;
};

struct krun_input_config {
    uint64_t features; /* KRUN_INPUT_CONFIG_FEATURE_* */
    void *create_userdata;
    krun_input_create_fn create; /* NULL: the instance is NULL */
    struct krun_input_config_vtable vtable;
};

struct krun_input_event_provider {
    uint64_t features; /* KRUN_INPUT_EVENT_PROVIDER_FEATURE_* */
    void *create_userdata;
    krun_input_create_fn create;
    struct krun_input_event_provider_vtable vtable;
};

#ifdef __cplusplus
}
#endif

#endif
