/*
 * The stub: the one line of sh that finds or receives the agent at the far end and execs it.
 *
 * Read it as the script that it is; the C around it only joins the lines. What shapes it:
 *   - It travels inside single quotes through any login shell: no single quote, backslash, exclamation
 *     mark or newline, and nothing but printable ASCII.
 *   - Warm, it runs builtins only: no fork, no external command, one exec.
 *   - It steps into a directory first and asks afterwards whether "." is ours, so nobody can swap the
 *     directory between the question and the use; from there on all file names are relative. The
 *     directory that it was started in goes to the agent as -C.
 *   - A directory that we own holds a file that we own only if this script put it there, and it does
 *     so only after it has seen mode 0700 (ls, on the cold path). So the warm path need not ask again.
 *   - Its variables start with an underscore, since one that the environment already holds under the
 *     same name would reach the agent changed.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap.h"

/* _m marker, _w where we were started, _f the agent's name in the cache, _t the temporary name,
 * _a a directory of the user's choice, _x the cache of the XDG specification, _r its runtime one. */
static const char start[] = /**/
    "_w=$PWD;"
    "_t=.$_m;"
    "_x=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}};"
    "_r=$XDG_RUNTIME_DIR;"
    /* Goes into $_d if it is ours. A link is refused, though it might lead to a directory of ours. */
    "_k(){ "
    "case $_d in /*);;*)return 1;;esac;"
    "if [ -h \"$_d\" ];then return 1;fi;"
    "cd \"$_d\" 2>/dev/null&&[ -O . ];};";

/* Names under world-writable directories are found by pattern: it costs no id(1), and finds the
 * directory also if somebody else had taken the plain name first. */
static const char warm[] = /**/
    "for _d in \"$_a\"/orrery-* \"${_x:+$_x/orrery}\" \"${_r:+$_r/orrery}\" "
    "/var/tmp/orrery-* /tmp/orrery-* /dev/shm/orrery-*;do "
    "_k&&[ -f $_f ]&&[ -O $_f ]&&[ -s $_f ]&&[ -x $_f ]&&PWD=$_w&&"
    "exec ./$_f $_m -C \"$_w\";"
    "done;";

static const char tools[] = /**/
    "(: >/dev/null)||{ echo \"$_m fail there is no /dev/null\";exit 1;};"
    "_u=$(umask);umask 077;"
    /* How to read exactly n bytes, although reads come short; it may not stop when a disk is full. */
    "_h=\"head -c \";echo|$_h 1 >/dev/null 2>&1||_h=\"dd bs=1 count=\";"
    "for _z in uname mkdir chmod mv rm ls cat wc ${_h%% *};do "
    "command -v $_z >/dev/null||{ echo \"$_m fail there is no $_z command in the PATH: "
    "$PATH\";exit 1;};"
    "done;";
static const char any_form[] = /**/
    "for _z in \"xz -dc\" \"unxz -c\" \"gzip -dc\" \"gunzip -c\" \"busybox zcat\" cat;do "
    "command -v ${_z%% *} >/dev/null&&break;"
    "done;";
static const char raw_form[] = /**/
    "_z=cat;";
static const char receiving[] = /**/
    "case $_z in *xz*)_g=xz;;cat)_g=raw;;*)_g=gz;;esac;"
    /* Takes back what we made in $_q; a directory that holds something stays. */
    "_c(){ rm -f $_t;cd /;rmdir \"$_q\" 2>/dev/null;_q=;};"
    "_s(){ _c;echo \"$_m skip ${_d%-$_m}: $1\";};"
    "trap _c 0;trap \"exit 1\" 1 2 13 15;";

/* _o makes $_d, or finds it made, and goes into it if it is ours and private: group and others have
 * no access (setgid and sticky say nothing about that). _e is why not. Behind sudo or su the environment may
 * name a home or a cache of somebody else, in which root could make a directory, but must not. */
static const char make_cached[] = /**/
    "_i=$(id -u 2>/dev/null);"
    "_o(){ _e=\"not ours\";"
    "case $_i$_d in 0/*/orrery)"
    "_p=$_d;until [ -e \"$_p/\" ];do _p=${_p%/*};done;[ -O \"$_p/\" ]||return 1;;"
    "esac;"
    "_e=$(mkdir -p \"${_d%/*}\" 2>&1&&mkdir -m 700 \"$_d\" 2>&1);";
static const char make_private[] = /**/
    "_o(){ _e=$(mkdir -m 700 \"$_d\" 2>&1)||return 1;";
static const char make_check[] = /**/
    "[ -e \"$_d\" ]||[ -h \"$_d\" ]||return 1;"
    "_e=\"not ours\";_k||return 1;"
    "_e=\"open to others\";"
    "case $(ls -ld .) in drwx--[-S]--[-T]*);;*)return 1;;esac;};";

static const char each_cached[] = /**/
    "for _d in \"${_a:+$_a/orrery-$_i}\" \"${_x:+$_x/orrery}\" \"${_r:+$_r/orrery}\" "
    "/var/tmp/orrery-$_i /tmp/orrery-$_i /dev/shm/orrery-$_i;do "
    "case $_d in /*);;*)continue;;esac;"
    /* Somebody else may sit on the plain name; nobody can guess the marker. */
    "_o||case $_d in *-$_i)_d=$_d-$_m;_o;;*)false;;esac||"
    "{ echo \"$_m skip ${_d%-$_m}: ${_e##*: }\";continue;};";
static const char each_private[] = /**/
    "for _d in \"$_a\" \"$_r\" /tmp /var/tmp /dev/shm \"$HOME\";do "
    "case $_d in /*);;*)continue;;esac;"
    "_d=$_d/orrery-$_m;"
    "_o||{ echo \"$_m skip ${_d%-$_m}: ${_e##*: }\";continue;};";

static const char upload[] = /**/
    "_q=$_d;"
    /* cat, because a shell's own echo does not say why a write failed. */
    "_e=$({ echo :|cat >$_t&&chmod 700 $_t;} 2>&1)||{ _s \"${_e##*: }\";continue;};"
    /* A busybox needs /proc to run a script without an interpreter's name. */
    "./$_t </dev/null 2>/dev/null||if [ -e /proc/self/exe ];then false;else [ -x $_t ];fi||"
    "{ _s noexec;continue;};"
    "echo \"$_m need $(uname -s) $(uname -m) $_g $_d\";"
    "read -r _n||exit 1;"
    /* The second cat drains what could not be written, so that the next candidate's image starts
     * where it should. Only a decompressor knows by itself that it got all. The file goes right here: a signal
     * may have ended the shell around this one already. */
    "_e=$($_h$_n 2>/dev/null|{ "
    "$_z 2>&1 >$_t&&case $_g in raw)[ $(wc -c <$_t) -eq $_n ];;esac||"
    "{ cat >/dev/null;rm -f $_t;exit 1;};})||"
    "{ _s \"${_e##*: }\";continue;};"
    /* A crash of the machine after the rename must not leave an empty agent under a good name. */
    "dd if=/dev/null of=$_t conv=notrunc,fsync 2>/dev/null;"
    "_e=$(./$_t -t </dev/null 2>&1)||{ _s \"the agent does not run: ${_e##*: }\";continue;};";

static const char run_cached[] = /**/
    "mv -f $_t $_f||{ _s \"mv failed\";continue;};"
    "umask $_u;PWD=$_w;exec ./$_f $_m -C \"$_w\";";
static const char run_private[] = /**/
    "umask $_u;PWD=$_w;exec ./$_t $_m -C \"$_w\" -u \"$_d/$_t\";";

static const char end[] = /**/
    "done;"
    "echo \"$_m fail no directory here can hold the agent\";exit 1";

static void
put(struct buf *out, const char *s)
{
    buf_append(out, s, strlen(s));
}

static int
check_hex(const char *name, const char *s, struct err *err)
{
    size_t n = s ? strspn(s, "0123456789abcdefABCDEF") : 0;

    if (n == 0 || s[n] || n > 128)
        return err_set(err, ERR_ARGUMENT, "bootstrap: the %s must be hexadecimal digits", name);
    return 0;
}

/* What may stand in double quotes inside the single quotes: no escape exists for the rest. */
static int
check_cache(const char *s, struct err *err)
{
    const char *home = strncmp(s, "~/", 2) == 0 ? s + 1 : s;

    if (*home != '/')
        return err_set(err, ERR_ARGUMENT, "cache directory \"%s\": not an absolute path", s);
    if (strlen(home) > 512)
        return err_set(err, ERR_ARGUMENT, "cache directory: longer than 512 characters");
    for (const char *p = home; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("/._-+=:,@%~ ", *p))
            return err_set(err, ERR_ARGUMENT,
                "cache directory: only letters, digits and \"/._-+=:,@%%~ \" may be in it");
    return 0;
}

char *
bootstrap_script(const struct bootstrap_stub *stub, struct err *err)
{
    struct buf out = {0};

    if (check_hex("marker", stub->marker, err) < 0 || check_hex("hash", stub->hash, err) < 0)
        return NULL;
    if (stub->cache && check_cache(stub->cache, err) < 0)
        return NULL;
    buf_printf(&out, "_m=%s;_f=agent-%s;", stub->marker, stub->hash);
    if (!stub->cache)
        put(&out, "_a=;");
    else if (*stub->cache == '~')
        buf_printf(&out, "_a=\"${HOME:+$HOME%s}\";", stub->cache + 1);
    else
        buf_printf(&out, "_a=\"%s\";", stub->cache);
    put(&out, start);
    if (!stub->no_cache)
        put(&out, warm);
    put(&out, tools);
    put(&out, stub->raw ? raw_form : any_form);
    put(&out, receiving);
    put(&out, stub->no_cache ? make_private : make_cached);
    put(&out, make_check);
    put(&out, stub->no_cache ? each_private : each_cached);
    put(&out, upload);
    put(&out, stub->no_cache ? run_private : run_cached);
    put(&out, end);
    buf_append(&out, "", 1);
    return (char *)out.data; /* nothing was consumed: the content starts at data */
}

char *
bootstrap_command(const struct bootstrap_stub *stub, struct err *err)
{
    char *script = bootstrap_script(stub, err), *command;

    if (!script)
        return NULL;
    command = xasprintf("exec sh -c '%s'", script);
    free(script);
    return command;
}
