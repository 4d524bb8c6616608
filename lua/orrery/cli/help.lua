--- The texts of --help, by topic. Examples first; at most 80 columns.

return {

orrery = [[
usage: orrery COMMAND [OPTION...]

  orrery exec -H web1,web2 -- uptime     run a command on many hosts
  orrery run deploy.lua staging          run a script
  orrery help exec                       say more about a command

Commands:
  run         run a Lua script that works on other machines
  play        run a playbook: plays over hosts, with a record, a recap, --check
  exec        run one command on many hosts in parallel
  inventory   show which hosts there are, in which groups, and what is known of
              them
  doc         say what a resource of playbooks does, and what options it has
  repl        a prompt: Lua on this machine, on one host, on a hundred at once
  attach      the same in a script that runs with --listen; or another script
  ssh-check   connect to a host, and explain each step
  vault       make, show and change encrypted files for secrets
  version     versions, and where the agents are
  help        this text, or that of a command

Options of every command:
  -v, -vv, -vvv   log what happens: info, debug, trace
  --log FILE      append the log to FILE, instead of writing it to stderr
  -h, --help      say how to use a command
  --version       the same as 'orrery version'

Exit status: 64 for a mistake on the command line; 'orrery help COMMAND' has the
others.
]],

run = [[
usage: orrery run [OPTION...] SCRIPT [ARG...]

  orrery run deploy.lua web1 web2        arg[1] is "web1"
  orrery run -v --log run.log deploy.lua
  generate | orrery run - web1           the script comes from stdin

Runs a Lua script. Its arguments are in the table `arg` and in `...`; options
that stand behind SCRIPT are the script's own. Modules that lie next to SCRIPT
are found by require. The script has ended when its tasks have. Ctrl-C ends what
it waits for, gives it a few seconds, and says what was interrupted; the second
one exits at once. Either way, commands on the hosts are ended.

Options:
  --listen PATH   let other processes of this user join, with 'orrery attach',
                  by a socket at PATH, in a directory that only this user can
                  write to
  --stats         at the end, say on stderr what the runtime did here: messages,
                  system calls, wake-ups ... as far as they are not 0
  -v, -vv, -vvv   log what happens: info, debug, trace
  --log FILE      append the log to FILE, instead of writing it to stderr

Exit status:
  0    the script ran to its end
  1    it cannot be read, or it or one of its tasks raised an error, which is
       then on stderr: message, context, route, remote traceback
  64   a mistake on the command line
  130  Ctrl-C, as a shell sees it
  any  what the script gives to os.exit
]],

play = [[
usage: orrery play FILE [OPTION...] [-- ARG...]

  orrery play site.lua -i hosts.ini --check --diff     what would change
  orrery play site.lua -i hosts.ini --limit '@web!web3'
  orrery play site.lua --failed                        go on where it failed
  orrery play site.lua --output json >run.jsonl

Runs a playbook, a Lua script with plays (docs/playbooks.md). Options may stand
before and behind FILE; what stands behind -- is in the script's `arg`. Ctrl-C
ends the remote work, writes the record and the recap; the second one exits at
once.

Which hosts:
  -i, --inventory SRC    a file, a directory, a program, or "h1,h2"; repeatable;
                         else $ORRERY_INVENTORY, else inventory.* next to FILE
  --limit HOSTS          of those that plays name only these: 'web[1-3],@db!db2'
  --failed               those that the last run of FILE did not bring to its
                         end, each from the step at which it stood
  --from-start           with --failed: from their first step
  --list-hosts           say which hosts each play has, and do nothing

Which steps:
  --tags LIST            those that have one of these tags, or "always"
  --skip-tags LIST       all but those that have one of these
  --start-at STEP        not those before: a step's name or number, "3.2"; with
                         the play's number in front, "2:3.2", not those plays
  --step                 ask before each
  --list-tasks           say which steps there are, as far as that is known
                         without any host, and do nothing

How:
  --check                change nothing, and say what would be changed
  --diff                 show how contents differ
  -e, --var NAME=VALUE   a variable above all others; NAME:=JSON is no text
  --forks N              hosts at a time (100); --throttle is the same
  --force-handlers       run handlers also on hosts that have failed
  --vault-passphrase-file FILE    has the passphrase of vaults in its first line
  --no-record            keep no record of this run, so --failed cannot know it

Reaching hosts, as with 'orrery exec': -l --user, -p --port, -F --ssh-config,
--identity, -J --jump, --known-hosts, --connect-timeout, --no-cache. They win
over what the inventory says.

Output:
  --output KIND          live (on a terminal), plain (elsewhere), json (an event
                         a line, docs/events.md), junit
  --report FILE          and a page of HTML that has all of it
  --stats                at the end, say on stderr what the runtime did here
  -v, -vv, -vvv          show each line that commands print (else the last ones,
                         where they fail), and log: info, debug, trace
  --log FILE             append the log to FILE

Exit status:
  0    all went well on all hosts
  1    the script raised an error, or cannot be read
  2    some host failed
  3    some host was not reached, or was lost; whatever the others did
  64   a mistake on the command line
  130  Ctrl-C, as a shell sees it
]],

exec = [[
usage: orrery exec -H HOSTS [OPTION...] [--] COMMAND [ARG...]

  orrery exec -H web1,web2 -- uname -r         two words or more: no shell
  orrery exec -H web[01-20],db1 'df -h | tail -1'      one word: for sh -c
  orrery exec -i prod/ -H '@web!web3' uptime           groups of an inventory
  orrery exec --hosts-file all --fold cat /etc/os-release
  orrery exec -H a,b,c --local -- hostname     try it without any host

Runs a command on all hosts in parallel and shows each line when it comes, with
its host in front. The command's stdin is empty. A host that fails is reported
at once and stops no other. Ctrl-C ends the commands on the hosts, and says for
each host what it interrupted; the second one exits at once, and they are ended
all the same.

Hosts:
  -H, --hosts LIST       as ssh knows them: web1,deploy@web2,db[1-3]; with an
                         inventory also @web!web3; repeatable
  --hosts-file FILE      the same, one or more a line, # comments; - is stdin
  -i, --inventory SOURCE which groups there are, and how hosts are reached: see
                         'orrery help inventory'; repeatable
  -l, --user USER        for hosts without USER@
  -p, --port PORT
  -F, --ssh-config FILE  instead of ~/.ssh/config; "none" reads no file
  --identity FILE        private key to offer; repeatable
  -J, --jump HOSTS       reach them by way of these, as with ssh: u@j1:2222,j2
  --known-hosts FILE     instead of the configured ones; repeatable
  --connect-timeout S    for a host to answer, and again to let us in
  --no-cache             leave nothing on the hosts, not even the agent
  --local                no hosts: a process on this machine for each name

Command:
  -t, --timeout SECONDS  then the command is ended, and counts as failed
  --on-disconnect WHAT   when this program or the connection is lost: "kill" the
                         command (the default), or let it "finish"
  --limit N              hosts at the same time (64)

Output:
  --fold                 wait for all, and show equal outputs once, with the
                         hosts that share them; the rarest first; stdout and
                         stderr together
  --stats                at the end, say on stderr what the runtime did here
  -v, -vv, -vvv          log what happens: info, debug, trace
  --log FILE             append the log to FILE, not to stderr
  Colours on a terminal; nowhere if NO_COLOR is set, and everywhere if
  CLICOLOR_FORCE is. A terminal gets control characters as \x1b, anything
  else gets them as they are.

Exit status:
  0    the command ended with status 0 on every host
  1    it failed on some host: another status, a signal, a timeout, not found
  2    some host was not reached, or was lost; whatever the others did
  64   a mistake on the command line; nothing was run
  74   the output could not be written
  130  Ctrl-C, as a shell sees it; likewise 141 when the reader has gone away
]],

inventory = [[
usage: orrery inventory [-i SOURCE]... --list | --graph [GROUP] | --host HOST |
                        --expand HOSTS | --fold HOSTS

  orrery inventory -i hosts.ini --graph
  orrery inventory -i hosts.ini --host web1 --why
  orrery inventory -i prod/ --fold '@web!web3'       16 hosts: web[1-2,4-17]

Shows what is in an inventory, without connecting to any host.

Sources:
  -i, --inventory SOURCE  a file (Lua, INI or JSON), a program that prints JSON,
                          a directory of such, ssh-config: for ~/.ssh/config, or
                          names: 'web1,web2'; repeatable, later ones win.
                          Without it: $ORRERY_INVENTORY

What to show:
  --list          all of it as JSON, as 'ansible-inventory --list' does
  --graph         groups and hosts as a tree, from GROUP on; with --vars also
                  their variables
  --host HOST     the variables of HOST as JSON; with --why, where each comes
                  from and what it wins over
  --expand HOSTS  the hosts that an expression stands for, one a line
  --fold HOSTS    their number, and the short way to write them

HOSTS is an expression: web[1-20], n[01-10/2], r[1-2]n[1-4], @GROUP, @*, web*,
joined by , (or) ! (but not) & (and) ^ (either, not both), from left to right.

Exit status:
  0    it was shown
  1    the inventory is wrong; stderr has the file, the line and the cause
  64   a mistake on the command line
  130  Ctrl-C, as a shell sees it
]],

repl = [=[
usage: orrery repl [OPTION...] [HOSTS...]

  orrery repl                              Lua, here
  orrery repl web1                         Lua, on web1
  orrery repl -i prod/ '@web!web3'         on many; equal answers are shown once
  echo 'return 1+1' | orrery repl          without a terminal: 2
  orrery repl -e 'return jit.version' web1

Reads Lua, runs it, shows what it gives: an expression as well as statements.
Locals stay. What begins with ':' is a command, ':help' shows them; '!' runs a
command of the shell. ':use HOSTS' makes hosts the place where inputs run, and
':here' comes back. Tab completes, also what is on the host; Ctrl-C ends what
runs, here and there, and not the prompt; Ctrl-D leaves.

Hosts: expressions as in 'orrery help inventory'; "local" is a child process on
this machine. -i, -l, -p, -F, --identity, -J, --known-hosts, --connect-timeout
and --no-cache are as with 'orrery exec'.

Options:
  -i, --inventory SOURCE which hosts and groups there are, and how hosts are
                         reached; repeatable. Without it: $ORRERY_INVENTORY
  -e, --eval INPUT       run this instead of reading any; repeatable
  --no-init              do not run ~/.config/orrery/init.lua first
  --no-history           neither read nor write ~/.local/state/orrery/history
  --stats                at the end, say on stderr what the runtime did here
  -v, -vv, -vvv          log what happens: info, debug, trace
  --log FILE             append the log to FILE

Exit status, without a terminal or with -e:
  0    all inputs went well
  1    one did not, and ended it: its error is on stderr
  64   a mistake on the command line
With a terminal it is 0.
]=],

attach = [=[
usage: orrery attach [OPTION...] PATH [SCRIPT [ARG...]]

  orrery run --listen ~/deploy.sock deploy.lua &
  orrery attach ~/deploy.sock                      a prompt among them
  orrery attach ~/deploy.sock --list               which contexts are there
  orrery attach ~/deploy.sock look.lua web1        run a script among them
  orrery attach ~/deploy.sock -e 'print(#orrery.contexts())'

Joins a script that runs with --listen PATH, as the same user or as root, and
uses the contexts that it has opened: orrery.contexts() has them. It calls
functions there, runs commands, moves files; it opens and closes none, and
cannot call into the script itself. Its own end, whatever that is, harms
nobody; the end of the script that it is attached to ends it with an error.

Without SCRIPT it is the prompt of 'orrery repl', where ':hosts' shows the
contexts, and ':use NAME' goes to one.

Options:
  -e, --eval CODE  instead of SCRIPT: Lua, which has `orrery`
  --list           list the contexts: id, name, route
  --stats          at the end, say on stderr what the runtime did here
  -v, -vv, -vvv    log what happens: info, debug, trace
  --log FILE       append the log to FILE, instead of writing it to stderr

Exit status: as that of 'orrery run'
]=],

["ssh-check"] = [[
usage: orrery ssh-check [OPTION...] HOST

  orrery ssh-check web1
  orrery ssh-check -J bastion deploy@10.0.0.7

Connects to HOST as orrery.ssh and 'orrery exec' do, and says what it used and
from which file and line, whether SSH inside this process or ssh(1) and why,
each step with its time, what looks wrong; and after a failure, at which step
and what can be done about it.

Options:
  -l, --user USER        unless HOST has USER@ in front
  -p, --port PORT
  -F, --ssh-config FILE  instead of ~/.ssh/config; "none" reads no file
  -i, --identity FILE    private key to offer; repeatable
  --known-hosts FILE     instead of the configured ones; repeatable
  -J, --jump HOSTS       by way of these, as with ssh: u@j1:2222,j2
  --transport WHICH      auto (inside this process if that can do it), libssh2
                         (always inside), openssh (always ssh(1))
  --connect-timeout S    for the host to answer, and again to let us in
  --no-cache             leave nothing on the host, not even the agent
  -v, -vv, -vvv          log what happens: info, debug, trace
  --log FILE             append the log to FILE, not to stderr

Exit status:
  0    the host can be used
  1    it cannot
  64   a mistake on the command line
]],

doc = [[
usage: orrery doc [OPTION...] [RESOURCE...]

  orrery doc                             all resources, with a line of each
  orrery doc file                        one, with its options and its result
  orrery doc ./motd.lua                  those that a file of yours defines

Options:
  --modifiers     the options that every resource has
  --types         types of all for LuaLS: write them to a file of its library
  --markdown      a table of all

Exit status: 0; 64 where there is no such resource.
]],

vault = [[
usage: orrery vault COMMAND [OPTION...] FILE

  orrery vault create secrets.vault      opens $VISUAL, $EDITOR or vi
  orrery vault edit secrets.vault
  orrery vault view secrets.vault

Encrypted files for secrets. Their text is Lua that returns a table, and scripts
read it with orrery.secret.vault("secrets.vault").db_password. What is edited is
in memory only, never on a disk.

Commands:
  create      make a vault, and edit what is in it
  edit        change what is in it
  view        write it to stdout
  rekey       encrypt it with another passphrase
  encrypt     make a vault of a file, in its place
  decrypt     make a file of a vault, in its place

Options:
  --passphrase-file FILE       the first line of FILE is the passphrase; without
                               it, of the file that ORRERY_VAULT_PASSPHRASE_FILE
                               names; without that, it is asked for
  --new-passphrase-file FILE   the same for the new one of rekey
  --stdin                      create and edit: take the text from stdin
  -o, --output FILE            encrypt and decrypt: write FILE, and leave the
                               other; for decrypt, - is stdout
  -v, -vv, -vvv                log what happens: info, debug, trace
  --log FILE                   append the log to FILE, not to stderr

Exit status:
  0    done
  1    no vault, damaged, or another passphrase; nothing was changed
  64   a mistake on the command line
]],

version = [[
usage: orrery version

Says the versions of orrery, of LuaJIT and of libssh2, and in which directory
the agents are: the programs that it sends to other machines.
]],

help = [[
usage: orrery help [COMMAND]
]],
}
