package board

// action is what a key does.
type action struct {
	keys  []Key
	label string // on the line of keys; "" for what is only in the help
	help  string
	do    func(*board)
	look  bool // it only looks, and needs no password
}

// actions are all keys, in the order in which they are shown.
var actions []action

func init() { // the help shows the table that it is in
	actions = []action{
		{[]Key{KeyUp, 'k'}, "", "Up, Down   choose a guest", move(-1), true},
		{[]Key{KeyDown, 'j'}, "", "", move(1), true},
		{[]Key{KeyPageUp}, "", "", move(-10), true},
		{[]Key{KeyPageDown}, "", "", move(10), true},
		{[]Key{KeyEnter, 'c'}, "Enter console", "Enter      its console; Ctrl-] leads back here", openConsole, false},
		{[]Key{'s'}, "s start", "s          start it", order(Start), false},
		{[]Key{'t'}, "t stop", "t          ask it to shut down", order(Stop), false},
		{[]Key{'r'}, "", "r          shut it down and start it again", order(Restart), false},
		{[]Key{'p'}, "", "p          pause it, or let it go on", pauseOrResume, false},
		{[]Key{'d'}, "", "d          destroy it: at once, as if its power was cut", destroy, false},
		{[]Key{'l'}, "l log", "l          what it has written to its console", readGuestLog, false},
		{[]Key{'m'}, "m messages", "m          the host's messages", readLog, false},
		{[]Key{'!', KeyF10}, "! shell", "!, F10     a root shell; exit leads back here", openShell, false},
		{[]Key{'R'}, "", "R          restart this machine", endMachine("Restart", "reboot"), false},
		{[]Key{'P'}, "", "P          power this machine off", endMachine("Power off", "poweroff"), false},
		{[]Key{'L'}, "", "L          lock: ask for the password again, if one was set", lock, true},
		{[]Key{'q'}, "", "", func(b *board) { b.left = b.Leave }, true},
		{[]Key{'?', 'h', KeyF1}, "? help", "", func(b *board) { b.view.Help = true }, true},
	}
}

// actionOf is what a key does, nil for nothing.
func actionOf(key Key) *action {
	for i := range actions {
		for _, k := range actions[i].keys {
			if k == key {
				return &actions[i]
			}
		}
	}
	return nil
}

func move(by int) func(*board) { return func(b *board) { b.view.Move(by) } }

func order(what string) func(*board) { return func(b *board) { b.order(what) } }

func openConsole(b *board) {
	g := b.view.Chosen()
	switch {
	case g == nil:
	case g.Domid == 0:
		b.view.Message = g.Name + " does not run: s starts it, l shows what it has written"
	default:
		b.run(b.Console, g.Name)
	}
}

func lock(b *board) { b.Guard.Shut() }

func openShell(b *board) { b.run(b.Shell) }

func readGuestLog(b *board) {
	if g := b.view.Chosen(); g != nil {
		b.read("What "+g.Name+" has written to its console", func() (string, error) { return b.GuestLog(g) })
	}
}

func readLog(b *board) { b.read("Messages", b.Log) }

func pauseOrResume(b *board) {
	if g := b.view.Chosen(); g != nil && g.Paused {
		b.order(Resume)
	} else {
		b.order(Pause)
	}
}

func destroy(b *board) {
	if g := b.view.Chosen(); g != nil && g.Domid != 0 {
		name := g.Name // another guest may be the chosen one by the time of the answer
		b.ask("Destroy "+name+"? What it has not written to disk yet is lost.", func() { b.orderFor(name, Destroy) })
	}
}

// endMachine asks before it ends the machine with all its guests.
func endMachine(what, action string) func(*board) {
	return func(b *board) {
		b.ask(what+" this machine? Its guests are shut down first.", func() {
			if err := b.End(action); err != nil {
				b.view.Message = err.Error()
			}
		})
	}
}
