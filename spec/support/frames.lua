--- Frames and fields of docs/protocol.md as bytes, without the runtime, so that they can be wrong.

local bit = require "bit"

local frames = {}

frames.HEADER = 32

--- FRAME_VERSION, which this speaks unless it is told otherwise.
frames.VERSION = 4

--- Numbers of handles.
frames.handle = {
    HELLO = 1, CONFIG = 2, PING = 3, PONG = 4, IDS = 6, ROUTE = 7, DEAD = 8, CREDIT = 9, THREAD = 10, ASK = 11,
    GONE = 12, ALLOW = 13, KEEP = 14, CLOSED = 15, CALL = 16, CANCEL = 17, MODULE = 18, CLOSE = 19, RUN = 20,
    FILE = 21, CONTEXTS = 22, SERVICE = 24, TEXT = 25, BREAK = 26,
}

frames.ERROR, frames.DEAD, frames.MORE, frames.BULK, frames.CONT = 1, 2, 4, 8, 16

---@param n integer
---@return string bytes four of them
function frames.u32(n)
    local low = bit.tobit(n)
    return string.char(bit.rshift(low, 24), bit.band(bit.rshift(low, 16), 255), bit.band(bit.rshift(low, 8), 255),
        bit.band(low, 255))
end

---@param bytes string
---@param at integer
---@return integer
function frames.number(bytes, at)
    local a, b, c, d = bytes:byte(at, at + 3)
    return ((a * 256 + b) * 256 + c) * 256 + d
end

---@param text string
---@return string bytes
function frames.str(text) return frames.u32(#text) .. text end

---@class spec.Frame what is left out is 0
---@field handle integer
---@field dst? integer
---@field src? integer
---@field auth? integer
---@field reply? integer
---@field seq? integer
---@field flags? integer
---@field length? integer instead of the payload's
---@field magic? string
---@field version? integer

---@param f spec.Frame
---@param payload? string
---@return string bytes
function frames.make(f, payload)
    local u32 = frames.u32
    payload = payload or ""
    return (f.magic or "Or") .. string.char(f.version or frames.VERSION, f.flags or 0) .. u32(f.length or #payload)
        .. u32(f.dst or 0) .. u32(f.src or 0) .. u32(f.auth or 0) .. u32(f.handle) .. u32(f.reply or 0)
        .. u32(f.seq or 0) .. payload
end

---@param head string the first HEADER bytes of a frame
---@return spec.Frame
function frames.parse(head)
    local number = frames.number
    return {
        flags = head:byte(4), length = number(head, 5), dst = number(head, 9), src = number(head, 13),
        auth = number(head, 17), handle = number(head, 21), reply = number(head, 25), seq = number(head, 29),
    }
end

--- What an agent says first.
---@param version? integer
---@return string bytes
function frames.hello(version)
    local str, u32 = frames.str, frames.u32
    return frames.make({ handle = frames.handle.HELLO },
        u32(version or frames.VERSION) .. str "hostile" .. str "Linux" .. str "x86_64" .. u32(1) .. u32(0))
end

return frames
