--- A program at a terminal, for specs: a window of a tmux of its own, with somebody who types.

local lab = require "spec.support.lab"
local remote = require "spec.support.remote"

local terminal = {}

---@class spec.Terminal
---@field package socket string
---@field package dir string
local Terminal = {}
Terminal.__index = Terminal

local PRELUDE = [[
local orrery = require "orrery"
local function say(...) io.stdout:write(table.concat({ ... }, " "), "\n") io.stdout:flush() end
]]

-- What runs in the window: the program, then its status, and, once it is so, that what is typed is shown.
local SCRIPT = [[
trap : INT
for last; do :; done
if [ "$last" = background ]; then
    set -m
    "$ORRERY_BUILD/orrery" "$@" &
    wait
else
    (exec sh -c 'echo $$ >"$0.pid"; exec "$ORRERY_BUILD/orrery" "$@"' "$0" "$@")
fi
echo "ended $?"
until stty -a | grep -qe ' echo '; do sleep 0.01; done
echo "the echo is on"
exec sleep 1000000
]]

local function tmux(self, ...)
    local code, out, err = lab.run { "tmux", "-S", self.socket, "-f", "/dev/null", ... }
    if code ~= 0 then error("tmux: " .. err, 3) end
    return out
end

-- In an environment with these variables.
local function open_with(variables, dir, columns, lines, ...)
    local self = setmetatable({ dir = dir, socket = dir .. "/tmux" }, Terminal)
    remote.write(dir .. "/script", SCRIPT)
    local words = { "-u", "new-session", "-d", "-x", tostring(columns), "-y", tostring(lines) }
    for name, value in pairs(variables) do
        words[#words + 1] = "-e"
        words[#words + 1] = name .. "=" .. value
    end
    for _, word in ipairs { "bash", dir .. "/script", ... } do words[#words + 1] = word end
    tmux(self, unpack(words))
    return self
end

local function open(dir, home, ...) return open_with({ HOME = home }, dir, ...) end

--- Starts a program. It has `orrery` and `say(...)`, which writes a line. An argument "background" at the
--- end starts it in the background.
---@param text string Lua
---@param ... string arguments
---@return spec.Terminal
function terminal.start(text, ...) return terminal.sized(300, 50, text, ...) end

--- The same in a window of another size.
---@param columns integer
---@param lines integer
---@param text string
---@param ... string
---@return spec.Terminal
function terminal.sized(columns, lines, text, ...)
    local dir = remote.directory()
    remote.write(dir .. "/program.lua", PRELUDE .. text)
    return open(dir, os.getenv "HOME", columns, lines, "run", dir .. "/program.lua", ...)
end

--- Starts `orrery` with these arguments, and a home directory of its own.
---@param columns integer
---@param lines integer
---@param ... string
---@return spec.Terminal
function terminal.command(columns, lines, ...)
    local dir = remote.directory()
    return open(dir, dir, columns, lines, ...)
end

--- The same with variables of the environment, HOME among them.
---@param variables table<string, string>
---@param columns integer
---@param lines integer
---@param ... string
---@return spec.Terminal
function terminal.with(variables, columns, lines, ...)
    return open_with(variables, remote.directory(), columns, lines, ...)
end

--- All that is on the screen, without the space at the ends of lines.
---@return string
function Terminal:screen()
    return (tmux(self, "capture-pane", "-p"):gsub(" +\n", "\n"))
end

--- Waits until a text is on the screen.
---@param text string plain; where it ends in spaces, without these
function Terminal:await(text)
    text = text:gsub(" +\n", "\n"):gsub(" +$", "")
    local ok = pcall(remote.eventually, text, function() return self:screen():find(text, 1, true) end, 20)
    if not ok then error(("%q is not on the screen:\n%s"):format(text, self:screen()), 2) end
end

---@param columns integer
---@param lines integer
function Terminal:resize(columns, lines)
    tmux(self, "resize-window", "-x", tostring(columns), "-y", tostring(lines))
end

---@return boolean shown
function Terminal:cursor() return tmux(self, "display-message", "-p", "#{cursor_flag}"):find "1" ~= nil end

---@param text string
function Terminal:type(text)
    tmux(self, "send-keys", "-l", (text:gsub("\n", "")))
    if text:find "\n" then self:key "Enter" end
end

---@param name string as tmux calls it: "C-c"
function Terminal:key(name) tmux(self, "send-keys", name) end

--- As a terminal does it where a program has asked to be told.
---@param text string
function Terminal:paste(text)
    remote.write(self.dir .. "/paste", text)
    tmux(self, "load-buffer", "-b", "pasted", self.dir .. "/paste")
    tmux(self, "paste-buffer", "-p", "-r", "-d", "-b", "pasted")
end

--- Of the program.
---@return integer
function Terminal:pid() return tonumber(remote.slurp(self.dir .. "/script.pid")) end

function Terminal:finish()
    tmux(self, "kill-server")
    remote.remove(self.dir)
end

return terminal
