/* The software back end; see soft.c. */
#ifndef HK_HV_SOFT_SOFT_H
#define HK_HV_SOFT_SOFT_H

#include "hv/hv.h"

extern const struct hk_hv_ops hk_hv_soft;

#endif
