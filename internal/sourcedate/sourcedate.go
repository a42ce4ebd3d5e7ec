// Package sourcedate dates what is built, so that the same sources give the same bytes whenever they are built.
package sourcedate

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Earliest is the first date that every file system on a disc can hold: FAT's calendar begins there.
var Earliest = time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)

// latest is the last one; FAT's calendar ends there.
var latest = time.Date(2107, time.December, 31, 23, 59, 58, 0, time.UTC)

// Or returns the date that the environment asks for (SOURCE_DATE_EPOCH, reproducible-builds.org), or else other.
func Or(other time.Time) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return other, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%q: want seconds since 1970", text)
	}
	date := time.Unix(seconds, 0).UTC()
	if date.Before(Earliest) || date.After(latest) {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s is in the year %d: a disc holds the years %d to %d",
			text, date.Year(), Earliest.Year(), latest.Year())
	}
	return date, nil
}
