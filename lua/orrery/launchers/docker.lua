--- docker exec.

return require("orrery.launchers.podman").like "docker"
