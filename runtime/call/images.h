/*
 * The agents that can be sent to targets.
 *
 * In the controller: a directory with, for each machine, the executable `agent-<kernel>-<machine>` and the
 * same compressed, with `.xz` and `.gz` behind it, and one file `agent.id` with the content hash that names
 * them in a target's cache. In an agent: its own program, which is what runs, also where its file is gone.
 *
 * Threading: images_open and images_close anywhere, images_find on the loop role.
 */
#ifndef ORRERY_IMAGES_H
#define ORRERY_IMAGES_H

#include <stdbool.h>

#include "bootstrap.h"
#include "err.h"

struct images;

/* Returns owned. A directory without agents is an error that says where it looked. */
struct images *images_open(const char *dir, struct err *err) must_check;
/* This process's own program, whose content hash the parent has told. Returns owned. */
struct images *images_self(const char *id, struct err *err) must_check;
/* NULL is fine. */
void images_close(struct images *im);
/* The hash, as it stands in the cache's file name. */
const char *images_id(const struct images *im);
/* The path of the executable for this machine, borrowed. */
const char *images_native(const struct images *im);
/* The same for other processes of this user, as long as this one runs. */
const char *images_helper(const struct images *im);
/* There is none that is compressed. */
bool images_only_raw(const struct images *im);
/* A bootstrap_find (stream/bootstrap.h); arg is the struct images. Maps the file on first use. */
const struct bootstrap_image *images_find(
    void *arg, const char *kernel, const char *machine, const char *form, struct err *err);

#endif
