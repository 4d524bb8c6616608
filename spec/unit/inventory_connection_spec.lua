local leak = require "spec.support.leak"
require "orrery.core"
local inventory = require "orrery.play.inventory"
local secret = require "orrery.secret"
local ssh_arguments = require "orrery.play.inventory.ssh_arguments"

leak.guard()

local function one(host, all)
    return inventory.load { hosts = { web1 = host }, vars = all and all.vars, ssh = all and all.ssh,
        launch = all and all.launch, become = all and all.become }
end

local function links(host, all)
    local list = {}
    for i, link in ipairs(one(host, all):connection("web1").links) do
        list[i] = { link.launcher, link.target or false, link.options }
    end
    return list
end

local function refusal(host, all)
    local ok, err = pcall(links, host, all)
    assert.is_false(ok)
    assert.are.equal("inventory", err.code)
    return err.message
end

describe("how a host is reached", function()
    it("is SSH by its name, where nothing is said", function()
        assert.are.same({ { "ssh", "web1", { name = "web1" } } }, links {})
    end)

    it("is said by ssh options, by launchers, and by chains of them", function()
        for _, case in ipairs {
            { { launch = "local" }, { "local", false, { name = "web1" } } },
            { { launch = { "podman" } }, { "podman", "web1", { name = "web1" } } },
            { { launch = { "podman", "pg", user = "app" } }, { "podman", "pg", { user = "app", name = "web1" } } },
            { { launch = { "sudo" } }, { "sudo", false, { name = "web1" } } },
            {
                { ssh = { host = "10.0.0.1", user = "u" }, launch = { { "ssh" }, { "lxc" } } },
                { "ssh", "10.0.0.1", { user = "u" } }, { "lxc", "web1", { name = "web1" } },
            },
            {
                { launch = { { "ssh", "node7", port = 22 }, { "kubectl", "pod-1", namespace = "x" } } },
                { "ssh", "node7", { port = 22 } }, { "kubectl", "pod-1", { namespace = "x", name = "web1" } },
            },
        } do
            local said = table.remove(case, 1)
            assert.are.same(case, links(said))
        end
    end)

    it("can be in Ansible's words", function()
        for _, case in ipairs {
            { { ansible_host = "10.0.0.1", ansible_port = "2222", ansible_user = "deploy" },
                { "ssh", "10.0.0.1", { port = 2222, user = "deploy", name = "web1" } } },
            { { ansible_ssh_private_key_file = "/k", ansible_timeout = 5 },
                { "ssh", "web1", { identity = "/k", connect_timeout = 5, name = "web1" } } },
            { { ansible_ssh_common_args = "-o ProxyJump=bastion -o StrictHostKeyChecking=no -p 99" },
                { "ssh", "web1", { jump = "bastion", strict = "no", port = 99, name = "web1" } } },
            { { ansible_host_key_checking = false }, { "ssh", "web1", { strict = "no", name = "web1" } } },
            { { ansible_host_key_checking = "yes", ansible_connection = "smart" },
                { "ssh", "web1", { name = "web1" } } },
            { { ansible_connection = "local", ansible_user = "x" }, { "local", false, { name = "web1" } } },
            { { ansible_connection = "community.docker.docker", ansible_host = "c1", ansible_user = "app" },
                { "docker", "c1", { user = "app", name = "web1" } } },
            { { ansible_connection = "lxc" }, { "lxc", "web1", { name = "web1" } } },
            { { ansible_user = 1000 }, { "ssh", "web1", { user = "1000", name = "web1" } } },
        } do
            assert.are.same({ case[2] }, links { vars = case[1] })
        end
    end)

    it("has passwords that are secrets", function()
        local connection = one({ vars = { ansible_password = "hush-hush", ansible_become_pass = "hush-too" } })
            :connection("web1")
        local password = connection.links[1].options.password
        assert.are.equal("(secret)", tostring(password))
        assert.are.same({ "hush-hush", "hush-too" }, { secret.reveal(password),
            secret.reveal(connection.become.password) })
        assert.is_false(connection.become.enabled)
    end)

    it("is decided by what is nearest to the host, in whichever words", function()
        assert.are.same({ { "ssh", "web1", { user = "near", port = 1, name = "web1" } } },
            links({ vars = { ansible_user = "near" } }, { ssh = { user = "far", port = 1 } }))
        assert.are.same({ { "ssh", "web1", { user = "near", name = "web1" } } },
            links({ ssh = { user = "near" } }, { vars = { ansible_user = "far" } }))
        assert.are.same({ { "local", false, { name = "web1" } } },
            links({ vars = { ansible_connection = "local" } }, { launch = { "podman" } }))
        assert.are.same({ { "podman", "web1", { name = "web1" } } },
            links({ launch = { "podman" } }, { vars = { ansible_connection = "local" } }))
    end)

    it("is a process of this machine for localhost", function()
        local inv = inventory.load { hosts = { "localhost" } }
        assert.are.equal("local", inv:connection("localhost").links[1].launcher)
        inv = inventory.load { hosts = { localhost = { ssh = { port = 2222 } } } }
        assert.are.equal("ssh", inv:connection("localhost").links[1].launcher)
    end)

    it("can be with another user", function()
        for _, case in ipairs {
            { { become = true }, { enabled = true } }, { { become = "app" }, { enabled = true, user = "app" } },
            { { become = { user = "app", method = "su" } }, { enabled = true, user = "app", method = "su" } },
            { { become = false }, { enabled = false } },
            { { vars = { ansible_become = "yes", ansible_become_user = "app", ansible_become_method = "doas" } },
                { enabled = true, user = "app", method = "doas" } },
        } do
            assert.are.same(case[2], one(case[1]):connection("web1").become)
        end
        assert.is_nil(one({}):connection("web1").become)
        assert.are.same({ enabled = false, user = "app" },
            one({ become = false }, { become = "app" }):connection("web1").become)
    end)

    it("is an error where it cannot be done here", function()
        for message, vars in pairs {
            ["inventory: ansible_host of host 'web1' is a template of Jinja; such are not evaluated, so the value must "
                .. "stand there"] = { ansible_host = "{{ ip }}" },
            ["inventory: ansible_port of host 'web1' must be a number, not 'ssh'"] = { ansible_port = "ssh" },
            ["inventory: ansible_become of host 'web1' must be yes or no, not 'maybe'"] = { ansible_become = "maybe" },
            ["inventory: ansible_connection of host 'web1' is 'winrm', which is no way to connect here"] =
                { ansible_connection = "winrm" },
            ["inventory: ansible_connection of host 'web1' is 'dokcer', which is no way to connect here "
                .. "(did you mean 'docker'?)"] = { ansible_connection = "dokcer" },
            ["inventory: ansible_ssh_common_args of host 'web1' has '-o GSSAPIAuthentication=yes', which has no "
                .. "counterpart here; it can stand in ~/.ssh/config"] =
                { ansible_ssh_common_args = "-o GSSAPIAuthentication=yes" },
        } do
            assert.are.equal(message, refusal { vars = vars })
        end
        assert.are.equal("inventory: become of host 'web1' has no 'usr': it has user, method, password, enabled",
            refusal { become = { usr = "x" } })
        assert.are.equal("inventory: launch of host 'web1' must be a launcher, { launcher, target, option = ... }, "
            .. "or a list of such", refusal { launch = { 1 } })
    end)
end)

describe("arguments of ssh(1)", function()
    it("are options", function()
        assert.are.same({
            jump = "a,b", port = 22, user = "u", identity = "/k y", config = "/c", known_hosts = { "/a", "/b" },
            compression = true, forward_agent = true, proxy_command = "nc %h %p", strict = "accept-new",
        }, ssh_arguments.read([[-J a,b -p22 -l u -i '/k y' -F /c -o "UserKnownHostsFile /a /b" -C -A ]]
            .. [[-o ProxyCommand="nc %h %p" -oStrictHostKeyChecking=accept-new -o ControlMaster=auto -vv -q]]))
        assert.are.same({ port = 1 }, ssh_arguments.read "-p 1 -o Port=2")
        assert.are.same({}, ssh_arguments.read "  ")
    end)

    it("say what they cannot be", function()
        for text, why in pairs {
            ["-X"] = "'-X', which has no counterpart here; it can stand in ~/.ssh/config",
            ["host"] = "'host', which has no counterpart here; it can stand in ~/.ssh/config",
            ["-p"] = "'-p' without a value", ["-p x"] = "'x', which is no number",
            ["-o Foo"] = "'-o Foo', which is no NAME=VALUE",
            ["-o StrictHostKeyChecking=maybe"] = "StrictHostKeyChecking 'maybe', which is no value of it",
            ["-o 'x"] = "the quotes that begin with ' are not closed",
        } do
            local found, problem = ssh_arguments.read(text)
            assert.is_nil(found)
            assert.are.equal(why, problem)
        end
    end)
end)
