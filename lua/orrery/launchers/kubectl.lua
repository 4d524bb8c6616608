--- kubectl exec.

---@class orrery.KubectlOptions: orrery.LauncherOptions
---@field pod string "name", "deployment/name" ...
---@field container? string
---@field namespace? string
---@field context? string of the configuration
---@field kubeconfig? string
---@field args? string[] for kubectl itself, in front of exec

---@type orrery.Launcher
return {
    name = "kubectl",
    target = "pod",
    options = {
        pod = { type = "string", required = true }, container = "string", namespace = "string", context = "string",
        kubeconfig = "string", args = "table",
    },
    label = function(o)
        return (o.namespace and o.namespace .. "/" or "") .. o.pod .. (o.container and "/" .. o.container or "")
    end,
    argv = function(o)
        return {
            "kubectl", o.kubeconfig and "--kubeconfig=" .. o.kubeconfig, o.context and "--context=" .. o.context,
            o.namespace and "--namespace=" .. o.namespace, o.args, "exec", "-i", o.pod,
            o.container and { "-c", o.container }, "--", "sh", "-c", "{}",
        }
    end,
    signs = {
        { "[Uu]nauthorized", "auth", "it was not let in" },
        { "[Ff]orbidden", "auth", "this user may not do this" },
        { "NotFound", "connect", "there is no such pod" },
        { "not found", "connect", "there is no such pod, container or context" },
        { "was refused", "connect", "its server is not there" },
    },
}
