package logs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Filter chooses entries. The zero value of a field chooses all.
type Filter struct {
	Sources []string
	Level   *Level        // the least urgent
	Since   time.Duration // as the time since the kernel started
}

// Match says whether the filter chooses an entry.
func (f Filter) Match(e Entry) bool {
	return (len(f.Sources) == 0 || slices.Contains(f.Sources, e.Source)) && (f.Level == nil || e.Level <= *f.Level) &&
		e.Up >= f.Since
}

// Select returns the entries that the filter chooses, the newest of them if there are more than last. last below 0:
// all.
func (f Filter) Select(entries []Entry, last int) []Entry {
	var chosen []Entry
	for _, e := range entries {
		if f.Match(e) {
			chosen = append(chosen, e)
		}
	}
	if last >= 0 && len(chosen) > last {
		chosen = chosen[len(chosen)-last:]
	}
	return chosen
}

// timeForms are the forms of a time that a person may write.
var timeForms = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// ParseSince reads how far back to look: a duration ("10m"), a time of today ("15:04"), or a time
// ("2006-01-02 15:04"). It returns it as the time since the kernel started, up, when the clock shows now.
func ParseSince(text string, now time.Time, up time.Duration) (time.Duration, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return up - ago, nil
	}
	for _, form := range []string{"15:04:05", "15:04"} {
		if t, err := time.ParseInLocation(form, text, now.Location()); err == nil {
			y, m, d := now.Date()
			today := time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			return up - now.Sub(today), nil
		}
	}
	for _, form := range timeForms {
		if t, err := time.ParseInLocation(form, text, now.Location()); err == nil {
			return up - now.Sub(t), nil
		}
	}
	return 0, fmt.Errorf("%q is no time: write how long ago (10m), or when (15:04, 2006-01-02 15:04)", text)
}

// Format writes entries as text.
type Format func(e Entry, at time.Time) string

// Formats are the formats by their names.
var Formats = map[string]Format{"short": short, "json": asJSON}

// Stamp is how times are written.
const Stamp = "2006-01-02 15:04:05.000"

// short is an entry for people. A line of init's has its level in its own words.
func short(e Entry, at time.Time) string {
	level := ""
	if e.Level != Info {
		level = e.Level.String() + ": "
	}
	return fmt.Sprintf("%s %s: %s%s\n", at.Format(Stamp), e.Source, level, e.Text)
}

// asJSON is an entry for programs, one line. Keys may follow; those that are there stay.
func asJSON(e Entry, at time.Time) string {
	text, _ := json.Marshal(struct { // it has nothing that cannot be written
		Time   time.Time `json:"time"`
		Up     float64   `json:"up"` // seconds
		Source string    `json:"source"`
		Number uint64    `json:"number"`
		Level  string    `json:"level"`
		Text   string    `json:"text"`
	}{at, e.Up.Seconds(), e.Source, e.Number, e.Level.String(), e.Text})
	return strings.TrimSuffix(string(text), "\n") + "\n"
}
