package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/logs"
)

// Query is which lines of the host's log are wanted.
type Query struct {
	logs.Filter
	Guest string // only those of init about the guest with this name; "" for all
	Limit int    // the newest of them
}

// HostLog is the Logs of a directory of package logs. Init is the source whose lines are logfmt, such as log/slog's
// text form; those of other sources are messages.
type HostLog struct{ Dir, Init string }

// followPause is the time between two looks at the log.
const followPause = time.Second

// Recent returns the newest of the lines that are wanted.
func (l HostLog) Recent(q Query) ([]LogLine, error) {
	r := logs.NewReader(l.Dir)
	defer r.Close()
	entries, _, err := r.Read()
	if err != nil {
		return nil, err
	}
	lines := []LogLine{}
	for _, line := range l.lines(q.Select(entries, -1)) {
		if q.Guest == "" || line.Context["guest"] == q.Guest {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-q.Limit):], nil
}

// Follow returns the lines that come.
func (l HostLog) Follow(ctx context.Context) <-chan LogLine {
	r := logs.NewReader(l.Dir)
	_, _, _ = r.Read() // what there is already; where it cannot be read the lines come later
	to := make(chan LogLine)
	guarded.Go(ctx, func() {
		defer r.Close()
		for range until(ctx, time.Tick(followPause)) {
			entries, _, _ := r.Read()
			for _, line := range l.lines(entries) {
				select {
				case to <- line:
				case <-ctx.Done():
					return
				}
			}
		}
	})
	return to
}

// lines are entries as the API shows them.
func (l HostLog) lines(entries []logs.Entry) []LogLine {
	now, up := time.Now(), logs.Uptime()
	lines := make([]LogLine, len(entries))
	for i, e := range entries {
		line := LogLine{Message: e.Text}
		if e.Source == l.Init {
			line = parseLine(e.Text)
		}
		line.Time, line.Source, line.Level = e.Time(now, up).Format(time.RFC3339Nano), e.Source, level(e.Level)
		lines[i] = line
	}
	return lines
}

// level is a level by the names that log/slog has, in lower case.
func level(l logs.Level) string {
	switch {
	case l <= logs.Error:
		return "error"
	case l == logs.Warning:
		return "warn"
	case l == logs.Debug:
		return "debug"
	}
	return "info"
}

// parseLine reads a line of logfmt. What is none is a message.
func parseLine(line string) LogLine {
	parsed := LogLine{Context: map[string]string{}}
	for rest := line; rest != ""; {
		key, after, isPair := strings.Cut(rest, "=")
		if !isPair || key == "" || strings.ContainsAny(key, " \"") {
			return LogLine{Message: line}
		}
		var value string
		value, rest = cutValue(after)
		if key == "msg" {
			parsed.Message = value
		} else {
			parsed.Context[key] = value
		}
	}
	return parsed
}

// cutValue cuts a value, which may be quoted as in Go, off the beginning of text.
func cutValue(text string) (value, rest string) {
	if quoted, err := strconv.QuotedPrefix(text); err == nil {
		value, _ = strconv.Unquote(quoted)
		return value, strings.TrimPrefix(text[len(quoted):], " ")
	}
	value, rest, _ = strings.Cut(text, " ")
	return value, rest
}
