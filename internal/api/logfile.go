package api

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// LogFile is the Logs of a file of lines in logfmt, such as log/slog's text form, which somebody writes meanwhile.
type LogFile string

// followPause is the time between two looks at a log.
const followPause = time.Second

// maxNews is how much of a log is read at a time, bytes.
const maxNews = 2 << 20

// Recent returns the newest lines.
func (f LogFile) Recent(limit int) ([]LogLine, error) {
	text, _, err := f.read(0)
	if err != nil {
		return nil, err
	}
	lines := parseLines(text)
	return lines[max(0, len(lines)-limit):], nil
}

// Follow returns the lines that come. Where the file's older half is dropped, some may be left out.
func (f LogFile) Follow(ctx context.Context) <-chan LogLine {
	to := make(chan LogLine)
	guarded.Go(ctx, func() {
		_, at, _ := f.read(0)
		for range until(ctx, time.Tick(followPause)) {
			text, end, err := f.read(at)
			if err != nil {
				continue
			}
			at = end
			for _, line := range parseLines(text) {
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

// read returns the whole lines from an offset on, and the offset behind them. Behind the end of a file that has become
// shorter there are none.
func (f LogFile) read(from int64) (text string, end int64, err error) {
	file, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return "", 0, err
	}
	from = max(from, size-maxNews)
	if from >= size {
		return "", size, nil
	}
	b := make([]byte, size-from)
	if _, err := file.ReadAt(b, from); err != nil && err != io.EOF {
		return "", 0, err
	}
	whole := strings.LastIndexByte(string(b), '\n') + 1
	return string(b[:whole]), from + int64(whole), nil
}

func parseLines(text string) []LogLine {
	var lines []LogLine
	for line := range strings.Lines(text) {
		lines = append(lines, parseLine(strings.TrimSuffix(line, "\n")))
	}
	return lines
}

// parseLine reads a line of logfmt. What is none is a message.
func parseLine(line string) LogLine {
	parsed := LogLine{Level: "info", Context: map[string]string{}}
	for rest := line; rest != ""; {
		key, after, isPair := strings.Cut(rest, "=")
		if !isPair || key == "" || strings.ContainsAny(key, " \"") {
			return LogLine{Level: "info", Message: line}
		}
		var value string
		value, rest = cutValue(after)
		switch key {
		case "time":
			parsed.Time = value
		case "level":
			parsed.Level = strings.ToLower(value)
		case "msg":
			parsed.Message = value
		default:
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
