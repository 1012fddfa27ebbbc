/*
 * The guest's init (guest/init), a static ELF program, as bytes inside the
 * library. Generated while building.
 */
#ifndef HK_GUEST_INIT_IMAGE_H
#define HK_GUEST_INIT_IMAGE_H

#include <stddef.h>

extern const unsigned char hk_init_image[];
extern const size_t hk_init_image_size;

#endif
