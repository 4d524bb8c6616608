/* A Lua state that computes, and other threads that want it to end. */
#include "breaker.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "await_test.h"
#include "bind.h"
#include "router.h"
#include "thread.h"
#include "vm.h"

/* No library: the functions of orrery.core do without. */
const struct vm_module vm_library[] = {{0}};

/* TSan holds a signal back until its thread calls the C library. */
#ifdef __SANITIZE_THREAD__
#define FOREVER "while true do os.time() end"
#else
#define FOREVER "while true do end"
#endif

/* Takes one request, and ends what runs until the test says that it is over. */
static const char setup_code[] = "local core = require 'orrery.core'\n"
                                 "local ending\n"
                                 "function over() ending = nil end\n"
                                 "assert(core.breaker(function(source, asked)\n"
                                 "  if asked then ending = { core.next_break() } end\n"
                                 "  if not ending then return nil end\n"
                                 "  if source == '=library' then return 1 end\n"
                                 "  return ending\n"
                                 "end, true))\n";

struct fixture {
    struct node *node;
    struct binding *binding;
    lua_State *L;
};

static int
setup(void **state)
{
    static struct fixture f;
    struct err err;

    f.node = node_create("/", &err);
    assert_non_null(f.node);
    f.L = vm_new_state();
    f.binding = binding_create(f.L, f.node);
    assert_int_equal(luaL_loadbuffer(f.L, setup_code, strlen(setup_code), "=library"), 0);
    assert_int_equal(lua_pcall(f.L, 0, 0, 0), 0);
    *state = &f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    lua_close(f->L);
    binding_destroy(f->binding);
    node_destroy(f->node);
    return 0;
}

static void *
ask(void *arg)
{
    const struct breaker_request *what = arg;

    usleep(20000);
    breaker_request(what);
    return NULL;
}

/* Runs code while another thread asks for its end; it must raise the request. */
static void
assert_ends(struct fixture *f, const char *code, const char *name)
{
    struct breaker_request what = {7, 8, 9};
    pthread_t thread;

    assert_int_equal(luaL_loadbuffer(f->L, code, strlen(code), name), 0);
    assert_int_equal(thread_start(&thread, 0, ask, &what), 0);
    assert_int_not_equal(lua_pcall(f->L, 0, 0, 0), 0);
    pthread_join(thread, NULL);
    assert_true(lua_istable(f->L, -1));
    for (int i = 1; i <= 3; i++) {
        lua_rawgeti(f->L, -1, i);
        assert_int_equal(lua_tointeger(f->L, -1), 6 + i);
        lua_pop(f->L, 1);
    }
    lua_settop(f->L, 0);
    assert_int_equal(luaL_loadbuffer(f->L, "over()", 6, "=library"), 0);
    assert_int_equal(lua_pcall(f->L, 0, 0, 0), 0);
}

static void
test_ends_what_computes(void **state)
{
    for (int i = 0; i < 20; i++)
        assert_ends(*state, "jit.off(true, true) " FOREVER, "=user");
}

static void
test_is_not_caught_for_good(void **state)
{
    assert_ends(*state, "jit.off(true, true) while true do pcall(error) os.time() end", "=user");
    assert_ends(
        *state, "jit.off(true, true) while true do pcall(function() " FOREVER " end) end", "=user");
    assert_ends(
        *state, "jit.off(true, true) coroutine.wrap(function() " FOREVER " end)()", "=user");
}

static void
test_goes_on_to_the_end_of_library_code(void **state)
{
    struct fixture *f = *state;
    const char *code = "local n, user = 0, ... for i = 1, 3e6 do n = n + 1 end reached = n user()";

    assert_int_equal(luaL_loadbuffer(f->L, code, strlen(code), "=library"), 0);
    lua_setglobal(f->L, "library");
    assert_ends(f,
        "jit.off(library, true) local function user() " FOREVER " end jit.off(user, true) "
        "library(user)",
        "=user");
    lua_getglobal(f->L, "reached");
    assert_int_equal(lua_tointeger(f->L, -1), 3000000);
    lua_settop(f->L, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ends_what_computes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_is_not_caught_for_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_goes_on_to_the_end_of_library_code, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
