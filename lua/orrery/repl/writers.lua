--- Those who write to the terminal while a prompt is there: print, io.write and the `write` of stdout and stderr go
--- through a function, which may show it elsewhere.
--
-- What has taken `print` or `io.write` into a local of its own before is not seen.

local M = {}

local stdout, stderr = io.stdout, io.stderr

---@type fun(text: string): boolean
local show
---@type table<userdata, true> those that are the terminal
local terminals = {}
local original ---@type { print: function, write: function, methods: table, method: function }

-- The text of what write takes; nil where it takes something that it must refuse itself.
local function text_of(...)
    local parts = { ... }
    for i = 1, select("#", ...) do
        local kind = type(parts[i])
        if kind ~= "string" and kind ~= "number" then return end
        parts[i] = tostring(parts[i])
    end
    return table.concat(parts)
end

local function write(file, ...)
    if terminals[file] then
        local text = text_of(...)
        if text == "" or text and show(text) then return true end
    end
    return original.method(file, ...)
end

local function print_above(...)
    if not terminals[stdout] then return original.print(...) end
    local parts, tostring = { ... }, tostring
    for i = 1, select("#", ...) do
        parts[i] = tostring(parts[i])
        if type(parts[i]) ~= "string" then error("'tostring' must return a string to 'print'", 2) end
    end
    if not show(table.concat(parts, "\t") .. "\n") then return original.print(...) end
end

--- From now on texts go to a function, until uninstall.
---@param fn fun(text: string): boolean true: it has shown it
---@param out boolean stdout is the terminal
---@param err boolean stderr is
function M.install(fn, out, err)
    if original then M.uninstall() end
    show = fn
    terminals = { [stdout] = out or nil, [stderr] = err or nil }
    local methods = getmetatable(stdout).__index
    original = { print = print, write = io.write, methods = methods, method = methods.write }
    methods.write = write
    io.write = function(...) return write(io.output(), ...) end -- luacheck: ignore 122
    print = print_above -- luacheck: ignore 121
    M.installed = { write = io.write }
end

--- Puts things back, where nobody else has changed them meanwhile.
function M.uninstall()
    if not original then return end
    if original.methods.write == write then original.methods.write = original.method end
    if io.write == M.installed.write then io.write = original.write end -- luacheck: ignore 122
    if print == print_above then print = original.print end -- luacheck: ignore 121
    original, terminals = nil, {}
end

return M
