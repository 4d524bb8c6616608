--- What many hosts say, for one reader: lines with the host in front, or folded by what is equal.

local ffi = require "ffi"
local hosts = require "orrery.cli.hosts"
local sgr = require "orrery.sgr"

ffi.cdef [[
int isatty(int fd);
ssize_t write(int fd, const void *data, size_t size);
struct orrery_pollfd { int fd; short events, revents; };
int poll(struct orrery_pollfd *fds, unsigned long count, int timeout);
char *strerror(int number);
]]

local M = {}

local WIDEST = 32           -- longest name that the others are aligned with
local BUFFER = 65536        -- bytes that are kept before they are written
local EINTR, EPIPE = 4, 32
local POLLOUT = 4
local AGAIN = { [11] = true, [35] = true } -- EAGAIN of Linux, of BSD

--- Status of a program that wrote into a closed pipe, as a shell sees it.
M.BROKEN_PIPE = 141
--- EX_IOERR: what was to be said could not be written.
M.IO_ERROR = 74

local RED, BOLD = "31", "1"
local COLOURS = { "36", "32", "33", "35", "34" }

-- Files -------------------------------------------------------------------------------------------

---@class orrery.output.File
---@field fd integer
---@field terminal boolean
---@field colour boolean

---@param fd integer
---@return orrery.output.File
local function file(fd)
    local terminal = ffi.C.isatty(fd) == 1
    return { fd = fd, terminal = terminal, colour = sgr.wanted(terminal) }
end

--- Is there somebody who sees it?
---@param fd integer
---@return boolean
function M.is_terminal(fd) return file(fd).terminal end

-- An fd that someone else made non-blocking (they share the terminal) is waited for.
local function write_some(fd, data, from)
    while true do
        local n = tonumber(ffi.C.write(fd, ffi.cast("const char *", data) + from, #data - from))
        if n >= 0 then return n end
        local errno = ffi.errno()
        if AGAIN[errno] then
            ffi.C.poll(ffi.new("struct orrery_pollfd[1]", { { fd, POLLOUT, 0 } }), 1, -1)
        elseif errno ~= EINTR then
            return nil, errno
        end
    end
end

local function write_all(fd, data)
    local from = 0
    while from < #data do
        local n, errno = write_some(fd, data, from)
        if not n then return errno end
        from = from + n
    end
end

-- Nobody listens any more: what runs for them is ended by our end. Most often SIGPIPE comes first.
local function give_up(errno)
    if errno == EPIPE then os.exit(M.BROKEN_PIPE) end
    local why = ffi.string(ffi.C.strerror(errno))
    write_all(2, ("orrery: cannot write the output: %s\n"):format(why))
    os.exit(M.IO_ERROR)
end

-- Text --------------------------------------------------------------------------------------------

local function hex(c)
    return (c:gsub(".", function(byte) return ("\\x%02x"):format(byte:byte()) end))
end

--- Makes a line harmless: what a terminal would obey is shown as \x1b. Tabs stay.
---@param line string
---@return string
function M.escape(line)
    if not line:find("[%c\194]") then return line end
    line = line:gsub("\r+$", "")
    return (line:gsub("[%z\1-\8\10-\31\127]", hex):gsub("\194[\128-\159]", hex))
end

--- The same for text of several lines, where it goes to a terminal.
---@param text string
---@param fd integer 1 or 2
---@return string
function M.printable(text, fd)
    if not file(fd).terminal then return text end
    return (text:gsub("[^\n]+", M.escape))
end

--- How a command ended that did not end well.
---@param result orrery.CommandResult
---@return string? text nil: it did
function M.ending(result)
    if result.signal then return ("killed by signal %d"):format(result.signal) end
    return result.code ~= 0 and ("exit status %d"):format(result.code) or nil
end

-- The printer -------------------------------------------------------------------------------------

--- Writes lines in the order in which they came, whatever file they go to.
---@class orrery.output.Printer
---@field out orrery.output.File
---@field err orrery.output.File
---@field width integer
---@field index table<string, integer>
---@field current? orrery.output.File what is in `pieces` goes there
---@field pieces string[]
---@field size integer
---@field on_pending fun() called when there is something to flush
local Printer = {}
Printer.__index = Printer

--- A printer for lines of these hosts.
---@param names string[]
---@param on_pending? fun() called when something waits to be flushed; else the caller flushes
---@return orrery.output.Printer
function M.printer(names, on_pending)
    local width, index = 0, {}
    for i, name in ipairs(names) do
        width, index[name] = math.max(width, #name), i
    end
    return setmetatable({
        out = file(1), err = file(2), width = math.min(width, WIDEST), index = index,
        pieces = {}, size = 0, on_pending = on_pending or function() end,
    }, Printer)
end

--- Writes what is kept.
function Printer:flush()
    local to, data = self.current, table.concat(self.pieces)
    self.current, self.pieces, self.size = nil, {}, 0
    if not to or data == "" then return end
    local errno = write_all(to.fd, data)
    if errno and to.fd == 1 then give_up(errno) end -- a closed stderr stops nothing
end

---@param to orrery.output.File
---@param text string
---@private
function Printer:add(to, text)
    if self.current and self.current ~= to then self:flush() end
    if self.size == 0 then self.on_pending() end
    self.current, self.size = to, self.size + #text
    self.pieces[#self.pieces + 1] = text
    if self.size >= BUFFER then self:flush() end
end

---@private
function Printer:prefix(to, name, colour)
    local gap = (" "):rep(math.max(0, self.width - #name) + 1)
    return sgr.paint(to.colour and colour, name .. ":") .. gap
end

---@private
function Printer:put(to, name, line, colour)
    if to.terminal then line = M.escape(line) end
    self:add(to, self:prefix(to, name, colour) .. line .. "\n")
end

--- A line of a host's stdout.
---@param name string
---@param line string
function Printer:stdout(name, line)
    self:put(self.out, name, line, COLOURS[((self.index[name] or 1) - 1) % #COLOURS + 1])
end

--- A line of a host's stderr, or of ours about it.
---@param name string
---@param text string each line of it gets the name
function Printer:stderr(name, text)
    for line in (text .. "\n"):gmatch("(.-)\n") do self:put(self.err, name, line, RED) end
end

--- A line of ours on stderr.
---@param line string
function Printer:note(line)
    self:add(self.err, (self.err.terminal and M.escape(line) or line) .. "\n")
end

-- Folding -----------------------------------------------------------------------------------------

---@class orrery.output.Group
---@field text string
---@field note string
---@field names string[]
---@field first integer

--- Groups hosts by what they said. The fewest hosts first, since they are what one looks for.
---@param said { name: string, text: string, note: string }[]
---@return orrery.output.Group[]
function M.group(said)
    local groups, by_key = {}, {}
    for i, each in ipairs(said) do
        local key = each.note .. "\0" .. each.text
        local group = by_key[key]
        if not group then
            group = { text = each.text, note = each.note, names = {}, first = i }
            by_key[key], groups[#groups + 1] = group, group
        end
        table.insert(group.names, each.name)
    end
    table.sort(groups, function(a, b)
        if #a.names ~= #b.names then return #a.names < #b.names end
        return a.first < b.first
    end)
    return groups
end

---@private
function Printer:indented(to, text)
    if text ~= "" and text:sub(-1) ~= "\n" then text = text .. "\n" end
    for line in text:gmatch("(.-)\n") do
        if to.terminal then line = M.escape(line) end
        self:add(to, line == "" and "\n" or "  " .. line .. "\n")
    end
end

--- Prints each output once, below the hosts that share it.
---@param groups orrery.output.Group[]
function Printer:groups(groups)
    local to = self.out
    for i, group in ipairs(groups) do
        local head = ("%s (%d)"):format(hosts.fold(group.names), #group.names)
        local note = group.note ~= "" and ", " .. group.note or ""
        if i > 1 then self:add(to, "\n") end
        self:add(to, sgr.paint(to.colour and BOLD, head .. note .. ":"))
        self:add(to, group.text == "" and " no output\n" or "\n")
        self:indented(to, group.text)
    end
end

return M
