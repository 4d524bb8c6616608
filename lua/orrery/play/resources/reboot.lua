--- A machine that is started again.

local resource = require "orrery.play.resource"
local sched = require "orrery.sched"

local THERE = "orrery.play.content.there"
local ACCEPTED = 30 -- seconds in which the command ends, or the connection does
local MOST_PAUSE = 5 -- seconds between two tries to connect

local function check(o, env)
    local st = o.if_exists and env.there(THERE, "describe", o.if_exists)
    if o.if_exists and not st then return nil, { rebooted = false } end
    local id, why = env.there(THERE, "boot_id", o.boot_id)
    if not id then resource.fail("cannot tell one boot from the next: " .. tostring(why)) end
    return { id = id, diff = { { what = "boot", before = id, after = "another" } } }, { rebooted = not env.check_mode }
end

local function words(command)
    return type(command) == "string" and { "sh", "-c", command } or command
end

-- Returns when the command has ended well, or the connection has.
local function begin(o, env)
    local ctx = env.ctx
    local task = sched.spawn(ctx.run, ctx, words(o.command), {
        check = false, on_disconnect = "finish", timeout = o.timeout,
    })
    task.watched = true
    local ok, r = pcall(task.get, task, ACCEPTED)
    if ok and r.code ~= 0 and not r.signal then
        local said = (r.stderr ~= "" and r.stderr or r.stdout):gsub("%s+$", "")
        resource.fail(("the command to reboot ended with status %d: %s"):format(r.code, said))
    end
    if ok or r.code == "timeout" or r.code == "dead" then return end
    error(r, 0)
end

-- One try. What was meant to go may still be there for a moment, and answer.
local function is_back(o, plan, env)
    env.reconnect()
    local id = env.there(THERE, "boot_id", o.boot_id)
    if not id or id == plan.id then return false, "it has not gone down yet" end
    if o.test_command then
        local r = env.ctx:run(words(o.test_command), { check = false, timeout = 60 })
        if r.code ~= 0 then return false, ("the test command ended with status %d"):format(r.code) end
    end
    return id
end

local function is_final(err) return err.code == "interrupted" or err.code == "cancelled" or err.code == "resource" end

local function await(o, plan, env, began)
    local pause, last = 1, nil
    while sched.now() - began < o.timeout do
        sched.sleep(math.min(pause, o.interval))
        pause = math.min(pause * 1.5, MOST_PAUSE)
        local ok, id, why = pcall(is_back, o, plan, env)
        if ok and id then return id end
        if not ok and is_final(id) then error(id, 0) end
        last = ok and why or tostring(id.message or id)
        env.progress(math.floor(sched.now() - began), math.ceil(o.timeout))
    end
    resource.fail(("it was not back within %g s: %s"):format(o.timeout, last or ""))
end

local function apply(o, plan, env)
    local began = sched.now()
    env.say("is rebooted")
    begin(o, env)
    local id = await(o, plan, env, began)
    return { rebooted = true, elapsed = sched.now() - began, boot_id = id }
end

local COMMAND = { "sh", "-c", "if [ -d /run/systemd/system ]; then systemctl reboot; else reboot; fi" }

return resource.define {
    name = "reboot",
    doc = "Reboots the machine, and goes on when it is back: connected to again, with another boot id, and where the "
        .. "test command succeeds.",
    side = "controller",
    options = {
        command = { type = { "string", "list" }, of = "string", default = COMMAND, doc = "how: a list of words, or "
            .. "text for sh" },
        test_command = { type = { "string", "list" }, of = "string", doc = "what must end with status 0 before it goes "
            .. "on, such as 'systemctl is-system-running --wait'" },
        if_exists = { type = "path", doc = "only where there is this, such as /run/reboot-required" },
        boot_id = { type = "path", default = "/proc/sys/kernel/random/boot_id", doc = "a file whose first word is "
            .. "another after each boot" },
        interval = { type = "duration", default = MOST_PAUSE, doc = "at most so long between two tries to connect" },
        timeout = { type = "duration", default = 600, doc = "how long it may take until it is back" },
    },
    returns = {
        rebooted = "false where `if_exists` is not there", elapsed = "seconds until it was back", boot_id = "the "
            .. "new one",
    },
    example = [[h:reboot { if_exists = "/run/reboot-required", timeout = "15m" }]],
    check = check,
    apply = apply,
}
