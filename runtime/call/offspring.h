/*
 * Programs that user code has started past the runtime (os.execute, io.popen), and sits waiting for in a C function
 * where nothing else reaches it.
 */
#ifndef ORRERY_OFFSPRING_H
#define ORRERY_OFFSPRING_H

#include <sys/types.h>

/*
 * SIGINT, as Ctrl-C at a terminal would send it, for the processes that thread `tid` of this process has started, and
 * for theirs, as far as they are in this process's own group: what the runtime starts is in others. Returns how many
 * got it; none where the kernel does not list children. Any thread.
 */
int offspring_interrupt(pid_t tid);

#endif
