--- More than a screenful goes through the pager of the person at the terminal.
--
-- The pager has the terminal, and this Lua state waits for its end: no task of it runs in the meantime. The broker is
-- a thread of its own, so messages are forwarded and kept.

local ffi = require "ffi"
local core = require "orrery.core"
local options = require "orrery.options"
local width = require "orrery.play.views.width"

ffi.cdef [[
int orrery_pager_sigaction(int number, const void *new, void *old) __asm__("sigaction");
void *orrery_pager_signal(int number, void *handler) __asm__("signal");
]]

local M = {}

---@class orrery.repl.PagerOptions
---@field enabled? boolean false: the text is written, however long it is
---@field pager? string the command; else $PAGER, or less

local SCHEMA = { enabled = { type = "boolean", default = true }, pager = "string" }

local SIGINT, SIGQUIT, SIGPIPE = 2, 3, 13
local SIGNAL_SIZE = 512 -- no system's struct sigaction is larger

-- Ctrl-C is for the pager: the shell waits on, and what runs in it gets the signal. One that could not be started has
-- read nothing, so that cat has it all. One that died may have left the terminal in any state.
local SCRIPT = [[
trap : INT QUIT
LESS=${LESS-FRX} LV=${LV--c}
export LESS LV
state=$(stty -g 2>/dev/null </dev/tty)
eval "$1"
case $? in 126 | 127) cat ;; esac
[ -z "$state" ] || stty "$state" 2>/dev/null </dev/tty]]

local LESS = "if command -v less >/dev/null; then less; else cat; fi"

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

local function write(text)
    io.stdout:write(text, "\n")
    io.stdout:flush()
end

--- Does it take more lines than there are, where one is left for the prompt?
---@param text string
---@param columns integer
---@param rows integer
---@return boolean
function M.is_long(text, columns, rows)
    local used = 0
    for line in (text .. "\n"):gmatch "(.-)\n" do
        local shown = width.of((line:gsub("\27%[[%d;]*m", ""):gsub("\t", "        ")))
        used = used + math.max(1, math.ceil(shown / columns))
        if used > rows - 1 then return true end
    end
    return false
end

-- The command, or nil where the text is as well written.
local function command(pager)
    if (os.getenv "TERM" or "dumb") == "dumb" then return nil end
    pager = pager or os.getenv "PAGER" or LESS
    return pager:find "%S" and not pager:find "^%s*cat%s*$" and pager or nil
end

-- While the pager runs, signals of the terminal are not for this program; nor is it ended by a pipe that nobody reads.
local function deaf(fn)
    local kept = {}
    for _, number in ipairs { SIGINT, SIGQUIT, SIGPIPE } do
        kept[number] = ffi.new("char[?]", SIGNAL_SIZE)
        ffi.C.orrery_pager_sigaction(number, nil, kept[number])
        ffi.C.orrery_pager_signal(number, ffi.cast("void *", 1)) -- SIG_IGN
    end
    local ok, err = pcall(fn)
    for number, state in pairs(kept) do ffi.C.orrery_pager_sigaction(number, state, nil) end
    if not ok then error(err, 0) end
end

local function page(text, pager)
    io.stdout:flush()
    -- It is started first, so that it does not inherit that they are ignored.
    local pipe = io.popen(("exec sh -c %s sh %s"):format(quote(SCRIPT), quote(pager)), "we")
    if not pipe then return write(text) end
    deaf(function()
        pipe:write(text, "\n")
        pipe:close()
    end)
end

-- Nothing where stdout is no terminal; a stock luajit does not ask.
local function size()
    if core.screen_size then return core.screen_size() end
end

--- Shows a text: through the pager where stdout is a terminal that has not enough lines for it. Blocks until the person
--- has seen it.
---@param text string harmless to a terminal, without a newline at its end
---@param opts? orrery.repl.PagerOptions
---Raises "option".
function M.show(text, opts)
    opts = options.check("pager.show", opts, SCHEMA)
    local columns, rows = size()
    local pager = opts.enabled and columns and M.is_long(text, columns, rows) and command(opts.pager)
    if pager then return page(text, pager) end
    write(text)
end

return M
