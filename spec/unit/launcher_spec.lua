local launcher = require "orrery.launcher"
local orrery = require "orrery"

describe("a launcher's plan", function()
    it("is data, and opens nothing", function()
        local plan = launcher.plan("sudo", "app", { group = "adm", preserve_env = { "A", "B" }, password = "p" })
        assert.are.same({
            "sudo", "-S", "-p", "[sudo] password for %p@%h ({mark}): ", "-H", "--preserve-env=A,B", "-g", "adm",
            "-u", "app", "--", "sh", "-c", "{}",
        }, plan.argv)
        assert.are.equal("sudo:app", plan.route)
        assert.are.equal("app", plan.name)
        assert.are.same({ prompts = true, nobody = false, password = "p", share = true }, plan.asking)
        assert.are.same({ "sudo", "-n", "-H", "-u", "root", "--", "sh", "-c", "{}" },
            launcher.plan("sudo", { ask = false }).argv)
        plan = launcher.plan("kubectl", "web-0", { namespace = "prod", cache = "/x", no_cache = true,
            send = "deferred", keepalive = 5, bootstrap_timeout = 7, name = "w", program = "/opt/kubectl" })
        assert.are.same({ "/opt/kubectl", "--namespace=prod", "exec", "-i", "web-0", "--", "sh", "-c", "{}" },
            plan.argv)
        plan.argv, plan.explain = nil, nil
        assert.are.same({ name = "w", route = "kubectl:prod/web-0", cache = "/x", no_cache = true, deferred = true,
            keepalive = 5, bootstrap_timeout = 7, asking = { nobody = true } }, plan)
    end)

    it("has each launcher that is there", function()
        for name, args in pairs {
            chroot = { "/x" }, doas = {}, docker = { "c" }, exec = { { "sh" } }, incus = { "c" }, kubectl = { "p" },
            lxc = { "c" }, lxd = { "c" }, machinectl = { "m" }, nsenter = { 1 }, podman = { "c" }, runuser = {},
            su = {}, sudo = {}, unshare = {},
        } do
            local plan = launcher.plan(name, unpack(args))
            assert.matches("{%^?}", plan.argv[#plan.argv])
            assert.matches("^" .. name .. ":.", plan.route)
            assert.is_function(orrery[name])
        end
    end)

    -- As another context would ask.
    it("shares a password that is asked for by many contexts", function()
        local asked = {}
        local function plan()
            return launcher.for_another(launcher.plan("sudo", { ask = function(question)
                asked[#asked + 1] = question.subject
                orrery.sleep(0)
                return "answer " .. #asked
            end }))
        end
        local function question(subject, kind) return { kind = kind or "password", subject = subject } end
        local plans = { plan(), plan(), plan() }
        local answers = orrery.map(plans, function(p, i) return p.ask(question("deploy@h" .. i)) end)
        assert.are.same({ "answer 1", "answer 1", "answer 1" }, { answers[1], answers[2], answers[3] })
        -- It was wrong: whoever asks first again, asks for all.
        assert.are.equal("answer 2", plans[1].ask(question "deploy@h1"))
        assert.are.equal("answer 2", plans[2].ask(question "deploy@h2"))
        assert.are.equal("answer 3", plans[1].ask(question "app@h1"))
        assert.are.equal("answer 4", plans[1].ask(question("", "prompt")))
        assert.are.same({ "deploy@h1", "deploy@h1", "app@h1", "" }, asked)
        assert.is_nil(plans[1].asking.share)
    end)
end)
