// Package board is the status board: a full-screen view of the host's state on a terminal of 80 by 25 characters or
// more, with keys to order guests about. It owns no state: what it shows comes from a snapshot (package host), and what
// it orders goes to the guest controller, in this process or through the local API.
package board

import (
	"context"
	"os"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/login"
	"github.com/zerodisc/zerodisc/internal/meter"
	"github.com/zerodisc/zerodisc/internal/tick"
)

// Orders about a guest.
const (
	Start   = "start"
	Stop    = "stop" // it is asked to shut down
	Restart = "restart"
	Pause   = "pause"
	Resume  = "resume"
	Destroy = "destroy"
)

// Config is what a board works with. All fields are to be set.
type Config struct {
	Terminal *Terminal
	// Snapshot is the newest state. Changed has an element when it is another one.
	Snapshot func() *host.Snapshot
	Changed  <-chan struct{}
	// Order gives an order about a guest, by the name that the guest has now. It returns when that is done, or with why
	// it cannot be done. End ends the machine: "poweroff" or "reboot".
	Order func(ctx context.Context, order, name string) error
	End   func(action string) error
	// Meter is what guests use.
	Meter *meter.Meter
	// LogIn is how to log in to the host, a few lines.
	LogIn  func(*host.Snapshot) []string
	Uptime func() time.Duration // of the machine
	// Run runs a program on the board's terminal until it ends: a shell, a guest's console, a log.
	Run func(argv ...string) error
	// Guard is asked before all that is more than to look; its password is given on the terminal /dev/TTY.
	Guard *login.Guard
	TTY   string
	// Leave says that the board ends when q is pressed: it was started by hand. Otherwise it has its terminal for good.
	Leave bool
	// Shell is the program for a shell, Console the one for a guest's console, whose last argument is the guest's name.
	Shell, Console []string
	// GuestLog is what a guest has written to its console, Log the host's messages. Both may have any bytes.
	GuestLog func(*host.Guest) (string, error)
	Log      func() (string, error)
}

// refresh is the time between two looks at the clock and at counters, and slowRefresh the one on a screen of the
// machine's own where nobody has pressed a key yet, or for unseen: most likely nobody is there. What changes is shown
// at once.
const (
	refresh     = 2 * time.Second
	slowRefresh = 10 * time.Second
	unseen      = 5 * time.Minute
)

// passwordPatience is how long the board waits for the password: whoever passes by wants to see it, not a question.
const passwordPatience = time.Minute

// lostPause is the time before a terminal that was hung up is opened anew.
const lostPause = time.Second

// board is a board while it is shown. One goroutine has it.
type board struct {
	Config
	view    View
	rates   rates
	drawn   []string    // what the terminal shows
	done    chan string // how an order ended: why it failed, or ""
	ctx     context.Context
	left    bool      // somebody has left the board
	pressed time.Time // when a key was pressed last; zero: none was
}

// Run shows the board until ctx ends, or until somebody leaves it.
func Run(ctx context.Context, config Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := &board{Config: config, done: make(chan string), ctx: ctx}
	b.view.Leave = config.Leave
	if err := b.Terminal.take(ctx); err != nil {
		return err
	}
	defer b.Terminal.give()
	for !b.left {
		b.look()
		if b.Leave && b.view.snapshot.Host.Ending != "" {
			break // the lines about that, which have waited for the terminal, say more
		}
		b.draw()
		select {
		case <-b.Changed:
		case <-tick.After(b.pause(time.Now())):
		case b.view.Message = <-b.done:
		case <-b.Terminal.resized:
			b.drawn = nil
		case b.Terminal.said = <-b.Terminal.answers:
			b.drawn = nil
		case file := <-b.Terminal.lost:
			if file == b.Terminal.file { // somebody's session on the same terminal has ended, and it was hung up
				b.Terminal.give()
				time.Sleep(lostPause)
				b.takeBack()
			}
		case key := <-b.Terminal.keys:
			b.press(key)
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// pause is how long the board stands still while nothing happens.
func (b *board) pause(now time.Time) time.Duration {
	if b.Leave || now.Sub(b.pressed) < unseen {
		return refresh
	}
	return slowRefresh
}

// look takes the newest state.
func (b *board) look() {
	now, snapshot := time.Now(), b.Snapshot()
	name, _ := os.Hostname()
	if name == "(none)" { // nobody has given it one yet
		name = ""
	}
	b.view.LogIn = b.Config.LogIn(snapshot)
	b.view.See(snapshot, b.usage(snapshot, now), name, now, b.Uptime())
}

// usage is what each domain uses.
func (b *board) usage(s *host.Snapshot, now time.Time) Usage {
	return Usage{CPU: b.Meter.CPU(s), Traffic: b.rates.look(now, b.Meter.Network)}
}

// draw writes those lines that differ from what the terminal shows. Where it takes none, all of them are due.
func (b *board) draw() {
	lines := b.view.Lines(b.Terminal.size())
	if err := b.Terminal.show(b.drawn, lines); err != nil {
		lines = nil
	}
	b.drawn = lines
}

// press does what a key asks for.
func (b *board) press(key Key) {
	b.pressed = time.Now()
	b.view.Message = ""
	if !b.Guard.Open() {
		b.view.Question, b.view.page = nil, nil // the password was given long ago
	}
	switch a := actionOf(key); {
	case b.view.Question != nil:
		question := b.view.Question
		b.view.Question = nil
		if key == 'y' || key == 'Y' {
			question.Yes()
		}
	case b.view.page != nil:
		if _, rows := b.Terminal.size(); b.view.page.press(key, rows) {
			b.view.page = nil
		}
	case b.view.Help:
		b.view.Help = false
	case a != nil && (a.look || b.mayOrder()):
		a.do(b)
	}
}

// mayOrder says whether whoever sits at the board may do more than look, and asks for the password where that is due.
func (b *board) mayOrder() bool {
	if !b.Guard.Open() {
		b.Terminal.give()
		ctx, cancel := context.WithTimeout(b.ctx, passwordPatience)
		right, err := b.Guard.AskOnce(ctx, b.TTY)
		cancel()
		b.takeBack()
		switch {
		case err != nil:
			b.view.Message = err.Error()
		case !right:
			b.view.Message = "That was not the password: nothing was done."
		}
		if !right {
			return false
		}
	}
	b.Guard.Stay()
	return true
}

// takeBack takes the terminal after somebody else has had it, as soon as that can be done.
func (b *board) takeBack() {
	for b.Terminal.take(b.ctx) != nil && b.ctx.Err() == nil {
		time.Sleep(lostPause)
	}
	b.drawn = nil
}

// order gives an order about the chosen guest in the background.
func (b *board) order(order string) {
	if g := b.view.Chosen(); g != nil {
		b.orderFor(g.Name, order)
	}
}

// orderFor gives an order about a guest in the background.
func (b *board) orderFor(name, order string) {
	b.view.Message = order + " " + name + " ..."
	go func() {
		text := ""
		if err := b.Order(b.ctx, order, name); err != nil {
			text = err.Error()
		}
		select {
		case b.done <- text:
		case <-b.ctx.Done():
		}
	}()
}

// ask has a person confirm what cannot be taken back.
func (b *board) ask(text string, yes func()) { b.view.Question = &Question{Text: text, Yes: yes} }

// read shows a long text.
func (b *board) read(title string, text func() (string, error)) {
	content, err := text()
	if err != nil {
		b.view.Message = err.Error()
		return
	}
	b.view.page = newPage(title, content)
}

// run hands the terminal to a program until it ends.
func (b *board) run(argv []string, more ...string) {
	b.Terminal.give()
	err := b.Config.Run(append(argv[:len(argv):len(argv)], more...)...)
	b.takeBack()
	if err != nil {
		b.view.Message = argv[0] + ": " + err.Error()
	}
}
