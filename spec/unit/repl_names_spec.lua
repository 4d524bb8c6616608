local orrery = require "orrery"
local leak = require "spec.support.leak"
local names = require "orrery.repl.names"
local options = require "orrery.options"
local remote = require "spec.support.remote"
local sys = require "orrery.sys"

leak.guard()

local MOST = 500

local function texts(list)
    local found = {}
    for i, each in ipairs(list) do found[i] = each.name end
    return found
end

local function fields(path, method, prefix, id)
    return texts(names.fields(id, path, method, prefix or "", MOST))
end

describe("names of fields", function()
    before_each(function() rawset(_G, "subject", {}) end)
    after_each(function() rawset(_G, "subject", nil) end)

    it("are those of a table that can be written behind a dot, with their types", function()
        rawset(_G, "subject", { beta = 1, alpha = print, ["no name"] = 2, ["end"] = 3, [4] = 5, __hidden = 6 })
        assert.are.same({ { name = "alpha", kind = "function" }, { name = "beta", kind = "number" } },
            names.fields(nil, { "subject" }, false, "", MOST))
        assert.are.same({ "beta" }, fields({ "subject" }, false, "b"))
        assert.are.same({ "alpha" }, fields({ "subject" }, true))
        assert.are.same({ "__hidden" }, fields({ "subject" }, false, "_"))
        assert.are.same({ "__hidden", "alpha", "beta", "end", "no name" }, fields({ "subject" }, "key"))
    end)

    it("follow paths, numbers too", function()
        rawset(_G, "subject", { list = { { name = "x" } } })
        assert.are.same({ "name" }, fields { "subject", "list", 1 })
        assert.are.same({}, fields { "subject", "list", 2, "x" })
        assert.are.same({}, fields { "no such global", "x" })
    end)

    it("are those of __index tables, too, and of strings and files", function()
        local base = { inherited = print }
        rawset(_G, "subject", setmetatable({ own = print }, { __index = setmetatable({}, { __index = base }) }))
        assert.are.same({ "inherited", "own" }, fields({ "subject" }, true))
        rawset(_G, "subject", "text")
        assert.are.same({ "gmatch", "gsub" }, fields({ "subject" }, true, "g"))
        assert.are.same({ "setvbuf" }, fields({ "io", "stdout" }, true, "setv"))
    end)

    it("call nothing", function()
        local called = false
        local function call()
            called = true
            return {}
        end
        rawset(_G, "subject", setmetatable({}, {
            __index = call, __pairs = call, __len = call, __call = call, __tostring = call, __eq = call,
        }))
        assert.are.same({}, fields({ "subject" }, false))
        assert.are.same({}, fields({ "subject", "x" }, false))
        assert.is_nil(names.options(nil, { "subject", "x" }))
        rawset(_G, "subject", setmetatable({}, { __metatable = false, __index = { x = 1 } }))
        assert.are.same({ "x" }, fields { "subject" })
        assert.is_false(called)
    end)

    it("end where tables go round", function()
        local round = { x = 1 }
        setmetatable(round, { __index = round })
        rawset(_G, "subject", round)
        assert.are.same({ "x" }, fields { "subject" })
        assert.are.same({}, fields { "subject", "y" })
    end)

    it("are at most as many as are wanted", function()
        local many = {}
        for i = 1, 1000 do many["k" .. i] = i end
        rawset(_G, "subject", many)
        assert.are.equal(10, #names.fields(nil, { "subject" }, false, "k", 10))
    end)

    it("are locals of the session and globals where there is no path", function()
        package.loaded["orrery.repl.session"] = {
            locals = function(id) return id == "s" and { "web1", "print" } or {} end,
            lookup = function(id, name)
                if id == "s" and name == "web1" then return true, { field = 1 } end
                if id == "s" and name == "print" then return true, nil end
                return false
            end,
        }
        finally(function() package.loaded["orrery.repl.session"] = nil end)
        assert.are.same({ { name = "web1", kind = "table" } }, names.fields("s", {}, false, "web", MOST))
        assert.are.same({ { name = "print", kind = "nil" } }, names.fields("s", {}, false, "print", MOST))
        assert.are.same({ "field" }, fields({ "web1" }, false, "", "s"))
        assert.are.same({ "ipairs" }, fields({}, false, "ipa", "s"))
        assert.are.same({}, fields({}, false, "web", "other"))
    end)

    it("are methods of contexts, launchers among them", function()
        rawset(_G, "subject", setmetatable({ id = 1, name = "x", route = "y" }, orrery.Context))
        assert.are.same({ "podman", "put" }, fields({ "subject" }, true, "p"))
        rawset(_G, "subject", orrery)
        assert.are.same({ "podman" }, fields({ "subject" }, false, "po"))
    end)

    it("are resources, of a host of a playbook", function()
        local play = require "orrery.play"
        rawset(_G, "subject", play.host(setmetatable({ id = 1, name = "x", route = "y" }, orrery.Context)))
        assert.are.same({ "file", "find" }, fields({ "subject" }, true, "fi"))
        assert.are.same({ "facts" }, fields({ "subject" }, false, "fac"))
        assert.are.same({ "file", "find" }, fields({ "h" }, true, "fi"))
        rawset(_G, "subject", play)
        assert.are.same({ "template" }, fields({ "subject" }, false, "te"))
    end)
end)

describe("names of options", function()
    local function option_names(path, method)
        rawset(_G, "orrery", orrery)
        finally(function() rawset(_G, "orrery", nil) end)
        local list, at = names.options(nil, path, method)
        return list and table.concat(texts(list), " "), at
    end

    it("are those that the function checks", function()
        assert.matches("user", (option_names { "orrery", "ssh" }))
        assert.are.equal("keepalive name send", (option_names { "orrery", "localhost" }))
        assert.are.same({ "limit raise timeout", 2 }, { option_names { "orrery", "map" } })
        assert.are.same({ "group mode on_progress owner timeout", 3 },
            { option_names({ "orrery", "Context" }, "put") })
        assert.matches("on_disconnect", (option_names({ "orrery", "Context" }, "run")))
        assert.matches("preserve_env", (option_names { "orrery", "sudo" }))
        assert.matches("preserve_env", (option_names({ "orrery", "Context" }, "sudo")))
        assert.is_nil((option_names { "orrery", "sleep" }))
        assert.is_nil((option_names { "nothing", "of", "the", "kind" }))
    end)

    it("have types and the values allowed", function()
        local by_name = {}
        rawset(_G, "orrery", orrery)
        finally(function() rawset(_G, "orrery", nil) end)
        for _, option in ipairs(names.options(nil, { "orrery", "ssh" })) do by_name[option.name] = option end
        assert.are.same({ name = "user", types = { "string" } }, by_name.user)
        assert.are.same({ name = "port", types = { "number", "string" } }, by_name.port)
        assert.are.same({ name = "transport", enum = { "auto", "libssh2", "openssh" } }, by_name.transport)
    end)

    it("are those of all resources, with what all of them take", function()
        local resource = require "orrery.play.resource"
        require "orrery.play"
        require "orrery.play.host"
        for _, name in ipairs(resource.names()) do
            local found = {}
            for _, option in ipairs(assert(names.options(nil, { "h" }, name), name)) do found[option.name] = option end
            for option in pairs(resource.find(name).options) do
                assert.is_table(found[option], name .. " " .. option)
            end
            assert.is_table(found.when)
        end
        assert.is_nil(names.options(nil, { "h" }, "no_such_resource"))
    end)

    it("are declared by every module that checks some", function()
        -- These check what is no argument: a definition's own table, a hop of a list, an entry of an inventory.
        local inner = { ["lua/orrery/options.lua"] = true, ["lua/orrery/ssh.lua"] = true,
            ["lua/orrery/play/settings.lua"] = true, ["lua/orrery/play/inventory/lua.lua"] = true,
            ["lua/orrery/play/resource.lua"] = true }
        local list = assert(io.popen "grep -rlE '(options|schema)[.]check[(]' lua")
        for path in list:lines() do
            local file = assert(io.open(path))
            local text = file:read "*a"
            file:close()
            local own = path:find "^lua/orrery/repl/" -- the prompt's own, which nobody types
            local declares = text:find("options.declare(", 1, true)
            assert.is_truthy(inner[path] or own or declares, path .. " declares no options")
        end
        list:close()
    end)

    it("go with the function", function()
        local fn = function() return 1 end
        options.declare(fn, { x = "string" }, 1)
        assert.are.same({ schema = { x = "string" }, at = 1 }, options.of(fn))
        assert.is_nil(options.of(function() return 2 end))
        options.declare(fn, function() return nil end)
        assert.is_nil(options.of(fn))
    end)
end)

describe("names of files", function()
    local dir
    before_each(function()
        dir = remote.directory()
        sys.mkdir(dir .. "/sub")
        remote.write(dir .. "/some file", "")
        remote.write(dir .. "/.hidden", "")
        remote.write(dir .. "/größe", "")
    end)
    after_each(function() remote.remove(dir) end)

    it("are those of a directory, hidden ones where they are asked for", function()
        local list, directory = names.files(dir .. "/", MOST)
        assert.are.same({ "größe", "some file", "sub" }, texts(list))
        assert.are.equal("directory", list[3].kind)
        assert.are.equal("file", list[2].kind)
        assert.are.equal(dir .. "/", directory)
        assert.are.same({ ".hidden" }, texts((names.files(dir .. "/.", MOST))))
        assert.are.same({ "some file", "sub" }, texts((names.files(dir .. "/s", MOST))))
        assert.are.equal(1, #names.files(dir .. "/", 1))
    end)

    it("are relative, and of what cannot be read none", function()
        assert.are.same({ "lua" }, texts((names.files("lu", MOST))))
        assert.are.same({ "orrery" }, texts((names.files("lua/", MOST))))
        assert.are.same({}, texts((names.files("/no/such/", MOST))))
    end)

    it("are those of a home", function()
        local _, directory = names.files("~/", MOST)
        assert.are.equal(os.getenv "HOME" .. "/", directory)
        _, directory = names.files("~root/x", MOST)
        assert.are.equal(sys.user("root").home .. "/", directory)
        _, directory = names.files("~nobody-like-this/x", MOST)
        assert.are.equal("~nobody-like-this/", directory)
    end)

    it("are programs in the PATH", function()
        local list = names.programs("tru", MOST)
        assert.are.same({ name = "true", kind = "program" }, list[1])
        assert.are.equal(3, #names.programs("", 3))
    end)
end)

describe("names of modules", function()
    local function modules(prefix) return texts(names.modules(prefix, MOST)) end

    it("go up to the next dot", function()
        assert.are.same({ "orrery", "orrery." }, modules "orre")
        assert.are.same({ "orrery.play", "orrery.play." }, modules "orrery.pla")
        assert.are.same({ "orrery.play.resources.file", "orrery.play.resources.find" },
            modules "orrery.play.resources.fi")
    end)

    it("are those loaded, those preloaded, and the files", function()
        package.preload["zz_preloaded.x"] = function() end
        package.loaded["zz_loaded"] = true
        finally(function() package.preload["zz_preloaded.x"], package.loaded["zz_loaded"] = nil, nil end)
        assert.are.same({ "zz_loaded", "zz_preloaded." }, modules "zz_")
        assert.are.same({ "spec.support." }, modules "spec.su")
        assert.are.same({}, modules "no.such.module")
        assert.are.same({ "coroutine" }, modules "corout")
    end)
end)
