-- A child that has the manners of an agent until it is told otherwise: hostile_agent.lua [HELLO] COMMAND. COMMAND is
-- what a launcher would run in a shell; HELLO, in hexadecimal digits, is said instead of what an agent says first.
-- What it is called for it does by the names in `actions`. It needs a luajit, and nothing of what is tested.

local buffer = require "string.buffer"
local ffi = require "ffi"
local frames = require "spec.support.frames"

ffi.cdef [[
long read(int fd, void *buf, unsigned long n);
long write(int fd, const void *buf, unsigned long n);
int pause(void);
]]

local marker = assert(arg[#arg]:match "_m=(%x+);", "no marker in the command")
local hello = #arg > 1 and arg[1]:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end)

local function write(bytes)
    local p, left = ffi.cast("const char *", bytes), #bytes
    while left > 0 do
        local n = tonumber(ffi.C.write(1, p, left))
        if n <= 0 then os.exit(0) end -- the other end has had enough
        p, left = p + n, left - n
    end
end

local function write_often(bytes, times)
    local together = math.max(1, math.floor(65536 / #bytes))
    local piece = bytes:rep(together)
    for _ = 1, math.floor(times / together) do write(piece) end
    write(bytes:rep(times % together))
end

local ROOM = 65536
local PIECE = 131072
local room = ffi.new("uint8_t[?]", ROOM)
local input = buffer.new()

local function read(n)
    while #input < n do
        local got = tonumber(ffi.C.read(0, room, ROOM))
        if got <= 0 then os.exit(0) end
        input:putcdata(room, got)
    end
    return input:get(n)
end

local function next_frame()
    local f = frames.parse(read(frames.HEADER))
    f.payload = read(f.length)
    return f
end

local function encode(...)
    local out = buffer.new()
    for i = 1, select("#", ...) do out:encode((select(i, ...))) end
    return out:tostring()
end

local me
local seen = {} -- lines about the frames that have come in

local function answer(f, payload, flags)
    write(frames.make({ flags = flags, dst = f.src, src = me, handle = f.reply, seq = f.seq }, payload))
end

local actions = {}

--- Writes bytes, so many times, and answers behind them.
function actions.write(f, bytes, times)
    write_often(bytes, times or 1)
    answer(f, encode(true))
end

--- Writes bytes and is gone.
function actions.last(_, bytes)
    write(bytes)
    os.exit(0)
end

--- Writes bytes so many times, then neither reads nor writes.
function actions.stop(_, bytes, times)
    write_often(bytes, times)
    while true do ffi.C.pause() end
end

--- Answers with this, so many times.
function actions.answer(f, payload, flags, times)
    for _ = 1, times or 1 do answer(f, payload, flags) end
end

--- Answers with these bytes so many times in one message, in pieces.
function actions.repeated(f, bytes, times)
    local payload, at = bytes:rep(times), 1
    repeat
        local piece = payload:sub(at, at + PIECE - 1)
        local more, cont = at + PIECE <= #payload and frames.MORE or 0, at > 1 and frames.CONT or 0
        answer(f, piece, more + cont)
        at = at + PIECE
    until at > #payload
end

--- "handle flags src seq payload" of each frame that has come in since it was asked before.
function actions.seen(f)
    seen[#seen] = nil -- the question
    answer(f, encode(table.concat(seen, "\n")))
    seen = {}
end

--- Where the answer to this goes, and by which number it is known.
function actions.where(f) answer(f, encode(f.reply, f.seq)) end

local function on_call(f)
    local values = buffer.new():put(f.payload)
    local name, list = values:decode(), {}
    while #values > 0 do list[#list + 1] = values:decode() end
    write(frames.make({ dst = f.src, src = me, handle = frames.handle.CREDIT },
        frames.u32(frames.handle.CALL) .. frames.u32(frames.HEADER + f.length)))
    if actions[name] then actions[name](f, unpack(list)) end
end

write(marker .. " agent\n")
write(hello or frames.hello())
me = frames.number(next_frame().payload, 1)
while true do
    local f = next_frame()
    seen[#seen + 1] = ("%d %d %d %d %s"):format(f.handle, f.flags, f.src, f.seq, f.payload)
    if f.handle == frames.handle.PING then
        write(frames.make { handle = frames.handle.PONG })
    elseif f.handle == frames.handle.CALL then
        on_call(f)
    end
end
