package payload

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zerodisc/zerodisc/internal/atomicfile"
	"github.com/zerodisc/zerodisc/internal/buildcache"
)

// updateInterval is the least time between two fetches of the archive's index. A build that
// follows another one within it needs no network.
const updateInterval = time.Hour

// stamp is the file that says what the index was fetched from and what came: its date is that of the last fetch.
func (a *apt) stamp() string { return filepath.Join(a.dir, "updated") }

// stampText is what the stamp holds for the index as it is now. apt checks an index while it fetches it, and
// not when it reads it again.
func (a *apt) stampText() (string, error) {
	sums, err := buildcache.Sums(filepath.Join(a.dir, "lists"))
	return a.sources + string(sums), err
}

// intact reports whether the index comes from these sources and is as it came.
func (a *apt) intact() bool {
	stamp, err := os.ReadFile(a.stamp())
	if err != nil {
		return false
	}
	text, err := a.stampText()
	return err == nil && text == string(stamp)
}

// updated tells when the index was last fetched; zero for never, and for one that is not intact.
func (a *apt) updated() time.Time {
	if !a.intact() {
		return time.Time{}
	}
	info, err := os.Stat(a.stamp())
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// ensureIndex fetches the archive's index unless the last one is recent enough.
func (a *apt) ensureIndex(ctx context.Context, opts Options) error {
	if time.Since(a.updated()) < updateInterval {
		return nil
	}
	return a.update(ctx, opts)
}

// forget removes the stamp, and an index that is not intact: apt would keep what has the archive's date.
func (a *apt) forget() error {
	intact := a.intact()
	if err := os.RemoveAll(a.stamp()); err != nil || intact {
		return err
	}
	if err := os.RemoveAll(filepath.Join(a.dir, "lists")); err != nil {
		return err
	}
	return a.makeDirs()
}

// update fetches the archive's index and checks its signatures.
func (a *apt) update(ctx context.Context, opts Options) error {
	opts.Log.Info("fetching package index", "suite", opts.Suite)
	opts.Progress(Progress{Step: "index"})
	if err := a.forget(); err != nil {
		return fmt.Errorf("forget last update: %w", err)
	}
	if _, err := a.run(ctx, call{args: []string{"apt-get", "-q", "update"}, percent: func(float64) {}}); err != nil {
		return fmt.Errorf("fetch package index: %w", err)
	}
	text, err := a.stampText()
	if err != nil {
		return fmt.Errorf("fetch package index: %w", err)
	}
	return atomicfile.WriteBytes(a.stamp(), []byte(text))
}
