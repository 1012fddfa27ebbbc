/* The parts of make_seeds. */
#ifndef HK_MAKE_SEEDS_H
#define HK_MAKE_SEEDS_H

void make_disk_seeds(const char *root);

#endif
