local commands = require "orrery.repl.commands"
local doc = require "orrery.repl.commands.doc"
local leak = require "spec.support.leak"
local repl = require "spec.support.repl"
local remote = require "spec.support.remote"
local source = require "orrery.repl.source"

leak.guard()

local function said(name, width)
    local prompt = repl.prompt(nil, width)
    commands.run(":doc " .. name, prompt)
    local text = prompt:said()
    for line in text:gmatch "[^\n]+" do
        assert.is_true(require("orrery.repl.columns").length(line) <= (width or 80), line)
    end
    return text
end

local function refusal(name)
    local ok, err = pcall(said, name)
    assert.is_false(ok)
    assert.are.equal("usage", err.code)
    return err.message
end

describe(":doc", function()
    it("says what a function of the library does, with the options that it takes", function()
        local text = said "orrery.ssh"
        assert.matches("^orrery.ssh%(target, opts%)\n\nOpens a context on a host over SSH", text)
        assert.matches("\nTakes:\n  target +string|orrery.SshOptions\n", text)
        assert.matches("\nReturns:\n  orrery.Context\n", text)
        assert.matches("\n  port%? +integer\n", text)
        assert.matches('\n  known_hosts%? +string|string%[%] files; "~/" is the home directory, as\n +for identity\n',
            text)
        assert.matches("\norrery/init.lua:%d+$", text)
        assert.matches("\n  limit%? +integer most items at once; default: all\n", said "orrery.each")
        assert.matches("\n  seconds +number\n", said "orrery.timeout")
    end)

    it("says it of methods, however the object is called", function()
        local text = said "ctx:put"
        assert.matches("^ctx:put%(from, to, opts%)\n\nCopies a file from here to the context%.", text)
        assert.matches("\n\nRaises \"file\" naming the path", text)
        assert.matches("\n  on_progress%? +fun%(done: integer, size: integer%) bytes", text)
        assert.matches("^Context:put%(from, to, opts%)", said "Context.put")
        assert.matches("^Future:cancel%(", said "f:cancel")
        assert.matches("^Context:info%(%)\n", said "Context:info()")
    end)

    it("says it of resources, as orrery doc does", function()
        local text = require("orrery.play.describe").text(require("orrery.play.resource").find "stat")
        assert.are.equal((text:gsub("%s+$", "")), said "stat")
    end)

    it("says it of modules, and of ways into a child", function()
        local text = said "orrery.json"
        assert.matches("^orrery.json\n\nJSON %(RFC 8259%)", text)
        assert.matches("\nFunctions:\n  array +Marks a table as an array", text)
        assert.matches("^orrery.json.encode%(", said "orrery.json.encode")
        text = said "orrery.sudo"
        assert.matches("^orrery.sudo%(options%)\n\nsudo%(8%)", text)
        assert.matches("\n  group%? +string\n", text)
        assert.matches("\n  keepalive%? +number seconds; default 15\n", text)
    end)

    it("says it of what is the user's", function()
        local dir = remote.directory()
        remote.write(dir .. "/spec_doc_module.lua", [[
-- Counts things.
local M = {}

--- Counts them, and
--- says how many: ü.
---@param list any[] the things,
---however many
---@return integer count
function M.count(list) return #list end

return M
]])
        local path = package.path
        finally(function()
            package.path, package.loaded.spec_doc_module = path, nil
        end)
        package.path = dir .. "/?.lua;" .. path
        assert.matches("^nothing is known of 'spec_doc_module'", refusal "spec_doc_module")
        require "spec_doc_module"
        assert.are.equal(([[
spec_doc_module.count(list)

Counts them, and says how many: ü.

Takes:
  list                  any[] the things, however many

Returns:
  integer               count

%s/spec_doc_module.lua:9]]):format(dir):sub(1, -1), (said("spec_doc_module.count", 200)))
        local text = said "spec_doc_module"
        assert.matches("^spec_doc_module\n\nCounts things%.\n\nFunctions:\n  count +Counts them, and says how", text)
    end)

    it("says that it knows nothing of what C does, and what was probably meant", function()
        assert.matches("^string.rep%(...%)\nA function that is built into Lua", said "string.rep")
        assert.are.equal("nothing is known of 'orrery.shs'; did you mean 'orrery.ssh'?", refusal "orrery.shs")
        assert.are.equal("nothing is known of 'ctx:putt'; did you mean 'Context:put'?", refusal "ctx:putt")
        assert.are.equal("nothing is known of 'templat'; did you mean 'template'?", refusal "templat")
        assert.are.equal("nothing is known of 'xyzzyxyzzy'; ':doc' shows what there is", refusal "xyzzyxyzzy")
    end)

    it("alone shows what there is", function()
        local text = said ""
        assert.matches("\n  localhost +Opens a context in a child process on this machine%.\n", text)
        assert.matches("\nContexts\n  call +Calls a function there", text)
        assert.matches("\nResources of playbooks\n", text)
    end)

    it("has something to say of all that it names, in 40 columns", function()
        for _, name in ipairs(doc.names()) do assert.is_true(#said(name, 40) > 20, name) end
    end)

    it("knows of what the library's functions do in the command, too, which has no sources", function()
        local BUILD = os.getenv "ORRERY_BUILD" or "build/release"
        local dir = remote.directory()
        remote.write(dir .. "/doc.lua", [[
local source = require "orrery.repl.source"
local doc = source.of_function(require("orrery").Context.put)
print(doc.where:match "^orrery/file.lua:%d+$" and "there", doc.arguments, doc.comment.prose[1])
print(#source.fields "orrery.SshOptions" > 10, #source.fields "orrery.SudoOptions" > 10)
print(source.header(source.module_text "orrery.json")[1])
]])
        local file = assert(io.popen(("%s/orrery run %s/doc.lua 2>&1"):format(BUILD, dir)))
        local text = file:read "*a"
        file:close()
        assert.matches("^there\t%(from, to, opts%)\tCopies a file from here to the context%.", text)
        assert.matches("\ntrue\ttrue\nJSON %(RFC 8259", text)
    end)

    it("finds the classes that parameters are of", function()
        assert.are.equal("orrery.TransferOptions", source.class("orrery.TransferOptions", "@orrery/file.lua").class)
        assert.is_nil(source.class "orrery.NoSuchClass")
    end)
end)
