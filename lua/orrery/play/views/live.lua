--- The view for terminals: what is over scrolls by as in the plain view, and what runs now is drawn below it, again
--- and again, at most ten times a second and only when it differs.

local above = require "orrery.play.views.above"
local frame = require "orrery.play.views.frame"
local plain = require "orrery.play.views.plain"
local tally = require "orrery.play.views.tally"
local text = require "orrery.play.views.text"
local width = require "orrery.play.views.width"

local M = {}

local PACE = 0.1  -- seconds between two drawings
local TICK = 1    -- while something runs: the time goes on
local RETRY = 0.25

--- Where it is drawn. The real one is orrery.core's (runtime/app/screen.h).
---@class orrery.play.views.Screen
---@field draw fun(up: string, above: string, frame: string, undo: string): boolean
---@field size fun(): integer?, integer?

---@class orrery.play.views.Live
---@field plain orrery.play.views.Plain
---@field tally orrery.play.views.Tally
---@field screen orrery.play.views.Screen
---@field lines string[] on the screen
---@field pending string[] to go above
local Live = {}
Live.__index = Live

---@return orrery.play.views.Screen
local function real_screen()
    local core = require "orrery.core"
    return { draw = core.screen_draw, size = core.screen_size }
end

local function is_utf8()
    for _, name in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
        local value = os.getenv(name) or ""
        if value ~= "" then return value:lower():find "utf%-?8" ~= nil end
    end
    return false
end

---@param settings orrery.play.views.Settings
---@return orrery.play.views.Live
function M.new(settings)
    local sched = require "orrery.sched"
    local clock = settings.clock or sched.now
    local self = setmetatable({
        tally = tally.new(clock), clock = clock, screen = settings.screen or real_screen(),
        paint = text.painter(settings.colour),
        glyphs = frame.GLYPHS[settings.utf8 == nil and is_utf8() or settings.utf8 == true],
        after = settings.after or sched.after, lines = {}, pending = {}, last = -math.huge,
    }, Live)
    self.plain = plain.new(setmetatable({
        write = function(said) self:add(said) end, clock = clock, after = false, -- drawing ticks
        columns = function() return (self.screen.size()) end,
    }, { __index = settings }))
    if settings.capture ~= false then self:capture(settings.files or { io.stdout, io.stderr }) end
    return self
end

-- A script that ends without a word to its views must not take with it what it has printed.
---@private
function Live:capture(files)
    io.stdout:flush() -- what was printed before
    self.above = above.install(files, function(said) self:add(said) end, function(said) self:suspend(said) end)
    local exit = os.exit
    self.exit = function(...)
        self:leave()
        exit(...)
    end
    self.real_exit = exit
    rawset(os, "exit", self.exit)
    self.sentinel = newproxy(true)
    getmetatable(self.sentinel).__gc = function() self:leave() end
end

-- Drawing -----------------------------------------------------------------------------------------

---@private
function Live:add(said)
    self.pending[#self.pending + 1] = said
    self:change()
end

-- Terminals lay long lines out anew when they become narrower.
local function rows_of(lines, columns)
    local rows = 0
    for _, columns_of_line in ipairs(lines) do
        rows = rows + math.max(1, math.ceil(columns_of_line / columns))
    end
    return rows
end

local function up(rows) return (rows > 0 and ("\27[%dA"):format(rows) or "") .. "\r" end

local function plain_width(line) return width.of((line:gsub("\27%[[%d;]*m", ""))) end

---@private
function Live:compose(columns, rows)
    local lines = {}
    if columns and rows then
        lines = frame.lines(self.tally, {
            columns = columns, rows = rows, now = self.clock(), paint = self.paint, glyphs = self.glyphs,
        })
    end
    return lines
end

--- Draws, unless nothing has changed.
---@private
function Live:draw()
    self:stop_timer()
    self.last, self.drawing = self.clock(), true
    self.plain:tick(self.clock())
    self.drawing = false
    local columns, rows = self.screen.size()
    local lines, over = self:compose(columns, rows), table.concat(self.pending)
    local shown = table.concat(lines, "\27[K\n")
    if over ~= "" or shown ~= self.shown or columns ~= self.columns then
        local before = up(rows_of(self.lines, columns or 80))
        -- What stays the same is written over, so that it does not flicker.
        if over ~= "" or columns ~= self.columns or #lines == 0 then before = before .. "\27[J" end
        local ours = #lines > 0 and shown .. "\27[K\n\27[J" or ""
        if not self.screen.draw(before, over, ours, up(#lines) .. "\27[J") then
            self.timer = self.after(RETRY, function() self:draw() end)
            return
        end
        self.pending, self.shown, self.columns, self.lines = {}, shown, columns, {}
        for i, line in ipairs(lines) do self.lines[i] = plain_width(line) end
    end
    if #lines > 0 then
        self.timer, self.ticks = self.after(TICK, function() self:draw() end), true
    end
end

---@private
function Live:stop_timer()
    if self.timer then self.timer:cancel() end
    self.timer, self.ticks = nil, false
end

-- Something is to be drawn: at once, or when it is time.
---@private
function Live:change()
    if self.over or self.drawing then return end
    local wait = self.last + PACE - self.clock()
    if wait <= 0 then
        self:draw()
    elseif not self.timer or self.ticks then
        self:stop_timer()
        self.timer = self.after(wait, function() self:draw() end)
    end
end

-- Takes the region away, and leaves the cursor behind a text.
---@private
function Live:suspend(said)
    local over = table.concat(self.pending)
    if self.screen.draw(up(#self.lines) .. "\27[J", over .. said, "", "") then
        self.pending, self.lines, self.shown = {}, {}, nil
    end
end

-- The screen is as if nothing had been there but lines; what is printed goes its usual way.
---@private
function Live:leave()
    if self.over then return end
    self.over = true
    self:stop_timer()
    local rest = self.above and self.above:remove() or ""
    if rawget(os, "exit") == self.exit then rawset(os, "exit", self.real_exit) end
    local over = table.concat(self.pending) .. rest
    if rest ~= "" then over = over .. "\n" end
    self.pending = {}
    if not self.screen.draw(up(#self.lines) .. "\27[J", over, "", "") then io.stdout:write(over) end
    io.stdout:flush()
end

-- Events ------------------------------------------------------------------------------------------

---@param e table
function Live:event(e)
    self.tally:event(e)
    self.plain:event(e)
    self:change()
end

--- The region goes, the recap comes.
function Live:finish()
    self.plain:finish()
    self:leave()
end

--- It has failed: the terminal is left to others.
function Live:abandon() self:leave() end

return M
