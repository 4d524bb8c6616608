--- Nothing, for a while; or until somebody says that it may go on.

local ask = require "orrery.ask"
local resource = require "orrery.play.resource"
local sched = require "orrery.sched"

local function check(o, env)
    if env.check_mode then return nil, { seconds_paused = 0 } end
    local began = sched.now()
    if o.prompt then
        local answer = ask.person {
            kind = "prompt", echo = true, attempt = 1, host = env.host.name, subject = "", text = o.prompt .. " ",
            detail = "",
        }
        return nil, { seconds_paused = sched.now() - began, answer = answer }
    end
    local over = began + o.time
    while sched.now() < over do
        env.progress(math.floor(sched.now() - began), math.ceil(o.time))
        sched.sleep(math.min(1, math.max(over - sched.now(), 0)))
    end
    return nil, { seconds_paused = sched.now() - began }
end

return resource.define {
    name = "pause",
    doc = "Waits for a time, or until somebody at the terminal presses Enter. Not in check mode.",
    side = "controller",
    positional = { "time" },
    options = {
        time = { type = "duration", doc = "how long" },
        prompt = { type = "string", doc = "what to ask for; the answer is in the result" },
    },
    returns = { seconds_paused = "how long it took", answer = "what was typed" },
    example = [[h:pause "30s"]],
    validate = function(o)
        if (o.time and 1 or 0) + (o.prompt and 1 or 0) ~= 1 then return "one of time and prompt must be given" end
    end,
    check = check,
}
