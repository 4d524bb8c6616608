local describe_resources = require "orrery.play.describe"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local resource = require "orrery.play.resource"

leak.guard()

describe("what resources say of themselves", function()
    it("is complete: a line, options with a type and a line each, an example", function()
        for _, name in ipairs(resource.names()) do
            local definition = resource.find(name)
            assert.is_true(#definition.doc > 10, name)
            assert.is_string(definition.example, name)
            -- Names that an example takes for granted are globals to the parser. "..." stands for what follows.
            local example = definition.example:gsub("then %.%.%. end", "then end")
            assert(loadstring("local h = ...\n" .. example), name .. ": " .. example)
            for option, spec in pairs(definition.options) do
                assert.is_string(spec.doc, name .. "." .. option)
                assert.is_true(spec.type ~= nil or spec.enum ~= nil, name .. "." .. option)
            end
        end
    end)

    it("is a text of all that it takes and gives", function()
        local text = describe_resources.text(resource.find "stat")
        assert.matches("^stat: What is at a path", text)
        assert.matches("\n  path: absolute path, required\n      where\n", text)
        assert.matches('\n  checksum: "sha256" | "sha512"', text)
        assert.matches("\n  exists: whether there is anything\n", text)
        assert.matches("\n  if h:stat%(", text)
        for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
    end)

    it("lists all resources, each once", function()
        local list = "\n" .. describe_resources.list()
        for _, name in ipairs(resource.names()) do
            local _, count = list:gsub("\n  " .. name .. " ", "")
            assert.are.equal(1, count, name)
        end
    end)

    it("becomes types for LuaLS, which are Lua", function()
        local types = describe_resources.types()
        assert.is_function(loadstring(types))
        assert.matches("\n%-%-%-@class orrery%.play%.options%.file: orrery%.play%.Modifiers ", types)
        assert.matches("\n%-%-%-@field path string where\n", types)
        assert.matches("\n%-%-%-@field mode%? string permissions", types)
        assert.matches('\n%-%-%-@field state%? "file"|"directory"|"absent"|"touch" ', types)
        assert.matches("\n%-%-%-@field argv string%[%] the program", types)
        assert.matches("\n%-%-%-@field stat fun%(self: orrery%.play%.Host, o: orrery%.play%.options%.stat", types)
    end)

    it("is in docs/resources.md as `orrery doc --markdown` prints it", function()
        local page = remote.slurp "docs/resources.md"
        for line in describe_resources.markdown():gmatch "[^\n]+" do
            assert.is_truthy(page:find(line .. "\n", 1, true), "docs/resources.md lacks: " .. line)
        end
    end)
end)

describe("resource.define", function()
    local function wrong(definition) return remote.failure(resource.define, definition).message end
    local function with(fields)
        local definition = { name = "made", doc = "a line", options = {}, check = function() end }
        for key, value in pairs(fields) do definition[key] = value end
        return definition
    end

    it("refuses what is no resource", function()
        assert.matches("a table was expected", wrong("x"))
        assert.matches("resource%.define: option 'check' must be a function", wrong(with { check = 5 }))
        assert.matches("resource%.define: unknown option 'chekc'; did you mean 'check'", wrong(with { chekc = 5 }))
        assert.matches("resource 'a b': that is no name for a method", wrong(with { name = "a b" }))
        assert.matches("resource 'made': option 'x' has type 'txt'", wrong(with { options = { x = { type = "txt" } } }))
        assert.matches("every resource has an option 'when'", wrong(with { options = { when = { type = "string" } } }))
    end)

    it("makes one known by its name, and by the module that returns it", function()
        local definition = resource.define(with { name = "made_here" })
        assert.are.equal(definition, resource.find "made_here")
        assert.is_nil(resource.module_of(definition))
        package.loaded["spec.made_here"] = definition
        assert.are.equal("spec.made_here", resource.module_of(definition))
        package.loaded["spec.made_here"] = { first = definition }
        assert.are.equal("spec.made_here", resource.module_of(definition))
        package.loaded["spec.made_here"] = nil
        assert.are.equal("orrery.play.resources.file", resource.module_of(resource.find "file"))
    end)

    it("knows what is not there, and guesses what was meant", function()
        assert.is_nil(resource.find "no_such_resource")
        assert.is_nil(resource.find "../file")
        assert.matches("there is no resource 'fle'; did you mean 'file'%?",
            remote.failure(resource.unknown, "fle").message)
    end)
end)
