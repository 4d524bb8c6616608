--- A prompt that only writes down what it is asked: what orrery.repl.commands says it needs.

local settings = require "orrery.repl.settings"

local repl = {}

---@class spec.Prompt: orrery.repl.Prompt
---@field printed string[]
---@field asked any[][] what it was asked, in order: { "use", "web1" }

local function targets_of(prompt, hosts)
    local targets = {}
    for _, name in ipairs { "use", "here", "connect", "close" } do
        targets[name] = function(_, ...)
            prompt.asked[#prompt.asked + 1] = { name, ... }
            if name == "use" then return prompt.failures end
            return 1, prompt.failures
        end
    end
    function targets.list() return hosts or {} end
    function targets.expand(_, expression) return require("orrery.cli.hosts").expand(expression) end
    function targets.current() return nil end
    function targets.contexts() return {} end
    function targets.opener(_, name) return ("orrery.localhost { name = %q }"):format(name), false end
    return targets
end

---@param hosts? orrery.repl.Host[]
---@param width? integer
---@return spec.Prompt
function repl.prompt(hosts, width)
    local prompt = {
        printed = {}, asked = {}, failures = {}, id = "spec", colour = false, interactive = false, width = width or 80,
        settings = settings.new(), transcript = require("orrery.repl.transcript").new(),
    }
    prompt.targets = targets_of(prompt, hosts)
    local function ask(...) prompt.asked[#prompt.asked + 1] = { ... } end
    function prompt.show_failures(_, list)
        for _, failure in ipairs(list) do prompt.print(failure.name .. ": " .. failure.error.message) end
    end
    function prompt.leave() ask "leave" end
    function prompt.print(text) prompt.printed[#prompt.printed + 1] = text end
    function prompt.evaluate(_, text, opts) ask("evaluate", text, opts and opts.name, opts and opts.history) end
    function prompt.shell(_, command) ask("shell", command) end
    function prompt.said() return table.concat(prompt.printed, "\n") end
    return prompt
end

return repl
