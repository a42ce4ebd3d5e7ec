package webstore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/memory"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// Store is a store on a web server, and what is done with its guests. All fields but Started and Timing must be set.
type Store struct {
	Source Source
	Dir    string // gets the guests' directories; it exists, and nothing else uses it
	Client *http.Client
	Memory *memory.Ledger // what files take is reserved there
	// Report gets every change of the store's state. It is never called twice at a time.
	Report func(Event)
	// Start starts the guest in dir, whose files are complete, and says whether it runs. If it does not,
	// Start has reported why, the guest counts as refused, and its files are removed.
	Start func(ctx context.Context, dir string) bool
	// Started says whether a guest was started from the files in dir by a Run of another process: it may use them, so
	// that they stay as they are. Nil where none was.
	Started func(dir string) bool
	// Refuse reports a guest that could not be fetched.
	Refuse func(*guests.Error)
	Timing Timing
}

// Timing holds the durations of this package. A zero field stands for its default; tests shorten them.
type Timing struct {
	Stall      time.Duration // a request is given up when the server is silent for so long: 30 s
	FirstPause time.Duration // before the second try; it doubles with each try: 1 s
	MaxPause   time.Duration // between two tries: 30 s
	Grace      time.Duration // the network may still come up; that no server answers is not reported: 10 s
	Progress   time.Duration // between two reports of progress: 5 s
}

func (t Timing) orDefault() Timing {
	return Timing{
		Stall:      cmp.Or(t.Stall, 30*time.Second),
		FirstPause: cmp.Or(t.FirstPause, time.Second),
		MaxPause:   cmp.Or(t.MaxPause, 30*time.Second),
		Grace:      cmp.Or(t.Grace, 10*time.Second),
		Progress:   cmp.Or(t.Progress, 5*time.Second),
	}
}

// remedyList says how to make a list.
const remedyList = "write it, in the directory: find -L . -type f ! -name " + sha256sums.Name +
	" -exec sha256sum {} + > " + sha256sums.Name

// Run fetches and starts the store's guests one after the other, in the order of their names, and returns
// when each is started or refused. Until the server has a valid list it keeps asking for one. An error
// means that ctx is over, or that Dir cannot be used.
func (s Store) Run(ctx context.Context) error {
	start := time.Now()
	s.Timing = s.Timing.orDefault()
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return fmt.Errorf("guest store: %w", err)
	}
	defer root.Close()
	f := &fetcher{Store: s, root: root, outage: outage{announced: map[string]bool{}}}
	list, err := f.list(ctx)
	if err != nil {
		return err
	}
	s.Report(Event{State: Found, Guests: len(list)})
	started := 0
	for _, g := range list {
		ok, err := f.take(ctx, g)
		if err != nil {
			return err
		}
		if ok {
			started++
		}
	}
	s.Report(Event{State: Finished, Guests: started, Refused: len(list) - started, Took: time.Since(start)})
	return nil
}

// fetcher is the state of one Run.
type fetcher struct {
	Store
	root   *os.Root // Dir
	noHEAD bool     // the server answers GET, but not HEAD
	outage
	progress
}

// outage is what is remembered of failures.
type outage struct {
	since     time.Time       // of the first failure after the last success; zero when all is well
	loud      bool            // the console shows it
	announced map[string]bool // remedies that the console has shown: each kind of failure is shown once
}

// progress is how much of the current guest is there.
type progress struct {
	guest       string
	done, total int64     // bytes; total is 0 where the size of a file is not known
	reported    time.Time // last
}

// list fetches the list until it can be used.
func (f *fetcher) list(ctx context.Context) ([]guest, error) {
	var found []guest
	err := f.persist(ctx, func() (moved bool, err error) {
		found, err = f.readList(ctx)
		var why *fault
		if errors.As(err, &why) {
			why.lasts = false // a list can be corrected while the machine waits for it
		}
		return false, err
	})
	return found, err
}

// readList fetches the list and checks it. Errors are *fault.
func (f *fetcher) readList(ctx context.Context) ([]guest, error) {
	response, err := f.request(ctx, http.MethodGet, sha256sums.Name, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		why := badStatus(response)
		if response.StatusCode == http.StatusNotFound {
			why.err, why.remedy = fmt.Errorf("there is no %s: %w", sha256sums.Name, why.err), remedyList
		}
		return nil, why
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxList+1))
	if err != nil {
		return nil, err
	}
	return f.checkList(text)
}

// checkList compares the list with its pinned sum and reads it. Errors are *fault.
func (f *fetcher) checkList(text []byte) ([]guest, error) {
	if len(text) > maxList {
		err := fmt.Errorf("%s is larger than %d KiB", sha256sums.Name, maxList>>10)
		return nil, &fault{err: err, remedy: remedyList}
	}
	if sum, pin := sha256.Sum256(text), f.Source.Pin; pin != nil && sum != *pin {
		return nil, &fault{
			err: fmt.Errorf("%s is not the one that %s names: its SHA-256 is %x",
				sha256sums.Name, boot.KeyGuestsSum, sum),
			remedy: "find out who changed the list; if it was you, correct " + boot.KeyGuestsSum,
		}
	}
	sums, err := sha256sums.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, &fault{err: fmt.Errorf("%s: %w", sha256sums.Name, err), remedy: remedyList}
	}
	found, err := guestsOf(sums)
	if err != nil {
		return nil, &fault{err: fmt.Errorf("%s: %w", sha256sums.Name, err), remedy: remedyList}
	}
	return found, nil
}

// take fetches and starts one guest, and says whether it was started. An error means that ctx has ended.
func (f *fetcher) take(ctx context.Context, g guest) (bool, error) {
	dir := filepath.Join(f.Dir, g.name)
	if f.Started != nil && f.Started(dir) {
		return true, nil
	}
	files := f.Memory.Files("files of " + g.name)
	fault := f.fetch(ctx, g, files)
	files.Settle()
	started := fault == nil && ctx.Err() == nil && f.Start(ctx, dir)
	if ctx.Err() != nil {
		return started, ctx.Err()
	}
	if fault != nil {
		f.Refuse(fault)
	}
	if !started {
		_ = f.root.RemoveAll(g.name) // if a file stays, the ledger's source sees the memory that it takes
		files.Release()
	}
	return started, nil
}

// fetch brings a guest's files into memory. Once ctx is over, its error means nothing.
func (f *fetcher) fetch(ctx context.Context, g guest, files *memory.Files) *guests.Error {
	f.progress = progress{guest: g.name, reported: time.Now()}
	if refusal := f.measure(ctx, g, files); refusal != nil {
		return refusal
	}
	f.report(true)
	for _, file := range g.files {
		if err := f.download(ctx, file, files); err != nil {
			return f.refusal(g, file, err)
		}
	}
	return nil
}

// refusal says why a guest is not started.
func (f *fetcher) refusal(g guest, at file, err error) *guests.Error {
	refused := &guests.Error{Guest: g.name, File: shown(f.Source.file(at.path)), Problem: err.Error(), Err: err}
	var why *fault
	var full *memory.NoRoom
	switch {
	case errors.As(err, &why):
		refused.Remedy = why.remedy
	case errors.As(err, &full):
		refused.Remedy = "end other guests, or put the guest on the boot medium"
	}
	return refused
}

// persist calls try until it succeeds or fails for good. The pauses grow; a try that got further than
// those before it makes them short again.
func (f *fetcher) persist(ctx context.Context, try func() (moved bool, err error)) error {
	pause := f.Timing.FirstPause
	for {
		moved, err := try()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var why *fault
		if err == nil || !errors.As(err, &why) || why.lasts {
			f.recovered()
			return err
		}
		if moved {
			pause = f.Timing.FirstPause
		}
		f.failed(why)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, f.Timing.MaxPause)
	}
}

// failed notes a failure that may pass. The console shows each kind once. While the network may still be
// coming up it does not show that no server answers.
func (f *fetcher) failed(why *fault) {
	if f.since.IsZero() {
		f.since = time.Now()
	}
	show := !f.announced[why.remedy] && !(why.early && time.Since(f.since) < f.Timing.Grace)
	if show {
		f.announced[why.remedy], f.loud = true, true
	}
	f.Report(Event{State: Waiting, Quiet: !show, Err: why.err, Remedy: why.remedy})
}

// recovered notes that the server has answered. If the console has shown the failure, it shows this too.
func (f *fetcher) recovered() {
	was := f.outage
	f.since, f.loud = time.Time{}, false
	if !was.since.IsZero() && f.guest != "" {
		f.report(!was.loud)
	}
}

// report reports how much of the current guest is there.
func (f *fetcher) report(quiet bool) {
	if !quiet {
		f.reported = time.Now()
	}
	f.Report(Event{State: Fetching, Quiet: quiet, Guest: f.guest, Done: f.done, Total: f.total})
}

// advance adds n bytes to what is there; n is negative when bytes are thrown away.
func (f *fetcher) advance(n int64) {
	f.done += n
	if time.Since(f.reported) >= f.Timing.Progress {
		f.report(false)
	}
}
