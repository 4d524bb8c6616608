local orrery = require "orrery"
local complete = require "orrery.repl.complete"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local sys = require "orrery.sys"

leak.guard()

local env = {
    hosts = function() return { "web10", "web9", "db1" }, { "web", "db" } end,
    call = function(name, ...)
        local module, field = name:match "^(.*)%.([^%.]+)$"
        return require(module)[field](...)
    end,
    commands = {
        use = { args = "host" }, load = { args = "file" }, help = { args = "command" }, doc = { args = "name" },
        time = { args = "lua" }, log = { args = "level", words = { "error", "warn" } }, here = {},
        set = { args = "setting" },
    },
}

-- What is typed has a | where the cursor is, at its end where there is none. Returns the candidates' texts; what the
-- line becomes with the first of them.
local function at(typed)
    local cursor = (typed:find("|", 1, true) or #typed + 1) - 1
    local line = typed:sub(1, cursor) .. typed:sub(cursor + 2)
    local from, list = complete.at(line, cursor, env)
    local texts = {}
    for i, each in ipairs(list) do texts[i] = each.text end
    local becomes = list[1] and line:sub(1, from - 1) .. list[1].text .. line:sub(cursor + 1)
    return texts, becomes, list
end

local function becomes(typed) return (select(2, at(typed))) end

describe("completion of Lua", function()
    local subject
    before_each(function()
        subject = {
            beta = 1, alpha = { deep = function() end }, ["no name"] = 1, ['q"uote'] = 2, text = "x",
            list = { { inner = 1 } }, fn = function() end,
        }
        rawset(_G, "subject", subject)
        rawset(_G, "orrery", orrery)
        rawset(_G, "web", setmetatable({ id = 1, name = "x", route = "y" }, orrery.Context))
    end)
    after_each(function()
        for _, name in ipairs { "subject", "orrery", "web" } do rawset(_G, name, nil) end
    end)

    it("knows globals, keywords and what the text declares", function()
        assert.are.same({ "subject" }, at "subj")
        assert.are.same({ "repeat", "require(", "return" }, at "for i = 1, 3 do re")
        assert.are.same({ "fn_arg" }, at "local function f(fn_arg, b) return fn_")
        assert.are.same({ "counter" }, at "for counter = 1, 2 do\n  print(coun")
        assert.are.same({ "first_one", "first_two" }, at "local first_one, first_two = 1\nfirst")
        assert.are.same({}, at "local re")
    end)

    it("knows fields and methods", function()
        assert.are.same({ "alpha", "beta", "fn(", "list", "text" }, at "print(subject.")
        assert.are.same({ "beta" }, at "x = subject.be")
        assert.are.same({ "deep(" }, at "subject.alpha.d")
        assert.are.same({ "deep(" }, at "subject . alpha\n  .d")
        assert.are.same({ "deep(" }, at 'subject["alpha"].d')
        assert.are.same({ "inner" }, at "subject.list[1].")
        assert.are.same({ "put(", "podman(" }, { at("web:pu")[1], at("web:po")[1] })
        assert.are.same({ "gmatch(", "gsub(" }, at "subject.text:g")
        assert.are.same({ "gmatch(", "gsub(" }, at '("x"):g')
        assert.are.same({ "format(" }, at "('a' .. string.form|")
        assert.are.same({ "spawn(" }, at 'require("orrery").spa')
        assert.are.same({ "spawn(" }, at 'local o = require "orrery"\no.spa')
    end)

    it("takes the lines above into account", function()
        local from, list = complete.at("  us", 4, env, "local function f(user_name)\n  orrery.ssh {")
        assert.are.same({ 3, "user = " }, { from, list[1].text })
        from, list = complete.at("us", 2, env, "local function f(user_name)\n")
        assert.are.same({ 1, "user_name" }, { from, list[1].text })
        assert.are.same({ 1, {} }, { complete.at("us", 2, env, "x = [[") })
    end)

    it("leaves a call's bracket that is there", function()
        assert.are.equal("subject.fn(1)", becomes "subject.f|(1)")
        assert.are.equal("subject.fn 'x'", becomes "subject.f| 'x'")
        assert.are.equal("subject.fn(+ 1", becomes "subject.f|+ 1")
    end)

    it("knows nothing of results, comments and numbers", function()
        for _, text in ipairs {
            "f().", "f():", "subject.fn().", "('x' .. y).", "-- subj", "--[[ subj", "12", "x = 0x1", "f{}.",
            '"a" .. f("b").', "goto subj", "...", "subject ", "x = 1 ", "f() ", "return nil ", '"\\', '"abc\n',
        } do
            assert.are.same({}, at(text), text)
        end
    end)

    it("knows keys in brackets", function()
        assert.are.equal('subject["no name"]', becomes 'subject["no')
        assert.are.equal("subject['no name']", becomes "subject['no")
        assert.are.equal('subject["no name"]', becomes 'subject["no|"]')
        assert.are.equal('subject["q\\"uote"]', becomes 'subject["q')
        assert.are.equal("subject[ [[no name]]", becomes "subject[ [[no|]]")
        assert.are.same({}, at 'f()["no')
    end)

    it("knows modules", function()
        assert.are.same({ 'orrery"', "orrery." }, at 'require "orre')
        assert.are.equal('require "orrery.sys"', becomes 'require "orrery.sy')
        assert.are.equal("require('orrery.sys')", becomes "require('orrery.sy|')")
        assert.are.equal('local c = require("orrery.repl.complete"', becomes 'local c = require("orrery.repl.complet')
    end)

    it("knows options", function()
        assert.are.same({ "user = " }, at 'orrery.ssh("web1", { us')
        assert.are.same({ "user = " }, at 'orrery.ssh { host = "web1", us')
        assert.are.same({ "user" }, { at('orrery.ssh { us| = 1 }')[1]:match "^%S+" })
        assert.are.equal("orrery.ssh { user = 1 }", becomes "orrery.ssh { us| = 1 }")
        assert.are.same({ "capture = ", "check = ", "cwd = " }, at 'web:run({ "ls" }, { c')
        assert.are.same({ "cwd = " }, at 'web:run({ "ls" }, { check = false, capture = true, c')
        assert.are.same({ "mode = " }, at 'web:put("a", "b", { mo')
        assert.are.same({ "limit = " }, at "orrery.map({ 1 }, { li")
        assert.are.same({ "user = " }, at 'web:sudo("x", { us')
        assert.are.same({ "limit = " }, at 'local o = require "orrery"\no.each({}, { timeout = 1,\n  li')
        assert.are.same({ "timeout = " }, at 'web:shell("ls", "x", { on_stdout = function(l) print(l, 2) end, ti')
    end)

    it("gives names where there are no options", function()
        assert.are.same({ "subject" }, at 'web:run({ subj')
        assert.are.same({ "subject" }, at "local t = { subj")
        assert.are.same({ "subject" }, at 'web:run({ "ls" }, { env = { subj')
        assert.are.same({ "subject" }, at 'web:run({ "ls" }, { cwd = subj')
    end)

    it("knows the options of resources", function()
        local play = require "orrery.play"
        rawset(_G, "subject", play.host(rawget(_G, "web")))
        assert.are.same({ "path = " }, at "subject:file { pa")
        assert.are.same({ "path = " }, at 'play.play { run = function(h)\n  h:file { state = "absent", pa')
        assert.are.same({ "path = " }, at 'subject:apply { { "file", pa')
        assert.are.same({ "tags = " }, at 'subject:task("x", { ta')
        assert.are.same({ "tags = " }, at 'play.play { run = function(h) h:task("x", { ta')
        assert.are.same({ "chdir = " }, at 'subject:run({ "ls" }, { chd')
        assert.are.same({ "mode = " }, at 'subject:put("a", "b", { mo')
        assert.are.same({ 'absent"' }, at 'subject:file { state = "ab')
        assert.are.equal('subject:file { state = "absent" }', becomes 'subject:file { state = "ab|" }')
        assert.are.same({ '"absent"', '"directory"', '"file"', '"touch"' }, at "subject:file { state = ")
        assert.are.same({ "false", "true" }, at "subject:file { recurse = ")
        assert.are.same({ "hosts = " }, at 'require("orrery.play").play { name = "x", hos')
    end)

    it("knows hosts where they are named", function()
        assert.are.same({ 'web9"', 'web10"' }, at 'orrery.ssh("web')
        assert.are.equal('orrery.ssh "root@db1"', becomes 'orrery.ssh "root@d')
        assert.are.same({ "@web" }, at 'play.play { hosts = "db1,@w')
        assert.are.same({ "db1" }, at 'play.play { hosts = { "web9", "d')
    end)

    it("is in no hurry with text that is no Lua", function()
        for _, text in ipairs {
            ")]}", "end end", "{{{((([", "= = =", "a.b.c.", "[[", "]]", "\0\1", "::", ":::", "function (",
            "local function", "for", "x = {[", "require", 'require"', "\255\254", "if then else",
        } do
            for cursor = 0, #text do
                local from, list = complete.at(text, cursor, env)
                assert.is_true(from >= 1 and from <= cursor + 1)
                assert.is_table(list)
            end
        end
    end)

    it("has no candidates and no error where the call fails", function()
        local failing = { call = function() error { code = "timeout" } end, hosts = function() error "lost" end,
            commands = function() error "no" end }
        for _, text in ipairs {
            "subj", "subject.", 'x["', '"/', 'orrery.ssh { us', ":use w", ":x", "!ls", 'orrery.ssh "w',
        } do
            local _, list = complete.at(text, #text, failing)
            assert.are.same({}, list)
        end
    end)

    it("has 500 candidates at most", function()
        for i = 1, 2000 do subject["k" .. i] = i end
        assert.are.equal(500, #at "subject.k")
    end)
end)

describe("completion of paths", function()
    local dir
    before_each(function()
        dir = remote.directory()
        sys.mkdir(dir .. "/sub dir")
        remote.write(dir .. "/it's", "")
        remote.write(dir .. '/a "b".txt', "")
        remote.write(dir .. "/plain", "")
    end)
    after_each(function() remote.remove(dir) end)

    it("is escaped for the string", function()
        assert.are.equal('io.open("' .. dir .. '/plain"', becomes('io.open("' .. dir .. "/pl"))
        assert.are.equal('io.open("' .. dir .. '/plain")', becomes('io.open("' .. dir .. '/pl|")'))
        assert.are.equal("f '" .. dir .. "/it\\'s'", becomes("f '" .. dir .. "/i"))
        assert.are.equal('f "' .. dir .. '/a \\"b\\".txt"', becomes('f "' .. dir .. "/a"))
        assert.are.equal('f "' .. dir .. '/a \\"b\\".txt"', becomes('f "' .. dir .. '/a \\"'))
        assert.are.equal("f [[" .. dir .. "/it's]]", becomes("f [[" .. dir .. "/i"))
        assert.are.equal('f "' .. dir .. "/sub dir/", becomes('f "' .. dir .. "/su"))
        local _, _, list = at('"' .. dir .. "/s")
        assert.are.same({ { text = "sub dir/", shown = "sub dir/", kind = "directory" } }, list)
    end)

    it("makes ~/ of Lua's strings the home", function()
        local env_home = env.call
        env.call = function(name, ...)
            if name == "orrery.repl.names.files" then return { { name = "x y", kind = "file" } }, "/home/me/" end
            return env_home(name, ...)
        end
        finally(function() env.call = env_home end)
        assert.are.equal('f "/home/me/x y"', becomes 'f "~/x')
        assert.are.equal("!cat ~/x\\ y", becomes "!cat ~/x")
    end)

    it("is quoted for the shell", function()
        assert.are.equal("!cat " .. dir .. "/it\\'s", becomes("!cat " .. dir .. "/i"))
        assert.are.equal("!cat '" .. dir .. "/it'\\''s'", becomes("!cat '" .. dir .. "/i"))
        assert.are.equal('!cat "' .. dir .. '/a \\"b\\".txt"', becomes('!cat "' .. dir .. "/a"))
        assert.are.equal("!cd " .. dir .. "/sub\\ dir/", becomes("!cd " .. dir .. "/su"))
        assert.are.equal("!ls > " .. dir .. "/plain", becomes("!ls > " .. dir .. "/p"))
        assert.are.equal("!cat " .. dir .. "/a\\ \\\"b\\\".txt", becomes("!cat " .. dir .. "/a\\ "))
    end)

    it("is of files of this machine for commands", function()
        assert.are.equal(":load " .. dir .. "/plain", becomes(":load " .. dir .. "/pl"))
        assert.are.equal(":load " .. dir .. "/sub dir/", becomes(":load " .. dir .. "/sub d"))
    end)

    it("knows programs where one is named", function()
        assert.are.same({ "true", "truncate" }, at "!tru")
        assert.are.same({ "true", "truncate" }, at "!sudo A=b tru")
        assert.are.same({ "true", "truncate" }, at "!ls && tru")
        assert.are.same({ "true", "truncate" }, at "!ls;tru")
        assert.are.same({}, at "!ls tru")
        assert.is_true(select(3, at "!tru")[1].final)
    end)
end)

describe("completion of commands", function()
    it("knows their names", function()
        local texts, _, list = at ":he"
        assert.are.same({ "help", "here" }, texts)
        assert.are.same({ text = "help", shown = ":help", kind = "command", final = true }, list[1])
        assert.are.equal(8, #at ":")
    end)

    it("knows hosts and groups, in expressions too", function()
        assert.are.same({ "@db", "@web", "db1", "web9", "web10" }, at ":use ")
        assert.are.same({ "@web" }, at ":use @w")
        assert.are.equal(":use @web!web9", becomes ":use @web!we")
        assert.are.equal(":use web9,db1", becomes ":use web9,d")
        assert.are.equal(":use @db&@web", becomes ":use @db&@w")
        assert.are.same({}, at ":use web[1")
        assert.are.equal(":use web[1-3],db1", becomes ":use web[1-3],d")
    end)

    it("knows what else they take", function()
        assert.are.same({ "warn" }, at ":log w")
        assert.are.same({ "help", "here" }, at ":help he")
        assert.are.same({ ":help", ":here" }, at ":help :he")
        assert.are.equal(":time string.format(", becomes ":time string.form")
        assert.are.same({ "string.format" }, { becomes(":doc string.form"):sub(6) })
        assert.are.same({ "file", "find" }, at ":doc fi")
        assert.are.same({}, at ":here w")
        assert.are.same({}, at ":nonsense w")
    end)
end)
