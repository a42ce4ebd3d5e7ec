package disksave

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// Role is the name by which the program is called that saves. It is a process of its own: it needs some megabytes for a
// minute, and what it dies of costs nobody else anything.
const Role = "disk-save"

// Told is what a save says while it runs: how far a step is, or what was done.
type Told struct {
	Step  string `json:",omitempty"`
	Done  int64  `json:",omitempty"` // bytes, or chunks
	Total int64  `json:",omitempty"`
	Note  string `json:",omitempty"`
}

// teller writes what there is to tell, a line of JSON each.
type teller struct{ to *json.Encoder }

func (t teller) Step(name string) { _ = t.to.Encode(Told{Step: name}) } // the save goes on without a listener

func (t teller) Note(line string) { _ = t.to.Encode(Told{Note: line}) }

func (t teller) Bytes(name string, done, total int64) {
	_ = t.to.Encode(Told{Step: name, Done: done, Total: total})
}

// Main is the program called Role: args is a Want in JSON. It returns an exit status.
func Main(args []string, c Config, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	var want Want
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &want) != nil {
		fmt.Fprintln(stderr, "guest disk save calls this program")
		return 2
	}
	t := &tool{Config: c, progress: teller{json.NewEncoder(stdout)}}
	if err := t.run(ctx, want); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// Times of the program.
const (
	tellPause = 200 * time.Millisecond // between two reports of a step
	endDelay  = time.Minute            // to remove what it has copied, when it is interrupted
)

// Save has the program, which is the path of init, save what is wanted. tell hears how far it is.
func Save(ctx context.Context, program string, want Want, tell func(Told)) error {
	text, err := json.Marshal(want)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, Role, string(text))
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = endDelay
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := oom.Start(cmd); err != nil {
		return fmt.Errorf("save guest %s: %w", want.Guest, err)
	}
	listen(out, tell)
	err = cmd.Wait()
	if text := printable.Line(string(bytes.TrimSpace(said.Bytes()))); err != nil && text != "" {
		return errors.New(text)
	}
	return err
}

// listen passes on what the program tells. Of a step only what is not too soon.
func listen(from io.Reader, tell func(Told)) {
	var step string
	var last time.Time
	for lines := bufio.NewScanner(from); lines.Scan(); {
		var t Told
		if json.Unmarshal(lines.Bytes(), &t) != nil {
			continue
		}
		t.Step, t.Note = printable.Line(t.Step), printable.Line(t.Note)
		if t.Note == "" && t.Step == step && time.Since(last) < tellPause {
			continue
		}
		if t.Note == "" {
			step, last = t.Step, time.Now()
		}
		tell(t)
	}
}
