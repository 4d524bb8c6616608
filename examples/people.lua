-- Who there is, for users.lua.
return {
    here = {
        {
            name = "ada", full_name = "Ada Example", admin = true,
            keys = { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtQUDZWhs8k/cZcykMkaoX7ZE7DXld8TP79HyddVJTS ada@laptop" },
        },
        {
            name = "bob", full_name = "Bob Example",
            keys = { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE bob@desk" },
        },
    },
    gone = { "mallory" },
}
