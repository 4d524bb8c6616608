--- The commands of a prompt, in the order in which :help shows them.

---@class orrery.repl.Command
---@field name string without the colon
---@field group string heading in :help
---@field form string what follows the name, "[HOSTS]"
---@field args? "host"|"file"|"name"|"setting"|"command"|"level"|"lua" what is completed behind it
---@field words? string[] what may stand there
---@field summary string a line
---@field help string what `:help NAME` says more
---@field where string the module in orrery.repl.commands with its function

local HOSTS, WORK, FILES, LOOK = "Hosts", "Running", "Files", "Looking"

---@type orrery.repl.Command[]
return {
    {
        name = "use", group = HOSTS, form = "HOSTS", args = "host", where = "hosts",
        summary = "run inputs there",
        help = [[
From now on inputs and !commands run on these hosts: the prompt shows where.
They are connected first, where they are not. With several hosts each input
runs on all of them at once, and answers that are equal are shown once.

  :use web1           :use web[1-20]
  :use @web!web3      :use @all

Locals stay where they are: each host has its own.]],
    },
    {
        name = "here", group = HOSTS, form = "", where = "hosts",
        summary = "run inputs here again",
        help = "From now on inputs run in the process of this prompt. Hosts stay connected.",
    },
    {
        name = "hosts", group = HOSTS, form = "[HOSTS]", args = "host", where = "hosts",
        summary = "show hosts, and their state",
        help = [[
Shows which hosts there are, whether they are connected, their groups, and how
they are reached. * is in front of those where inputs run. Where there are many,
those that are alike share a line.]],
    },
    {
        name = "connect", group = HOSTS, form = "[HOSTS]", args = "host", where = "hosts",
        summary = "connect hosts; alone: lost ones again",
        help = [[
Connects hosts, all at once. Without HOSTS: those that were lost. What a host had
in its locals before it was lost is gone.]],
    },
    {
        name = "close", group = HOSTS, form = "HOSTS", args = "host", where = "hosts",
        summary = "close hosts",
        help = "Closes the connections to hosts. What runs there ends, nothing stays behind.",
    },
    {
        name = "time", group = WORK, form = "[INPUT]", args = "lua", where = "time",
        summary = "run an input, and say how long it took",
        help = [[
Runs INPUT, and says how long it took, and what went over the wire for it.
Alone it switches that on, or off, for each input (':set time on').]],
    },
    {
        name = "trace", group = WORK, form = "INPUT", args = "lua", where = "trace",
        summary = "run an input, and show its messages",
        help = [[
Runs INPUT, and shows the messages that this process has sent (>) and received
(<) meanwhile: when, which, from and to whom, how large, and by which way through
the tree. Messages of what runs in the background are among them.]],
    },
    {
        name = "edit", group = WORK, form = "[N|FILE]", args = "file", where = "files",
        summary = "edit the last input, and run it",
        help = [[
Opens the last input, the N-th last one, or a file, in $VISUAL or $EDITOR, and
runs what was saved. An editor that fails, or a text that is empty, runs nothing.
A file stays as it is: what is edited is a copy.]],
    },
    {
        name = "load", group = FILES, form = "FILE", args = "file", where = "files",
        summary = "run a file as an input",
        help = "Runs the text of FILE as an input, where inputs run. The file is one of this machine.",
    },
    {
        name = "save", group = FILES, form = "FILE", args = "file", where = "files",
        summary = "write the session as a script",
        help = [[
Writes the inputs that went well to FILE, as a script for 'orrery run': it opens
the hosts that were used, and runs on each what ran there. A file that is there
already is left alone; ':save! FILE' replaces it.]],
    },
    {
        name = "doc", group = LOOK, form = "[NAME]", args = "name", where = "doc",
        summary = "say what a function, a method, a resource does",
        help = [[
  :doc orrery.ssh     a function of the library, or of a module of yours
  :doc ctx:put        a method of contexts; Context.put is the same
  :doc file           a resource of playbooks
  :doc                all that there is]],
    },
    {
        name = "stats", group = LOOK, form = "", where = "stats",
        summary = "show what the runtime has done",
        help = "Shows the counters of this process that are not 0, as 'orrery run --stats' does at its end.",
    },
    {
        name = "log", group = LOOK, form = "[LEVEL]", args = "level", where = "log",
        words = { "error", "warn", "info", "debug", "trace" },
        summary = "show or set the level of the log",
        help = "LEVEL is error, warn, info, debug or trace. Without it: says which one it is.",
    },
    {
        name = "set", group = LOOK, form = "[NAME [VALUE]]", args = "setting", where = "set",
        summary = "show or change settings",
        help = [[
Without NAME: all settings. With a NAME: that one. With a VALUE: changes it.
':set pager off'. ~/.config/orrery/init.lua can do the same for all prompts.]],
    },
    {
        name = "help", group = LOOK, form = "[COMMAND]", args = "command", where = "help",
        summary = "show this, or help for a command",
        help = "Shows all commands, or what one of them does.",
    },
    {
        name = "quit", group = LOOK, form = "", where = "quit",
        summary = "leave, as Ctrl-D does",
        help = "Leaves the prompt, and closes what it has opened.",
    },
}
