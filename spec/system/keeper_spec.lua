--- Keys that stay here, for a connection that another process makes: who is answered, and who is not.

local context = require "orrery.context"
local core = require "orrery.core"
local keeper = require "orrery.keeper"
local orrery = require "orrery"
local ssh = require "orrery.ssh"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

local TRUST, SIGN = 4, 5 -- of enum ssh_question_kind

describe("a keeper", function()
    if not lab.need(2) then return end

    local image = ("%s/%%s-%s-%s"):format(core.agent_dir, jit.os, jit.arch == "x64" and "x86_64" or "aarch64")
    local relay, other
    setup(function()
        relay = context.open {
            name = "relay", route = "local:relay",
            program = { image:format "relay", "-a", image:format "agent" },
        }
        other = orrery.localhost { name = "other" }
    end)
    teardown(function()
        relay:close()
        other:close()
    end)

    local function keep_for(ctx, opts)
        opts = opts or {}
        opts.config = lab.ssh_config()
        local plan = ssh.plan_from(ctx, "h1", opts)
        local keep = keeper.open(plan.name, plan.config, ssh.asked(plan))
        finally(function() keep:close() end)
        keep:serve(ctx)
        return keep, ssh.kept_request(plan, keep)
    end

    -- Asks a keeper as ask_keeper.c does; the code and the text that come back.
    local function ask(ctx, keep, kind, subject, text)
        local payload = core.pack("11114ssss", kind, 1, 1, 0, 1, subject, text, "", "")
        local answer = ctx:call(function(handle, question)
            local context_, core_, link = require "orrery.context", require "orrery.core", require "orrery.link"
            local future = require("orrery.sched").future "an answer"
            local talk = link.converse(1, function(_, said) future:resolve(said) end, function() end)
            core_.send(context_.way(context_.from_id(1)), handle, talk.seq, question, true)
            return future:get(10)
        end, keep.asking.keeper_handle, payload)
        local code, why = core.unpack("1s", answer)
        return code == 0 and "ok" or core.error_name(code), why
    end

    it("answers the context that it is for, whatever the script does meanwhile", function()
        local _, request = keep_for(relay)
        local call = relay:call_async(function(plan)
            local ctx = require("orrery.context").open(plan)
            local name = ctx:call(function() return io.open("/proc/sys/kernel/hostname"):read "*l" end)
            ctx:close()
            return name
        end, request)
        local till = orrery.now() + 0.3
        repeat until orrery.now() > till
        assert.is_string(call:get(30))
    end)

    it("answers nobody else", function()
        local keep = keep_for(relay)
        local code, why = ask(other, keep, TRUST, "AAAA", "here")
        assert.are.equal("denied", code)
        assert.are.equal("this is not asked of it", why)
    end)

    it("signs nothing but a login", function()
        local keep = keep_for(relay)
        local key = keep.ssh.offers[1]:match "[^\t]*$"
        local code, why = ask(relay, keep, SIGN, key, "aGVsbG8gd29ybGQ=")
        assert.are.equal("denied", code)
        assert.matches("no login of user", why)
        assert.are.equal("denied", (ask(relay, keep, 99, key, "")))
    end)

    it("answers nobody once it is closed", function()
        local keep = keep_for(relay)
        keep:close()
        local ok, err = pcall(ask, relay, keep, TRUST, "AAAA", "here")
        assert.is_true(not ok or err ~= "ok")
    end)

    it("tells keys that can be offered, and no secret", function()
        local keep = keep_for(relay, { password = "sesame", passphrase = "open" })
        assert.is_true(keep.ssh.kept_password)
        assert.is_nil(keep.ssh.password)
        assert.is_nil(keep.ssh.passphrase)
        assert.is_nil(keep.ssh.identities)
        assert.is_nil(keep.ssh.known_hosts)
        assert.are.same(1, #keep.ssh.offers)
        assert.matches("client/id_ed25519\t\tAAAA", keep.ssh.offers[1])
    end)
end)
