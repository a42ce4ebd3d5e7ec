package board

// action is what a key does.
type action struct {
	keys  []Key
	label string // on the line of keys; "" for what is only in the help
	help  string
	do    func(*board) (leave bool)
}

// actions are all keys, in the order in which they are shown.
var actions []action

func init() { // the help shows the table that it is in
	actions = []action{
		{[]Key{KeyUp, 'k'}, "", "Up, Down   choose a guest", func(b *board) bool { b.view.Move(-1); return false }},
		{[]Key{KeyDown, 'j'}, "", "", func(b *board) bool { b.view.Move(1); return false }},
		{[]Key{KeyPageUp}, "", "", func(b *board) bool { b.view.Move(-10); return false }},
		{[]Key{KeyPageDown}, "", "", func(b *board) bool { b.view.Move(10); return false }},
		{[]Key{KeyEnter, 'c'}, "Enter console", "Enter      its console; Ctrl-] leads back here", openConsole},
		{[]Key{'s'}, "s start", "s          start it", func(b *board) bool {
			b.order(Start)
			return false
		}},
		{[]Key{'t'}, "t stop", "t          ask it to shut down", func(b *board) bool {
			b.order(Stop)
			return false
		}},
		{[]Key{'r'}, "", "r          shut it down and start it again", func(b *board) bool {
			b.order(Restart)
			return false
		}},
		{[]Key{'p'}, "", "p          pause it, or let it go on", pauseOrResume},
		{[]Key{'d'}, "", "d          destroy it: at once, as if its power was cut", destroy},
		{[]Key{'l'}, "l log", "l          what it has written to its console", func(b *board) bool {
			if g := b.view.Chosen(); g != nil {
				b.read("What "+g.Name+" has written to its console", func() (string, error) { return b.GuestLog(g) })
			}
			return false
		}},
		{[]Key{'m'}, "m messages", "m          the host's messages", func(b *board) bool {
			b.read("Messages", b.Log)
			return false
		}},
		{[]Key{'!', KeyF10}, "! shell", "!, F10     a root shell; exit leads back here", func(b *board) bool {
			b.run(b.Shell)
			return false
		}},
		{[]Key{'R'}, "", "R          restart this machine", func(b *board) bool { return endMachine(b, "reboot") }},
		{[]Key{'P'}, "", "P          power this machine off", func(b *board) bool { return endMachine(b, "poweroff") }},
		{[]Key{'q'}, "", "", func(b *board) bool { return b.Leave }},
		{[]Key{'?', 'h', KeyF1}, "? help", "", func(b *board) bool { b.view.Help = true; return false }},
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

func openConsole(b *board) bool {
	g := b.view.Chosen()
	switch {
	case g == nil:
	case g.Domid == 0:
		b.view.Message = g.Name + " does not run: s starts it, l shows what it has written"
	default:
		b.run(b.Console, g.Name)
	}
	return false
}

func pauseOrResume(b *board) bool {
	if g := b.view.Chosen(); g != nil && g.Paused {
		b.order(Resume)
	} else {
		b.order(Pause)
	}
	return false
}

func destroy(b *board) bool {
	if g := b.view.Chosen(); g != nil && g.Domid != 0 {
		name := g.Name // another guest may be the chosen one by the time of the answer
		b.ask("Destroy "+name+"? What it has not written to disk yet is lost.", func() {
			b.orderFor(name, Destroy)
		})
	}
	return false
}

// endMachine asks before it ends the machine with all its guests.
func endMachine(b *board, how string) bool {
	what := map[string]string{"reboot": "Restart", "poweroff": "Power off"}[how]
	b.ask(what+" this machine? Its guests are shut down first.", func() {
		if err := b.End(how); err != nil {
			b.view.Message = err.Error()
		}
	})
	return false
}
