/* Where this installation keeps its parts. */
#ifndef ORRERY_PATHS_H
#define ORRERY_PATHS_H

/*
 * The directory of the agents (call/images.h): $ORRERY_AGENT_DIR, or beside this library in the build
 * tree, or libexec/orrery of the prefix that this library stands in, or of the configured prefix.
 * Returns owned; never NULL (where there is none, what is opened there says so).
 */
char *paths_agents(void);

#endif
