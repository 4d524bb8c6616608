--- A busted helper (--helper=spec.support.sanitizer) for runs whose C modules are built with
--- sanitizers. The sanitizer's runtime had to be preloaded into luajit, which was built without it.
---
--- Children must not inherit that: in the shells and ssh clients that specs start it has no business,
--- and the binaries under test bring their own. These are told to look for leaks, which the stock
--- luajit could not pass. A spec that starts luajit itself finds what to preload in ORRERY_PRELOAD.

local ffi = require "ffi"

ffi.cdef [[
int unsetenv(const char *name);
int setenv(const char *name, const char *value, int overwrite);
]]

ffi.C.unsetenv("LD_PRELOAD")
ffi.C.setenv("ASAN_OPTIONS", os.getenv("ORRERY_CHILD_ASAN_OPTIONS") or "", 1)

-- An object that C holds but Lua does not is to be collected while the sanitizer watches.
collectgarbage("setpause", 100)
collectgarbage("setstepmul", 400)

return function()
    return true
end
