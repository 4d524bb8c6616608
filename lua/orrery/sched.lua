--- The scheduler: tasks are coroutines, and blocking is by appearance.
--
-- A blocking primitive (Future:get, sleep, and all that is built on them) yields when it is called
-- by a task. Elsewhere it cannot: on the main coroutine, in a coroutine that the user made, below a
-- C function (a table.sort comparator, a gsub callback, require). There it *drives*: it runs the
-- loop in place, other tasks included, until its own wait is over. Drives nest like function calls:
-- an outer one returns after the inner ones.
--
-- One turn of the loop runs the tasks that are ready, in order, then due timers, then polls. Where that takes
-- long, what is left is put off: tasks that have become ready meanwhile go first, so that opening a thousand
-- hosts does not hold up the calls of a few others.
--
-- Coroutines are used again: what a library keeps for a coroutine, by coroutine.running(), it may find
-- there in another task.

local Error = require "orrery.error"
local future = require "orrery.future"
local timers = require "orrery.timers"

local Future, TIMED_OUT = future.Future, future.TIMED_OUT

local M = {}

---@type fun(timeout?: number): string?
local function poll(timeout)
    if timeout == nil then return "idle" end
    error("orrery.sched: set_poll has not been called", 0)
end

---@type fun(): number
local clock = os.clock

--- Sets how to wait for the outside.
---@param fn fun(timeout?: number): string? blocks until something happened, or for `timeout`
---seconds (0:
---only looks; nil: without end). Returns "idle" if it was asked to wait without end and nothing can
---come
function M.set_poll(fn) poll = fn end

---@param fn fun(): number seconds, from a monotonic clock
function M.set_clock(fn) clock = fn end

---@return number seconds on the scheduler's clock
function M.now() return clock() end

--- Called with an error that nobody looked at: a task failed and its future was dropped, or a
--- callback raised. Replace it to log elsewhere.
---@param err orrery.Error
---@param what string
function M.on_orphan_error(err, what)
    -- It may come from a child, and goes to a terminal.
    local text = Error.format(err):gsub("[%z\1-\8\11-\31\127]", "?"):gsub("\194[\128-\159]", "??")
    io.stderr:write(("orrery: %s failed, and nobody waits for it:\n%s\n"):format(what, text))
end

function future.on_error(err) M.on_orphan_error(err, "a callback") end

--- Calls a function later. It runs in the loop and must not block; spawn a task for more.
---@param seconds number
---@param fn function
---@return orrery.Timer timer with a cancel() method
function M.after(seconds, fn)
    return timers.add(clock() + seconds, fn)
end

-- Tasks -------------------------------------------------------------------------------------------

--- A running function; also the future of its results.
---@class orrery.Task: orrery.Future
---@field package co thread
---@field package origin function for messages
---@field package fn? function nil once it has begun
---@field package waiting false|true|orrery.Future what it is parked on; true: only a timer
---@field package cancelled? orrery.Error set by the first cancel
---@field package interrupt? orrery.Error to be raised by its next blocking primitive
---@field kept boolean it has blocked, or somebody may hold it
local Task = setmetatable({
    watched = false, cancelled = false, interrupt = false, inner = true, run = false,
}, { __index = Future })
Task.__index = Task
M.Task = Task

local current           -- the task that runs now
local live = {}         -- tasks that have not ended; keeps them from being collected
local ready, head, tail = {}, 1, 1 -- FIFO of tasks, ready[head] to ready[tail - 1]
local late, late_head, late_tail = {}, 1, 1 -- the same of those that were put off

local function push(task)
    ready[tail], tail = task, tail + 1
end

-- Unseen failures. A record outlives its task, so that it can be reported when that was collected;
-- a finalizer may run anywhere, so it only marks.
local orphans, orphan_seq, some_collected = {}, 0, false

local function add_orphan(task)
    orphan_seq = orphan_seq + 1
    local record = { error = task.error, what = task:describe(), seq = orphan_seq, collected = false }
    local sentinel = newproxy(true)
    getmetatable(sentinel).__gc = function()
        record.collected, some_collected = true, true
    end
    task.orphan, task.sentinel = record, sentinel
    orphans[record] = true
end

local function report_orphans(all)
    some_collected = false
    local due = {}
    for record in pairs(orphans) do
        if all or record.collected then due[#due + 1] = record end
    end
    table.sort(due, function(a, b) return a.seq < b.seq end)
    for _, record in ipairs(due) do
        orphans[record] = nil
        M.on_orphan_error(record.error, record.what)
    end
end

local function forget_orphan(task)
    if task.orphan then orphans[task.orphan], task.orphan = nil, nil end
end

function Task:result()
    forget_orphan(self)
    return Future.result(self)
end

--- A callback counts as someone who looks at the outcome.
function Task:on_done(callback)
    self.watched = true
    forget_orphan(self)
    Future.on_done(self, callback)
end

-- Runs: a task, and those that it has spawned, can be ended together.

---@class orrery.TaskRun
---@field tasks integer of it that have not ended
---@field root orrery.Task the one that has spawned the others
---@field broken? orrery.Error what every wait in it raises from now on

local function join(task, to)
    task.run, to.tasks = to, to.tasks + 1
    task.interrupt = to.broken or false
end

--- What the task and all that it spawns belong to.
---@return orrery.TaskRun
function Task:own_run()
    self.kept = true
    if not self.run then join(self, { tasks = 0, root = self }) end
    return self.run
end

--- Leaves it: for those that end without Task:ended.
function Task:leave_run()
    local left = self.run
    if left then self.run, left.tasks = false, left.tasks - 1 end
end

--- The function has ended: settles the task.
---@param ok boolean
---@param ... any its results, or what it raised
---@private
function Task:ended(ok, ...)
    live[self] = nil
    self:leave_run()
    local cancelled = self.cancelled
    if cancelled and (ok or (...) == cancelled) then
        self.error = cancelled
        self:settle("cancelled")
    elseif ok then
        self:resolve(...)
    else
        self.error = Error.from((...))
        if not self.watched then add_orphan(self) end
        self:settle("rejected")
    end
end

-- A coroutine whose function has ended takes the next one: to make one costs more than a small
-- function does.
local IDLE, MOST_IDLE = {}, 64
local idle, idle_count = {}, 0
local globals = getfenv(0)

local function run(task, fn, ...)
    task:ended(xpcall(fn, Error.handler, ...))
end

-- What has run is in `run`, so that a coroutine that is idle holds on to nothing.
local function body()
    while true do run(coroutine.yield(IDLE)) end
end

local function take_coroutine()
    if idle_count > 0 then
        idle_count = idle_count - 1
        return idle[idle_count + 1]
    end
    local co = coroutine.create(body)
    coroutine.resume(co)
    return co
end

local function keep_coroutine(co)
    -- setfenv(0) was for the function that did it.
    if idle_count == MOST_IDLE or debug.getfenv(co) ~= globals then return end
    idle_count = idle_count + 1
    idle[idle_count] = co
end

local function leave(task, previous, ok, what)
    current = previous
    if what == IDLE then
        keep_coroutine(task.co)
    elseif not ok then
        task:ended(false, Error.from(what, debug.traceback(task.co)))
    elseif not task.waiting then
        push(task) -- a plain coroutine.yield() lets others run
    end
    return what == IDLE or not ok
end

-- Lets a task's coroutine run; true if its function has ended.
local function enter(task, ...)
    local previous = current
    current = task
    return leave(task, previous, coroutine.resume(task.co, ...))
end

local function resume(task)
    if task.state then return end -- cancelled before it began
    local fn, args, why = task.fn, task.args, task.why
    if fn then
        task.fn, task.args, task.co = nil, nil, take_coroutine()
        enter(task, task, fn, unpack(args, 1, args.n))
    else
        task.why = nil
        enter(task, why)
    end
end

--- Runs a function as a task at once, until it blocks for the first time. A task that has ended and
--- is not `kept` can be used again.
---@param task orrery.Task of a class of the caller's that inherits from Task; its `ended` calls Task's
---where the task is kept
---@param fn function
---@param ... any its arguments
function M.begin(task, fn, ...)
    task.origin, task.co = fn, take_coroutine()
    if not enter(task, task, fn, ...) then live[task], task.kept = true, true end
end

--- Makes a parked task ready. `why` is what its wait returns.
---@private
function Task:wake(why)
    local waiting = self.waiting
    if not waiting then return end
    self.waiting, self.why = false, why
    if self.timer then self.timer:cancel() end
    self.timer = nil
    if why and waiting ~= true then waiting:unobserve(self) end
    push(self)
end

--- Asks the task to end: its blocking primitive raises the error, once. The future is settled when
--- the function has ended, so whoever waits knows that its cleanup is over; it then gets this
--- error, or the other one that the function raised. A task that has not begun never does.
---@param reason? string|orrery.Error
---@return boolean first
function Task:cancel(reason)
    if self.state or self.cancelled then return false end
    self.cancelled = self:cancellation(reason)
    if self.fn then
        self.fn, self.args = nil, nil
        self:ended(true)
    elseif self.waiting then
        self:wake(self.cancelled)
    else
        self.interrupt = self.cancelled
    end
    return true
end

---@return string
function Task:describe()
    local info = debug.getinfo(self.origin, "S")
    return ("the task at %s:%d"):format(info.short_src, info.linedefined)
end

--- Runs a function as a task. It begins in the next turn of the loop.
---@param fn function
---@param ... any its arguments
---@return orrery.Task future of what the function returns; its cancel() wakes the function
function M.spawn(fn, ...)
    local task = setmetatable(future.new(), Task)
    task.origin, task.fn, task.args = fn, fn, { n = select("#", ...), ... }
    task.waiting = false
    if current then join(task, current:own_run()) end
    live[task] = true
    push(task)
    return task
end

--- Makes a task one of what the current one belongs to, as spawn does.
---@param task orrery.Task
function M.adopt(task)
    if current then join(task, current:own_run()) end
end

---@return orrery.Task? task nil outside of tasks
function M.current()
    if current then current.kept = true end
    return current
end

--- As current, for a look: the task may be used again once it has ended.
---@return orrery.Task? task
function M.running() return current end

--- Whether others want their turn: tasks that are ready, or timers, which may be due.
---@return boolean
function M.busy() return head < tail or late_head < late_tail or timers.next() ~= nil end

-- What has been interrupted: outside of tasks, at its next wait; and at the end every wait there is.
---@type false|fun(awaited?: orrery.Future): orrery.Error
local outside, always = false, false

--- Whether there is nothing to do but to wait, and the caller is no task.
---@return boolean
function M.idle()
    return not current and not some_collected and not outside and not always and not M.busy()
end

--- Makes a future for someone else to settle.
---@param opts? string|{ what?: string|fun():string, on_cancel?: fun(future: orrery.Future, err:
---orrery.Error) }
---a string is `what`: what one waits for, for messages
---@return orrery.Future
function M.future(opts)
    if type(opts) == "table" then return future.new(opts.what, opts.on_cancel) end
    return future.new(opts)
end

-- The loop ----------------------------------------------------------------------------------------

-- A timer's owner is the task that sleeps, or a callback.
local function fire(owner)
    if type(owner) ~= "function" then return owner:wake(TIMED_OUT) end
    local ok, err = xpcall(owner, Error.handler)
    if not ok then M.on_orphan_error(err, "a timer") end
end

-- Tasks left to run before the loop looks outside again; tasks that keep each other ready must not
-- starve it.
local batch = 0
-- So long a turn runs tasks, seconds: little beside what a call takes, and much beside a poll.
local TURN = 1e-3
local turn_end, some_ran, some_late_ran = 0, false, false

local function put_off()
    for i = head, head + batch - 1 do
        late[late_tail], late_tail = ready[i], late_tail + 1
        ready[i] = nil
    end
    head, batch = head + batch, 0
end

-- The next task of this turn. One of each kind runs in every turn.
local function take()
    local over = clock() >= turn_end
    if over and some_ran and batch > 0 then put_off() end
    if batch > 0 and head < tail then
        batch, some_ran = batch - 1, true
        local task = ready[head]
        ready[head], head = nil, head + 1
        return task
    elseif late_head < late_tail and not (over and some_late_ran) then
        some_late_ran = true
        local task = late[late_head]
        late[late_head], late_head = nil, late_head + 1
        return task
    end
end

-- Returns whether timers were due: what they call may be all that somebody waits for.
local function begin_turn()
    if some_collected then report_orphans(false) end
    local fired = timers.next() and timers.fire(clock(), fire)
    batch = tail - head
    turn_end, some_ran, some_late_ran = clock() + TURN, false, false
    -- Queues that are empty: keep them in the array part of their tables.
    if batch == 0 then head, tail = 1, 1 end
    if late_head == late_tail then late_head, late_tail = 1, 1 end
    return fired
end

-- One step: resumes one task, or polls. Returns "idle" if nothing is left to happen.
local function step(deadline)
    local task = take()
    if task then
        resume(task)
        return
    end
    local fired = begin_turn()
    if fired or batch > 0 or late_head < late_tail then
        poll(0)
        return
    end
    local till = timers.next() or deadline
    if deadline and deadline < till then till = deadline end
    if till then
        poll(math.max(0, till - clock()))
    elseif poll(nil) == "idle" and not M.busy() then
        return "idle"
    end
end

local function deadlock(what)
    return Error.new {
        code = "deadlock", at = Error.at(),
        message = "this wait can never end, as nothing else is going on: " .. what,
    }
end

local function take_interrupt(task)
    local err = task.interrupt
    task.interrupt = task.run and task.run.broken or false
    return err
end

-- The same outside of tasks.
local function take_outside(awaited)
    local make = outside
    outside = false
    return make(awaited)
end

-- The deadline is looked at between batches, and after one step at least: sleep(0) lets the others
-- run, and get(0) sees what has arrived already.
local function drive(awaited, deadline, task)
    while not (awaited and awaited.state) do
        if always then return always(awaited) end
        if task and task.interrupt then return take_interrupt(task) end
        if outside and not task then return take_outside(awaited) end
        local what = step(deadline)
        if what == "idle" and not awaited.state then return deadlock(awaited:describe()) end
        local between = batch == 0 or head == tail
        if deadline and between and not (awaited and awaited.state) and clock() >= deadline then
            return TIMED_OUT
        end
    end
end

-- Waits for a future, for a time, or both; see future.wait.
local function wait(awaited, timeout)
    local task = current
    if always then return always(awaited) end
    if task and task.interrupt then return take_interrupt(task) end
    if task then task.kept = true end
    local deadline = timeout and clock() + timeout
    if task and coroutine.running() == task.co and coroutine.isyieldable() then
        task.waiting = awaited or true
        if awaited then awaited:observe(task) end
        if deadline then task.timer = timers.add(deadline, task) end
        return coroutine.yield()
    end
    return drive(awaited, deadline, task)
end

future.wait = wait

--- Blocks for a time; 0 lets the others run once.
---@param seconds number
---Raises "cancelled" when the task is cancelled meanwhile.
function M.sleep(seconds)
    local why = wait(nil, seconds)
    if why ~= TIMED_OUT then error(why, 0) end
end

--- Drives the loop in place until a condition holds. It is asked after each step.
---@param pred fun(): any
---Raises "deadlock" when nothing is left that could make it true.
function M.run_until(pred)
    while not pred() do
        if current and current.interrupt then error(take_interrupt(current), 0) end
        if step() == "idle" and not pred() then error(deadlock("run_until"), 0) end
    end
end

local function describe_live()
    local names = {}
    for task in pairs(live) do
        local on = task.waiting
        on = on and on ~= true and ", waiting for " .. on:describe() or ""
        names[#names + 1] = task:describe() .. on
    end
    table.sort(names)
    return table.concat(names, "; ")
end

--- Cancels every task.
---@param err orrery.Error
function M.cancel_all(err)
    local tasks = {}
    for task in pairs(live) do tasks[#tasks + 1] = task end
    for _, task in ipairs(tasks) do task:cancel(err) end
end

-- Who waits for others comes before them, so that it is told the reason and not what has become of them.
local function tasks_of(whole)
    local tasks = { live[whole.root] and whole.root or nil }
    for task in pairs(live) do
        if task.run == whole and task ~= whole.root then tasks[#tasks + 1] = task end
    end
    return tasks
end

--- Cancels every task of a run.
---@param whole orrery.TaskRun
---@param err orrery.Error
function M.cancel_run(whole, err)
    for _, task in ipairs(tasks_of(whole)) do task:cancel(err) end
end

--- The same, and from now on whatever waits in it raises the error at once, so that nobody goes on by catching it.
---@param whole orrery.TaskRun
---@param err orrery.Error
function M.break_run(whole, err)
    whole.broken = err
    for _, task in ipairs(tasks_of(whole)) do
        if not task:cancel(err) then task:wake(err) end
        task.interrupt = err
    end
end

-- Those that do not wait meet it when they do.
local function interrupt_for_good(make)
    always = make
    for task in pairs(live) do
        local on = task.waiting
        if on then task:wake(make(on ~= true and on or nil)) end
    end
end

--- Ends all that waits, in tasks and outside of them: each such wait raises an error, once, so that what
--- cleans up can still wait. After a while no wait does anything but raise it, so that nobody keeps the
--- program by catching it.
---@param make fun(awaited?: orrery.Future): orrery.Error a new one for whoever waits for this
---@param seconds number 0: for good from the start
function M.interrupt(make, seconds)
    if seconds <= 0 then return interrupt_for_good(make) end
    outside = make
    local tasks = {}
    for task in pairs(live) do tasks[#tasks + 1] = task end
    for _, task in ipairs(tasks) do
        local on = task.waiting
        if not task.state and not task.cancelled then task:cancel(make(on and on ~= true and on or nil)) end
    end
    M.after(seconds, function() interrupt_for_good(make) end)
end

--- Runs until every task has ended, then reports the failures that nobody looked at. For the end of
--- a program: a task that calls it would wait for itself.
---@param enough? fun(): boolean? ends it before; asked after each step
---Raises "argument" inside of a task, "deadlock" when the tasks that are left cannot end.
function M.drain(enough)
    if current then
        Error.raise { code = "argument", message = "sched.drain: called by a task", at = Error.at() }
    end
    while next(live) and not (enough and enough()) do
        if step() == "idle" and next(live) then
            report_orphans(true)
            error(deadlock(describe_live()), 0)
        end
    end
    report_orphans(true)
end

return M
