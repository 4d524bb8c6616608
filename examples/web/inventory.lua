-- The hosts of web.lua. Addresses, users and keys are in ~/.ssh/config, or here: ssh = { host =, user = ... }.
return {
    vars = {
        version = "1.0", port = 8080, packages = { "busybox" },
        balancer = "lb1", pool = "/srv/balancer/hello.pool",
    },
    groups = {
        web = { hosts = { "web[1-3]" } },
        balancer = { hosts = { "lb1" } },
    },
}
