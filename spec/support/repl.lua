--- A prompt that only writes down what it is asked: what orrery.repl.commands says it needs.

local settings = require "orrery.repl.settings"

local repl = {}

---@class spec.Prompt: orrery.repl.Prompt
---@field printed string[]
---@field asked any[][] what it was asked, in order: { "use", "web1" }

--- @param hosts? orrery.repl.Host[]
---@param width? integer
---@return spec.Prompt
function repl.prompt(hosts, width)
    local self = {
        printed = {}, asked = {}, id = "spec", colour = false, interactive = false, settings = settings.new(),
        width = width or 80, last = "", targets = {}, transcript = require("orrery.repl.transcript").new(), failures = {},
    }
    for _, name in ipairs { "use", "here", "connect", "close" } do
        self.targets[name] = function(_, ...)
            self.asked[#self.asked + 1] = { name, ... }
            if name == "use" then return self.failures end
            return 1, self.failures
        end
    end
    function self:show_failures(list)
        for _, failure in ipairs(list) do self.print(failure.name .. ": " .. failure.error.message) end
    end
    function self:leave() self.asked[#self.asked + 1] = { "leave" } end
    function self.targets.list() return hosts or {} end
    function self.targets.expand(_, expression) return require("orrery.cli.hosts").expand(expression) end
    function self.targets.current() return nil end
    function self.targets.contexts() return {} end
    function self.targets.opener(_, name) return ("orrery.localhost { name = %q }"):format(name), false end
    function self.print(text) self.printed[#self.printed + 1] = text end
    function self:evaluate(text, opts) self.asked[#self.asked + 1] = { "evaluate", text, opts and opts.name, opts and opts.history } end
    function self:shell(command) self.asked[#self.asked + 1] = { "shell", command } end
    function self:said() return table.concat(self.printed, "\n") end
    return self
end

return repl
