#!/usr/bin/luajit
-- A slow cable, for kernels without sch_netem: delay.lua NEAR FAR DELAY_MS LOSS_PERCENT PID_FILE
--
-- Carries Ethernet frames between two network devices. What comes from NEAR (this machine's side)
-- reaches FAR (the host's) after the delay, unless it is lost; what comes from FAR passes at once.
-- That is what `tc qdisc add dev CABLE root netem delay D loss L` does. Runs until it is killed.

local ffi = require "ffi"
local bit = require "bit"

ffi.cdef [[
struct sockaddr_ll {
    uint16_t family, protocol;
    int ifindex;
    uint16_t hatype;
    uint8_t pkttype, halen, addr[8];
};
struct pollfd { int fd; short events, revents; };
struct timespec { long sec, nsec; };
int socket(int domain, int type, int protocol);
int bind(int fd, const void *addr, unsigned len);
int setsockopt(int fd, int level, int name, const void *value, unsigned len);
long recvfrom(int fd, void *buf, size_t len, int flags, void *addr, unsigned *addrlen);
long send(int fd, const void *buf, size_t len, int flags);
int ppoll(struct pollfd *fds, unsigned long n, const struct timespec *timeout, const void *mask);
int clock_gettime(int clock, struct timespec *time);
unsigned if_nametoindex(const char *name);
char *strerror(int errnum);
]]
local C = ffi.C

local AF_PACKET, SOCK_RAW, SOL_PACKET, SOL_SOCKET = 17, 3, 263, 1
local PACKET_VNET_HDR, PACKET_OUTGOING, PACKET_IGNORE_OUTGOING = 15, 4, 23
local SO_RCVBUFFORCE = 33
local MSG_DONTWAIT, POLLIN, CLOCK_MONOTONIC = 0x40, 1, 1
local ETH_P_ALL = bit.bswap(bit.lshift(3, 16))
local ENETDOWN = 100
local FRAME_SIZE = 70000

local near_name, far_name, delay_ms, loss_percent, pid_file = unpack(arg)
local delay, loss = tonumber(delay_ms) / 1000, tonumber(loss_percent) / 100

local function must(result, what)
    if result < 0 then
        error(what .. ": " .. ffi.string(C.strerror(ffi.errno())))
    end
    return result
end

local function set_option(fd, level, name, value)
    must(C.setsockopt(fd, level, name, ffi.new("int[1]", value), 4), "setsockopt " .. name)
end

local function open_device(name)
    local fd = must(C.socket(AF_PACKET, SOCK_RAW, 0), "socket")
    -- With this header, frames whose checksum or segmentation was left to the device pass as they
    -- are; without it they would arrive broken.
    set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1)
    set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, 16 * 1024 * 1024)
    local addr = ffi.new("struct sockaddr_ll")
    addr.family, addr.protocol = AF_PACKET, ETH_P_ALL
    addr.ifindex = C.if_nametoindex(name)
    must(C.bind(fd, addr, ffi.sizeof(addr)), "bind to " .. name)
    return fd
end

local time = ffi.new("struct timespec")
local function now()
    C.clock_gettime(CLOCK_MONOTONIC, time)
    return tonumber(time.sec) + tonumber(time.nsec) / 1e9
end

local near, far = open_device(near_name), open_device(far_name)
local buffer = ffi.new("uint8_t[?]", FRAME_SIZE)
local from, from_len = ffi.new("struct sockaddr_ll"), ffi.new("unsigned[1]")

local function receive(fd)
    from_len[0] = ffi.sizeof(from)
    local n = tonumber(C.recvfrom(fd, buffer, FRAME_SIZE, MSG_DONTWAIT, from, from_len))
    if n < 0 then
        -- A cable that was cut may come back; one that was deleted ends this process.
        if ffi.errno() == ENETDOWN and C.if_nametoindex(fd == near and near_name or far_name) == 0 then
            os.exit(0)
        end
        return nil
    end
    return n, from.pkttype ~= PACKET_OUTGOING
end

-- A full queue or a device that is down loses the frame, as on a real cable.
local queue, first, last = {}, 1, 0
local function send_due()
    local t = now()
    while first <= last and queue[first].due <= t do
        C.send(far, queue[first].frame, #queue[first].frame, 0)
        queue[first] = nil
        first = first + 1
    end
    return first <= last and queue[first].due - t or nil
end

local fds = ffi.new("struct pollfd[2]")
fds[0].fd, fds[0].events = near, POLLIN
fds[1].fd, fds[1].events = far, POLLIN
local timeout = ffi.new("struct timespec")

local file = assert(io.open(pid_file, "w"))
file:write(assert(io.open("/proc/self/stat")):read("*n"), "\n")
file:close()

while true do
    local wait = send_due()
    if wait then
        timeout.sec, timeout.nsec = math.floor(wait), (wait % 1) * 1e9
    end
    C.ppoll(fds, 2, wait and timeout or nil, nil)
    for n, incoming in receive, far do
        if incoming then
            C.send(near, buffer, n, 0)
        end
    end
    local due = now() + delay
    for n, incoming in receive, near do
        if incoming and (loss == 0 or math.random() >= loss) then
            last = last + 1
            queue[last] = { due = due, frame = ffi.string(buffer, n) }
        end
    end
end
