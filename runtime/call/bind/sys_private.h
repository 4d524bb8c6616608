/* What the files of orrery.sys share. Each adds its functions to the table on top of the stack. */
#ifndef ORRERY_SYS_PRIVATE_H
#define ORRERY_SYS_PRIVATE_H

#include <lua.h>
#include <sys/types.h>

#include "sys.h"

/* Pushes nil, "what: cause", name of the error; returns 3. */
int sys_fail(lua_State *L, int error, const char *what);
/* True on the stack, or the failure that errno tells of. */
int sys_done(lua_State *L, int rc, const char *what);

/* "ENOENT" of such; "E12345" of an unknown one, in the buffer. */
const char *sys_error_name(int error, char *buffer, size_t size);

/* Field `key` of the table at index t as a number, or `otherwise` where it is not there. */
double sys_field(lua_State *L, int t, const char *key, double otherwise);

/* That of this process, without changing it for a moment, which commands that start then would see. */
mode_t sys_current_umask(void);

void sys_push_files(lua_State *L);   /* sys_file.c */
void sys_push_names(lua_State *L);   /* sys_names.c */
void sys_push_digests(lua_State *L); /* sys_digest.c */
void sys_push_sockets(lua_State *L); /* sys_socket.c */
void sys_push_machine(lua_State *L); /* sys_machine.c */
void sys_push_as(lua_State *L);      /* sys_as.c */

/* Name of a user or a group by its number, pushed as a string; false where there is none. */
int sys_push_name(lua_State *L, int user, unsigned id);

#endif
