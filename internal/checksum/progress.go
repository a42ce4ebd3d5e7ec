package checksum

import (
	"fmt"
	"time"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Progress is how far a check is.
type Progress struct {
	Done, Total int64 // bytes
	Elapsed     time.Duration
	File        string // that is being read; its name may be anything
}

// Percent is the part that is done, rounded down.
func (p Progress) Percent() int {
	if p.Total <= 0 {
		return 0
	}
	return int(float64(p.Done) / float64(p.Total) * 100)
}

// Rate is the mean speed in bytes a second, 0 while it is not known.
func (p Progress) Rate() float64 {
	if p.Elapsed <= 0 {
		return 0
	}
	return float64(p.Done) / p.Elapsed.Seconds()
}

// settled is how long a check has to be under way before its speed says something: a drive takes that
// long to get up to speed.
const settled = 2 * time.Second

// Left is how long the rest will take at the present rate; false while that cannot be said.
func (p Progress) Left() (time.Duration, bool) {
	rate := p.Rate()
	if p.Elapsed < settled || rate == 0 {
		return 0, false
	}
	return time.Duration(float64(p.Total-p.Done) / rate * float64(time.Second)).Round(time.Second), true
}

// Line describes the progress in at most width characters; a long file name loses its beginning. It
// needs 52 of them and a few for the name.
func (p Progress) Line(width int) string {
	left := "           "
	if d, ok := p.Left(); ok {
		left = fmt.Sprintf("%3d:%02d left", int(d.Minutes()), int(d.Seconds())%60)
	}
	text := fmt.Sprintf("%3d%%  %.1f of %.1f MB  %5.1f MB/s %s  ",
		p.Percent(), megabytes(p.Done), megabytes(p.Total), p.Rate()/1e6, left)
	name := []rune(printable.Line(p.File))
	if room := width - len(text); len(name) > room {
		const dots = "..."
		name = append([]rune(dots), name[len(name)-max(0, room-len(dots)):]...)
	}
	return text + string(name)
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }
